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

/// Stands for a record that is not on the disk yet.
package struct RecordTicket: Sendable {
    package let sequence: UInt64
    /// Of which stretch without failures: what was waiting when the log failed is given up.
    let epoch: Int

    package init(sequence: UInt64, epoch: Int) {
        self.sequence = sequence
        self.epoch = epoch
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
        /// A disk that has not answered a flush for so long counts as failed, in nanoseconds: far more than the worst that a disk at work
        /// takes, and less than it takes until the server gives up its workers.
        var flushPatience: UInt64 = 5_000_000_000
        /// What makes a file durable: its result is errno, 0 for success.
        var sync: @Sendable (Int32) -> Int32 = { fdatasync($0) == 0 ? 0 : errno }

        package init(directory: String) { self.directory = directory }
    }

    /// What the log needs of others.
    package struct Surroundings: Sendable {
        /// Dates.
        package var time = TimeSource.system
        /// Signs a digest in the token; throws while it is away.
        package var sign: @Sendable ([UInt8]) throws(SigningFailure) -> [UInt8]
        /// Is told a durable place now and then, to be kept outside the log.
        package var anchor: @Sendable (AuditPosition) -> Void = { _ in }
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
    // What is asked without the monitor, in which a thread may be stuck in the disk.
    private let told: Mutex<Told>

    private struct Told {
        var failure: AuditFailure?
        var warning: String?
        var synced: AuditPosition
    }

    struct State {
        var file: Int32 = -1
        var segment: AuditSegment?
        /// Which file it is, whatever its path leads to now.
        var identity: (device: dev_t, inode: ino_t) = (0, 0)
        /// Bytes of whole records in the file.
        var size = 0
        /// When its first record was made, in milliseconds since 1970.
        var began: UInt64 = 0
        /// The newest record, written or not.
        var last: AuditPosition
        /// Lines that are to be written.
        var pending: [UInt8] = []
        /// The newest record in the file.
        var written: AuditPosition
        /// The newest record on the disk.
        var synced: AuditPosition
        var isFlushing = false
        /// CLOCK_MONOTONIC of the beginning of the flush that is going on.
        var flushBegan: UInt64 = 0
        /// Rises with every failure: what was waiting then will never be written.
        var epoch = 0
        var failure: AuditFailure? = AuditFailure("it has not been opened yet")
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
        var isStopping = false
        var flushes: UInt64 = 0
        var records: UInt64 = 0
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
    package var failure: AuditFailure? { told.withLock { $0.failure } }

    /// What the operator is to know though records are taken.
    var warning: String? { told.withLock { $0.warning } }

    /// The newest record that is on the disk, or an older one while the disk holds everything up.
    package var position: AuditPosition {
        monitor.locked(patience: settings.flushPatience) { state.synced } ?? told.withLock { $0.synced }
    }

    /// Appends a record.
    ///
    /// - Parameters:
    ///   - body: its fields from `"eventTime"` on, as `AuditRecord` writes them.
    ///   - flushed: whether it must be on the disk when this returns; else in the file, which a crash of the process does not harm.
    /// - Returns: its place.
    @discardableResult
    package func append(_ body: [UInt8], flushed: Bool) throws(AuditFailure) -> AuditPosition {
        if let failure { throw failure }
        let position = try monitor.locked(patience: settings.flushPatience) { () throws(AuditFailure) in
            if let failure = state.failure { throw failure }
            let position = AuditLine.append(body, after: state.last, to: &state.pending)
            state.last = position
            state.records += 1
            if flushed { try flush(position.sequence) } else { try writePending() }
            return position
        }
        // Not a flush, which lets others in, but a write or a look at the files is stuck.
        guard let position else { throw stall("has been in the way") }
        return position
    }

    /// Appends a record that need not even be in the file yet.
    ///
    /// - Parameter body: as for `append`.
    /// - Returns: what to `flush` before anything is done that the record must precede.
    package func add(_ body: [UInt8]) throws(AuditFailure) -> RecordTicket {
        if let failure { throw failure }
        let ticket = try monitor.locked(patience: settings.flushPatience) { () throws(AuditFailure) in
            if let failure = state.failure { throw failure }
            state.last = AuditLine.append(body, after: state.last, to: &state.pending)
            state.records += 1
            return RecordTicket(sequence: state.last.sequence, epoch: state.epoch)
        }
        guard let ticket else { throw stall("has been in the way") }
        return ticket
    }

    /// Makes sure that the record of `ticket` is on the disk, with all before it.
    package func flush(_ ticket: RecordTicket) throws(AuditFailure) {
        let isDone: Bool? = try monitor.locked(patience: settings.flushPatience) { () throws(AuditFailure) in
            // Its number may be another record's by now.
            guard ticket.epoch == state.epoch else { throw state.failure ?? AuditFailure("the log was interrupted") }
            try flush(ticket.sequence)
            return true
        }
        guard isDone != nil else { throw stall("has been in the way") }
    }

    /// Makes sure that all that was appended is on the disk.
    package func flush() throws(AuditFailure) {
        try monitor.locked { () throws(AuditFailure) in
            if let failure = state.failure { throw failure }
            try flush(state.last.sequence)
        }
    }

    /// Waits until record `sequence` is on the disk; whoever comes while nobody flushes does it for all. Under the monitor.
    func flush(_ sequence: UInt64) throws(AuditFailure) {
        let epoch = state.epoch
        while state.synced.sequence < sequence {
            guard epoch == state.epoch else { throw state.failure ?? AuditFailure("the log was interrupted") }
            guard !state.isFlushing else {
                awaitFlush()
                continue
            }
            try writePending()
            let target = state.last
            let file = state.file
            (state.isFlushing, state.flushBegan) = (true, Clock.monotonic())
            let code = monitor.unlocked { settings.sync(file) }
            state.isFlushing = false
            state.flushes += 1
            if code == 0 { state.synced = target } else { fail("sync", code) }
            monitor.changed()
        }
        guard epoch == state.epoch else { throw state.failure ?? AuditFailure("the log was interrupted") }
    }

    /// Lets the flush that is going on come a little further. One that does not end in time fails the log: those who wait for it are
    /// told, and nobody else gets stuck in the disk. Under the monitor.
    func awaitFlush() {
        let end = state.flushBegan + settings.flushPatience
        guard !monitor.wait(until: end), state.isFlushing, Clock.monotonic() >= state.flushBegan + settings.flushPatience else {
            return
        }
        if state.failure == nil { fail(stall("has not answered a flush")) }
    }

    private func stall(_ what: String) -> AuditFailure {
        AuditFailure("the disk of \(settings.directory) \(what) for \(settings.flushPatience / 1_000_000) ms")
    }

    /// Writes what is pending to the file. Under the monitor.
    func writePending() throws(AuditFailure) {
        guard !state.pending.isEmpty else { return }
        let code = AuditLog.write(state.pending, to: state.file)
        guard code == 0 else {
            fail("write", code)
            throw state.failure ?? AuditFailure("the log was interrupted")
        }
        state.size += state.pending.count
        state.pending.removeAll(keepingCapacity: true)
        state.written = state.last
    }

    /// Writes all bytes; errno when it cannot, with some of them written perhaps.
    static func write(_ bytes: [UInt8], to file: Int32) -> Int32 {
        bytes.withUnsafeBytes { buffer in
            var offset = 0
            while offset < buffer.count {
                let count = Glibc.write(file, buffer.baseAddress.map { $0 + offset }, buffer.count - offset)
                if count < 0 && errno == EINTR { continue }
                guard count > 0 else { return count < 0 ? errno : ENOSPC }
                offset += count
            }
            return 0
        }
    }

    // MARK: failing

    /// Refuses everything from now on, until `recover`. What was pending is given up: those who wait for it are told. Under the
    /// monitor.
    func fail(_ action: String, _ code: Int32) {
        // Whole records only: what was written in part is cut off again. Where that fails too, recovery does it.
        if action == "write", state.file >= 0 { ftruncate(state.file, off_t(state.size)) }
        fail(AuditFailure("cannot \(action) \(state.segment?.path ?? settings.directory): \(String(cString: strerror(code)))"))
        noteStop()
    }

    func fail(_ failure: AuditFailure) {
        if state.failure == nil {
            state.failedSince = Clock.monotonic()
            state.isStopNoted = false
            surroundings.log.error("the audit log cannot be written: keys are not used", metadata: ["reason": "\(failure)"])
        }
        state.failure = failure
        state.epoch += 1
        state.pending.removeAll(keepingCapacity: true)
        state.last = state.written
        tell()
        monitor.changed()
        bell.ring()
    }

    /// Takes records again. Under the monitor.
    func succeed() {
        state.failure = nil
        tell()
        monitor.changed()
    }

    /// Makes known to everybody how it is. Under the monitor.
    func tell() { told.withLock { $0 = Told(failure: state.failure, warning: state.warning, synced: state.synced) } }

    /// Bytes kept free for the record that says that the log stopped: a block of every file system.
    static let reserveBytes: Int64 = 64 << 10

    var reservePath: String { settings.directory + "/reserve" }

    /// Writes in the log itself that it stopped, into the room that the reserve file kept.
    private func noteStop() {
        guard !state.isStopNoted, state.file >= 0, let failure = state.failure else { return }
        state.isStopNoted = true
        unlink(reservePath)
        var line: [UInt8] = []
        let body = AuditRecord.system(.logStopped, time: surroundings.time.now(), reason: failure.reason).body(instance)
        let position = AuditLine.append(body, after: state.written, to: &line)
        guard AuditLog.write(line, to: state.file) == 0 else {
            ftruncate(state.file, off_t(state.size))
            return
        }
        state.size += line.count
        state.last = position
        state.written = position
        if fdatasync(state.file) == 0 { state.synced = position }
    }
}
