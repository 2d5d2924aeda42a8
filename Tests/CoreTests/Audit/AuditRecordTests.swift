import ClavigerWire
import SecureMemory
import Support
import Testing

@testable import ClavigerCore

/// The bytes of records: what has been written must be verifiable for ever.
@Suite struct AuditRecordTests {
    private static let instance = InstanceID(high: 0x1c2d_3e4f_5061_4728, low: 0xb94a_5b6c_7d8e_9fa0)
    private static let key = KeyID(high: 0x6f1d_3c5a_9b7e_4a02, low: 0x8c41_d2e3_f4a5_b6c7)

    private static func caller(_ unit: String? = nil) -> Caller {
        Caller(pid: 77, uid: 1000, gid: 100, groups: [], unit: unit, pidfdVerified: true)
    }

    @Test func theFormIsFixed() {
        var record = AuditRecord(event: "key-rotate", time: 1_763_848_800_123)
        record.id = OperationID(high: 1, low: 2)
        record.initiator = AuditRecord.Initiator(caller: Self.caller("a.service"), name: "al\"ice\n")
        record.target = AuditRecord.Target(key: Self.key, version: 3, ring: "finance")
        record.correlation = "9-1"
        record.request = 5
        record.requestData = [.init("operation", "x")]
        record.changes = [.init("state", from: "active", to: nil)]
        var line: [UInt8] = []
        let place = AuditLine.append(record.body(Self.instance), after: .beginning(of: Self.instance), to: &line)
        let expected =
            #"{"seq":1,"prev":"82aef7d87c9852401bd38438428b3cdd4db4b62b0a761405e3b54927879e31ab","#
            + #""eventTime":"2025-11-22T22:00:00.123Z","id":"00000000-0000-0001-0000-000000000002","event":"key-rotate","#
            + #""action":"kms.secrets.rotate","outcome":"success","severity":"warning","reason":{"reasonCode":200},"#
            + #""initiator":{"id":"uid:1000","name":"al\"ice\u000a","uid":1000,"gid":100,"pid":77,"unit":"a.service"},"#
            + #""target":{"id":"6f1d3c5a-9b7e-4a02-8c41-d2e3f4a5b6c7","keyVersion":3,"keyRing":"finance"},"#
            + #""observer":{"name":"claviger","id":"1c2d3e4f-5061-4728-b94a-5b6c7d8e9fa0"},"correlationId":"9-1","#
            + #""dataEvent":false,"requestData":{"requestId":5,"operation":"x"},"initialValue":{"state":"active"},"#
            + #""newValue":{"state":null}}"#
        let text = String(decoding: line.dropLast(), as: UTF8.self)
        #expect(text == expected)
        #expect(line.last == 0x0a && place.sequence == 1)
        #expect(place.hash.bytes == SHA256.digest(Array(line.dropLast()).span.bytes))
        #expect((try? JSONValue(Array(line))) != nil)
        let parts = line.dropLast().withUnsafeBytes { AuditLine.parts($0) }
        #expect(parts?.previous == AuditPosition.beginning(of: Self.instance).hash)
    }

    @Test func severityFollowsTheStatusOfARefusal() {
        for (code, severity) in [(RefusalCode.denied, "critical"), (.keyState, "warning"), (.tokenUnavailable, "critical")] {
            var record = AuditRecord(event: "wrap", time: 0)
            record.refusal = Refusal(code)
            let text = String(decoding: record.body(Self.instance), as: UTF8.self)
            #expect(text.contains("\"outcome\":\"failure\",\"severity\":\"\(severity)\""))
            #expect(text.contains("\"reasonType\":\"\(code.name)\"") && !text.contains("reasonForFailure"))
        }
    }

