import ClavigerWire
import Glibc
import Logging
import SecureMemory
import Synchronization

// Records on their way to the disk, and what is done when they do not get there. The monitor is never held by who waits for a disk while
// the log takes records: one that does not answer holds up nobody else for longer than `flushPatience`.
extension AuditLog {
    /// Waits until record `sequence` is on the disk; whoever comes while nobody flushes does it for all. Under the monitor.
    func flush(_ sequence: UInt64) throws(AuditFailure) {
        let epoch = state.epoch
        while state.synced.sequence < sequence {
            try write(state.last.sequence)
            // While this was at the file or waited for it, another may have flushed for all.
            guard state.synced.sequence < sequence else { return }
            guard !state.syncing.isGoing else {
                awaitDisk(state.syncing)
                guard epoch == state.epoch else { throw interruption }
                continue
            }
            let (target, file) = (state.written, state.file)
            let code = atDisk(.syncing) { settings.sync(file) }
            state.flushes += 1
            guard epoch == state.epoch else { throw interruption }
            guard code == 0 else { throw fail("sync", code) }
            state.synced = target
            tell()
        }
    }

    /// Flushes for those who wait for tickets, until `stopFlushing`. Run it on a thread of its own: then a disk that does not answer keeps
    /// nobody else who sends answers.
    ///
    /// - Parameter settled: is told whenever tickets may have been settled; what it does delays the next flush.
    package func serveFlushes(settled: () -> Void = {}) {
        monitor.locked { state.hasFlusher = true }
        while isFlushed.load(ordering: .acquiring) {
            let isIdle = monitor.locked {
                noteStop()
                guard state.failure == nil, state.wanted > state.synced.sequence else { return true }
                try? flush(state.wanted)
                return false
            }
            settled()
            // Not by the monitor's condition, which every record that is written would wake it by.
            if isIdle { flushBell.wait(until: Clock.monotonic() + AuditLog.lookInterval) }
        }
        monitor.locked {
            state.hasFlusher = false
            monitor.changed()
            noteStop()
        }
    }

    /// Ends `serveFlushes` after what it is doing; whoever wants a flush afterwards does it.
    package func stopFlushing() {
        isFlushed.store(false, ordering: .releasing)
        flushBell.ring()
    }

    /// Has the thread that flushes for others, if there is one, flush record `sequence`, and waits for it: that thread is stuck in a disk
    /// that hangs, and who waits is not. Under the monitor.
    func awaitFlush(_ sequence: UInt64) throws(AuditFailure) {
        let epoch = state.epoch
        if sequence > state.wanted {
            state.wanted = sequence
            flushBell.ring()
        }
        while state.synced.sequence < sequence {
            guard state.hasFlusher else { return try flush(sequence) }
            let idle = Stay(since: Clock.monotonic())
            awaitDisk(state.writing.isGoing ? state.writing : state.syncing.isGoing ? state.syncing : idle)
            guard epoch == state.epoch else { throw interruption }
        }
    }

    /// Waits until record `sequence` is in the file; whoever comes while nobody writes does it for all. Under the monitor.
    func write(_ sequence: UInt64) throws(AuditFailure) {
        let epoch = state.epoch
        while state.written.sequence < sequence {
            guard !state.writing.isGoing else {
                awaitDisk(state.writing)
                guard epoch == state.epoch else { throw interruption }
                continue
            }
            let (lines, target, file) = state.takePending()
            let code = atDisk(.writing) { lines.withUnsafeBytes { settings.put(file, $0, nil) } }
            // Given up meanwhile; recovery finds what of it is in the file.
            guard epoch == state.epoch else { throw interruption }
            guard code == 0 else { throw fail("write", code) }
            state.note(written: lines, to: target)
        }
    }

