/// Finds one text in others, byte by byte, at a cost that is linear whatever the texts are (Knuth, Morris and Pratt, 1977): what is
/// looked for and where comes from callers, and a search goes over every key.
struct TextFinder: Sendable, Equatable {
    /// The bytes that are looked for.
    let needle: [UInt8]
    /// For each beginning of the needle the length of the longest shorter beginning that it also ends with.
    private let fallbacks: [Int]

    init(_ needle: [UInt8]) {
        var fallbacks = [Int](repeating: 0, count: needle.count)
        var matched = 0
        for place in needle.indices.dropFirst() {
            while matched > 0, needle[matched] != needle[place] { matched = fallbacks[matched - 1] }
            if needle[matched] == needle[place] { matched += 1 }
            fallbacks[place] = matched
        }
        self.needle = needle
        self.fallbacks = fallbacks
    }

    /// How many bytes of `text` end with the first place where the needle stands; nil when it stands nowhere.
    func end(in text: some Sequence<UInt8>) -> Int? {
        guard !needle.isEmpty else { return 0 }
        var matched = 0
        var count = 0
        for byte in text {
            count += 1
            while matched > 0, needle[matched] != byte { matched = fallbacks[matched - 1] }
            if needle[matched] == byte { matched += 1 }
            if matched == needle.count { return count }
        }
        return nil
    }
}

/// A text in which `*` stands for any characters, none included.
struct TextPattern: Sendable, Equatable {
    // What stands before the first star, between stars and after the last; one part when there is no star.
    private let parts: [TextFinder]

    init(_ pattern: String) {
        parts = pattern.utf8.split(separator: UInt8(ascii: "*"), omittingEmptySubsequences: false).map { TextFinder(Array($0)) }
    }

    /// Whether the whole of `text` is of this form.
    func matches(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        guard let first = parts.first, let last = parts.last, bytes.starts(with: first.needle) else { return false }
        guard parts.count > 1 else { return bytes.count == first.needle.count }
        // Each part in between where it stands first leaves the most for those after it.
        var rest = bytes[first.needle.count...]
        for part in parts.dropFirst().dropLast() {
            guard let end = part.end(in: rest) else { return false }
            rest = rest.dropFirst(end)
        }
        return rest.count >= last.needle.count && rest.suffix(last.needle.count).elementsEqual(last.needle)
    }
}
