import ClavigerWire
import Logging
import Synchronization

// Records that the log has not got yet.
extension AuditRecorder {
    /// Moves what waits in the outbox to the log.
    func drain() { outbox.drain(into: log) }

    func forget() {
        if outbox.isFull, token.currentStatus.state.serves { outbox.settle(nil) }
    }

    /// How often the token is told at most, in nanoseconds. Objects on a token are made of memory that wears.
    private static let memory: UInt64 = 10_000_000_000

    // Who puts back an older database, with an older anchor, is found out by the token's memory.
    static func remember(_ told: Told, _ token: TokenService) {
        let now = Clock.monotonic()
        let last = told.at.load(ordering: .relaxed)
        guard last == 0 || now >= last + memory, token.currentStatus.state.serves else { return }
        told.at.store(now, ordering: .relaxed)
        token.anchor()
    }

    // MARK: in memory

    /// The most records that wait in memory for a log: what daemons meet by themselves, and what works without a log.
    private static let mostStranded = 1_000

    /// - Parameter ticket: where it may stand in the log already.
    func strand(_ record: AuditRecord, _ ticket: RecordTicket?, _ error: StoreError?) {
        let after = ticket.map { $0.sequence - 1 } ?? log.position.sequence
        let isKept = stranded.withLock { stranded in
            guard stranded.count < AuditRecorder.mostStranded else { return false }
            stranded.append(Stranded(record: record, after: after))
            return true
        }
        let level: Logger.Level = isKept ? .warning : .error
        logger.log(
            level: level, isKept ? "a record waits in memory for the audit log" : "an event cannot be recorded",
            metadata: ["event": "\(record.event)", "error": "\(error.map { "\($0)" } ?? "the log failed")"])
    }

    /// So many records are left in the database at once: under one signature, and few enough for a disk with little room.
    private static let leftAtOnce = 64

    /// Leaves what waits in memory for a log that fails in the database, as the daemon is about to end.
    package func leaveWaiting() {
        seeThrough()
        // A disk that hangs may not count as failed yet.
        _ = try? log.flush()
        guard log.failure != nil else { return }
        let after = log.position.sequence
        var waiting = stranded.withLock { stranded in
            defer { stranded = [] }
            return stranded + denials.all().map { Stranded(record: $0, after: after) }
        }
        do throws(StoreError) {
            while !waiting.isEmpty {
                let some = waiting.prefix(AuditRecorder.leftAtOnce)
                try outbox.leave(some.map { ($0.record, $0.after + 1) })
                waiting.removeFirst(some.count)
            }
        } catch {
            logger.error(
                "events cannot be recorded", metadata: ["events": "\(waiting.count)", "error": "\(error)"])
            stranded.withLock { $0 = waiting + $0 }
        }
    }

    func seeThrough() {
        let waiting = underWay.withLock { waiting in
            defer { waiting = [] }
            return waiting
        }
        for item in waiting {
            do throws(AuditFailure) {
                try log.secure(item.ticket)
            } catch {
                strand(item.record, item.ticket, nil)
            }
        }
    }

    func takeStranded() {
        let late = stranded.withLock { stranded in
            defer { stranded = [] }
            return stranded
        }
        guard !late.isEmpty else { return }
        do throws(AuditFailure) {
            guard let stretch = log.stretch else { throw AuditFailure("the log fails") }
            // A flush that failed may have left it in the file.
            let bodies = late.compactMap { late in late.record.id.map { ($0, late.record.body(token.instance.id)) } }
            let found = try log.find(Dictionary(bodies) { first, _ in first }, after: late.map(\.after).min() ?? 0)
            // While it fails it may yet lose what is there.
            try log.flush(in: stretch)
            for item in late where item.record.id.map(found.contains) != true { append(item.record) }
        } catch {
            stranded.withLock { $0 = late + $0 }
        }
    }
}