    /// Lets others in while `body` is at the disk. Under the monitor, and not during another stay of the kind.
    func atDisk<R>(_ task: DiskTask, _ body: () -> R) -> R {
        state[task] = Stay(isGoing: true, since: Clock.monotonic())
        let result = monitor.unlocked(body)
        state[task].isGoing = false
        monitor.changed()
        return result
    }

    /// Lets others in while `body` has the disk alone. Under the monitor.
    ///
    /// - Returns: nil when the log has failed meanwhile; nothing was run then.
    func alone<R>(_ body: () -> R) -> R? {
        guard awaitTurn() else { return nil }
        state.syncing = Stay(isGoing: true, since: Clock.monotonic())
        let result = atDisk(.writing, body)
        state.syncing.isGoing = false
        return result
    }

    /// Waits until nobody is at the disk. Under the monitor.
    ///
    /// - Returns: false when the log has failed meanwhile.
    func awaitTurn() -> Bool {
        while state.failure == nil, state.isAtDisk { awaitDisk(state.writing.isGoing ? state.writing : state.syncing) }
        return state.failure == nil
    }

    /// Lets who is at the disk come a little further. A stay that does not end in time fails the log: those who wait for it are told, and
    /// nobody else gets stuck. Under the monitor.
    func awaitDisk(_ stay: Stay) {
        let end = stay.since + settings.flushPatience
        state.waiting += 1
        let isOver = !monitor.wait(until: end)
        state.waiting -= 1
        // Who takes the log up again waits for the last one.
        if state.waiting == 0, state.failure != nil { monitor.changed() }
        guard isOver, Clock.monotonic() >= end, state.failure == nil else { return }
        let isStill = [state.writing, state.syncing].contains { $0.isGoing && $0.since == stay.since }
        if isStill { fail(stall("has not answered")) }
    }

    func stall(_ what: String) -> AuditFailure {
        AuditFailure("the disk of \(settings.directory) \(what) for \(settings.flushPatience / 1_000_000) ms")
    }

    private var interruption: AuditFailure { state.failure ?? AuditFailure("the log was interrupted") }

    /// Writes all bytes; errno when it cannot, with some of them written perhaps.
    static func write(_ bytes: [UInt8], to file: Int32) -> Int32 { bytes.withUnsafeBytes { put(file, $0, nil) } }

