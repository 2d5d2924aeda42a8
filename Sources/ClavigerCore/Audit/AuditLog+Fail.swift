import ClavigerWire
import Glibc
import Logging
import Synchronization

// What becomes of a log that cannot be written: who waits is told, and the log itself says that it stopped.
extension AuditLog {
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
