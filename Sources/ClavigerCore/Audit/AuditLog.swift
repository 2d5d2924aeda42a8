import ClavigerWire
import Glibc
import Logging
import SecureMemory
import Synchronization

/// Why the audit log takes nothing.
package struct AuditFailure: Error, Sendable, Equatable, CustomStringConvertible {
    package let reason: String

    package init(_ reason: String) { self.reason = reason }

    package var description: String { reason }
}

/// Stands for a record that is not where it has to be yet.
package struct RecordTicket: Sendable, Equatable {
    package let sequence: UInt64
    /// Of which stretch without failures: what was waiting when the log failed is given up.
    let epoch: Int
    /// Whether it has to be on the disk; else in the file.
    package let isFlushed: Bool

    package init(sequence: UInt64, epoch: Int, isFlushed: Bool = true) {
        self.sequence = sequence
        self.epoch = epoch
        self.isFlushed = isFlushed
    }
}

/// The audit log: appends records to a chain of files, and does not return before a record is where it was asked to be.
///
/// Any number of threads append at once: one flush of the disk serves all that wait. When the log cannot be written everything is
/// refused at once until it can be again, which the log finds out by itself (`tend`).
package final class AuditLog: @unchecked Sendable {
    // Sendable: everything that changes is `state`, which is touched under the monitor only.

    /// Where and how it is written.
    package struct Settings: Sendable {
        /// The directory of the segments.
        package var directory: String
        /// A segment of so many bytes is followed by another.
        package var segmentBytes = 64 << 20
        /// A segment whose first record is so old is followed by another, in milliseconds.
        package var segmentAge: UInt64 = 86_400_000
        /// So many records after a checkpoint another is made.
        package var checkpointRecords: UInt64 = 10_000
        /// So long after a record that no checkpoint seals one is made, in nanoseconds.
        package var checkpointInterval: UInt64 = 60_000_000_000
        /// A disk that has not answered for so long counts as failed, in nanoseconds: far more than the worst that a disk at work
        /// takes, and less than it takes until the server gives up its workers.
        var flushPatience: UInt64 = 5_000_000_000
        /// What makes a file durable: its result is errno, 0 for success.
        var sync: @Sendable (Int32) -> Int32 = { fdatasync($0) == 0 ? 0 : errno }
        /// What writes records into a file, at its end or over what stands at an offset: its result is errno, 0 for success.
        var put: @Sendable (Int32, UnsafeRawBufferPointer, Int?) -> Int32 = AuditLog.put

        package init(directory: String) { self.directory = directory }
    }

    /// What the log needs of others.
    package struct Surroundings: Sendable {
        /// Dates.
        package var time = TimeSource.system
        /// CLOCK_MONOTONIC in nanoseconds, by which checkpoints come.
        var monotonic: @Sendable () -> UInt64 = { Clock.monotonic() }
        /// Signs a digest in the token; throws while it is away.
        package var sign: @Sendable ([UInt8]) throws(SigningFailure) -> [UInt8]
        /// Is told a durable place now and then, to be kept outside the log.
        package var anchor: @Sendable (AuditPosition) -> Void = { _ in }
        /// The epoch that a checkpoint is to say: of a database that is durable and believed; nil when there is none. Asked with no lock of
        /// the log held.
        package var epoch: @Sendable () -> UInt64? = { nil }
        package var log: Logger

        package init(log: Logger, sign: @escaping @Sendable ([UInt8]) throws(SigningFailure) -> [UInt8]) {
            self.log = log
            self.sign = sign
        }
    }

    let settings: Settings
    let surroundings: Surroundings
    let instance: InstanceID
    let monitor = Monitor()
    var state: State
    /// Wakes the thread that tends the log.
    let bell = Bell()
    /// Wakes the thread that flushes for others.
    let flushBell = Bell()
    /// Until `stopTending`, and until `stopFlushing`.
    let isTended = Atomic(true)
    let isFlushed = Atomic(true)
    // What is asked without the monitor, in which recovery may be stuck in the disk; and whether there is a failure, for those who ask
    // with every request.
    let told: Mutex<Told>
    let isFailing = Atomic(true)

    struct Told {
        var failure: AuditFailure?
        var epoch = 0
        var warning: String?
        var synced: AuditPosition
    }

    /// What somebody is at the disk for.
    enum DiskTask {
        case writing
        case syncing
    }

    /// Somebody's stay at the disk, in which the monitor is free for others.
    struct Stay {
        var isGoing = false
        /// CLOCK_MONOTONIC of its beginning.
        var since: UInt64 = 0
    }

    struct State: ~Copyable {
        var file: Int32 = -1
        var segment: AuditSegment?
        /// Which file it is, whatever its path leads to now.
        var identity = FileIdentity()
        /// Bytes of whole records in the file.
        var size = 0
        /// When its first record was made, in milliseconds since 1970.
        var began: UInt64 = 0
        /// The newest record, written or not.
        var last: AuditPosition
        /// Lines that are to be written.
        var pending: [UInt8] = []
        /// What was written before, for its storage.
        var spare: [UInt8] = []
        /// Computes their hashes.
        var computer = SHA256.Computer()
        /// The newest record in the file.
        var written: AuditPosition
        /// Lines behind it that were on their way into the file when the log failed: any number of them may be in it.
        var attempted: [UInt8] = []
        /// The file that was left because others had written to it, and the newest record in it that is the log's own.
        var abandoned: (segment: AuditSegment, newest: UInt64)?
        /// What is to be recorded of files that were taken up, and could not be yet.
        var owed: [AuditRecord] = []
        /// The newest record on the disk.
        var synced: AuditPosition
        /// Who writes to the file, or looks at it or for it: one at a time.
        var writing = Stay()
        /// Who flushes the file: one at a time, while others may write.
        var syncing = Stay()
        /// Whether a thread flushes for others, and the newest record that it is asked for.
        var hasFlusher = false
        var wanted: UInt64 = 0
        /// Rises with every failure: what was waiting then will never be written.
        var epoch = 0
        var failure: AuditFailure? = AuditFailure("it has not been opened yet")
        /// How many threads wait for somebody's stay at the disk.
        var waiting = 0
        /// Whether it is to be noted in the file that the log stopped.
        var owesStop = false
        /// What the operator is to know though records are taken: gaps found.
        var warning: String?
        /// CLOCK_MONOTONIC of the beginning of the failure, and of the newest try to end it.
        var failedSince: UInt64 = 0
        var recoveryTried: UInt64 = 0
        var isStopNoted = false
        var sealed: AuditHead?
        /// The number of the newest checkpoint record.
        var sealRecord: UInt64 = 0
        /// CLOCK_MONOTONIC of the newest checkpoint, or the newest try.
        var sealTried: UInt64 = 0
        var sealFailure: String?
        var rotationTried: UInt64 = 0
        var flushes: UInt64 = 0
        var records: UInt64 = 0

        /// Puts a record behind the newest.
        mutating func append(_ body: [UInt8]) { last = AuditLine.append(body, after: last, to: &pending, by: &computer) }
    }

    /// A log that is not open yet: `open` does it.
    ///
    /// - Parameter anchor: the newest place known from outside the log; nil for a new instance.
    package init(settings: Settings, instance: InstanceID, anchor: AuditPosition?, surroundings: Surroundings) {
        self.settings = settings
        self.instance = instance
        self.surroundings = surroundings
        let start = anchor ?? AuditPosition.beginning(of: instance)
        state = State(last: start, written: start, synced: start)
        told = Mutex(Told(failure: state.failure, synced: start))
    }

    deinit { if state.file >= 0 { close(state.file) } }

    /// Why nothing is taken; nil while records are.
    package var failure: AuditFailure? { isFailing.load(ordering: .acquiring) ? told.withLock { $0.failure } : nil }

    /// What the operator is to know though records are taken.
    var warning: String? { told.withLock { $0.warning } }

    /// The newest record that is on the disk, or an older one while the log fails.
    package var position: AuditPosition { told.withLock { $0.synced } }

    /// Appends a record.
    ///
    /// - Parameters:
    ///   - body: its fields from `"eventTime"` on, as `AuditRecord` writes them.
    ///   - flushed: whether it must be on the disk when this returns; else in the file, which a crash of the process does not harm.
    /// - Returns: its place.
    @discardableResult
    package func append(_ body: [UInt8], flushed: Bool) throws(AuditFailure) -> AuditPosition {
        try within { () throws(AuditFailure) in
            let position = take(body)
            if flushed { try awaitFlush(position.sequence) } else { try write(position.sequence) }
            return position
        }
    }

    /// Appends a record that need not even be in the file yet.
    ///
    /// - Parameters:
    ///   - body: as for `append`.
    ///   - flushed: where it must be in the end, as for `append`.
    /// - Returns: what to `secure` before anything is done that the record must precede.
    @discardableResult
    package func add(_ body: [UInt8], flushed: Bool) throws(AuditFailure) -> RecordTicket {
        let ticket = try within {
            let ticket = RecordTicket(sequence: take(body).sequence, epoch: state.epoch, isFlushed: flushed)
            if flushed { state.wanted = ticket.sequence }
            return ticket
        }
        if flushed { flushBell.ring() }
        return ticket
    }

    /// Appends a record that has to be in the file, and puts it there unless somebody is at the file.
    ///
    /// - Returns: what to `secure` when another was; nil when the record is in the file.
    func addWritten(_ body: [UInt8]) throws(AuditFailure) -> RecordTicket? {
        try within { () throws(AuditFailure) in
            let ticket = RecordTicket(sequence: take(body).sequence, epoch: state.epoch, isFlushed: false)
            return try writeIfFree(ticket) ? nil : ticket
        }
    }

    /// Puts the record of `ticket`, which has to be in the file, there unless somebody is at the file.
    ///
    /// - Returns: whether it is there.
    func secureIfFree(_ ticket: RecordTicket) throws(AuditFailure) -> Bool {
        try within(ticket.epoch) { () throws(AuditFailure) in try writeIfFree(ticket) }
    }

    private func writeIfFree(_ ticket: RecordTicket) throws(AuditFailure) -> Bool {
        guard !state.writing.isGoing else { return false }
        try write(ticket.sequence)
        return true
    }

    private func take(_ body: [UInt8]) -> AuditPosition {
        state.append(body)
        state.records += 1
        return state.last
    }

    /// Whether `secure` is known not to wait for the disk: the record is on it, only has to be in the file, or will never be.
    func isSettled(_ ticket: RecordTicket) -> Bool {
        !ticket.isFlushed || told.withLock { $0.synced.sequence >= ticket.sequence || $0.epoch != ticket.epoch }
    }

    /// Makes sure that the record of `ticket` is where it has to be, with all before it.
    package func secure(_ ticket: RecordTicket) throws(AuditFailure) {
        try within { () throws(AuditFailure) in
            // Its number may be another record's by now.
            guard ticket.epoch == state.epoch else { throw state.failure ?? AuditFailure("the log was interrupted") }
            if ticket.isFlushed { try awaitFlush(ticket.sequence) } else { try write(ticket.sequence) }
        }
    }

    /// Makes sure that all that was appended is on the disk.
    package func flush() throws(AuditFailure) {
        try within { () throws(AuditFailure) in try awaitFlush(state.last.sequence) }
    }

    /// Which stretch without failures it is; nil while the log fails.
    var stretch: Int? { told.withLock { $0.failure == nil ? $0.epoch : nil } }

    /// Appends a record that is to be on the disk with the next flush, in this stretch or not at all.
    func add(_ body: [UInt8], in stretch: Int) throws(AuditFailure) {
        try within(stretch) { _ = take(body) }
    }

    /// Makes sure that all that was appended in this stretch is on the disk. Throws when the log has failed since: some of it may be lost.
    func flush(in stretch: Int) throws(AuditFailure) {
        try within(stretch) { () throws(AuditFailure) in try awaitFlush(state.last.sequence) }
    }

    private func within<R>(_ stretch: Int, _ body: () throws(AuditFailure) -> R) throws(AuditFailure) -> R {
        try within { () throws(AuditFailure) in
            guard state.epoch == stretch else { throw AuditFailure("the log was interrupted") }
            return try body()
        }
    }

    /// Runs `body` under the monitor while the log takes records. Nobody holds it for long then; only recovery may be stuck in it.
    func within<R>(_ body: () throws(AuditFailure) -> R) throws(AuditFailure) -> R {
        if let failure { throw failure }
        let result = try monitor.locked(patience: settings.flushPatience) { () throws(AuditFailure) in
            if let failure = state.failure { throw failure }
            return try body()
        }
        guard let result else { throw stall("has been in the way") }
        return result
    }
}
