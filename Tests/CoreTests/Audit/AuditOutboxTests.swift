import ClavigerWire
import Glibc
import Logging
import Synchronization
import Testing

@testable import ClavigerCore

/// Every record that waits in the database comes into the log, and none comes twice.
@Suite struct AuditOutboxTests {
    /// A disk that fails now and then: nothing is written, a part is, or all is and the flush fails.
    private final class BadDisk: Sendable {
        private let random = Mutex(SeededGenerator(seed: 11))
        let isBad = Atomic(false)
        let failures = Atomic(0)

        private func fails(_ percent: Int) -> Bool {
            guard isBad.load(ordering: .relaxed), random.withLock({ Int.random(in: 0..<100, using: &$0) < percent }) else {
                return false
            }
            failures.add(1, ordering: .relaxed)
            return true
        }

        func put(_ file: Int32, _ bytes: UnsafeRawBufferPointer, _ offset: Int?) -> Int32 {
            if fails(4) { return ENOSPC }
            guard fails(4) else { return AuditLog.put(file, bytes, offset) }
            _ = AuditLog.put(file, UnsafeRawBufferPointer(rebasing: bytes[..<(bytes.count / 2)]), offset)
            return EIO
        }

        func sync(_ file: Int32) -> Int32 { fails(6) ? EIO : fdatasync(file) == 0 ? 0 : errno }
    }

    /// The id of the store's instance, which nobody has named.
    private static let instance = InstanceID(high: 0, low: 0)

    private static func record(_ id: OperationID) -> AuditRecord {
        var record = AuditRecord(event: "key-list", time: 5)
        record.id = id
        return record
    }

    /// Changes whose records go through the database, and records that go there when the log did not take them, by several threads,
    /// while the log fails again and again and is taken up at once, and what it has is taken out of the database.
    @Test func aFailingDiskNeitherLosesNorDoublesARecord() throws {
        let disk = BadDisk()
        let log = try TestLog {
            $0.put = { disk.put($0, $1, $2) }
            $0.sync = { disk.sync($0) }
        }
        let directory = try TemporaryDirectory()
        let store = try Store(directory: directory.path, create: true)
        let appender = log.log
        store.hooks.withLock { $0.auditPosition = { appender.position } }
        let outbox = AuditOutbox(store: store, log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let (left, isDone) = (Shared(Mutex<Set<OperationID>>([])), Shared(Atomic(false)))
        let (changes, taken) = (Shared(Atomic(0)), Shared(Atomic(0)))
        disk.isBad.store(true, ordering: .relaxed)

        let tender = Worker {
            while !isDone.value.load(ordering: .relaxed) {
                appender.look()
                outbox.drain(into: appender)
                usleep(200)
            }
        }
        let settler = Worker {
            while !isDone.value.load(ordering: .relaxed) {
                let before = Set(((try? store.outbox()) ?? []).map(\.id))
                outbox.settle(nil)
                let after = Set(((try? store.outbox()) ?? []).map(\.id))
                taken.value.add(before.subtracting(after).count, ordering: .relaxed)
                usleep(2_000)
            }
        }
        let changers = (0..<2).map { _ in
            Worker {
                for _ in 0..<150 {
                    let isDone: Void? = try? store.change(ChangeNote(event: "key-disable", caller: nil)) {
                        connection throws(StoreError) in try connection.run("SELECT 1")
                    }
                    if isDone != nil { changes.value.add(1, ordering: .relaxed) }
                    outbox.drain(into: appender)
                }
            }
        }
        let appenders = (0..<2).map { _ in
            Worker {
                for _ in 0..<150 {
                    let id: OperationID = RandomSource.identifier()
                    let record = Self.record(id)
                    var ticket: RecordTicket?
                    do throws(AuditFailure) {
                        let added = try appender.add(record.body(Self.instance), flushed: true)
                        ticket = added
                        try appender.secure(added)
                    } catch {
                        try? outbox.leave(record, ticket)
                    }
                    left.value.withLock { _ = $0.insert(id) }
                }
            }
        }
        for worker in changers + appenders { worker.join() }
        isDone.value.store(true, ordering: .relaxed)
        tender.join()
        settler.join()
        disk.isBad.store(false, ordering: .relaxed)
        appender.look()
        outbox.drain(into: appender)

        #expect(appender.failure == nil && outbox.waiting(for: appender) == 0)
        // All that could be tried was: the log failed, and records waited for it.
        #expect(disk.failures.load(ordering: .relaxed) > 5)
        let (made, settled) = (changes.value.load(ordering: .relaxed), taken.value.load(ordering: .relaxed))
        #expect(made == 300 && settled > 0)
        var counts: [String: Int] = [:]
        var changed: Set<String> = []
        for line in try log.lines() {
            let id = Array(line.utf8).withUnsafeBytes { bytes in AuditLine.parts(bytes).flatMap { AuditLine.id($0, bytes) } }
            guard let id else { continue }
            counts[id, default: 0] += 1
            if line.contains("\"event\":\"key-disable\"") { changed.insert(id) }
        }
        let ids = left.value.withLock { $0 }.map { "\($0)" }
        #expect(ids.count == 300)
        #expect(ids.filter { counts[$0] == nil }.isEmpty && changed.count == made, "lost")
        #expect(counts.filter { $0.value > 1 }.isEmpty, "doubled")
        #expect(try !log.lines().contains { $0.contains("\"log-gap\"") })
        // What the log has is taken out, and nothing of it comes again.
        outbox.settle(nil)
        #expect(try store.outbox().isEmpty)
    }
}
