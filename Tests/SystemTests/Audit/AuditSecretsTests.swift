import ClavigerClient
import ClavigerCore
import ClavigerWire
import Glibc
import Support
import Testing

/// What must never be in the log, whatever is done with it; and what the token does by itself, which must be.
@Suite struct AuditSecretsTests {
    /// Standard keys, imports, and data keys that the token makes: their bytes are in the log in no form.
    @Test func noMaterialIsInTheLog() throws {
        let daemon = try DaemonHarness.running(DaemonHarness.audit("context = \"clear\""))
        func does(_ line: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
            let ended = try daemon.shell(line)
            #expect(ended.status == 0, "\(line): \(ended.errorText)", sourceLocation: sourceLocation)
        }
        var random = SeededGenerator(seed: seed)
        for name in ["first", "second", "third", "import", "plain"] {
            let letters = (0..<32).map { _ in UInt8.random(in: UInt8(ascii: "a")...UInt8(ascii: "z"), using: &random) }
            try writeFile(daemon.directory + "/" + name, letters)
        }
        try does("claviger key create password --standard --from first")
        try does("claviger key read password | cmp - first")
        try does("claviger key rotate password --from second")
        try does("claviger key read password --version 1 > read")
        try does("claviger key create made --standard && claviger key read made > made")
        try does("claviger key import imported --from import && claviger key import plain --from plain --plain")
        try does("claviger key create root && claviger wrap root --generate --plaintext-out dek > dek.clv")
        try does(
            "claviger unwrap < dek.clv | cmp - dek && claviger rewrap < dek.clv > dek2.clv && claviger wrap root < third > e")
        daemon.stop()

        let events = Set(try daemon.auditRecords().filter { $0.outcome == "success" }.map(\.event))
        #expect(events.isSuperset(of: ["key-create", "key-read", "key-rotate", "wrap", "unwrap", "rewrap"]), "\(events)")
        let text = try daemon.auditText()
        for name in ["first", "second", "third", "import", "plain", "made", "dek"] {
            let content = try readFile(daemon.directory + "/" + name)
            try #require(content.count >= 16, "\(name)")
            // Aligned differently inside something longer, base64 has three forms.
            let forms =
                [String(decoding: content, as: UTF8.self), try form("od -An -v -tx1 \(name) | tr -d ' \\n'", daemon)]
                + (try (0..<3).map { try form("tail -c +\($0 + 1) \(name) | base64 -w0", daemon) })
            for form in forms {
                let part = String(form.dropFirst(2).prefix(16))
                try #require(part.count >= 12)
                #expect(!text.contains(part), "\(name)")
                #expect(!text.lowercased().contains(part.lowercased()), "\(name)")
            }
        }
    }

    private func form(_ line: String, _ daemon: DaemonHarness) throws -> String { try daemon.shell(line).text }

    /// The token lost and back, with the reason.
    @Test func theTokensLossAndReturnAreRecorded() throws {
        let daemon = try DaemonHarness.running()
        func events(_ name: String) throws -> [AuditEntry] { try daemon.auditRecords().filter { $0.event == name } }
        #expect(try eventually { try events("token-ready").count == 1 })
        #expect(rename(daemon.tokens, daemon.tokens + ".away") == 0)
        try daemon.wait(for: .lost)
        #expect(try eventually { try events("token-lost").count == 1 })
        let lost = try #require(try events("token-lost").first)
        #expect(lost.severity == "critical" && lost.reason.hasPrefix("lost: ") && lost.name == "claviger", "\(lost.reason)")
        #expect(rename(daemon.tokens + ".away", daemon.tokens) == 0)
        try daemon.wait(for: .ready)
        #expect(try eventually { try events("token-ready").count == 2 })
        let ready = try events("token-ready")
        #expect(ready[0].sequence < lost.sequence && lost.sequence < ready[1].sequence)
        #expect(daemon.stop() == 0)
        try daemon.verifyAudit()
    }
}
