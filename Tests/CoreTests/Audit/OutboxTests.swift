import ClavigerWire
import Glibc
import Synchronization
import Testing

@testable import ClavigerCore

/// Records of changes wait in the database until they are in the log.
@Suite struct OutboxTests {
    private func store(_ directory: TemporaryDirectory) throws -> Store {
        try Store(directory: directory.path, create: true)
    }

    @Test func aChangeAndItsRecordAreThereTogetherOrNotAtAll() throws {
        let directory = try TemporaryDirectory()
        let store = try store(directory)
        let note = ChangeNote(
            event: "key-disable", caller: nil, key: KeyID(high: 1, low: 2),
            changes: [.init("state", from: "active", to: "suspended")])
        _ = try store.change(note) { connection throws(StoreError) in
            try connection.run("INSERT INTO quarantine VALUES (x'01', 'l', 1, 'r')")
        }
        #expect(try store.outbox().count == 1)
        #expect(throws: StoreError.self) {
            _ = try store.change(note) { connection throws(StoreError) in
                try connection.run("INSERT INTO quarantine VALUES (x'02', 'l', 1, 'r')")
                try connection.run("INSERT INTO no_such_table VALUES (1)")
            }
        }
        #expect(try store.outbox().count == 1 && store.quarantined().count == 1)
        let row = try #require(try store.outbox().first)
        let text = String(decoding: row.body, as: UTF8.self)
        #expect(text.contains("\"id\":\"\(row.id)\"") && text.contains("\"initialValue\":{\"state\":\"active\"}"))
        #expect(text.contains("\"initiator\":{\"id\":\"claviger\"}"))
        // Durable: another connection sees it.
        #expect(try Store(directory: directory.path, create: false).outbox() == [row])
        try store.settle(nil, forgetting: [row.id])
        #expect(try store.outbox().isEmpty)
    }

    /// What may stand in the log already is looked for from there, however far the log is by now.
    @Test func aRecordThatMayBeInTheLogIsLookedForThere() throws {
        let directory = try TemporaryDirectory()
        let store = try store(directory)
        store.hooks.withLock { $0.auditPosition = { AuditPosition(sequence: 9, hash: AuditHash(of: [1])) } }
        for written in [nil, 0, 1, 9, 10, 11, UInt64.max] as [UInt64?] {
            try store.leave([(AuditRecord(event: "unlock", time: 1), written)])
        }
        #expect(try store.outbox().map(\.after) == [9, 0, 0, 8, 9, 9, 9])
    }

    @Test func theAnchorOnlyRises() throws {
        let directory = try TemporaryDirectory()
        let store = try store(directory)
        #expect(try store.anchor() == nil)
        let hash = AuditHash(of: [1])
        try store.settle(AuditPosition(sequence: 5, hash: hash), forgetting: [])
        try store.settle(AuditPosition(sequence: 4, hash: AuditHash(of: [2])), forgetting: [])
        #expect(try store.anchor() == AuditPosition(sequence: 5, hash: hash))
        // A change anchors the log where it stands.
        store.hooks.withLock { $0.auditPosition = { AuditPosition(sequence: 9, hash: hash) } }
        _ = try store.change(ChangeNote(event: "x", caller: nil)) { connection throws(StoreError) in
            try connection.run("SELECT 1")
        }
        #expect(try store.anchor()?.sequence == 9)
        #expect(try store.outbox().map(\.after) == [9])
    }

    /// What the store asks of others it asks in the same way after any number of changes: a closure that is wrapped anew with each of them
    /// makes each slower, and ends with the stack.
    @Test func noChangeMakesTheNextOneDeeper() throws {
        let directory = try TemporaryDirectory()
        let store = try store(directory)
        let places = Mutex<[UInt]>([])
        // Where the stack is when `hook` is called.
        let hook: @Sendable () -> Void = {
            var mark = 0
            let place = withUnsafePointer(to: &mark) { UInt(bitPattern: $0) }
            places.withLock { $0.append(place) }
        }
        store.hooks.withLock {
            $0.auditPosition = {
                hook()
                return AuditPosition(sequence: 1, hash: AuditHash(of: [1]))
            }
            $0.admission = { _ in
                hook()
                return true
            }
        }
        for _ in 0..<50 {
            _ = try store.change(ChangeNote(event: "x", caller: nil)) { connection throws(StoreError) in
                try connection.run("SELECT 1")
            }
        }
        let seen = places.withLock { $0 }
        #expect(seen.count == 100)
        for index in 2..<seen.count { #expect(seen[index] == seen[index % 2]) }
    }

    @Test func aRecordBelongsToTheRequestOfItsThread() throws {
        let directory = try TemporaryDirectory()
        let store = try store(directory)
        let caller = Caller(pid: 3, uid: 4, gid: 5, groups: [], unit: nil, pidfdVerified: true)
        let trace = RequestTrace(
            correlation: Correlation(run: "c", number: 1), request: 8, initiator: .init(caller: caller, name: "nobody-known"))
        try trace.during { () throws(StoreError) in
            _ = try store.change(ChangeNote(event: "x", caller: caller)) { connection throws(StoreError) in
                try connection.run("SELECT 1")
            }
        }
        #expect(trace.changes == 1 && RequestTrace.current == nil)
        let text = String(decoding: try #require(try store.outbox().first).body, as: UTF8.self)
        #expect(text.contains("\"correlationId\":\"c-1\"") && text.contains("\"name\":\"nobody-known\""))
        #expect(text.contains("\"requestData\":{\"requestId\":8}"))
    }
}
