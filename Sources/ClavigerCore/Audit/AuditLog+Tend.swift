import ClavigerWire
import Glibc
import Logging
import SecureMemory
import Synchronization

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
        while !isStopping.load(ordering: .acquiring) {
            also()
            look()
            bell.wait(until: Clock.monotonic() + AuditLog.lookInterval)
        }
    }

    /// Ends `tend` after what it is doing.
    package func stopTending() {
        isStopping.store(true, ordering: .releasing)
        bell.ring()
        flushBell.ring()
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

    /// What was done to the file under its name.
    enum Loss: String {
        case removed
        case replaced
    }

    /// Finds out whether the file that is written is still the one in the directory, and whole. A file that was removed or replaced is
    /// put back from what is open; another in its place is kept beside it.
    private func watch() {
        monitor.locked {
            while state.failure == nil, state.writing.isGoing { awaitDisk(state.writing) }
            // Not before: who was waited for may have begun another file.
            guard state.failure == nil, let segment = state.segment else { return }
            let (file, size, identity, epoch) = (state.file, state.size, state.identity, state.epoch)
            let found = atDisk(.writing) { look(at: segment, file, size, identity) }
            guard epoch == state.epoch else { return }
            switch found {
            case .success(nil): break
            case .success(let loss?): restore(segment, loss)
            case .failure(let failure): fail(failure)
            }
        }
    }

    private func look(
        at segment: AuditSegment, _ file: Int32, _ size: Int, _ identity: FileIdentity
    ) -> Result<Loss?, AuditFailure> {
        var open = stat()
        guard fstat(file, &open) == 0 else {
            return .failure(AuditFailure("cannot examine \(segment.path): \(String(cString: strerror(errno)))"))
        }
        guard Int(open.st_size) == size else {
            return .failure(
                AuditFailure("\(segment.path) was changed by somebody else: it has \(open.st_size) bytes, not \(size)"))
        }
        do throws(FileError) { return .success(try loss(of: segment, identity)) } catch {
            return .failure(AuditFailure("\(error)"))
        }
    }

    /// Whether another file than this one, or none, has the segment's name.
    func loss(of segment: AuditSegment, _ identity: FileIdentity) throws(FileError) -> Loss? {
        var named = stat()
        guard lstat(segment.path, &named) == 0 else {
            guard errno == ENOENT else { throw FileError("examine", segment.path, errno) }
            return .removed
        }
        return FileIdentity(named) == identity ? nil : .replaced
    }

    /// The number of the newest record that an open file with a segment's name may give to who sends records on: while it is another than
    /// the one that is written, or lines were put behind what was written, nothing of that is the log's.
    ///
    /// - Returns: nil for a file that is none of the log's.
    package func bound(_ segment: AuditSegment, _ file: FileIdentity) -> UInt64? {
        // Recovery may be stuck in the disk with it.
        let found: UInt64?? = monitor.locked(patience: AuditLog.glance) {
            guard let active = state.segment, segment.first <= active.first else { return nil }
            if let abandoned = state.abandoned, segment == abandoned.segment { return abandoned.newest }
            guard segment == active else { return .max }
            return file == state.identity ? state.written.sequence : nil
        }
        return found ?? nil
    }

    // Under the monitor.
    private func restore(_ segment: AuditSegment, _ loss: Loss) {
        surroundings.log.error("the audit log's file was \(loss.rawValue); it is put back", metadata: ["file": "\(segment.path)"])
        // Another file may have been begun meanwhile; that one is looked at the next time.
        guard awaitTurn(), state.segment == segment else { return }
        let (file, size, epoch) = (state.file, state.size, state.epoch)
        let outcome: Result<(file: Int32, aside: String?), FileError>? = alone {
            do throws(FileError) { return .success(try putBack(segment, file, loss)) } catch { return .failure(error) }
        }
        switch outcome {
        case .success(let (fresh, aside))?:
            var status = stat()
            guard epoch == state.epoch, fstat(fresh, &status) == 0, Int(status.st_size) == size else {
                // Somebody wrote to it meanwhile, or the log was given up: recovery reads what is there now.
                close(fresh)
                if epoch == state.epoch { fail(AuditFailure("\(segment.path) was changed by somebody else")) }
                return
            }
            adopt(segment, fresh)
            state.synced = state.written
            tell()
            let body = restored(segment, loss, aside).body(instance)
            state.last = AuditLine.append(body, after: state.last, to: &state.pending)
            // What is wrong with writing it is known and handled by then.
            try? write(state.last.sequence)
        case .failure(let error)?:
            if epoch == state.epoch { fail(AuditFailure("\(segment.path) was \(loss.rawValue), and \(error)")) }
        case nil: break
        }
    }

    /// The record of a file that was put back.
    func restored(_ segment: AuditSegment, _ loss: Loss, _ aside: String?) -> AuditRecord {
        let data = [AuditRecord.Field("file", segment.name)] + (aside.map { [.init("foreign", $0)] } ?? [])
        return .system(.logRestored, time: surroundings.time.now(), reason: "the file was \(loss.rawValue)", data)
    }

    /// Gives the open file its name again, by a copy; another that has the name is kept beside it.
    ///
    /// - Returns: the copy, open, and where the other one is. Where it fails nothing is left of the copy.
    func putBack(_ segment: AuditSegment, _ open: Int32, _ loss: Loss) throws(FileError) -> (file: Int32, aside: String?) {
        try Files.makeDirectory(settings.directory)
        var aside: String?
        if loss == .replaced {
            let path = "\(segment.path).foreign-\(surroundings.time.now())"
            guard rename(segment.path, path) == 0 else { throw FileError("set aside", segment.path, errno) }
            aside = path
        }
        // The old file is open for writing only: its content is read through /proc.
        let source = Glibc.open("/proc/self/fd/\(open)", O_RDONLY | O_CLOEXEC)
        guard source >= 0 else { throw FileError("read", segment.path, errno) }
        defer { close(source) }
        let fresh = segment.path + ".new"
        do throws(FileError) {
            try AuditLog.copy(source, from: 0, to: fresh)
            // Opened before it gets its name: what stands under that may be another file again by then.
            let file = Glibc.open(fresh, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW)
            guard file >= 0 else { throw FileError("open", fresh, errno) }
            guard rename(fresh, segment.path) == 0 else {
                let code = errno
                close(file)
                throw FileError("put back", segment.path, code)
            }
            try? Files.syncDirectory(settings.directory)
            return (file, aside)
        } catch {
            // It takes room that the next try needs.
            unlink(fresh)
            throw error
        }
    }

    // MARK: checkpoints

    private var isSealDue: Bool {
        monitor.locked {
            guard state.last.sequence > state.sealRecord else { return false }
            let now = surroundings.monotonic()
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
        let newest = try within { () throws(AuditFailure) in state.last.sequence == state.sealRecord ? state.sealed : nil }
        if let newest { return newest }
        let head: AuditHead
        do throws(AuditFailure) {
            head = try signedHead(of: surroundings.epoch())
        } catch {
            let isNews = monitor.locked {
                defer { (state.sealFailure, state.sealTried) = (error.reason, surroundings.monotonic()) }
                return state.sealFailure == nil
            }
            if isNews { surroundings.log.warning("no checkpoint in the audit log", metadata: ["reason": "\(error)"]) }
            throw error
        }
        var record = AuditRecord(event: AuditEvent.System.checkpoint.rawValue, time: head.time)
        record.checkpoint = head
        let position = try append(record.body(instance), flushed: true)
        monitor.locked {
            (state.sealFailure, state.sealTried) = (nil, surroundings.monotonic())
            state.sealed = head
            state.sealRecord = position.sequence
        }
        surroundings.anchor(position)
        return head
    }

    /// Where the log stands, on the disk and signed.
    ///
    /// - Parameter epoch: the database's, which the log is to hold against an older one.
    package func signedHead(of epoch: UInt64? = nil) throws(AuditFailure) -> AuditHead {
        try flush()
        let place = position
        let time = surroundings.time.now()
        do throws(SigningFailure) {
            let signature = try surroundings.sign(AuditHead.digest(instance, place, time, epoch))
            return AuditHead(instance: instance, position: place, time: time, epoch: epoch, signature: signature)
        } catch {
            throw AuditFailure("\(error)")
        }
    }

    // MARK: segments

    private var isRotationDue: Bool {
        monitor.locked {
            guard state.size > 0,
                surroundings.monotonic() >= state.rotationTried + AuditLog.retryInterval || state.rotationTried == 0
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
        do throws(AuditFailure) {
            return try within { () throws(AuditFailure) in try begin(reason) }
        } catch {
            return nil
        }
    }

    // Under the monitor.
    private func begin(_ reason: String) throws(AuditFailure) -> AuditSegment? {
        state.rotationTried = surroundings.monotonic()
        guard awaitTurn(), let old = state.segment else { return nil }
        let (file, epoch) = (state.file, state.epoch)
        // Whoever adds one meanwhile has it in the next file.
        let segment = AuditSegment(directory: settings.directory, first: state.written.sequence + 1)
        var code: Int32 = 0
        let outcome: Result<Int32, FileError>? = alone {
            code = settings.sync(file)
            guard code == 0 else { return .failure(FileError("sync", old.path, code)) }
            do throws(FileError) { return .success(try AuditLog.create(segment)) } catch { return .failure(error) }
        }
        guard epoch == state.epoch else {
            // Given up meanwhile; recovery finds the new file and goes on in it.
            if case .success(let file)? = outcome { close(file) }
            return nil
        }
        if code != 0 { throw fail("sync", code) }
        state.synced = state.written
        switch outcome {
        case .success(let file)?: begin(segment, file)
        case .failure(let error)?:
            surroundings.log.error("no new audit segment; the old one goes on", metadata: ["error": "\(error)"])
            return nil
        case nil: return nil
        }
        state.rotationTried = 0
        let record = AuditRecord.system(.logRotated, time: surroundings.time.now(), reason: reason, [.init("previous", old.name)])
        state.last = AuditLine.append(record.body(instance), after: state.last, to: &state.pending)
        try flush(state.last.sequence)
        return segment
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
    private static let glance: UInt64 = 50_000_000
}
