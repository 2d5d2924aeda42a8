import ClavigerClient
import ClavigerCore
import ClavigerWire
import Glibc
import Support
import Testing

/// The audit log of the real daemon: what is in it and what never is.
@Suite struct AuditTests {
    @Test func everyRequestLeavesItsRecord() throws {
        let daemon = try DaemonHarness.running(DaemonHarness.audit("context = \"clear\""))
        let client = daemon.client()
        let key = try client.createKey(name: "payroll").id
        let secret = Array("this is the plaintext".utf8)
        let envelope = try client.wrap(.id(key), secret, ["tenant=7", "\"\n"]).envelope
        _ = try client.open(envelope, ["tenant=7", "\"\n"])
        #expect(refusal { () throws(ClientError) in try client.open(envelope, ["other"]) } == .decryptionFailed)
        #expect(refusal { () throws(ClientError) in try client.showKey(.name("absent")) } == .denied)
        _ = try client.rotateKey(.id(key))
        _ = try client.rewrap(envelope, context: ["tenant=7", "\"\n"])
        _ = try client.status()
        #expect(daemon.stop() == 0)

        let records = try daemon.auditRecords()
        let events = records.map { "\($0.event) \($0.outcome)" }
        for expected in [
            "daemon-start success", "token-ready success", "key-create success", "wrap success", "unwrap success",
            "unwrap failure", "key-show failure", "key-rotate success", "rewrap success", "daemon-stop success",
            "checkpoint success",
        ] {
            #expect(events.count { $0 == expected } == 1, "\(expected): \(events)")
        }
        let wrapped = try #require(records.first { $0.event == "wrap" })
        #expect(
            wrapped.key == "\(key)" && wrapped.version == "1" && wrapped.uid == "\(geteuid())"
                && wrapped.action == "kms.secrets.wrap")
        #expect(wrapped.pid == "\(getpid())")
        #expect(String(decoding: wrapped.line, as: UTF8.self).contains(#""contexts":[["tenant=7","\"\u000a"]]"#))
        let refused = try #require(records.first { $0.event == "unwrap" && $0.outcome == "failure" })
        #expect(refused.reasonType == "decryption-failed" && refused.key == "\(key)")
        #expect(try #require(records.first { $0.event == "key-show" }).reasonType == "denied")
        // The last word is sealed: nothing stands behind the checkpoint.
        let report = try #require(try daemon.verifyAudit())
        #expect(report.unsealed == 1 && report.incidents.isEmpty)

