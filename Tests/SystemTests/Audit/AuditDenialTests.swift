import ClavigerClient
import ClavigerCore
import ClavigerWire
import Glibc
import Support
import Testing

/// What is recorded of those who ask for what they may not have, and of those who ask for much at once.
@Suite struct AuditDenialTests {
    /// The key's id as an envelope carries it, with one bit turned: a key that nobody has.
    private func strange(_ envelope: [UInt8], _ key: KeyID) throws -> (envelope: [UInt8], key: KeyID) {
        let id = key.bytes
        let place = try #require((0..<(envelope.count - id.count)).first { Array(envelope[$0..<($0 + id.count)]) == id })
        var turned = envelope
        turned[place + id.count - 1] ^= 1
        let found = try #require(KeyID(text: "\(KeyID(high: key.high, low: key.low ^ 1))"))
        return (turned, found)
    }

    /// A denial says what was asked for, by whatever name it was.
    @Test func aDenialNamesWhatWasAskedFor() throws {
        let daemon = try DaemonHarness.running()
        let client = daemon.client()
        let key = try client.createKey(name: "known").id
        let (envelope, other) = try strange(try client.wrap(.id(key), [1]).envelope, key)
        #expect(refusal { () throws(ClientError) in try client.showKey(.name("payroll")) } == .denied)
        #expect(refusal { () throws(ClientError) in try client.wrap(.id(other), [1]) } == .denied)
        #expect(refusal { () throws(ClientError) in try client.open(envelope) } == .denied)
        let records = try daemon.auditRecords().filter { $0.reasonType == "denied" }
        #expect(records.map(\.event) == ["key-show", "wrap", "unwrap"])
        #expect(records[0].details.contains("asked=payroll") && records[0].key.isEmpty)
        #expect(records[1].key == "\(other)" && records[2].key == "\(other)" && records[2].version == "1")
        let found = try daemon.claviger("audit", "search", "--key", "\(other)", "--outcome", "failure")
        #expect(found.text.split(separator: "\n").count == 2, "\(found.text)")
    }

    /// Who may do it with no key at all is told so before its request is read; the record says what it named all the same.
    @Test func aDenialOfAStrangerNamesItToo() throws {
        guard geteuid() == 0 else { return skip("AuditDenialTests.aDenialOfAStrangerNamesItToo", "needs root") }
        var settings = DaemonHarness.Settings()
        settings.isOpen = true
        let daemon = try DaemonHarness.running(settings)
        _ = try daemon.client().createKey(name: "payroll")
        let program = daemon.directory + "/claviger"
        #expect(try Child.run("/bin/cp", [try Programs.path("claviger"), program], directory: daemon.directory).status == 0)
        chmod(program, 0o755)
        chmod(daemon.socket, 0o666)
        for name in ["payroll", "ledger", "payroll"] {
            let ended = try Child.run(
                "/usr/bin/setpriv",
                ["--reuid", "61007", "--regid", "61007", "--clear-groups", "--inh-caps=-all", "--", program, "wrap", name],
                directory: daemon.directory, input: [1], environment: daemon.environment)
            #expect(ended.status == 1 && ended.errorText.contains("denied"), "\(ended.errorText)")
        }
        func counts(_ name: String) throws -> Int {
            try daemon.auditRecords().filter { $0.event == "wrap" && $0.uid == "61007" && $0.details.contains("asked=\(name)") }
                .reduce(0) { $0 + (Int($1.count) ?? 0) }
        }
        #expect(try eventually { try counts("payroll") == 2 && counts("ledger") == 1 })
    }

    /// Like denials are counted together, each target by itself, those of envelopes too.
    @Test func likeDenialsAreCountedByTarget() throws {
        let daemon = try DaemonHarness.running()
        let client = daemon.client()
        let key = try client.createKey(name: "known").id
        let (envelope, other) = try strange(try client.wrap(.id(key), [1]).envelope, key)
        for round in 0..<90 {
            let name = "absent\(round % 3)"
            #expect(refusal { () throws(ClientError) in try client.showKey(.name(name)) } == .denied)
            #expect(refusal { () throws(ClientError) in try client.open(envelope) } == .denied)
        }
        func records(_ event: String) throws -> [AuditEntry] { try daemon.auditRecords().filter { $0.event == event } }
        func total(_ entries: [AuditEntry]) -> Int { entries.reduce(0) { $0 + (Int($1.count) ?? 0) } }
        #expect(
            try eventually {
                let shows = try records("key-show")
                return try total(records("unwrap")) == 90
                    && (0..<3).allSatisfy { name in total(shows.filter { $0.details.contains("asked=absent\(name)") }) == 30 }
            })
        let unwraps = try records("unwrap")
        #expect(unwraps.count < 90 && unwraps.allSatisfy { $0.key == "\(other)" && $0.outcome == "failure" })
        #expect(try records("key-show").count < 90)
    }

    @Test func aRecordOfKeyUseNamesTheRing() throws {
        let daemon = try DaemonHarness.running()
        #expect(try daemon.claviger("ring", "create", "fin").status == 0)
        #expect(try daemon.claviger("key", "create", "ledger", "--ring", "fin").status == 0)
        let client = daemon.client()
        let envelope = try client.wrap(.name("ledger"), [1]).envelope
        _ = try client.open(envelope)
        #expect(refusal { () throws(ClientError) in try client.open(envelope, ["other"]) } == .decryptionFailed)
        let other = try client.createKey(name: "plain").id
        _ = try client.unwrap([SealedItem(envelope), SealedItem(try client.wrap(.id(other), [1]).envelope)])
        let records = try daemon.auditRecords()
        for event in ["wrap", "unwrap"] {
            let used = try #require(records.first { $0.event == event })
            #expect(used.ring == "fin", "\(String(decoding: used.line, as: UTF8.self))")
        }
        let refused = try #require(records.first { $0.reasonType == "decryption-failed" })
        #expect(refused.ring == "fin")
        let batch = String(decoding: try #require(records.last { $0.event == "unwrap" }).line, as: UTF8.self)
        #expect(batch.contains("\"keyRing\":\"fin\"") && batch.contains("\"items\""))
    }

    /// One denied item among many that are fine is found by what is looked for.
    @Test func aBatchIsFoundByWhatFailedInIt() throws {
        let daemon = try DaemonHarness.running()
        let client = daemon.client()
        let key = try client.createKey(name: "own").id
        let good = try client.wrap(.id(key), [1]).envelope
        let (probe, _) = try strange(good, key)
        _ = try client.unwrap([SealedItem(good)] + (0..<20).map { _ in SealedItem(probe) })
        _ = try client.open(good)
        func search(_ arguments: String...) throws -> [Substring] {
            try daemon.claviger(["audit", "search", "--event", "unwrap"] + arguments).text.split(separator: "\n")
        }
        for arguments in [["--outcome", "failure"], ["--reason", "denied"], ["--outcome", "partial"]] {
            let found = try daemon.claviger(["audit", "search", "--event", "unwrap"] + arguments).text.split(separator: "\n")
            #expect(
                found.count == 1 && found[0].contains(" unwrap partial ") && found[0].contains("20 x "), "\(arguments): \(found)")
        }
        #expect(try search("--outcome", "success").count == 2)
        let record = try #require(try daemon.auditRecords().first { $0.event == "unwrap" })
        #expect(record.outcome == "partial" && record.severity == "critical" && record.reasonCode == "207")
    }
}
