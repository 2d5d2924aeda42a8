import ClavigerWire
import Support
import Testing

@testable import ClavigerCore

/// What is recorded of a request, and which refusals are counted together.
@Suite struct RequestRecordTests {
    private static let caller = Caller(pid: 77, uid: 1000, gid: 100, groups: [], unit: nil, pidfdVerified: true)

    private static func record(_ opcode: Opcode, _ allowed: [UInt64], wanted: KeyReference? = nil) -> RequestRecord {
        let header = FrameHeader(bodyLength: 0, kind: .request, opcode: opcode.rawValue, requestID: 1, detail: 0)
        var record = RequestRecord(IncomingRequest(header: header, opcode: opcode, caller: caller, deadline: .max))
        record.allowed = allowed.map {
            KeyEntry(
                StoredKey(id: KeyID(high: 1, low: $0), name: "key", state: .active, created: 0, version: 1), versions: [])
        }
        record.wanted = wanted
        return record
    }

    /// The database's refusals of changes of several keys are of several kinds, and each names its key.
    @Test(arguments: [RefusalCode.storeUnavailable, .keyState, .auditUnavailable]) func kindsAreOfOneKey(code: RefusalCode) {
        let initiator = AuditRecord.Initiator(caller: RequestRecordTests.caller, name: nil)
        let refusal = Refusal(code)
        func kind(_ record: RequestRecord) -> DenialMerger.Kind { record.kind(refusal, initiator) }
        for opcode in [Opcode.keyDisable, .wrap, .keyShow] {
            let (first, second) = (RequestRecordTests.record(opcode, [1]), RequestRecordTests.record(opcode, [2]))
            #expect(kind(first) == kind(RequestRecordTests.record(opcode, [1])))
            #expect(kind(first) != kind(second))
            let trace = RequestTrace(correlation: Correlation(run: "1", number: 1), request: 1, initiator: initiator)
            #expect(second.record(outcome: refusal, time: 0, trace: trace).target.key == KeyID(high: 1, low: 2))
            let (named, other) = (
                RequestRecordTests.record(opcode, [], wanted: .name("aa")),
                RequestRecordTests.record(opcode, [], wanted: .name("bb"))
            )
            #expect(kind(named) != kind(other) && kind(named) != kind(first))
        }
    }

    /// The short way writes the bytes of the long one, and is taken for nothing that it would not say all of.
    @Test func aPlainRecordIsWhatTheWholeOneWouldBe() throws {
        var random = SeededGenerator(seed: 5)
        var phrases = AuditPhrases()
        let instances = [InstanceID(high: 7, low: 8), InstanceID(high: 7, low: 9)]
        var written = 0
        for index in 0..<1_000 {
            let opcode = [Opcode.wrap, .unwrap, .rewrap, .keyRead].randomElement(using: &random)!
            var record = Self.record(opcode, [UInt64.random(in: 1...40, using: &random)])
            record.allowed[0].stored.ring = ["default", "payments", "\"odd\u{85}"].randomElement(using: &random)!
            let key = index % 19 == 0 ? KeyID(high: 9, low: 9) : record.allowed[0].id
            let version = index % 23 == 0 ? nil : UInt32.random(in: 1...3, using: &random)
            record.note(key: key, version: version, fresh: opcode == .rewrap ? 4 : nil)
            if index % 3 == 0 {
                let context = try Context.encode(["tenant", "\(index % 10)"])
                record.note(context: context)
            }
            let instance = instances.randomElement(using: &random)!
            var isPlain = true
            switch index % 29 {
            case 1: record.note(key: key, version: version, fresh: opcode == .rewrap ? 4 : nil)
            case 2: record.note(key: KeyID(high: 1, low: 99), version: 1)
            case 3: record.isLate = true
            case 4: record.total = 1
            default: break
            }
            if (1...4).contains(index % 29) { isPlain = false }
            let caller = Caller(
                pid: .random(in: 1...2, using: &random), uid: 4, gid: 100, groups: [],
                unit: [nil, "a.service"].randomElement(using: &random)!, pidfdVerified: true)
            let trace = RequestTrace(
                correlation: Correlation(
                    run: ["4x", "", "5"].randomElement(using: &random)!, number: [UInt64(index) << 40, 0, .max][index % 3]),
                request: .random(in: 0 ... .max, using: &random),
                initiator: AuditRecord.Initiator(caller: caller, name: ["alice", nil].randomElement(using: &random)!))
            // Mostly in the second of the one before; the last beyond what the form can say.
            let second = UInt64(index / 4) * 1_100_000_000_000
            let time = second + .random(in: 0..<1_000, using: &random)
            let whole = record.record(outcome: nil, time: time, trace: trace)
            #expect(record.isPlain == isPlain)
            let bytes = record.plainBody(time, trace, instance, &phrases)
            if let bytes { #expect(bytes == whole.body(instance)) }
            if bytes != nil { written += 1 }
            // Makes the caller known.
            #expect(whole.body(instance, &phrases) == whole.body(instance))
        }
        #expect(written > 300)
    }

    @Test func whatWasRefusedIsNotPlain() {
        var record = Self.record(.unwrap, [1])
        record.note(key: KeyID(high: 1, low: 1), version: 1, code: .decryptionFailed)
        #expect(!record.isPlain)
        #expect(!Self.record(.unwrap, [1]).isPlain)
    }
}