    /// As `write`; at an offset where there is one, for a file that was not opened to append.
    static func put(_ file: Int32, _ bytes: UnsafeRawBufferPointer, _ offset: Int?) -> Int32 {
        var done = 0
        while done < bytes.count {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[done...])
            let count =
                if let offset {
                    pwrite(file, rest.baseAddress, rest.count, off_t(offset + done))
                } else {
                    Glibc.write(file, rest.baseAddress, rest.count)
                }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return count < 0 ? errno : ENOSPC }
            done += count
        }
        return 0
    }

    // MARK: failing

    /// Refuses everything from now on, until `recover`. What was pending is given up: those who wait for it are told. Under the
    /// monitor.
    ///
    /// - Returns: the failure.
    @discardableResult
    func fail(_ action: String, _ code: Int32) -> AuditFailure {
        let failure = AuditFailure(
            "cannot \(action) \(state.segment?.path ?? settings.directory): \(String(cString: strerror(code)))")
        fail(failure)
        // While another's records are on their way into the file they have the number that this would have.
        if !state.isStopNoted, !state.writing.isGoing {
            state.owesStop = true
            flushBell.ring()
        }
        return failure
    }

    func fail(_ failure: AuditFailure) {
        if state.failure == nil {
            state.failedSince = Clock.monotonic()
            state.isStopNoted = false
            state.owesStop = false
            surroundings.log.error("the audit log cannot be written: keys are not used", metadata: ["reason": "\(failure)"])
        }
        state.failure = failure
        state.epoch += 1
        state.wanted = 0
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
    func tell() {
        told.withLock {
            $0 = Told(failure: state.failure, epoch: state.epoch, warning: state.warning, synced: state.synced)
            isFailing.store(state.failure != nil, ordering: .releasing)
        }
    }

    /// Bytes kept free for the record that says that the log stopped: a block of every file system.
    static let reserveBytes: Int64 = 64 << 10

    var reservePath: String { settings.directory + "/reserve" }

    /// Whether all who waited for somebody's stay at the disk have left, as they do at once when the log fails: with the monitor held for
    /// long they could not.
    func haveAllLeft() -> Bool {
        guard state.waiting > 0 else { return true }
        let end = Clock.monotonic() + AuditLog.lookInterval
        monitor.changed()
        while state.waiting > 0 {
            guard monitor.wait(until: end) else { break }
        }
        return state.waiting == 0
    }

    /// Writes in the log itself that it stopped, into the room that the reserve file kept, if that is still to be done. May be stuck in it
    /// with the monitor, so that nobody may wait under it.
    func noteStop() {
        guard state.owesStop, !state.isAtDisk, haveAllLeft() else { return }
        // Others were let in.
        guard state.owesStop, !state.isAtDisk, state.file >= 0, let failure = state.failure else { return }
        (state.owesStop, state.isStopNoted) = (false, true)
        // Recovery says what else there is.
        guard cutTorn() else { return }
        unlink(reservePath)
        var line: [UInt8] = []
        let body = AuditRecord.system(.logStopped, time: surroundings.time.now(), reason: failure.reason).body(instance)
        let position = AuditLine.append(body, after: state.written, to: &line)
        // It takes the number of what was on its way, which has been cut off if it could be.
        state.attempted += line
        guard line.withUnsafeBytes({ settings.put(state.file, $0, nil) }) == 0 else {
            ftruncate(state.file, off_t(state.size))
            return
        }
        state.size += line.count
        state.last = position
        state.written = position
        state.attempted = []
        // Not believed, whatever it says: after a flush that failed the next one answers for nothing that was written before it.
        _ = settings.sync(state.file)
    }
}

extension AuditLog {
    /// Leaves whole records only: cuts off what a write that failed has left of its own.
    ///
    /// - Returns: false where something else stands behind them, which is left alone, or nobody can tell.
    private func cutTorn() -> Bool {
        var status = stat()
        guard fstat(state.file, &status) == 0 else { return false }
        let count = Int(status.st_size) - state.size
        guard count != 0 else { return true }
        guard count > 0, count <= state.attempted.count else { return false }
        // The log's own descriptor cannot read; the file may have been removed, and another have its name.
        let file = Glibc.open("/proc/self/fd/\(state.file)", O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return false }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: count)
        guard pread(file, &bytes, count, off_t(state.size)) == count, bytes.elementsEqual(state.attempted.prefix(count)) else {
            return false
        }
        return ftruncate(state.file, off_t(state.size)) == 0
    }
}

extension AuditLog.State {
    /// The longest storage that is kept for the next records: what a burst needed is given back.
    private static var mostSpare: Int { 64 << 10 }

    /// The lines that are to be written, up to which record, and to which file. Others that come meanwhile are for the next write.
    mutating func takePending() -> (lines: [UInt8], target: AuditPosition, file: Int32) {
        let lines = pending
        attempted = lines
        pending = spare
        spare = []
        pending.removeAll(keepingCapacity: true)
        return (lines, last, file)
    }

    /// Notes that these lines are in the file.
    mutating func note(written lines: consuming [UInt8], to target: AuditPosition) {
        size += lines.count
        written = target
        attempted = []
        if lines.capacity <= AuditLog.State.mostSpare { spare = lines }
    }

    subscript(task: AuditLog.DiskTask) -> AuditLog.Stay {
        get {
            switch task {
            case .writing: writing
            case .syncing: syncing
            }
        }
        set {
            switch task {
            case .writing: writing = newValue
            case .syncing: syncing = newValue
            }
        }
    }

    /// Whether somebody is at the disk.
    var isAtDisk: Bool { writing.isGoing || syncing.isGoing }
}
