import ClavigerWire
import Logging
import Synchronization

/// Brings the records that wait in the database into the log: each of them, and none twice, whatever fails meanwhile.
final class AuditOutbox: Sendable {
    private struct State {
        /// On the disk, and not yet taken out of the database.
        var kept: Set<OperationID> = []
        /// In the log, and perhaps not on the disk yet.
        var written: Set<OperationID> = []
        /// The stretch of the log without failures that they are of: with its end any of them may be lost.
        var stretch: Int?
        /// Whether others may stand in the log as well: which of them do is looked up, or they would stand there twice.
        var isUnsure = false
        /// How many are being left that may stand in the log. Their rows come at any time.
        var leaving = 0
        /// Why the log did not take them, though it takes records.
        var problem: String?
    }

    let store: Store
    private let logger: Logger
    private let state = Mutex(State())

    init(store: Store, log logger: Logger) {
        self.store = store
        self.logger = logger
    }

    /// Opens `log`, which a crash may have left with records that wait still.
    func open(_ log: AuditLog) {
        // What nobody has verified yet is looked at when it has been.
        let waiting = store.isBelieved ? try? store.outbox() : nil
        let bodies = Dictionary((waiting ?? []).map { ($0.id, $0.body) }) { first, _ in first }
        let found = log.open(lookingFor: bodies, after: waiting?.map(\.after).min() ?? 0)
        state.withLock {
            $0.kept = found
            $0.isUnsure = waiting == nil || log.failure != nil
        }
    }

    /// How many records of changes are not in `log` yet.
    func waiting(for log: AuditLog) -> UInt32 {
        guard store.hasOutbox.load(ordering: .acquiring), let rows = try? store.outbox() else { return 0 }
        let known = state.withLock { $0.stretch == log.stretch ? $0.kept.union($0.written) : $0.kept }
        return UInt32(clamping: rows.count { !known.contains($0.id) })
    }

    /// Leaves a record of something that is no change, for a time when the log takes none.
    ///
    /// - Parameter ticket: where it may stand in the log, although that failed.
    /// - Throws: `unsigned` while the token does not sign.
    func leave(_ record: AuditRecord, _ ticket: RecordTicket?) throws(StoreError) {
        try leave([(record, ticket?.sequence)])
    }

    /// The same for several at once; with their numbers in the log, where they may stand in it.
    func leave(_ records: [(record: AuditRecord, written: UInt64?)]) throws(StoreError) {
        state.withLock {
            $0.isUnsure = true
            $0.leaving += 1
        }
        defer { state.withLock { $0.leaving -= 1 } }
        try store.leave(records)
    }

    /// Moves what waits to the log, durably. What cannot be moved now waits on.
    func drain(into log: AuditLog) {
        guard store.hasOutbox.load(ordering: .acquiring), log.failure == nil, store.isBelieved else { return }
        var moved: (rows: Set<OperationID>, stretch: Int)?
        state.withLock { state in
            do throws(StoreError) {
                // Before the look: what is left behind it sets the flag again.
                store.hasOutbox.store(false, ordering: .releasing)
                moved = move(try store.outbox(), to: log, &state)
            } catch {
                logger.error("the audit outbox cannot be read", metadata: ["error": "\(error)"])
            }
        }
        if let moved, flush(moved.rows, log, moved.stretch) { return }
        store.hasOutbox.store(true, ordering: .releasing)
    }

    // The rows that are in the log now, durably or not, as long as its stretch lasts; nil when it does not take them.
    private func move(_ all: [OutboxRow], to log: AuditLog, _ state: inout State) -> (Set<OperationID>, Int)? {
        // Known before anything is looked up: while the log fails it may yet lose what stands in it.
        guard let stretch = log.stretch else { return nil }
        if state.stretch != stretch {
            state.isUnsure = state.isUnsure || state.stretch != nil
            state.written = []
            state.stretch = stretch
        }
        let rows = all.filter { !state.kept.contains($0.id) && !state.written.contains($0.id) }
        do throws(AuditFailure) {
            if state.isUnsure {
                let bodies = Dictionary(rows.map { ($0.id, $0.body) }) { first, _ in first }
                state.written.formUnion(try log.find(bodies, after: rows.map(\.after).min() ?? 0))
                state.isUnsure = state.leaving > 0
            }
            for row in rows where !state.written.contains(row.id) {
                // Not at the disk: others wait for the outbox. All are flushed together.
                try log.add(row.body, in: stretch)
                state.written.insert(row.id)
            }
            state.problem = nil
            return (state.written, stretch)
        } catch {
            // Said once: it is tried again and again.
            if log.stretch == stretch, state.problem != error.reason {
                state.problem = error.reason
                logger.warning("records of changes wait on for the audit log", metadata: ["reason": "\(error)"])
            }
            return nil
        }
    }

    // Not under the outbox's lock: who is stuck in the disk must not keep others from what they do.
    private func flush(_ moved: Set<OperationID>, _ log: AuditLog, _ stretch: Int) -> Bool {
        do throws(AuditFailure) {
            try log.flush(in: stretch)
        } catch {
            return false
        }
        state.withLock { state in
            state.kept.formUnion(moved)
            state.written.subtract(moved)
        }
        return true
    }

    /// So many records that are in the log are forgotten by themselves; fewer wait for the next checkpoint, whose signature serves both.
    private static let forgotten = 64

    /// Whether it is time to take records that the log has out of the database.
    var isFull: Bool { state.withLock { $0.kept.count >= AuditOutbox.forgotten } }

    /// Notes in the database how far the log is, and takes out of it what the log has.
    func settle(_ position: AuditPosition?) {
        state.withLock { state in
            do throws(StoreError) {
                try store.settle(position, forgetting: Array(state.kept))
                state.kept = []
                if !store.keepRoom() { logger.warning("there is no room on the disk to be kept for the database") }
            } catch {
                logger.warning("the audit log is not anchored in the database", metadata: ["error": "\(error)"])
            }
        }
    }
}
