/// Suggestions for mistyped keys.
enum NearestName {
    /// Names longer than this are not typing errors of ours, and comparing them costs their product.
    private static let longest = 64

    /// The candidate that `name` most likely meant, or nil: the one with the fewest edits, at most a third of the name, else one whose
    /// last part is the same (the key stands in the wrong table).
    static func of(_ name: String, among candidates: [String]) -> String? {
        let name = Array(name.utf8)
        guard name.count <= longest else { return nil }
        var best: (distance: Int, candidate: String)?
        for candidate in candidates {
            let distance = edits(name, Array(candidate.utf8))
            if distance < best?.distance ?? Int.max { best = (distance, candidate) }
        }
        if let best, best.distance <= max(2, name.count / 3) { return best.candidate }
        return candidates.first { lastPart(Array($0.utf8)) == lastPart(name) }
    }

    private static func lastPart(_ path: [UInt8]) -> [UInt8] {
        path.split(separator: UInt8(ascii: ".")).last.map(Array.init) ?? []
    }

    /// The Levenshtein distance: insertions, deletions and replacements of single bytes.
    private static func edits(_ left: [UInt8], _ right: [UInt8]) -> Int {
        var row = Array(0...right.count)
        for (i, a) in left.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, b) in right.enumerated() {
                let substitution = diagonal + (a == b ? 0 : 1)
                diagonal = row[j + 1]
                row[j + 1] = min(substitution, row[j] + 1, diagonal + 1)
            }
        }
        return row[right.count]
    }
}
