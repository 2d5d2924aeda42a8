import ClavigerWire

/// Records that may be in the log already, by their ids: bodies as `AuditRecord.body` gives them.
///
/// A line that has the id and says anything else is not the record: somebody may have put it there to have the record taken for written.
struct AuditSearch {
    private let bodies: [String: (id: OperationID, body: [UInt8])]
    private let after: UInt64

    /// - Parameter after: no record before it is one of them.
    init(_ bodies: [OperationID: [UInt8]], after: UInt64) {
        self.bodies = Dictionary(bodies.map { ("\($0.key)", ($0.key, $0.value)) }) { first, _ in first }
        self.after = after
    }

    /// Those that are in these segments, ascending. The chain is not looked at: it may be broken where a gap has been recorded.
    ///
    /// - Parameter known: a place in the log. Files far beyond it are none of the log's and are left alone.
    func found(in segments: [AuditSegment], known: AuditPosition) throws(FileError) -> Set<OperationID> {
        var found: Set<OperationID> = []
        guard !bodies.isEmpty else { return found }
        for segment in AuditScan.part(of: segments, after: after, known: known) {
            try AuditLines.read(segment.path, failed: { $0 }) { (line, _) throws(FileError) in
                if let id = id(of: line) { found.insert(id) }
            }
        }
        return found
    }

    /// Those that are among these lines.
    func found(in lines: [UInt8]) -> Set<OperationID> {
        Set(lines.split(separator: UInt8(ascii: "\n")).compactMap { $0.withUnsafeBytes { id(of: $0) } })
    }

    // The id of the record that the line is; nil when it is none of those looked for.
    private func id(of line: UnsafeRawBufferPointer) -> OperationID? {
        guard let parts = AuditLine.parts(line), parts.sequence > after, let id = AuditLine.id(parts, line),
            let wanted = bodies[id], AuditLine.body(parts, line).elementsEqual(wanted.body)
        else { return nil }
        return wanted.id
    }
}
