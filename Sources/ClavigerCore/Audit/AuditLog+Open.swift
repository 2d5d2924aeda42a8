import ClavigerWire
import Glibc
import Logging
import Synchronization

// Taking up a log: at the start of the daemon, and after it could not be written. Nothing in it is deleted; what a crash left
// unfinished at its very end is set aside and said.
extension AuditLog {
    /// Opens the log.
    ///
    /// A log that cannot be opened now is tried again by `tend`.
    ///
    /// - Parameters:
    ///   - bodies: records that may be in the log already, by their ids.
    ///   - after: no record before it is one of them.
    /// - Returns: the ids of those that are.
    package func open(lookingFor bodies: [OperationID: [UInt8]] = [:], after: UInt64 = 0) -> Set<OperationID> {
        let found = monitor.locked { () -> Set<OperationID> in
            do throws(AuditFailure) {
                return try reopen(AuditSearch(bodies, after: after))
            } catch {
                fail(error)
                return []
            }
        }
        return found
    }

    /// Looks for records, by their ids, behind record `after`. Throws while the log fails.
    ///
    /// - Returns: the ids of those that are in the log, or on their way into the file.
    func find(_ bodies: [OperationID: [UInt8]], after: UInt64) throws(AuditFailure) -> Set<OperationID> {
        let search = AuditSearch(bodies, after: after)
        // Before the files are read, into which it may come meanwhile.
        let underWay = try within { state.attempted + state.pending }
        do throws(FileError) {
            let found = try search.found(in: AuditSegment.list(settings.directory), known: position)
            return found.union(search.found(in: underWay))
        } catch {
            throw AuditFailure("\(error)")
        }
    }

    /// Tries to end a failure.
    func recover() {
        monitor.locked {
            guard state.failure != nil else { return tell() }
            guard haveAllLeft() else { return }
            state.recoveryTried = Clock.monotonic()
            noteStop()
            do throws(AuditFailure) {
                _ = try reopen(AuditSearch([:], after: 0))
                surroundings.log.notice("the audit log is written again")
            } catch {
                // The reason may be another by now.
                state.failure = error
                tell()
            }
        }
    }

    /// Under the monitor.
    private func reopen(_ search: AuditSearch) throws(AuditFailure) -> Set<OperationID> {
        // The file is not taken from under who writes to it; one that the disk does not answer is looked for again.
        guard !state.isAtDisk else { throw state.failure ?? AuditFailure("the disk has not answered") }
        let isFirst = state.segment == nil
        let interruption = isFirst ? nil : state.failure
        if isFirst { state.sealTried = surroundings.monotonic() }
        do throws(FileError) {
            try Files.makeDirectory(settings.directory)
            try giveUpFile()
            try keepReserve()
            let segments = try AuditSegment.list(settings.directory)
            let known = state.synced
            let written = isFirst ? known : state.written
            let scan = try AuditScan(segments, known: known, written: written)
            let found = try search.found(in: segments, known: known)
            // These two are found out again by the next try, should this one fail.
            var notes: [AuditRecord] = []
            if let problem = scan.problem ?? (isFirst ? nil : foreignRecord(scan)) {
                try goOnAfterGap(problem, scan, segments, known, written)
                notes.append(.system(.logGap, time: now, reason: problem))
            } else {
                try goOn(scan, known)
                if isFirst, let last = scan.last, last.sequence > known.sequence { state.owed.append(unproven(known, last)) }
            }
            if let interruption {
                let seconds = (Clock.monotonic() - state.failedSince) / 1_000_000_000
                notes.append(
                    .system(.logResumed, time: now, reason: interruption.reason, [.init("seconds", "\(seconds)")]))
            }
            try write(state.owed + notes)
            state.owed = []
            succeed()
            return found
        } catch {
            throw AuditFailure("\(error)")
        }
    }

    /// Closes the file. One that was removed or replaced meanwhile is put back first: nothing else holds its records any more, so as long
    /// as there is no room for it the log stays failed.
    private func giveUpFile() throws(FileError) {
        guard state.file >= 0, let segment = state.segment else { return }
        if let loss = try loss(of: segment, state.identity) {
            let (fresh, aside) = try putBack(segment, state.file, loss)
            close(fresh)
            state.owed.append(restored(segment, loss, aside))
        }
        close(state.file)
        state.file = -1
    }

    private var now: UInt64 { surroundings.time.now() }

    /// What is wrong with records behind the newest that was written, when they are not those that were on their way when the log failed.
    /// A chain can be gone on with by anybody: only what this daemon wrote itself is its own.
    private func foreignRecord(_ scan: AuditScan) -> String? {
        guard let last = scan.last, last.sequence > state.written.sequence else { return nil }
        let lines = state.attempted.split(separator: UInt8(ascii: "\n"))
        // Its hash covers all before it.
        if lines.contains(where: { AuditHash(of: Array($0)) == last.hash }) { return nil }
        return "record \(last.sequence) was not written by the daemon: it wrote up to record \(state.written.sequence)"
    }

    /// The record of what stands behind the newest place that is known from outside the log: nothing but the chain vouches for it.
    private func unproven(_ known: AuditPosition, _ last: AuditPosition) -> AuditRecord {
        surroundings.log.notice(
            "the audit log goes on behind the place that the database knows, as after a crash",
            metadata: ["known": "\(known.sequence)", "last": "\(last.sequence)"])
        return .system(
            .logUnproven, time: now,
            reason: "a daemon that was interrupted leaves such records, and so can whoever may write the files",
            [.init("first", "\(known.sequence + 1)"), .init("last", "\(last.sequence)")])
    }

