import ClavigerClient
import ClavigerCore
import ClavigerWire
import Glibc
import Support
import Testing

/// `claviger audit` as auditors use it.
@Suite struct AuditCommandTests {
    @Test func verifyTailSearchAndExport() throws {
        let daemon = try DaemonHarness.running()
        let client = daemon.client()
        let key = try client.createKey(name: "audited").id
        for _ in 0..<5 { _ = try client.wrap(.id(key), [1]) }
        #expect(refusal { () throws(ClientError) in try client.showKey(.name("absent")) } == .denied)
        func run(_ arguments: String..., sourceLocation: SourceLocation = #_sourceLocation) throws -> String {
            let ended = try daemon.claviger(["audit"] + arguments)
            #expect(ended.status == 0, "\(arguments): \(ended.errorText)", sourceLocation: sourceLocation)
            return ended.text
        }
        #expect(try run("status").contains("records         taken"))
        let pem = try run("key")
        #expect(pem.hasPrefix("-----BEGIN PUBLIC KEY-----\n") && SigningPublicKey(pem: pem) != nil)
        try writeFile(daemon.directory + "/elsewhere.pem", pem)
        try writeFile(daemon.directory + "/old.head", try run("head"))
        #expect(
            try run("verify", "--key", "\(daemon.directory)/elsewhere.pem", "--head", "\(daemon.directory)/old.head").contains(
                "the head proves"))

        let found = try run("search", "--key", "\(key)", "--event", "wrap", "--outcome", "success").split(separator: "\n")
        #expect(found.count == 5 && found.allSatisfy { $0.contains(" wrap ok key=\(key)/1 by ") })
        #expect(try run("search", "--reason", "denied").contains("key-show denied"))
        #expect(try run("search", "--caller", "\(geteuid())", "--since", "1990-01-01", "--until", "1991-01-01").isEmpty)
        #expect(try run("tail", "-n", "3").split(separator: "\n").count == 3)
        let json = try run("tail", "-n", "1", "--json")
        #expect(AuditEntry(Array(json.dropLast().utf8)) != nil)
        let csv = try run("export", "--format", "csv", "--event", "wrap").split(whereSeparator: \.isNewline)
        #expect(csv.count == 6 && csv[0].hasPrefix("sequence,time,event,action,outcome"))
        let lines = try run("export")
        #expect(lines.split(separator: "\n").count == (try daemon.auditRecords().count))

        // Another file, and both verify; a head still proves what it did.
        #expect(try run("rotate").contains("audit-"))
        #expect(try AuditSegment.list(daemon.auditDirectory).count == 2)
        #expect(try run("verify", "--head", "\(daemon.directory)/old.head", "--json").contains("\"headProven\":true"))
        daemon.stop()
        // No daemon is needed; a cut end shows by the head alone.
        let segments = try AuditSegment.list(daemon.auditDirectory)
        unlink(segments[1].path)
        var kept = String(decoding: try readFile(segments[0].path), as: UTF8.self).split(separator: "\n")
        kept.removeLast(kept.count - 4)
        try writeFile(segments[0].path, kept.joined(separator: "\n") + "\n")
        #expect(try run("verify").contains("the audit log is whole: 4 records, 1 to 4"))
        let cut = try daemon.claviger("audit", "verify", "--head", "\(daemon.directory)/old.head")
        #expect(cut.status == 1 && cut.errorText.contains("its end was cut off"), "\(cut.errorText)")
    }

    /// Old files may go; a head of their time then proves what it still can, and says what it cannot.
    @Test func aHeadOlderThanTheFilesKeptIsExplained() throws {
        let daemon = try DaemonHarness.running()
        _ = try daemon.client().createKey(name: "early")
        let head = daemon.directory + "/old.head"
        try writeFile(head, try daemon.claviger("audit", "head").text)
        _ = try daemon.client().rotateAudit()
        _ = try daemon.client().createKey(name: "late")
        daemon.stop()
        let oldest = try AuditSegment.list(daemon.auditDirectory)[0].path
        unlink(oldest)
        let verified = try daemon.claviger("audit", "verify", "--head", head)
        #expect(verified.status == 0, "\(verified.errorText)")
        #expect(verified.text.contains("the head is of record") && verified.text.contains("older than the oldest file kept"))
        #expect(try daemon.claviger("audit", "verify", "--head", head, "--json").text.contains("\"headProven\":false"))
        // Nothing that the token has sealed stands for what is left then: the head proves nothing at all.
        let left = try AuditSegment.list(daemon.auditDirectory)[0].path
        let lines = String(decoding: try readFile(left), as: UTF8.self).split(separator: "\n")
        try writeFile(left, lines.prefix(while: { !$0.contains("\"event\":\"checkpoint\"") }).joined(separator: "\n") + "\n")
        let cut = try daemon.claviger("audit", "verify", "--head", head)
        #expect(cut.status == 1 && cut.errorText.contains("no checkpoint"), "\(cut.text) \(cut.errorText)")
    }

    /// People know keys by name, the log by id.
    @Test func aKeyIsSearchedForByItsName() throws {
        let daemon = try DaemonHarness.running()
        #expect(try daemon.claviger("key", "create", "payroll", "--alias", "wages").status == 0)
        _ = try daemon.client().createKey(name: "other")
        for name in ["payroll", "wages"] {
            let found = try daemon.claviger("audit", "search", "--key", name, "--event", "key-create")
            #expect(
                found.status == 0 && found.text.split(separator: "\n").count == 1, "\(name): \(found.text) \(found.errorText)")
        }
        let absent = try daemon.claviger("audit", "search", "--key", "absent")
        #expect(absent.status == 1 && absent.errorText.contains("by its id"), "\(absent.errorText)")
        daemon.stop()
        let unknown = try daemon.claviger("audit", "search", "--key", "payroll")
        #expect(unknown.status != 0 && unknown.errorText.contains("by its id"), "\(unknown.errorText)")
    }

    @Test func tailFollowsFromFileToFile() throws {
        let daemon = try DaemonHarness.running()
        let client = daemon.client()
        let key = try client.createKey(name: "followed").id
        let output = daemon.directory + "/followed"
        let child = try Child.spawn(
            try Programs.path("claviger"), ["audit", "tail", "-f", "-n", "0", "--event", "wrap"], output: output,
            error: output + ".err", environment: daemon.environment)
        defer { child.end(SIGKILL) }
        func count() throws -> Int { String(decoding: try readFile(output), as: UTF8.self).split(separator: "\n").count }
        var wraps = 0
        // It is there once it shows one.
        #expect(
            try eventually {
                _ = try client.wrap(.id(key), [1])
                wraps += 1
                pause(milliseconds: 50)
                return try count() > 0
            })
        let seen = try count()
        let missed = wraps - seen
        _ = try client.rotateAudit()
        for _ in 0..<20 { _ = try client.wrap(.id(key), [1]) }
        _ = try client.rotateAudit()
        for _ in 0..<20 { _ = try client.wrap(.id(key), [1]) }
        #expect(try eventually { try count() >= wraps - missed + 40 })
    }
}
