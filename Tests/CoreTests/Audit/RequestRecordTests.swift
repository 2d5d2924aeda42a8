import ClavigerWire
import Support
import Testing

@testable import ClavigerCore

/// Which refusals are counted together.
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
            let trace = RequestTrace(correlation: "1-1", request: 1, initiator: initiator)
            #expect(second.record(outcome: refusal, time: 0, trace: trace).target.key == KeyID(high: 1, low: 2))
            let (named, other) = (
                RequestRecordTests.record(opcode, [], wanted: .name("aa")),
                RequestRecordTests.record(opcode, [], wanted: .name("bb"))
            )
            #expect(kind(named) != kind(other) && kind(named) != kind(first))
        }
    }
}
