import ClavigerClient
import ClavigerWire
import Glibc
import SecureMemory
import Support
import Testing

@testable import ClavigerCore

/// What somebody who has the disk does to log and database together after a kill, before the real daemon.
@Suite struct AuditTamperTests {
    private func edit(_ daemon: DaemonHarness, _ sql: String) throws {
        try SQLiteConnection(path: daemon.state + "/" + Store.fileName, create: false).execute(sql)
    }

    private func hex(_ bytes: [UInt8]) -> String {
        bytes.map { (byte: UInt8) in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
    }

    /// The one row of a table, as a statement that puts it back.
    private func row(_ daemon: DaemonHarness, _ table: String, _ columns: [String]) throws -> String {
        let connection = try SQLiteConnection(path: daemon.state + "/" + Store.fileName, create: false)
        var values: [String] = []
        let quoted = columns.map { "quote(\"\($0)\")" }.joined(separator: ", ")
        try connection.run("SELECT \(quoted) FROM \(table)") { row throws(StoreError) in
            values = columns.indices.map { row.text(Int32($0)) }
        }
        return "UPDATE \(table) SET " + zip(columns, values).map { "\"\($0)\" = \($1)" }.joined(separator: ", ")
    }

    /// Keys used after a change, two checkpoints, then a kill.
    private func used() throws -> (daemon: DaemonHarness, change: AuditEntry, last: UInt64) {
        let daemon = try DaemonHarness.running()
        let client = daemon.client()
        let key = try client.createKey(name: "used").id
        let change = try #require(try daemon.auditRecords().last { $0.event == "key-create" })
        for _ in 0..<2 {
            for _ in 0..<5 { _ = try client.wrap(.id(key), [1]) }
            _ = try client.rotateAudit()
        }
        let last = try #require(try daemon.auditRecords().last).sequence
        daemon.kill()
        return (daemon, change, last)
    }

    /// Cuts the log behind a record.
    private func cut(_ daemon: DaemonHarness, behind record: UInt64) throws {
        let segments = try AuditSegment.list(daemon.auditDirectory)
        for segment in segments.dropFirst() { unlink(segment.path) }
        let lines = String(decoding: try readFile(segments[0].path), as: UTF8.self).split(separator: "\n")
        try writeFile(segments[0].path, lines.prefix(Int(record)).joined(separator: "\n") + "\n")
    }

    /// The end of the log cut off, and the database's note of where it was set back to what is left.
    @Test func aCutEndWithAnAnchorToMatchIsFound() throws {
        let (daemon, change, last) = try used()
        try cut(daemon, behind: change.sequence)
        let hash = hex(SHA256.digest(change.line.span.bytes))
        try edit(daemon, "UPDATE audit_anchor SET sequence = \(change.sequence), hash = x'\(hash)'")
        try daemon.start()
        let health = try daemon.wait(for: .needsOperator)
        #expect(health.reason.contains("changed by somebody else"), "\(health.reason)")
        // The log says so by itself, and no number is given a second time.
        let records = try daemon.auditRecords()
        #expect(records.contains { $0.event == "log-gap" })
        let fresh = records.map(\.sequence).filter { $0 > change.sequence }
        #expect(!fresh.isEmpty && fresh.allSatisfy { $0 + 1 >= last }, "\(fresh), after \(last)")
        #expect(try daemon.claviger("audit", "verify").status == 1)
    }

    /// The signed head and the note of the time before the checkpoints put back together with the log of that time: the token remembers
    /// a later one.
    @Test func anOlderHeadWithItsLogIsFound() throws {
        let daemon = try DaemonHarness.running()
        let key = try daemon.client().createKey(name: "used").id
        // Nothing waits in the database then that would be missed.
        try daemon.restart()
        let client = daemon.client()
        let columns = ["epoch", "digest", "audit_sequence", "audit_hash", "signature"]
        let before = [try row(daemon, "head", columns), try row(daemon, "audit_anchor", ["sequence", "hash"])]
        let newest = try #require(try daemon.auditRecords().last).sequence
        for _ in 0..<5 { _ = try client.wrap(.id(key), [1]) }
        _ = try client.rotateAudit()
        daemon.kill()
        try cut(daemon, behind: newest)
        for statement in before { try edit(daemon, statement) }
        try daemon.start()
        let health = try daemon.wait(for: .needsOperator)
        #expect(health.reason.contains("older than the token remembers"), "\(health.reason)")
    }

    /// A record that was put among those that wait is not signed by the daemon as its own; nor is one missed that was taken away.
    @Test(arguments: [false, true])
    func theOutboxIsBelievedOnlyAsItWasSigned(hasBreak: Bool) throws {
        let (daemon, _, _) = try used()
        let body =
            "\"eventTime\":\"2026-01-01T00:00:00.000Z\",\"event\":\"key-purge\",\"initiator\":{\"name\":\"alice\",\"uid\":1000}"
            + (hasBreak ? "\n" : "")
        let text = hex(Array(body.utf8))
        try edit(
            daemon,
            "INSERT INTO audit_outbox (id, after, body) VALUES (x'00112233445566778899aabbccddeeff', 1, x'\(text)')")
        try daemon.start()
        let health = try daemon.wait(for: .needsOperator)
        #expect(health.reason.contains("changed by somebody else"), "\(health.reason)")
        daemon.stop()
        #expect(!(try daemon.auditText()).contains("alice"))
        try daemon.verifyAudit()
    }

    /// After a checkpoint nothing waits in the database that the log has.
    @Test func whatIsInTheLogIsForgottenWithTheNextCheckpoint() throws {
        let daemon = try DaemonHarness.running()
        let client = daemon.client()
        for number in 0..<5 { _ = try client.createKey(name: "key\(number)") }
        #expect(try client.auditStatus().outbox == 0)
        _ = try client.rotateAudit()
        daemon.kill()
        #expect(try Store(directory: daemon.state, create: false).outbox().isEmpty)
        try daemon.start()
        try daemon.wait(for: .ready)
        #expect(try daemon.auditRecords().count { $0.event == "key-create" } == 5)
        try daemon.verifyAudit()
    }
}
