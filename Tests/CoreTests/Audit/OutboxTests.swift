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

    @Test func theAnchorOnlyRises() throws {
        let directory = try TemporaryDirectory()
        let store = try store(directory)
        #expect(try store.anchor() == nil)
        let hash = [UInt8](repeating: 1, count: 32)
        try store.settle(AuditPosition(sequence: 5, hash: hash), forgetting: [])
        try store.settle(AuditPosition(sequence: 4, hash: [UInt8](repeating: 2, count: 32)), forgetting: [])
        #expect(try store.anchor() == AuditPosition(sequence: 5, hash: hash))
        // A change anchors the log where it stands.
        store.auditPosition.withLock { $0 = { AuditPosition(sequence: 9, hash: hash) } }
        _ = try store.change(ChangeNote(event: "x", caller: nil)) { connection throws(StoreError) in
            try connection.run("SELECT 1")
        }
        #expect(try store.anchor()?.sequence == 9)
        #expect(try store.outbox().map(\.after) == [9])
    }

    @Test func aRecordBelongsToTheRequestOfItsThread() throws {
        let directory = try TemporaryDirectory()
        let store = try store(directory)
        let caller = Caller(pid: 3, uid: 4, gid: 5, groups: [], unit: nil, pidfdVerified: true)
        let trace = RequestTrace(correlation: "c-1", request: 8, initiator: .init(caller: caller, name: "nobody-known"))
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
