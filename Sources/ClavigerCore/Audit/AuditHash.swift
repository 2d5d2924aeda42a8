import SecureMemory

/// SHA-256 of a record's line, kept in place: every record has one, and the next one's line needs it.
package struct AuditHash: Sendable, Equatable {
    // The digest's bytes, as four words of this machine.
    private let words: (UInt64, UInt64, UInt64, UInt64)

    /// The hash of `bytes`.
    package init(of bytes: UnsafeRawBufferPointer) {
        var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        withUnsafeMutableBytes(of: &words) { SHA256.digest(bytes, into: $0) }
        self.words = words
    }

    /// The hash of `bytes`, by what computes many.
    init(of bytes: UnsafeRawBufferPointer, by computer: inout SHA256.Computer) {
        var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        withUnsafeMutableBytes(of: &words) { computer.digest(bytes, into: $0) }
        self.words = words
    }

    /// The hash of `bytes`.
    package init(of bytes: [UInt8]) { self = bytes.withUnsafeBytes { AuditHash(of: $0) } }

    /// The hash that these bytes are; nil when they are not 32.
    package init?(_ bytes: some Collection<UInt8>) {
        guard bytes.count == SHA256.byteCount else { return nil }
        var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        withUnsafeMutableBytes(of: &words) { $0.copyBytes(from: bytes) }
        self.words = words
    }

    /// The hash that these digits of lower-case hexadecimal are; nil when they are no 64 such.
    init?(hex digits: UnsafeRawBufferPointer) {
        guard digits.count == 2 * SHA256.byteCount else { return nil }
        var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        var isHex = true
        withUnsafeMutableBytes(of: &words) { bytes in
            for index in bytes.indices {
                let high = AuditLine.hexadecimal(digits[2 * index])
                let low = AuditLine.hexadecimal(digits[2 * index + 1])
                if high > 15 || low > 15 { isHex = false }
                bytes[index] = high << 4 | low & 15
            }
        }
        guard isHex else { return nil }
        self.words = words
    }

    /// Its 32 bytes.
    package var bytes: [UInt8] { withBytes { Array($0) } }

    func withBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R { withUnsafeBytes(of: words, body) }

    package static func == (left: AuditHash, right: AuditHash) -> Bool { left.words == right.words }
}
