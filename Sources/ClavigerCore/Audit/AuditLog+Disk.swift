import ClavigerWire
import Glibc
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
