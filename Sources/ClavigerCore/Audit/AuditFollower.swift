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
            var takes = true
            var taken = offset
            let end = try AuditLines.read(current.path, from: offset, failed: { $0 }) { (line, place) throws(FileError) in
                guard takes else { return }
                takes = body(line)
                if takes { taken = place + line.count + 1 }
            }
            offset = takes ? end.offset : taken
            guard takes else { return false }
            // The next file is begun after the last line of this one was written.
            guard let next = try AuditSegment.list(directory).first(where: { $0.first > current.first }) else { return true }
            let again = try AuditLines.read(current.path, from: offset, failed: { $0 }) { (_, _) throws(FileError) in }
            guard again.offset == offset else { continue }
            segment = next
            offset = 0
        }
    }
}
