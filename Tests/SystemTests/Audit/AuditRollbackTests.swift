import ClavigerClient
import ClavigerCore
import ClavigerWire
import Glibc
import SecureMemory
import Support
import Testing

@testable import ClavigerCore

/// A database put back together with the token of its time: the token cannot know, the audit log does.
@Suite struct AuditRollbackTests {
    private static let kept = [Store.fileName, Store.fileName + "-wal", Store.fileName + "-shm"]

    /// Copies the database and the token's files, which nobody has open, aside or back. The log stays as it is.
    private static func copy(_ daemon: DaemonHarness, back: Bool) throws {
        let aside = daemon.directory + "/aside"
        let place = (database: daemon.state, tokens: daemon.tokens)
        let line =
            back
            ? "rm -rf '\(place.tokens)' && cp -a '\(aside)/tokens' '\(place.tokens)' && cd '\(place.database)' && "
                + "rm -f \(kept.joined(separator: " ")) && cp -a '\(aside)'/claviger.db* ."
            : "rm -rf '\(aside)' && mkdir '\(aside)' && cp -a '\(place.tokens)' '\(aside)/tokens' && "
                + "cp -a '\(place.database)'/claviger.db* '\(aside)'"
        let done = try daemon.shell(line)
        guard done.status == 0 else { throw HarnessError("cp: \(done.errorText)") }
    }

    /// Refused whoever asks, said why, accepted by order, and whole afterwards.
    private static func isRefusedUntilAccepted(_ daemon: DaemonHarness, _ words: String) throws {
        let health = try daemon.wait(for: .needsOperator)
        #expect(health.reason.contains(words), "\(health.reason)")
        #expect(health.reason.contains("claviger token accept-rollback"), "\(health.reason)")
        for arguments in [["key", "list"], ["key", "create", "other"], ["access", "list"]] {
            let refused = try daemon.claviger(arguments)
            #expect(refused.status != 0 && refused.errorText.contains("needs-operator"), "\(arguments): \(refused.errorText)")
        }
        // Nothing that was sealed meanwhile, or at a stop, makes it pass.
        try daemon.restart()
        try daemon.wait(for: .needsOperator)
        let accepted = try daemon.claviger("token", "accept-rollback", "--yes")
        #expect(accepted.status == 0 && accepted.text.contains("ready"), "\(accepted.text) \(accepted.errorText)")
        let records = try daemon.auditRecords().filter { $0.event == "accept-rollback" }
        let record = try #require(records.last)
        #expect(record.details.contains { $0.contains(words) } && record.severity == "critical", "\(record.details)")
        #expect(records.count == 1 && record.uid == "\(geteuid())")
        // A crash right afterwards, then a stop: it stays accepted.
        daemon.kill()
        try daemon.start()
        try daemon.wait(for: .ready)
        #expect(try daemon.claviger("key", "create", "other").status == 0)
        try daemon.restart()
        try daemon.wait(for: .ready)
        daemon.stop()
        let verified = try daemon.claviger("audit", "verify")
        #expect(verified.status == 0, "\(verified.errorText)")
        let ids = try daemon.auditRecords().map { String(decoding: $0.line, as: UTF8.self) }
        #expect(Set(ids).count == ids.count)
    }

    /// Sealed at a stop, or at the end of a file before a kill.
    @Test(arguments: [false, true]) func anOlderDatabaseWithItsTokenIsRefused(isKilled: Bool) throws {
        let daemon = try DaemonHarness.running()
        #expect(try daemon.claviger("key", "create", "payroll").status == 0)
        daemon.stop()
        try Self.copy(daemon, back: false)
        try daemon.start()
        try daemon.wait(for: .ready)
        // Far enough ahead that an epoch counted on from the old one does not reach it.
        for number in 0..<8 { #expect(try daemon.claviger("access", "grant", "unit:a\(number).service", "Reader").status == 0) }
        if isKilled {
            _ = try daemon.client().rotateAudit()
            daemon.kill()
        } else {
            daemon.stop()
        }
        try Self.copy(daemon, back: true)
        try daemon.start()
        try Self.isRefusedUntilAccepted(daemon, "older than the audit log")
    }

    /// As `token init` left it, the database has no signature and the token remembers none.
    @Test func theFirstDatabaseWithItsTokenIsRefused() throws {
        let daemon = try DaemonHarness()
        try Self.copy(daemon, back: false)
        try daemon.start()
        try daemon.wait(for: .ready)
        daemon.stop()
        try Self.copy(daemon, back: true)
        try daemon.start()
        try Self.isRefusedUntilAccepted(daemon, "the audit log is newer and knows that it had one")
    }

    /// With the log of its time put back, or taken away, there is nothing to compare with: that is what a head kept elsewhere is for.
    @Test func withoutTheLogNothingIsCompared() throws {
        let daemon = try DaemonHarness.running()
        daemon.stop()
        try Self.copy(daemon, back: false)
        try daemon.restart()
        try daemon.wait(for: .ready)
        daemon.stop()
        try Self.copy(daemon, back: true)
        #expect(try daemon.shell("rm -r '\(daemon.auditDirectory)'").status == 0)
        try daemon.start()
        let health = try daemon.wait(for: .degraded)
        #expect(health.reason.contains("the audit log was not as it was left"), "\(health.reason)")
    }

    /// A checkpoint that somebody wrote into the log is not believed against the database; `verify` names it.
    @Test func aForgedCheckpointRefusesNothing() throws {
        let daemon = try DaemonHarness.running()
        #expect(try daemon.claviger("key", "create", "payroll").status == 0)
        daemon.stop()
        let segment = try #require(try AuditSegment.list(daemon.auditDirectory).last)
        let last = try #require(try daemon.auditRecords().last)
        let line = String(decoding: last.line, as: UTF8.self)
        #expect(last.event == "checkpoint" && line.contains("\"epoch\":"))
        let forged = line.replacing(#/"epoch":[0-9]+/#, with: "\"epoch\":4000000000")
        let body = try #require(forged.firstRange(of: "\"eventTime\"")).lowerBound
        var bytes = try readFile(segment.path)
        let place = AuditPosition(sequence: last.sequence, hash: AuditHash(of: last.line))
        _ = AuditLine.append(Array(forged[body...].dropLast().utf8), after: place, to: &bytes)
        try writeFile(segment.path, bytes)
        try daemon.start()
        try daemon.wait(for: .ready)
        #expect(try daemon.claviger("key", "create", "other").status == 0)
        daemon.stop()
        let verified = try daemon.claviger("audit", "verify")
        #expect(verified.status == 1 && verified.errorText.contains("is not signed by this key"), "\(verified.errorText)")
    }

    /// Every checkpoint says the epoch that the database had, and none goes back.
    @Test func checkpointsSayTheEpoch() throws {
        let daemon = try DaemonHarness.running()
        for number in 0..<3 {
            #expect(try daemon.claviger("access", "grant", "unit:a\(number).service", "Reader").status == 0)
            _ = try daemon.client().rotateAudit()
        }
        daemon.stop()
        let epochs = try daemon.auditRecords().filter { $0.event == "checkpoint" }.map { record in
            try #require(try JSONValue(record.line)["checkpoint"]?["epoch"]?.number)
        }
        #expect(epochs.count == 4 && zip(epochs, epochs.dropFirst()).allSatisfy { $0 < $1 }, "\(epochs)")
        let head = try #require(try Store(directory: daemon.state, create: false).head())
        #expect(try #require(epochs.last) < head.epoch)
    }
}
