import ClavigerWire

/// The bytes that hexadecimal digits stand for; white space between them is passed over. Nil for anything else.
func bytes(hex: some StringProtocol) -> [UInt8]? {
    var bytes: [UInt8] = []
    var half: UInt8?
    for character in hex where !character.isWhitespace {
        guard let digit = character.hexDigitValue else { return nil }
        if let high = half {
            bytes.append(high << 4 | UInt8(digit))
            half = nil
        } else {
            half = UInt8(digit)
        }
    }
    return half == nil ? bytes : nil
}

func hex(_ bytes: some Sequence<UInt8>) -> String {
    let digits = Array("0123456789abcdef")
    return String(bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
}

func bigEndian<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
    withUnsafeBytes(of: value.bigEndian) { Array($0) }
}

/// One field, written here by hand so that the tests do not lean on the writer that they test.
func field(_ tag: UInt16, _ value: [UInt8]) -> [UInt8] { bigEndian(tag) + bigEndian(UInt32(value.count)) + value }

func field(_ tag: UInt16, _ text: String) -> [UInt8] { field(tag, Array(text.utf8)) }

/// The value of a list field of these items.
func list(_ items: [[UInt8]]) -> [UInt8] {
    bigEndian(UInt32(items.count)) + items.flatMap { bigEndian(UInt32($0.count)) + $0 }
}

/// The encoding of a context of these strings, whatever they hold.
func context(_ strings: [[UInt8]]) -> [UInt8] { list(strings) }

/// A whole frame.
func frame(kind: UInt8 = 0, opcode: UInt16, requestID: UInt32 = 1, detail: UInt32 = 0, _ body: [UInt8]) -> [UInt8] {
    bigEndian(UInt32(body.count + 12)) + [1, kind] + bigEndian(opcode) + bigEndian(requestID) + bigEndian(detail) + body
}

/// Sebastiano Vigna's SplitMix64: the same numbers for the same seed, so that a failure names how to come back.
struct SplitMix64: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }

    mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8.random(in: 0...255, using: &self) } }

    mutating func chance(_ numerator: Int, in denominator: Int) -> Bool {
        Int.random(in: 0..<denominator, using: &self) < numerator
    }
}
