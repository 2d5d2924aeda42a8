import Glibc

/// Reads a log's records as they come, from file to file.
package struct AuditFollower {
    /// The number of the newest record that an open file with a segment's name may give; nil when it is none of the log's own. Only who
    /// writes the log can tell: `AuditLog.bound`.
    package typealias Bound = (AuditSegment, FileIdentity) -> UInt64?

    private let directory: String
    private let bound: Bound
    private var segment: AuditSegment?
    private var offset = 0

    /// A follower of the log in a directory that begins after what is there now, or with the last records of it.
    package init(_ directory: String, skipping: Bool = true, bound: Bound? = nil) throws(FileError) {
        self.directory = directory
        self.bound = bound ?? { _, _ in .max }
        segment = try own().last
        guard skipping, let segment else { return }
        offset = try AuditLines.read(segment.path, failed: { $0 }) { (_, _) throws(FileError) in }.offset
    }

    /// A follower that goes on behind a record of the log.
    ///
    /// Where that record is not there any more, or another has its number, nothing is left out: it begins with the first file behind
    /// the record, else with the newest one, and what was read before may come again.
    package init(
        _ directory: String, after position: AuditPosition, bound: Bound? = nil
    ) throws(FileError) {
        self.directory = directory
        self.bound = bound ?? { _, _ in .max }
        let segments = try own()
        guard let holder = segments.last(where: { $0.first <= position.sequence }) else {
            segment = segments.first
            return
        }
        var place: Int?
        try AuditLines.read(holder.path, failed: { $0 }) { (line, start) throws(FileError) in
            guard place == nil, AuditLine.parts(line)?.sequence == position.sequence, AuditHash(of: line) == position.hash else {
                return
            }
            place = start + line.count + 1
        }
        if let place {
            (segment, offset) = (holder, place)
        } else {
            segment = segments.first { $0.first > position.sequence } ?? segments.last
        }
    }

    private enum Ended: Error {
        case refused
        /// The log has not written it, or not yet.
        case beyond
        case file(FileError)
    }

    /// Calls `body` with every whole line that has come since, as far as `body` takes it.
    ///
    /// - Parameter body: returns whether it has taken the line; one that it has not is given again the next time.
    /// - Returns: whether all was taken. Throws ESTALE while another file than the log's own has its name.
    @discardableResult
    package mutating func next(_ body: (UnsafeRawBufferPointer) -> Bool) throws(FileError) -> Bool {
        while true {
            if segment == nil { segment = try own().first }
            guard let current = segment else { return true }
            let file = open(current.path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
            // Old files may be taken away: what follows goes on with the oldest that is left.
            guard file >= 0 else {
                guard errno == ENOENT else { throw FileError("read", current.path, errno) }
                guard let next = try following(current) else { return true }
                segment = next
                offset = 0
                continue
            }
            defer { close(file) }
            guard let newest = bound(file, current) else { throw FileError("follow", current.path, ESTALE) }
            do throws(Ended) {
                // One that takes nothing more ends the reading: what it lags behind by may be long.
                offset = try AuditLines.read(file, current.path, from: offset, failed: { Ended.file($0) }) {
                    (line, place) throws(Ended) in
                    if newest < .max, AuditLine.parts(line).map({ $0.sequence > newest }) ?? true { throw .beyond }
                    guard body(line) else { throw .refused }
                    offset = place + line.count + 1
                }.offset
            } catch {
                switch error {
                case .refused: return false
                case .beyond:
                    // What others put behind the log's own records in a file that it left.
                    guard let next = try following(current) else { return true }
                    // Unless it was written and followed meanwhile.
                    guard bound(file, current) == newest else { continue }
                    segment = next
                    offset = 0
                    continue
                case .file(let failure): throw failure
                }
            }
            // The next file is begun after the last line of this one was written.
            guard let next = try following(current) else { return true }
            let again = try AuditLines.read(current.path, from: offset, failed: { $0 }) { (_, _) throws(FileError) in }
            guard again.offset == offset else { continue }
            segment = next
            offset = 0
        }
    }

    /// The oldest file behind `current` that is the log's.
    private func following(_ current: AuditSegment) throws(FileError) -> AuditSegment? {
        try AuditSegment.list(directory).first { $0.first > current.first && isOwn($0) }
    }

    /// The files that are the log's. Throws ESTALE when there are others alone, as before the log is open.
    private func own() throws(FileError) -> [AuditSegment] {
        let all = try AuditSegment.list(directory)
        let own = all.filter(isOwn)
        guard own.isEmpty == all.isEmpty else { throw FileError("follow", directory, ESTALE) }
        return own
    }

    private func isOwn(_ segment: AuditSegment) -> Bool {
        let file = open(segment.path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard file >= 0 else { return false }
        defer { close(file) }
        return bound(file, segment) != nil
    }

    private func bound(_ file: Int32, _ segment: AuditSegment) -> UInt64? {
        var status = stat()
        guard fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
        return bound(segment, FileIdentity(status))
    }
}