    /// What is written once for many records is what each of them would have written, also when there are more callers than it knows.
    @Test func whatIsKnownOfACallerChangesNoByte() {
        var random = SeededGenerator(seed: 11)
        var phrases = AuditPhrases()
        for index in 0..<2_000 {
            var record = AuditRecord(event: ["wrap", "unwrap", "key-read", "key-create"].randomElement(using: &random)!, time: 7)
            let units = [nil, "a.service", "b.service"]
            let caller = Caller(
                pid: .random(in: 1...3, using: &random), uid: .random(in: 0...1, using: &random), gid: 100,
                groups: [], unit: units.randomElement(using: &random)!, pidfdVerified: true)
            let name = ["alice", "bob", nil].randomElement(using: &random)!
            if index % 7 > 0 { record.initiator = AuditRecord.Initiator(caller: caller, name: name) }
            if index % 11 == 0 { record.id = OperationID(high: 1, low: UInt64(index)) }
            if index % 13 == 0 { record.refusal = Refusal(.denied) }
            if index % 17 == 0 { record.reason = "by policy" }
            if index % 5 == 0 {
                let codes: [RefusalCode?] = [nil, .decryptionFailed]
                record.items = codes.map { AuditRecord.Item(key: Self.key, version: 1, code: $0, count: 2) }
            }
            record.target = AuditRecord.Target(key: Self.key, version: UInt32(index))
            record.request = UInt32(index)
            #expect(record.body(Self.instance, &phrases) == record.body(Self.instance))
        }
    }

    @Test func everyEventOfTheTableExists() {
        let names = Set(Opcode.allCases.map(\.entry.name)).union(AuditEvent.System.allCases.map(\.rawValue))
        for name in ["wrap", "key-create", "key-rotate", "key-delete", "ring-create", "policy-set", "approval-request"] {
            #expect(names.contains(name) && AuditEvent(named: name).action.hasPrefix("kms."))
        }
        #expect(AuditEvent(named: "unlock").action == "claviger.unlock")
        #expect(AuditEvent(named: "wrap").isDataEvent && !AuditEvent(named: "key-create").isDataEvent)
    }

    /// Control characters that terminals obey are escaped: those of one byte and those of two.
    @Test func controlCharactersAreEscaped() throws {
        var text = JSONText()
        text.open()
        text.text("a", "\u{9b}2J\u{80}\u{9f}\u{a0}é\u{7f}\u{1b}")
        text.close()
        let expected = "{\"a\":\"\\u009b2J\\u0080\\u009f\u{a0}é\\u007f\\u001b\"}"
        #expect(String(decoding: text.bytes, as: UTF8.self) == expected)
        #expect(try JSONValue(text.bytes)["a"]?.text == "\u{9b}2J\u{80}\u{9f}\u{a0}é\u{7f}\u{1b}")
    }

    private func note(_ strings: [String], _ form: AuditContexts.Form, _ contexts: inout AuditContexts) throws {
        let encoded = try Context.encode(strings)
        contexts.note(encoded: encoded.span.bytes, form: form)
    }

    /// No context of a request is left out: what is too long to stand in clear stands by its hash.
    @Test func everyContextIsThere() throws {
        var hashed = AuditContexts()
        for index in 0..<Limits.maximumItems { try note(["\(index)"], .hash, &hashed) }
        try note(["0"], .hash, &hashed)
        try note([], .hash, &hashed)
        var text = JSONText()
        text.open()
        hashed.write(to: &text)
        text.close()
        let value = try JSONValue(text.bytes)
        #expect(value["contextHashes"]?.elements.count == Limits.maximumItems)
        var clear = AuditContexts()
        let long = String(repeating: "x", count: 250)
        for index in 0..<40 {
            try note([long, long, long, "\(index)"], .clear, &clear)
        }
        text = JSONText()
        text.open()
        clear.write(to: &text)
        text.close()
        let shown = try JSONValue(text.bytes)
        #expect(shown["contexts"]?.elements.count == 10 && shown["contextHashes"]?.elements.count == 30)
        // The worst that a request can bring: every item with a context of its own, and characters that are written in six bytes.
        var worst = AuditContexts()
        for index in 0..<Limits.maximumItems {
            try note([String(repeating: "\u{1}", count: 28), "\(index)"], .clear, &worst)
        }
        text = JSONText()
        text.open()
        worst.write(to: &text)
        text.close()
        let both = try JSONValue(text.bytes)
        #expect((both["contexts"]?.elements.count ?? 0) + (both["contextHashes"]?.elements.count ?? 0) == Limits.maximumItems)
        #expect(text.bytes.count < AuditLine.maximum / 2)
        var none = AuditContexts()
        try note(["a"], .none, &none)
        #expect(none.isEmpty)
    }

