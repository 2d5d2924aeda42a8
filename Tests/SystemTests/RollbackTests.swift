import ClavigerClient
import ClavigerWire
import Glibc
import Support
import Testing

@testable import ClavigerCore

/// A database that somebody else wrote, before the real daemon and in the hands of its operator.
@Suite struct RollbackTests {
    private static func edit(_ daemon: DaemonHarness, _ sql: String) throws {
        let connection = try SQLiteConnection(path: daemon.state + "/" + Store.fileName, create: false)
        try connection.execute(sql)
    }

    /// Refused with its reason, whatever was edited; nobody gets anything but status, health and the order to accept it.
    @Test(arguments: ["DELETE FROM audit_anchor", "UPDATE key SET state = 2", "DELETE FROM access_grant WHERE role = 'Auditor'"])
    func anEditedDatabaseWaitsForItsOperator(sql: String) throws {
        let daemon = try DaemonHarness.running()
        #expect(try daemon.claviger("key", "create", "payroll").status == 0)
        #expect(try daemon.claviger("status", "--json").text.contains(/"anchored" ?: ?true/))
        daemon.stop()
        try Self.edit(daemon, sql)
        try daemon.start()
        let health = try daemon.wait(for: .needsOperator)
        #expect(health.reason.contains("accept-rollback"), "\(health.reason)")
        for arguments in [["key", "list"], ["access", "list"], ["key", "create", "other"]] {
            let refused = try daemon.claviger(arguments)
            #expect(refused.status != 0 && refused.errorText.contains("needs-operator"), "\(arguments): \(refused.errorText)")
        }
        #expect(try daemon.claviger("token", "accept-rollback").status == 2)
        let accepted = try daemon.claviger("token", "accept-rollback", "--yes")
        #expect(accepted.status == 0 && accepted.text.contains("ready"), "\(accepted.text) \(accepted.errorText)")
        #expect(try daemon.claviger("token", "accept-rollback", "--yes").status == 1)
        #expect(try daemon.claviger("key", "create", "other").status == 0)
        try daemon.restart()
        try daemon.wait(for: .ready)
    }

    /// kill -9 at random moments among changes of grants and keys never makes the daemon doubt its own database.
    @Test func killsLeaveNoDoubt() throws {
        let daemon = try DaemonHarness.running()
        var random = SeededGenerator(seed: seed)
        for round in 0..<(isLong ? 200 : 12) {
            let changes = try Child.spawn(
                "/bin/sh",
                [
                    "-c",
                    "while :; do \(try Programs.path("claviger")) access grant unit:a\(round).service Reader; done >/dev/null 2>&1",
                ],
                output: daemon.directory + "/out", error: daemon.directory + "/out", environment: daemon.environment)
            usleep(UInt32.random(in: 20_000...200_000, using: &random))
            daemon.kill()
            changes.end(SIGKILL)
            try daemon.start()
            let health = try daemon.wait(for: .ready)
            #expect(health.state == .ready, "round \(round), seed \(seed)")
        }
    }
}
