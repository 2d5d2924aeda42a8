import ClavigerWire
import Glibc
import Logging
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
        while isTended.load(ordering: .acquiring) {
            also()
            look()
            bell.wait(until: Clock.monotonic() + AuditLog.lookInterval)
        }
    }

    /// Ends `tend` after what it is doing.
    package func stopTending() {
        isTended.store(false, ordering: .releasing)
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
            state.append(body)
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
}
