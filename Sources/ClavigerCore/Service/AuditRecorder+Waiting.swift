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

    /// Leaves what waits in memory in the database, at the end.
    func leaveStranded() {
        seeThrough()
        for late in stranded.withLock({ $0 }) {
            do throws(StoreError) {
                try outbox.leave(late.record, behind: late.after)
            } catch {
                logger.error(
                    "an event cannot be recorded", metadata: ["event": "\(late.record.event)", "error": "\(error)"])
            }
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