    private func goOn(_ scan: AuditScan, _ known: AuditPosition) throws(FileError) {
        let last = scan.last ?? known
        // What is behind the known place counts as being on the disk when it has been written again.
        (state.last, state.written, state.attempted) = (last, last, [])
        guard let segment = scan.segment else { return try create() }
        if scan.end.rest > 0 {
            let aside = "\(segment.path).torn-\(scan.end.offset)"
            try setAside(segment.path, from: scan.end.offset, to: aside)
            state.owed.append(
                .system(
                    .logRepaired, time: now, reason: "the last line was cut off by a crash and has been set aside",
                    [.init("bytes", "\(scan.end.rest)"), .init("file", aside)]))
            surroundings.log.warning(
                "the last line of the audit log was cut off by a crash; it has been set aside",
                metadata: ["bytes": "\(scan.end.rest)", "file": "\(aside)"])
        }
        try rewrite(segment, from: scan.knownEnd, to: scan.end.offset)
        let file = Glibc.open(segment.path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW)
        guard file >= 0 else { throw FileError("open", segment.path, errno) }
        adopt(segment, file)
        state.size = scan.end.offset
        state.began = scan.began ?? now
    }

    /// Writes once more what is not known to be on the disk. After a flush that failed the kernel takes what it should have written for
    /// clean: it can be read, the next flush succeeds, and the disk never gets it.
    private func rewrite(_ segment: AuditSegment, from start: Int, to end: Int) throws(FileError) {
        guard start < end else { return }
        // One that is opened to append would append.
        let file = Glibc.open(segment.path, O_RDWR | O_CLOEXEC | O_NOFOLLOW)
        guard file >= 0 else { throw FileError("open", segment.path, errno) }
        defer { close(file) }
        var block = [UInt8](repeating: 0, count: min(end - start, 1 << 20))
        var place = start
        while place < end {
            let count = pread(file, &block, min(block.count, end - place), off_t(place))
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw FileError("read", segment.path, count < 0 ? errno : EIO) }
            let code = block.withUnsafeBytes { settings.put(file, UnsafeRawBufferPointer(rebasing: $0[..<count]), place) }
            guard code == 0 else { throw FileError("write", segment.path, code) }
            place += count
        }
    }

    private func goOnAfterGap(
        _ problem: String, _ scan: AuditScan, _ segments: [AuditSegment], _ known: AuditPosition, _ written: AuditPosition
    ) throws(FileError) {
        surroundings.log.error("the audit log is not as it was left", metadata: ["problem": "\(problem)"])
        state.warning = problem
        let newest = segments.last { AuditScan.isPlausible($0.first, known) }?.first ?? 0
        let highest = max(scan.highest, known.sequence, written.sequence, newest)
        let hash = known.sequence > 0 ? known.hash : scan.last?.hash ?? known.hash
        if let old = state.segment { state.abandoned = (old, written.sequence) }
        // Records that wait in the database are taken for written where they are found there.
        for segment in AuditScan.part(of: segments, after: known.sequence, known: known) { sync(segment) }
        let last = AuditPosition(sequence: highest, hash: hash)
        (state.last, state.written, state.synced, state.attempted) = (last, last, last, [])
        try create()
    }

    /// Begins a new segment with the next record. Under the monitor.
    private func create() throws(FileError) {
        let segment = AuditSegment(directory: settings.directory, first: state.last.sequence + 1)
        begin(segment, try AuditLog.create(segment))
    }

    /// Makes a new segment's file.
    static func create(_ segment: AuditSegment) throws(FileError) -> Int32 {
        let file = Glibc.open(segment.path, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard file >= 0 else { throw FileError("open", segment.path, errno) }
        do throws(FileError) {
            try Files.syncDirectory(segment.directory)
            return file
        } catch {
            // Under its name nothing may be left: the next try would find it there.
            close(file)
            unlink(segment.path)
            throw error
        }
    }

    /// Takes a new segment for the one that is written. Under the monitor.
    func begin(_ segment: AuditSegment, _ file: Int32) {
        adopt(segment, file)
        state.size = 0
        state.began = now
    }

    /// Writes to this open file from now on. Under the monitor.
    func adopt(_ segment: AuditSegment, _ file: Int32) {
        var status = stat()
        // A descriptor can always be asked which file it is.
        fstat(file, &status)
        if state.file >= 0 { close(state.file) }
        state.file = file
        state.segment = segment
        state.identity = FileIdentity(status)
    }

    private func write(_ records: [AuditRecord]) throws(FileError) {
        let path = state.segment?.path ?? settings.directory
        for record in records { state.append(record.body(instance)) }
        let lines = state.pending
        state.pending.removeAll(keepingCapacity: true)
        state.attempted = lines
        var code = lines.withUnsafeBytes { settings.put(state.file, $0, nil) }
        if code == 0 { code = settings.sync(state.file) }
        guard code == 0 else {
            ftruncate(state.file, off_t(state.size))
            state.last = state.written
            throw FileError("write", path, code)
        }
        state.size += lines.count
        (state.written, state.synced, state.attempted) = (state.last, state.last, [])
    }
}
