import Synchronization

// What is told of the log.
extension AuditLog {
    /// The log's state, for status.
    package struct Condition: Sendable, Equatable {
        package var failure: String?
        /// What an operator should look at though records are taken.
        package var warning: String?
        package var position: AuditPosition
        package var segment: String?
        package var segmentBytes: Int
        package var sealed: AuditHead?
        /// Records that no checkpoint seals yet.
        package var unsealed: UInt64
        package var sealFailure: String?
        package var flushes: UInt64
        package var records: UInt64
    }

    /// Waits for nobody who is stuck in the disk.
    package var condition: Condition {
        let failure = failure
        let found = monitor.locked(patience: failure == nil ? settings.flushPatience : AuditLog.glance) {
            Condition(
                failure: state.failure?.reason, warning: state.warning, position: state.written, segment: state.segment?.path,
                segmentBytes: state.size, sealed: state.sealed, unsealed: state.last.sequence - state.sealRecord,
                sealFailure: state.sealFailure, flushes: state.flushes, records: state.records)
        }
        // Recovery holds it.
        return found
            ?? told.withLock { told in
                Condition(
                    failure: (told.failure ?? stall("has been in the way")).reason, warning: told.warning, position: told.synced,
                    segmentBytes: 0, unsealed: 0, flushes: 0, records: 0)
            }
    }

    /// How long the state is waited for while the log is known to have failed, in nanoseconds.
    static let glance: UInt64 = 50_000_000
}
