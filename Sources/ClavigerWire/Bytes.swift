/// A part of some bytes that its holder knows: an offset and a count.
///
/// Decoded messages name their secrets by range instead of copying them, so that plaintext stays in the buffer it arrived in.
public struct ByteRange: Sendable, Hashable {
    /// Where the part begins.
    public var offset: Int
    /// How many bytes it has.
    public var count: Int

    /// The `count` bytes from `offset` on.
    public init(offset: Int, count: Int) {
        self.offset = offset
        self.count = count
    }
}

extension RawSpan {
    /// The bytes of `range`; traps when it does not lie within.
    @_lifetime(copy self)
    public func part(_ range: ByteRange) -> RawSpan {
        extracting(range.offset..<range.offset + range.count)
    }

    /// The bytes as an array. Never for secrets: arrays are neither locked nor wiped.
    public func array() -> [UInt8] {
        withUnsafeBytes { Array($0) }
    }

    func byte(at offset: Int) -> UInt8 { unsafeLoad(fromUncheckedChecked: offset) }

    func bigEndian16(at offset: Int) -> UInt16 {
        UInt16(byte(at: offset)) << 8 | UInt16(byte(at: offset + 1))
    }

    func bigEndian32(at offset: Int) -> UInt32 {
        UInt32(bigEndian16(at: offset)) << 16 | UInt32(bigEndian16(at: offset + 2))
    }

    func bigEndian64(at offset: Int) -> UInt64 {
        UInt64(bigEndian32(at: offset)) << 32 | UInt64(bigEndian32(at: offset + 4))
    }

    private func unsafeLoad(fromUncheckedChecked offset: Int) -> UInt8 {
        precondition(offset >= 0 && offset < byteCount)
        return unsafeLoad(fromByteOffset: offset, as: UInt8.self)
    }
}

/// The text of `bytes` when they are valid UTF-8 (Unicode 15, section 3.9: no overlong forms, no surrogates).
func validatedText(_ bytes: RawSpan) -> String? {
    bytes.withUnsafeBytes { String(validating: $0, as: UTF8.self) }
}
