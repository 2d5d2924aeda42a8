/// What the daemon finds in its log before it goes on writing: the newest part, from a place that it knows on.
struct AuditScan {
    /// The newest record of an unbroken chain; nil when there is none.
    private(set) var last: AuditPosition?
    /// The newest segment, and where its last whole record ends.
    private(set) var segment: AuditSegment?
    private(set) var end = AuditLines.End(offset: 0, rest: 0)
    /// Where the record of the known place ends in the newest segment; 0 when it stands in an older one.
    private(set) var knownEnd = 0
    /// When the newest segment's first record was made.
    private(set) var began: UInt64?
    /// The greatest number that stands anywhere.
    private(set) var highest: UInt64 = 0
    /// What is wrong with the chain, or with the place that was known.
    private(set) var problem: String?

    /// Reads the segments that hold what follows `known`.
    ///
    /// - Parameters:
    ///   - known: a place that the log must contain.
    ///   - written: the newest place that it must contain, where that is another.
    init(_ segments: [AuditSegment], known: AuditPosition, written: AuditPosition) throws(FileError) {
        var isKnownSeen = known.sequence == 0
        var isWrittenSeen = written == known
        for segment in AuditScan.part(of: segments, after: known.sequence, known: known) {
            self.segment = segment
            began = nil
            knownEnd = 0
            highest = max(highest, segment.first - 1)
            end = try AuditLines.read(segment.path, failed: { $0 }) { (line, offset) throws(FileError) in
                guard problem == nil else { return }
                guard let parts = AuditLine.parts(line) else {
                    problem = "\(segment.name) holds what is no record at byte \(offset)"
                    return
                }
                if let last, parts.sequence != last.sequence + 1 || parts.previous != last.hash {
                    problem = "record \(parts.sequence) in \(segment.name) does not continue record \(last.sequence)"
                    if AuditScan.isPlausible(parts.sequence, known) { highest = max(highest, parts.sequence) }
                    return
                }
                if last == nil {
                    let isBeginning = known.sequence == 0 && parts.sequence == 1
                    if parts.sequence == known.sequence + 1 || isBeginning {
                        guard parts.previous == known.hash else {
                            problem = "record \(parts.sequence) does not continue record \(known.sequence)"
                            return
                        }
                        isKnownSeen = true
                    }
                }
                guard AuditScan.isPlausible(parts.sequence, known) else {
                    problem = "\(segment.name) holds record \(parts.sequence), far beyond what was ever written"
                    return
                }
                let position = AuditPosition(sequence: parts.sequence, hash: AuditHash(of: line))
                if position.sequence == known.sequence {
                    guard position == known else {
                        problem = "record \(known.sequence) is another than the one that was written"
                        return
                    }
                    isKnownSeen = true
                    knownEnd = offset + line.count + 1
                }
                if position.sequence == written.sequence, written != known {
                    guard position == written else {
                        problem = "record \(written.sequence) is another than the one that was written"
                        return
                    }
                    isWrittenSeen = true
                }
                if began == nil { began = AuditScan.time(line) }
                last = position
                highest = max(highest, position.sequence)
            }
        }
        guard problem == nil, !isKnownSeen || !isWrittenSeen else { return }
        let there = last.map { "record \($0.sequence) is the newest" } ?? "there are no records"
        problem = "the log went to record \((isKnownSeen ? written : known).sequence), but \(there)"
    }

    /// Those of the log's segments, oldest first, that hold what follows record `sequence`.
    ///
    /// - Parameter known: a place that the log must contain. Files far beyond it are none of the log's.
    static func part(of segments: [AuditSegment], after sequence: UInt64, known: AuditPosition) -> ArraySlice<AuditSegment> {
        let segments = segments.filter { isPlausible($0.first, known) }
        return segments[(segments.lastIndex { $0.first <= max(1, sequence) } ?? 0)...]
    }

    /// Whether a record or file of this number can be the daemon's own. A number that somebody made up must not become where numbering
    /// goes on: the last there is would end the log.
    static func isPlausible(_ sequence: UInt64, _ known: AuditPosition) -> Bool {
        sequence <= min(known.sequence, AuditLine.greatest) + reach
    }

    /// More records than a daemon writes in ten years without any of them becoming known outside the log.
    private static let reach: UInt64 = 1 << 44

    private static func time(_ line: UnsafeRawBufferPointer) -> UInt64? {
        guard let value = try? JSONValue(Array(line)) else { return nil }
        return value["eventTime"]?.text.flatMap(AuditTime.milliseconds)
    }
}
