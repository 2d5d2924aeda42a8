import ClavigerClient
import ClavigerCore
import ClavigerWire
import Glibc
import Support
import Testing

/// What a new configuration changes, and one that is not taken, stand in the log.
@Suite struct AuditReloadTests {
    private func reload(_ daemon: DaemonHarness) throws -> AuditEntry {
        func records() throws -> [AuditEntry] { try daemon.auditRecords().filter { $0.event == "configuration-reload" } }
        let before = try records().count
        kill(try #require(daemon.pid), SIGHUP)
        #expect(try eventually { try records().count == before + 1 })
        return try #require(try records().last)
    }

    @Test func aReloadSaysWhatItChanges() throws {
        var settings = DaemonHarness.Settings()
        settings.tables = ["[quota]", "burst = 500", "[audit]", "context = \"clear\""]
        let daemon = try DaemonHarness.running(settings)
        settings.tables = [
            "[quota]", "burst = 600", "requests-per-second = 700", "[audit]", "context = \"none\"", "segment-size-mib = 8",
        ]
        try daemon.configure(settings)
        let record = try reload(daemon)
        #expect(record.outcome == "success" && record.severity == "warning")
        let details = record.details
        #expect(details.contains("quota.burst: 500 -> 600") && details.contains("audit.context: clear -> none"), "\(details)")
        #expect(details.contains { $0.hasPrefix("quota.requests-per-second: ") && $0.hasSuffix(" -> 700") }, "\(details)")
        #expect(details.contains("needsRestart=audit.segment-size-mib"), "\(details)")
        #expect(details.contains { $0.hasPrefix("audit.segment-size-mib: ") && $0.hasSuffix(" -> 8") }, "\(details)")
        // One that changes nothing says that.
        #expect(try reload(daemon).details.allSatisfy { !$0.contains("quota") && !$0.contains("context") })
    }

    /// A PIN's source is no PIN, but what a module is told may be anything.
    @Test func aReloadTellsNoSecrets() throws {
        var settings = DaemonHarness.Settings()
        let daemon = try DaemonHarness.running(settings)
        settings.module = ["environment.TOKEN_PASSWORD = \"hunter2-password\"", "initialize-arguments = \"secret=hunter2\""]
        try daemon.configure(settings)
        let record = try reload(daemon)
        #expect(record.outcome == "success")
        #expect(record.details.contains { $0.contains("module.environment") }, "\(record.details)")
        #expect(!(try daemon.auditText()).contains("hunter2"))
    }

    @Test func aReloadThatFailsIsRecordedAsThat() throws {
        var settings = DaemonHarness.Settings()
        let daemon = try DaemonHarness.running(settings)
        settings.tables = ["[quota]", "burst = \"many\""]
        try daemon.configure(settings)
        let record = try reload(daemon)
        #expect(record.outcome == "failure" && record.severity == "warning", "\(String(decoding: record.line, as: UTF8.self))")
        #expect(record.reason.contains("quota.burst"), "\(record.reason)")
        #expect(try daemon.auditRecords().count { $0.event == "configuration-reload" && $0.outcome == "success" } == 0)
        let found = try daemon.claviger(
            "audit", "search", "--directory", daemon.auditDirectory, "--event", "configuration-reload", "--outcome", "failure")
        #expect(found.text.contains("quota.burst"), "\(found.text)")
        try daemon.verifyAudit()
    }
}
