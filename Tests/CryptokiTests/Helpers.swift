import Cryptoki
import Support

/// The error that `body` throws, or nil when it succeeds.
func caught(_ body: () throws(CryptokiError) -> Void) -> CryptokiError? {
    do throws(CryptokiError) {
        try body()
        return nil
    } catch {
        return error
    }
}

/// The result of a call that writes at most `capacity` bytes to a buffer.
func filled(
    _ capacity: Int, _ body: (UnsafeMutableRawBufferPointer) throws(CryptokiError) -> Int
) throws(CryptokiError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: capacity)
    let result = bytes.withUnsafeMutableBytes { buffer in Result { () throws(CryptokiError) in try body(buffer) } }
    return Array(bytes.prefix(try result.get()))
}

/// Templates of session keys that these tests use.
enum Templates {
    static func aes(extractable: Bool = false) -> [Attribute] {
        [
            .bool(.token, false), .bool(.private, true), .bool(.sensitive, !extractable), .bool(.extractable, extractable),
            .bool(.encrypt, true), .bool(.decrypt, true), .bool(.wrap, false), .bool(.unwrap, false), .bool(.sign, false),
            .bool(.verify, false), .ulong(.valueLength, 32),
        ]
    }

    /// For C_CreateObject; the value goes beside it.
    static func imported(_ type: KeyType, sign: Bool = false) -> [Attribute] {
        [
            .objectClass(.secretKey), .keyType(type), .bool(.token, false), .bool(.private, true), .bool(.sensitive, true),
            .bool(.extractable, false), .bool(.encrypt, !sign), .bool(.decrypt, !sign), .bool(.sign, sign),
            .bool(.verify, sign),
        ]
    }
}

/// A small generator with a fixed sequence for each seed (SplitMix64).
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &self) } }
}
