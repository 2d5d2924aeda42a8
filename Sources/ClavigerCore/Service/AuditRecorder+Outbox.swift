import ClavigerWire
import Logging
import Synchronization

// Records that the log has not got yet: of changes, in the database; of what is no change, while neither takes them, in memory.
extension AuditRecorder {
    /// How many records of changes are not in the log yet.
    var waiting: UInt32 {
        guard store.hasOutbox.load(ordering: .acquiring), let rows = try? store.outbox() else { return 0 }
        let known = outbox.withLock { $0.kept.union($0.written) }
        return UInt32(clamping: rows.count { !known.contains($0.id) })
    }

    /// Moves what waits in the outbox to the log, durably. What cannot be moved now waits on.
    func drain() {
        guard store.hasOutbox.load(ordering: .acquiring), log.failure == nil, store.isBelieved else { return }
        var moved: Set<OperationID>?
        outbox.withLock { outbox in
            do throws(StoreError) {
                // Before the look: what is left behind it sets the flag again.
                store.hasOutbox.store(false, ordering: .releasing)
                moved = try move(try store.outbox(), &outbox)
            } catch {
                logger.error("the audit outbox cannot be read", metadata: ["error": "\(error)"])
            }
        }
        if let moved, flush(moved) { return }
        store.hasOutbox.store(true, ordering: .releasing)
    }

    // The rows that are in the log now, durably or not; nil when it failed meanwhile.
    private func move(_ rows: [OutboxRow], _ outbox: inout Outbox) throws(StoreError) -> Set<OperationID>? {
        do throws(AuditFailure) {
            if outbox.isUnsure {
                let bodies = Dictionary(rows.map { ($0.id, $0.body) }) { first, _ in first }
                outbox.written.formUnion(try log.find(bodies, after: rows.map(\.after).min() ?? 0))
                outbox.isUnsure = false
            }
            for row in rows where !outbox.kept.contains(row.id) && !outbox.written.contains(row.id) {
                // Not at the disk: others wait for the outbox. All are flushed together.
                try log.add(row.body, flushed: true, isLast: false)
                outbox.written.insert(row.id)
            }
            return outbox.written
        } catch {
            outbox.forgetWritten()
            return nil
        }
    }

    // Not under the outbox's lock: who is stuck in the disk must not keep others from what they do.
    private func flush(_ moved: Set<OperationID>) -> Bool {
        do throws(AuditFailure) {
            try log.flush()
            outbox.withLock { outbox in
                outbox.kept.formUnion(moved)
                outbox.written.subtract(moved)
            }
            return true
        } catch {
            outbox.withLock { $0.forgetWritten() }
            return false
        }
    }

    /// So many records that are in the log are forgotten by themselves; fewer wait for the next checkpoint, whose signature serves both.
    private static let forgotten = 64

    func forget() {
        guard token.currentStatus.state.serves, outbox.withLock({ $0.kept.count >= AuditRecorder.forgotten }) else { return }
        AuditRecorder.settle(nil, outbox, store, logger)
    }

    // Notes in the database how far the log is, and takes out of it what the log has.
    static func settle(_ position: AuditPosition?, _ outbox: OutboxState, _ store: Store, _ logger: Logger) {
        outbox.withLock { outbox in
            do throws(StoreError) {
                try store.settle(position, forgetting: Array(outbox.kept))
                outbox.kept = []
                if !store.keepRoom() { logger.warning("there is no room on the disk to be kept for the database") }
            } catch {
                logger.warning("the audit log is not anchored in the database", metadata: ["error": "\(error)"])
            }
        }
    }

    /// How often the token is told at most, in nanoseconds. Objects on a token are made of memory that wears.
    private static let memory: UInt64 = 10_000_000_000

    // Who puts back an older database, with an older anchor, is found out by the token's memory.
    static func remember(_ outbox: OutboxState, _ token: TokenService) {
        let now = Clock.monotonic()
        let last = outbox.told.load(ordering: .relaxed)
        guard last == 0 || now >= last + memory, token.currentStatus.state.serves else { return }
        outbox.told.store(now, ordering: .relaxed)
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
            // A flush that failed may have left it in the file.
            let bodies = late.compactMap { late in late.record.id.map { ($0, late.record.body(token.instance.id)) } }
            let found = try log.find(Dictionary(bodies) { first, _ in first }, after: late.map(\.after).min() ?? 0)
            for item in late where item.record.id.map(found.contains) != true { append(item.record) }
        } catch {
            stranded.withLock { $0 = late + $0 }
        }
    }
}
