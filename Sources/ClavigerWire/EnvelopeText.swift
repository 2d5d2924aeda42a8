/// The text form of an envelope: `clv1.` and canonical base64url (RFC 4648 section 5, no padding, spare bits zero), on one line.
public enum EnvelopeText {
    /// What every text form begins with.
    public static let prefix = "clv1."
    /// The longest text form in bytes, the newline included.
    public static let maximumLength = prefix.utf8.count + (Envelope.maximumLength * 4 + 2) / 3 + 1

    /// The text form of an envelope, without a newline.
    public static func encode(_ envelope: RawSpan) -> String {
        var text = Array(prefix.utf8)
        var index = 0
        while index < envelope.byteCount {
            let left = min(3, envelope.byteCount - index)
            var group: UInt32 = 0
            for position in 0..<3 {
                group = group << 8 | (position < left ? UInt32(envelope.byte(at: index + position)) : 0)
            }
            for position in 0...left { text.append(alphabet[Int(group >> UInt32(18 - 6 * position) & 63)]) }
            index += 3
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// The envelope's bytes of a text form, one newline at its end allowed.
    ///
    /// - Throws: `malformedEnvelope` for anything but the one text form of its bytes.
    public static func decode(_ text: RawSpan) throws(Refusal) -> [UInt8] {
        let malformed = Refusal(.malformedEnvelope)
        guard text.byteCount <= maximumLength, hasPrefix(text) else { throw malformed }
        var end = text.byteCount
        if text.byte(at: end - 1) == UInt8(ascii: "\n") { end -= 1 }
        let start = prefix.utf8.count
        let length = end - start
        guard length > 0, length % 4 != 1 else { throw malformed }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(length * 3 / 4)
        var group: UInt32 = 0
        var bits: UInt32 = 0
        for index in start..<end {
            guard let value = digitValue(text.byte(at: index)) else { throw malformed }
            group = (group << 6 | value) & 0xffff
            bits += 6
            if bits >= 8 {
                bits -= 8
                bytes.append(UInt8(truncatingIfNeeded: group >> bits))
            }
        }
        guard group & ((1 << bits) - 1) == 0 else { throw malformed }
        return bytes
    }

    /// Whether `bytes` begin as a text form does.
    public static func hasPrefix(_ bytes: RawSpan) -> Bool {
        guard bytes.byteCount > prefix.utf8.count else { return false }
        for (index, byte) in prefix.utf8.enumerated() where bytes.byte(at: index) != byte { return false }
        return true
    }

    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

    private static func digitValue(_ byte: UInt8) -> UInt32? {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(byte - UInt8(ascii: "A"))
        case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(byte - UInt8(ascii: "a")) + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(byte - UInt8(ascii: "0")) + 52
        case UInt8(ascii: "-"): 62
        case UInt8(ascii: "_"): 63
        default: nil
        }
    }
}
