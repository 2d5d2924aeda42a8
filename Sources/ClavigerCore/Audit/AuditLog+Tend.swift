import ClavigerWire
import Glibc
import Logging
import SecureMemory

// What the log needs beside records: a look at its files, checkpoints, new segments, recovery. One thread does it.
extension AuditLog {
    /// How often the files are looked at, in nanoseconds: what is done to them must be known within a second.
    static let lookInterval: UInt64 = 250_000_000
    /// The pause before the next try after a checkpoint or a new segment failed, in nanoseconds.
    static let retryInterval: UInt64 = 5_000_000_000

    /// Tends the log until `stopTending`. Run it on a thread of its own.
    ///
    /// - Parameter also: called at every look.
    package func tend(_ also: () -> Void = {}) {
        while !monitor.locked({ state.isStopping }) {
            also()
            look()
            bell.wait(until: Clock.monotonic() + AuditLog.lookInterval)
        }
    }

    /// Ends `tend` after what it is doing.
    package func stopTending() {
        monitor.locked { state.isStopping = true }
        bell.ring()
    }

    /// Looks once at everything.
    func look() {
        if failure != nil { return recover() }
        watch()
        guard failure == nil else { return recover() }
        if isSealDue { _ = try? seal() }
        if isRotationDue { rotate("it was due") }
    }

    // MARK: the files

    /// Finds out whether the file that is written is still the one in the directory, and whole. A file that was removed or replaced is
    /// put back from what is open; another in its place is kept beside it.
    private func watch() {
        monitor.locked {
            guard state.failure == nil, let segment = state.segment else { return }
            while state.isFlushing, state.failure == nil { awaitFlush() }
            guard state.failure == nil else { return }
            var open = stat()
            guard fstat(state.file, &open) == 0 else { return fail("examine", errno) }
            guard Int(open.st_size) == state.size else {
                return fail(
                    AuditFailure("\(segment.path) was changed by somebody else: it has \(open.st_size) bytes, not \(state.size)"))
            }
            var named = stat()
            let isThere = lstat(segment.path, &named) == 0
            if isThere, named.st_dev == state.identity.device, named.st_ino == state.identity.inode { return }
            if !isThere, errno != ENOENT { return fail("examine", errno) }
            do throws(FileError) {
                try restore(segment, isReplaced: isThere)
            } catch {
                fail(AuditFailure("\(segment.path) was removed, and \(error)"))
            }
        }
    }

    private func restore(_ segment: AuditSegment, isReplaced: Bool) throws(FileError) {
        let what = isReplaced ? "replaced" : "removed"
        surroundings.log.error("the audit log's file was \(what); it is put back", metadata: ["file": "\(segment.path)"])
        try Files.makeDirectory(settings.directory)
        var data = [AuditRecord.Field("file", segment.name)]
        if isReplaced {
            let aside = "\(segment.path).foreign-\(surroundings.time.now())"
            guard rename(segment.path, aside) == 0 else { throw FileError("set aside", segment.path, errno) }
            data.append(.init("foreign", aside))
        }
        // The old file is still open for writing only: its content is read through /proc.
        let source = Glibc.open("/proc/self/fd/\(state.file)", O_RDONLY | O_CLOEXEC)
        guard source >= 0 else { throw FileError("read", segment.path, errno) }
        defer { close(source) }
        let fresh = segment.path + ".new"
        try AuditLog.copy(source, from: 0, to: fresh)
        // Opened before it gets its name: what stands under that may be another file again by then.
        let file = Glibc.open(fresh, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW)
        guard file >= 0 else { throw FileError("open", fresh, errno) }
        var status = stat()
        guard fstat(file, &status) == 0, Int(status.st_size) == state.size, rename(fresh, segment.path) == 0 else {
            let code = errno
            close(file)
            throw FileError("put back", segment.path, code)
        }
        try? Files.syncDirectory(settings.directory)
        close(state.file)
        state.file = file
        state.identity = (status.st_dev, status.st_ino)
        state.synced = state.written
        let record = AuditRecord.system(.logRestored, time: surroundings.time.now(), reason: "the file was \(what)", data)
        state.last = AuditLine.append(record.body(instance), after: state.last, to: &state.pending)
        // What is wrong with writing it is known and handled by now.
        try? writePending()
    }

