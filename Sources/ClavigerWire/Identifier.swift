/// A 128-bit identifier: a random UUID (RFC 9562, version 4) of one kind of thing.
///
/// `Kind` keeps identifiers of different things apart at compile time; it is never instantiated.
public struct Identifier<Kind>: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The first eight bytes, big-endian.
    public let high: UInt64
    /// The last eight bytes, big-endian.
    public let low: UInt64

    /// The length of an identifier in bytes.
    public static var byteCount: Int { 16 }

    /// An identifier of the given halves, as they are.
    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// All zeroes: no random identifier is this.
    static var zero: Self { Self(high: 0, low: 0) }

    /// The identifier in the first 16 bytes of `bytes`; nil when there are fewer.
    public init?(_ bytes: RawSpan) {
        guard bytes.byteCount >= Self.byteCount else { return nil }
        self.init(high: bytes.bigEndian64(at: 0), low: bytes.bigEndian64(at: 8))
    }

    /// A version 4 UUID made of 16 random bytes: version and variant bits are set here.
    public init(random bytes: (UInt64, UInt64)) {
        self.init(
            high: bytes.0 & 0xffff_ffff_ffff_0fff | 0x0000_0000_0000_4000,
            low: bytes.1 & 0x3fff_ffff_ffff_ffff | 0x8000_0000_0000_0000)
    }

    /// The identifier written as 8-4-4-4-12 hexadecimal digits, either case; nil for anything else.
    public init?(text: some StringProtocol) {
        var halves: (UInt64, UInt64) = (0, 0)
        var digits = 0
        var position = 0
        for byte in text.utf8 {
            defer { position += 1 }
            guard position < 36 else { return nil }
            if position == 8 || position == 13 || position == 18 || position == 23 {
                guard byte == UInt8(ascii: "-") else { return nil }
                continue
            }
            guard let value = hexDigitValue(byte) else { return nil }
            if digits < 16 { halves.0 = halves.0 << 4 | UInt64(value) } else { halves.1 = halves.1 << 4 | UInt64(value) }
            digits += 1
        }
        guard position == 36, digits == 32 else { return nil }
        self.init(high: halves.0, low: halves.1)
    }

    /// The 16 bytes in network order.
    public var bytes: [UInt8] {
        (0..<16).map { index in
            UInt8(truncatingIfNeeded: (index < 8 ? high : low) >> UInt64(8 * (7 - index % 8)))
        }
    }

    /// The lower-case 8-4-4-4-12 form.
    public var description: String {
        String(unsafeUninitializedCapacity: 36) { text in
            var place = 0
            for index in 0..<16 {
                if index == 4 || index == 6 || index == 8 || index == 10 {
                    text[place] = UInt8(ascii: "-")
                    place += 1
                }
                let byte = UInt8(truncatingIfNeeded: (index < 8 ? high : low) >> UInt64(8 * (7 - index % 8)))
                text[place] = hexDigit(byte >> 4)
                text[place + 1] = hexDigit(byte & 15)
                place += 2
            }
            return place
        }
    }

    public static func < (left: Self, right: Self) -> Bool {
        (left.high, left.low) < (right.high, right.low)
    }
}

/// The kind of `KeyID`.
public enum KeyIdentity {}
/// The kind of `InstanceID`.
public enum InstanceKind {}
/// The kind of `ImportTokenID`.
public enum ImportTokenKind {}
/// The kind of `ApprovalID`.
public enum ApprovalKind {}
/// The kind of `OperationID`.
public enum OperationKind {}

/// A key's identifier; immutable for its life.
public typealias KeyID = Identifier<KeyIdentity>
/// An instance's identifier.
public typealias InstanceID = Identifier<InstanceKind>
/// An import token's identifier.
public typealias ImportTokenID = Identifier<ImportTokenKind>
/// The identifier of a request for what needs a second person.
public typealias ApprovalID = Identifier<ApprovalKind>
/// The client's identifier of one changing request: a retry that carries it again is answered as the first time.
public typealias OperationID = Identifier<OperationKind>

private func hexDigit(_ value: UInt8) -> UInt8 { value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10 }

private func hexDigitValue(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
    default: nil
    }
}
