/// A context: the caller's additional authenticated data, an ordered list of strings.
///
/// Encoded as u32 count, then for each string u32 length and its UTF-8 bytes. This encoding is both the value of a context field
/// and the end of what an envelope authenticates, so contexts are compared as bytes and never normalised; the empty list and one
/// empty string differ.
public enum Context {
    /// The encoding of the empty list, which an absent field stands for.
    public static let empty: [UInt8] = [0, 0, 0, 0]

    /// The encoding of `strings`.
    ///
    /// - Throws: `contextLimit`.
    public static func encode(_ strings: [String]) throws(Refusal) -> [UInt8] {
        guard strings.count <= Limits.maximumContextStrings else { throw Refusal(.contextLimit) }
        var encoded = bigEndianBytes(UInt32(strings.count))
        for string in strings {
            let utf8 = Array(string.utf8)
            guard utf8.count <= Limits.maximumContextStringBytes else { throw Refusal(.contextLimit) }
            encoded += bigEndianBytes(UInt32(utf8.count)) + utf8
        }
        try check(encoded.span.bytes)
        return encoded
    }

    /// Checks that `bytes` are the encoding of a context within the limits.
    ///
    /// - Throws: `contextLimit`, `invalidText`, or `malformedBody` when the bytes do not divide into strings.
    public static func check(_ bytes: RawSpan) throws(Refusal) {
        guard bytes.byteCount >= 4 else { throw Refusal(.malformedBody, "a context is cut off") }
        let count = Int(bytes.bigEndian32(at: 0))
        guard count <= Limits.maximumContextStrings else { throw Refusal(.contextLimit) }
        var position = 4
        var total = 0
        for _ in 0..<count {
            guard bytes.byteCount - position >= 4 else { throw Refusal(.malformedBody, "a context is cut off") }
            let length = Int(bytes.bigEndian32(at: position))
            position += 4
            guard length <= Limits.maximumContextStringBytes else { throw Refusal(.contextLimit) }
            guard length <= bytes.byteCount - position else { throw Refusal(.malformedBody, "a context is cut off") }
            total += length
            guard total <= Limits.maximumContextBytes else { throw Refusal(.contextLimit) }
            guard let text = validatedText(bytes.part(ByteRange(offset: position, count: length))) else {
                throw Refusal(.invalidText, "a context string is not valid UTF-8")
            }
            guard text.unicodeScalars.count <= Limits.maximumContextScalars else { throw Refusal(.contextLimit) }
            position += length
        }
        guard position == bytes.byteCount else { throw Refusal(.malformedBody, "bytes follow a context's last string") }
    }

    /// The strings of an encoding that `check` accepts.
    ///
    /// - Throws: as `check`.
    public static func decode(_ bytes: RawSpan) throws(Refusal) -> [String] {
        try check(bytes)
        var strings: [String] = []
        var position = 4
        for _ in 0..<Int(bytes.bigEndian32(at: 0)) {
            let range = ByteRange(offset: position + 4, count: Int(bytes.bigEndian32(at: position)))
            strings.append(validatedText(bytes.part(range)) ?? "")
            position = range.offset + range.count
        }
        return strings
    }
}

func bigEndianBytes<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
    withUnsafeBytes(of: value.bigEndian) { Array($0) }
}