        // What must never be there, in any of its forms.
        let text = try daemon.auditText()
        let pin = String(decoding: try readFile(daemon.pinFile), as: UTF8.self)
        for forbidden in ["plaintext", EnvelopeText.encode(envelope.span.bytes), hex(envelope), hex(secret), pin] {
            #expect(!text.contains(forbidden))
        }
        #expect(!text.contains(String(EnvelopeText.encode(envelope.span.bytes).dropFirst(40).prefix(24))))
    }

    private func hex(_ bytes: [UInt8]) -> String {
        bytes.map { (byte: UInt8) in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
    }

    @Test func aBatchIsOneRecord() throws {
        let daemon = try DaemonHarness.running()
        let client = daemon.client()
        let key = try client.createKey(name: "batch").id
        var items = (0..<10).map { _ in SealedItem((try? client.wrap(.id(key), [1]).envelope) ?? []) }
        items.append(SealedItem([1, 2, 3]))
        _ = try client.unwrap(items)
        let record = try #require(try daemon.auditRecords().last { $0.event == "unwrap" })
        #expect(record.outcome == "partial" && record.details == ["1 x - malformed", "10 x \(key)/1 success"])
    }

    /// A flood of refusals does not fill the disk: the first is recorded, the others are counted.
    @Test func likeRefusalsAreCounted() throws {
        let daemon = try DaemonHarness.running()
        let client = daemon.client()
        for _ in 0..<300 { #expect(refusal { () throws(ClientError) in try client.showKey(.name("absent")) } == .denied) }
        let isCounted = try eventually {
            try daemon.auditRecords().filter { $0.event == "key-show" }.reduce(0) { $0 + (Int($1.count) ?? 0) } == 300
        }
        #expect(isCounted)
        #expect(try daemon.auditRecords().count { $0.event == "key-show" } < 60)
    }

    @Test func aFileThatIsRemovedOrReplacedIsPutBack() throws {
        let daemon = try DaemonHarness.running()
        let client = daemon.client()
        let key = try client.createKey(name: "kept").id
        let segment = try #require(try AuditSegment.list(daemon.auditDirectory).first)
        unlink(segment.path)
        #expect(eventually { access(segment.path, F_OK) == 0 })
        try writeFile(segment.path + ".x", "something else")
        rename(segment.path + ".x", segment.path)
        // While it is put back there is no file of the name for a moment.
        #expect(eventually { (try? daemon.auditRecords())?.count { $0.event == "log-restored" } == 2 })
        _ = try client.wrap(.id(key), [1])
        #expect(try daemon.auditRecords().contains { $0.event == "key-create" })
        try daemon.verifyAudit()
    }

    /// What is done to the log while the daemon is stopped is found at the next start, said, and goes on under new numbers.
    @Test func aLogThatWasCutIsFoundAtTheStart() throws {
        let daemon = try DaemonHarness.running()
        _ = try daemon.client().createKey(name: "before")
        daemon.stop()
        let segment = try #require(try AuditSegment.list(daemon.auditDirectory).first)
        var lines = String(decoding: try readFile(segment.path), as: UTF8.self).split(separator: "\n")
        lines.removeLast(2)
        try writeFile(segment.path, lines.joined(separator: "\n") + "\n")
        try daemon.start()
        let health = try daemon.health
        #expect(health.state == .degraded && health.reason.contains("not as it was left"), "\(health.reason)")
        #expect(try daemon.auditRecords().contains { $0.event == "log-gap" })
        #expect(daemon.log.contains("the audit log is not as it was left"))
        let verified = try daemon.claviger("audit", "verify")
        #expect(verified.status == 1 && verified.errorText.contains("missing"), "\(verified.errorText)")
    }

    /// A clean stop and a kill leave a log that the next start takes for what it is.
    @Test func restartsGoOn() throws {
        let daemon = try DaemonHarness.running()
        _ = try daemon.client().createKey(name: "one")
        try daemon.restart()
        daemon.kill()
        try daemon.start()
        #expect(try daemon.health.state == .ready)
        _ = try daemon.client().createKey(name: "two")
        #expect(try daemon.auditRecords().count { $0.event == "key-create" } == 2)
        // After an orderly stop there is nothing to report; of what a killed daemon left, which records they are.
        #expect(try #require(try daemon.verifyAudit()).incidents.map(\.event) == ["log-unproven"])
    }

    /// What the daemon meets by itself: a sealed start, the PIN by hand, a new configuration, the stop.
    @Test func theDaemonsOwnEventsAreRecorded() throws {
        var settings = DaemonHarness.Settings()
        settings.hasPINFile = false
        let daemon = try DaemonHarness.running(settings)
        func events() throws -> [String] { try daemon.auditRecords().map { "\($0.event) \($0.outcome)" } }
        #expect(try !events().contains("token-ready success"))
        let unlocked = try daemon.claviger("unlock", "--pin-file", daemon.pinFile)
        #expect(unlocked.status == 0, "\(unlocked.errorText)")
        #expect(try eventually { try events().contains("token-ready success") })
        kill(try #require(daemon.pid), SIGHUP)
        #expect(try eventually { try events().contains("configuration-reload success") })
        #expect(daemon.stop() == 0)
        for event in ["daemon-start", "unlock", "token-ready", "configuration-reload", "daemon-stop"] {
            let found = try events()
            #expect(found.count { $0 == "\(event) success" } == 1, "\(event): \(found)")
        }
        let pin = String(decoding: try readFile(daemon.pinFile), as: UTF8.self)
        #expect(!(try daemon.auditText()).contains(pin))
        try daemon.verifyAudit()
    }

    @Test func withoutRecordsOfKeyUseTheStateSaysSo() throws {
        let daemon = try DaemonHarness.running(DaemonHarness.audit("durability = \"off\""))
        let client = daemon.client()
        let key = try client.createKey(name: "unseen").id
        _ = try client.wrap(.id(key), [1])
        #expect(try daemon.health.reason.contains("not recorded"))
        let events = try daemon.auditRecords().map(\.event)
        #expect(events.contains("key-create") && !events.contains("wrap"))
    }

    /// What was refused is counted as that, and not as done as well once its record is kept.
    @Test(arguments: ["fsync", "buffered"]) func aRefusalIsCountedOnce(durability: String) throws {
        let daemon = try DaemonHarness.running(DaemonHarness.audit("durability = \"\(durability)\""))
        let client = daemon.client()
        let key = try client.createKey(name: "there").id
        #expect(refusal { () throws(ClientError) in try client.wrap(.name("absent"), [1]) } == .denied)
        _ = try client.wrap(.id(key), [1])
        let family = "claviger_requests_total{operation=\"wrap\""
        let counts = try client.metrics().split(separator: "\n").filter { $0.hasPrefix(family) }
        #expect(Set(counts.map { $0.split(separator: "outcome=").last }) == ["\"denied\"} 1", "\"success\"} 1"])
    }
}