    // MARK: checkpoints

    private var isSealDue: Bool {
        monitor.locked {
            guard state.last.sequence > state.sealRecord else { return false }
            let now = Clock.monotonic()
            let since = state.last.sequence - state.sealRecord
            if now < state.sealTried + (state.sealFailure == nil ? 0 : AuditLog.retryInterval) { return false }
            return since >= settings.checkpointRecords || now >= state.sealTried + settings.checkpointInterval
        }
    }

    /// Has the token sign where the log stands, and writes that into it.
    ///
    /// Does nothing when the newest record is a checkpoint.
    ///
    /// - Returns: the signed place: the newest record before the checkpoint.
    @discardableResult
    package func seal() throws(AuditFailure) -> AuditHead {
        if let head = monitor.locked({ state.last.sequence == state.sealRecord ? state.sealed : nil }) { return head }
        let head: AuditHead
        do throws(AuditFailure) {
            head = try signedHead()
        } catch {
            let isNews = monitor.locked {
                defer { (state.sealFailure, state.sealTried) = (error.reason, Clock.monotonic()) }
                return state.sealFailure == nil
            }
            if isNews { surroundings.log.warning("no checkpoint in the audit log", metadata: ["reason": "\(error)"]) }
            throw error
        }
        var record = AuditRecord(event: AuditEvent.System.checkpoint.rawValue, time: head.time)
        record.checkpoint = head
        let position = try append(record.body(instance), flushed: true)
        monitor.locked {
            (state.sealFailure, state.sealTried) = (nil, Clock.monotonic())
            state.sealed = head
            state.sealRecord = position.sequence
        }
        surroundings.anchor(position)
        return head
    }

    /// Where the log stands, on the disk and signed.
    package func signedHead() throws(AuditFailure) -> AuditHead {
        try flush()
        let place = position
        let time = surroundings.time.now()
        do throws(SigningFailure) {
            let signature = try surroundings.sign(AuditHead.digest(instance, place, time))
            return AuditHead(instance: instance, position: place, time: time, signature: signature)
        } catch {
            throw AuditFailure("\(error)")
        }
    }

    // MARK: segments

    private var isRotationDue: Bool {
        monitor.locked {
            guard state.size > 0, Clock.monotonic() >= state.rotationTried + AuditLog.retryInterval || state.rotationTried == 0
            else {
                return false
            }
            return state.size >= settings.segmentBytes || surroundings.time.now() >= state.began + settings.segmentAge
        }
    }

    /// Seals the segment and begins the next. Where the token does not sign now, the next segment's first checkpoint seals both.
    ///
    /// - Returns: the new segment; nil when the old one goes on.
    @discardableResult
    package func rotate(_ reason: String) -> AuditSegment? {
        _ = try? seal()
        return monitor.locked {
            while state.isFlushing, state.failure == nil { awaitFlush() }
            guard state.failure == nil, let old = state.segment else { return nil }
            state.rotationTried = Clock.monotonic()
            do throws(AuditFailure) {
                try flush(state.last.sequence)
            } catch {
                return nil
            }
            do throws(FileError) {
                try create()
            } catch {
                surroundings.log.error("no new audit segment; the old one goes on", metadata: ["error": "\(error)"])
                return nil
            }
            state.rotationTried = 0
            let record = AuditRecord.system(
                .logRotated, time: surroundings.time.now(), reason: reason, [.init("previous", old.name)])
            state.last = AuditLine.append(record.body(instance), after: state.last, to: &state.pending)
            try? flush(state.last.sequence)
            return state.segment
        }
    }

    // MARK: what is told of it

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

    package var condition: Condition {
        monitor.locked {
            Condition(
                failure: state.failure?.reason, warning: state.warning, position: state.written, segment: state.segment?.path,
                segmentBytes: state.size, sealed: state.sealed, unsealed: state.last.sequence - state.sealRecord,
                sealFailure: state.sealFailure, flushes: state.flushes, records: state.records)
        }
    }
}