    @Test(arguments: [
        (0, "1970-01-01T00:00:00.000Z"), (1_763_848_800_123, "2025-11-22T22:00:00.123Z"),
        (951_782_399_999, "2000-02-28T23:59:59.999Z"), (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"), (UInt64.max, "9999-12-31T23:59:59.999Z"),
    ])
    func timesAreWrittenAndRead(milliseconds: UInt64, text: String) {
        #expect(AuditTime.text(milliseconds) == text)
        #expect(AuditTime.milliseconds(text) == min(milliseconds, 253_402_300_799_999))
    }

    @Test func onlyTimesAreTimes() {
        #expect(AuditTime.milliseconds("2025-11-22") == 1_763_769_600_000)
        #expect(AuditTime.milliseconds("2025-11-22T22:00Z") == 1_763_848_800_000)
        #expect(AuditTime.milliseconds("2025-11-22 22:00:01") == 1_763_848_801_000)
        for text in ["", "2025", "2025-02-29", "2025-13-01", "2025-01-01T24:00", "2025-01-01T00:00:00.1Z", "1969-12-31", "x"] {
            #expect(AuditTime.milliseconds(text) == nil, "\(text)")
        }
    }

    @Test func likeRefusalsAreCountedTogether() {
        let merger = DenialMerger()
        func admit(_ event: String, _ uid: UInt32, _ now: UInt64) -> Bool {
            var record = AuditRecord(event: event, time: now)
            record.refusal = Refusal(.denied)
            let kind = DenialMerger.Kind(event: event, code: .denied, uid: uid, gid: 0, unit: nil)
            return merger.admit(record, kind, now: now)
        }
        let second = DenialMerger.window
        #expect(admit("wrap", 1, 0) && !admit("wrap", 1, 1) && !admit("wrap", 1, 2))
        #expect(admit("wrap", 2, 0) && admit("unwrap", 1, 0))
        #expect(merger.due(now: second - 1).isEmpty)
        #expect(merger.due(now: second).map(\.count) == [2])
        // A flood that goes on is one record a second; one that is over is forgotten.
        #expect(!admit("wrap", 1, second + 1))
        #expect(merger.due(now: 2 * second).map(\.count) == [1])
        #expect(merger.due(now: 3 * second).isEmpty)
        #expect(admit("wrap", 1, 3 * second))
    }

    @Test func inventedKindsDoNotHelpAFlood() {
        let merger = DenialMerger()
        var written = 0
        for number in 0..<5_000 {
            let record = AuditRecord(event: "wrap", time: 0)
            let kind = DenialMerger.Kind(event: "wrap", code: .denied, uid: UInt32(number), gid: 0, unit: nil)
            if merger.admit(record, kind, now: 0) { written += 1 }
        }
        #expect(written == DenialMerger.most + 1)
        let rest = merger.all()
        #expect(rest.count == 1 && rest[0].count == 5_000 - written && rest[0].event == "various")
    }

    @Test func onlyJSONOfTheLogIsRead() throws {
        let value = try JSONValue(Array(#" {"a":[1,{"b":"\u000a\"\\ü"},true,null],"c":18446744073709551615} "#.utf8))
        #expect(value["a"]?.elements.count == 4 && value["c"]?.number == .max)
        #expect(value["a"]?.elements[1]["b"]?.text == "\n\"\\ü")
        for text in [
            "", "{", "[1,]", "{\"a\"}", "{\"a\":}", "\"", "\"\u{1}\"", "\"\\x\"", "\"\\ud800\"", "-1", "1.5",
            "18446744073709551616", "tru", "{} x", String(repeating: "[", count: 100_000),
        ] {
            #expect(throws: JSONValue.Failure.self) { try JSONValue(Array(text.utf8)) }
        }
    }
}
