import ClavigerClient
import ClavigerCore
import ClavigerWire
import Glibc
import Support
import Testing

@testable import ClavigerCore

/// Who has a doubted database believed answers for it, whenever the daemon is killed.
@Suite struct AuditAcceptTests {
    /// A daemon whose database somebody else has edited, and a copy of all that it keeps.
    private func edited() throws -> DaemonHarness {
        let daemon = try DaemonHarness.running()
        #expect(try daemon.claviger("key", "create", "payroll").status == 0)
        daemon.stop()
        let connection = try SQLiteConnection(path: daemon.state + "/" + Store.fileName, create: false)
        try connection.execute("UPDATE key SET name = 'other'")
        let copied = try daemon.shell("mkdir aside && cp -a state tokens aside")
        #expect(copied.status == 0, "\(copied.errorText)")
        return daemon
    }

    private func accepted(_ daemon: DaemonHarness) throws -> Int {
        try daemon.auditRecords().count { $0.event == "accept-rollback" && $0.outcome == "success" && $0.uid == "\(geteuid())" }
    }

    @Test func aKillLosesNobodyWhoAcceptsADatabase() throws {
        guard CrashPoints.isPossible else {
            return skip("AuditAcceptTests.aKillLosesNobodyWhoAcceptsADatabase", "a sanitizer is preloaded")
        }
        let daemon = try edited()
        let crash = CrashPoints([daemon.state, daemon.tokens], log: daemon.directory + "/points")
        try daemon.start(environment: crash.counting())
        try daemon.wait(for: .needsOperator)
        let before = try crash.points().count
        #expect(try daemon.claviger("token", "accept-rollback", "--yes").status == 0)
        let after = try crash.points().count
        daemon.kill()
        try #require(after > before + 4, "\(before) \(after)")
        var generator = SeededGenerator(seed: seed)
        var (believed, doubted) = (0, 0)
        for point in sample(after - before, isLong ? 200 : 16, using: &generator) {
            #expect(try daemon.shell("rm -rf state tokens && cp -a aside/state aside/tokens .").status == 0)
            try daemon.start(environment: crash.at(before + point, .kill))
            try daemon.wait(for: .needsOperator)
            _ = try daemon.claviger("token", "accept-rollback", "--yes")
            daemon.kill()
            try daemon.start()
            var state = try daemon.health.state
            _ = try eventually {
                state = try daemon.health.state
                return state == .ready || state == .needsOperator
            }
            if state == .ready { believed += 1 } else { doubted += 1 }
            let records = try accepted(daemon)
            #expect(records == (state == .ready ? 1 : 0), "point \(before + point) of \(after), seed \(seed): \(state.name)")
            daemon.kill()
        }
        #expect(believed > 0 && doubted > 0, "\(believed) \(doubted)")
    }
}
