import SecureMemory

/// Reads a log's records as they come, from file to file.
package struct AuditFollower {
    private let directory: String
    private var segment: AuditSegment?
    private var offset = 0

    /// A follower of the log in a directory that begins after what is there now, or with the last records of it.
    package init(_ directory: String, skipping: Bool = true) throws(FileError) {
        self.directory = directory
        segment = try AuditSegment.list(directory).last
        guard skipping, let segment else { return }
        offset = try AuditLines.read(segment.path, failed: { $0 }) { (_, _) throws(FileError) in }.offset
    }

    /// A follower that goes on behind a record of the log.
    ///
    /// Where that record is not there any more, or another has its number, nothing is left out: it begins with the first file behind
    /// the record, else with the newest one, and what was read before may come again.
    package init(_ directory: String, after position: AuditPosition) throws(FileError) {
        self.directory = directory
        let segments = try AuditSegment.list(directory)
        guard let holder = segments.last(where: { $0.first <= position.sequence }) else {
            segment = segments.first
            return
        }
        var place: Int?
        try AuditLines.read(holder.path, failed: { $0 }) { (line, start) throws(FileError) in
            guard place == nil, AuditLine.parts(line)?.sequence == position.sequence, SHA256.digest(line) == position.hash else {
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
        case file(FileError)
    }

    /// Calls `body` with every whole line that has come since, as far as `body` takes it.
    ///
    /// - Parameter body: returns whether it has taken the line; one that it has not is given again the next time.
    /// - Returns: whether all was taken.
    @discardableResult
    package mutating func next(_ body: (UnsafeRawBufferPointer) -> Bool) throws(FileError) -> Bool {
        while true {
            if segment == nil { segment = try AuditSegment.list(directory).first }
            guard let current = segment else { return true }
            // Old files may be taken away: what follows goes on with the oldest that is left.
            if Files.status(current.path) == nil {
                guard let next = try AuditSegment.list(directory).first(where: { $0.first > current.first }) else { return true }
                segment = next
                offset = 0
                continue
            }
            do throws(Ended) {
                // One that takes nothing more ends the reading: what it lags behind by may be long.
                offset = try AuditLines.read(current.path, from: offset, failed: { Ended.file($0) }) {
                    (line, place) throws(Ended) in
                    guard body(line) else { throw .refused }
                    offset = place + line.count + 1
                }.offset
            } catch {
                switch error {
                case .refused: return false
                case .file(let failure): throw failure
                }
            }
            // The next file is begun after the last line of this one was written.
            guard let next = try AuditSegment.list(directory).first(where: { $0.first > current.first }) else { return true }
            let again = try AuditLines.read(current.path, from: offset, failed: { $0 }) { (_, _) throws(FileError) in }
            guard again.offset == offset else { continue }
            segment = next
            offset = 0
        }
    }
}
