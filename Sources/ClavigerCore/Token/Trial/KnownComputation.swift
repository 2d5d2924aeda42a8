import ClavigerWire
import Cryptoki
import SecureMemory

/// Computations with a key of known value, and what they must give (computed with OpenSSL).
enum KnownComputation: CaseIterable {
    case gcm, cbc, hmac, keyWrap

    private static let value: [UInt8] = (0..<32).map { $0 }
    private static let plaintext = [UInt8](repeating: 0x2a, count: 32)
    private static let aad = Array("claviger".utf8)

    var mechanism: MechanismType {
        switch self {
        case .gcm: .aesGCM
        case .cbc: .aesCBC
        case .hmac: .hmacSHA256
        case .keyWrap: .aesKeyWrap
        }
    }

    /// How its row is called.
    var name: String { "\(mechanism) computes right" }

    private var expected: [UInt8] {
        let hex =
            switch self {
            case .gcm: "25408c764525fddeecb739aaaa7bdeb18b76a759a2ddab33d49174d02ef41831fc4b6343dab0943582125844cdadd7e3"
            case .cbc: "b385b40dfe455a2572c1248e62938cfa09daa9cc9c560d9a697a041e0343aa1f"
            case .hmac: "6fef267ee2b912bd13435187dfa7648fbfe8a059d3ec18e58356fd20402e7eaa"
            case .keyWrap: "de91beb0b423ece44ca55a3c08225ab154758c8090b96dabe2a30b661ad50f2c97842bd825c846df"
            }
        let digits = hex.compactMap(\.hexDigitValue)
        return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
    }

    private var type: KeyType {
        switch self {
        case .gcm, .cbc, .keyWrap: .aes
        case .hmac: .genericSecret
        }
    }

    private var uses: [AttributeType] {
        switch self {
        case .gcm, .cbc: [.encrypt, .decrypt]
        case .hmac: [.sign, .verify]
        case .keyWrap: [.wrap, .unwrap]
        }
    }

    /// A key whose value is known, which everybody may read.
    private static func known(_ type: KeyType, _ uses: [AttributeType]) -> [Attribute] {
        [
            .objectClass(.secretKey), .keyType(type), .bool(.token, false), .bool(.private, true), .bool(.sensitive, false),
            .bool(.extractable, true),
        ] + ObjectTemplate.secretKeyUses.map { .bool($0, uses.contains($0)) }
    }

    /// Computes with a key of known value, there and back.
    ///
    /// - Throws: what the token says to the key itself: then nothing was tried.
    func examine(_ session: inout Session) throws(CryptokiError) -> TrialRow {
        let value = KnownComputation.value
        let key = try session.createObject(KnownComputation.known(type, uses), value: value.span.bytes)
        defer { try? session.destroyObject(key) }
        do throws(CryptokiError) {
            guard try compute(key, &session) == expected else {
                return TrialRow(name, .dangerous, "its result for a key of known value is wrong")
            }
            guard try reverse(expected, key, &session) == KnownComputation.plaintext else {
                return TrialRow(name, .dangerous, "what it gives back for a key of known value is wrong")
            }
            return TrialRow(name, .works)
        } catch {
            if error.meansLost { throw error }
            // Listed, and not done: nothing that needs it works, as the suites' own trial shows.
            return TrialRow(name, .refused, error.description)
        }
    }

    /// What the computation gives for the known plaintext.
    func compute(_ key: ObjectHandle, _ session: inout Session) throws(CryptokiError) -> [UInt8] {
        let input = KnownComputation.plaintext
        let (iv, aad) = (iv, KnownComputation.aad)
        switch self {
        case .gcm:
            return try KnownComputation.output { (buffer) throws(CryptokiError) in
                try session.encrypt(
                    .aesGCM(iv: iv.span.bytes, additionalData: aad.span.bytes, tagBits: 128), key: key,
                    plaintext: input.span.bytes, into: buffer)
            }
        case .cbc:
            return try KnownComputation.output { (buffer) throws(CryptokiError) in
                try session.encrypt(.aesCBC(iv: iv.span.bytes), key: key, plaintext: input.span.bytes, into: buffer)
            }
        case .hmac:
            return try KnownComputation.output { (buffer) throws(CryptokiError) in
                try session.sign(.hmacSHA256, key: key, data: input.span.bytes, into: buffer)
            }
        case .keyWrap:
            let wrapped = try session.createObject(KnownComputation.known(.genericSecret, []), value: input.span.bytes)
            defer { try? session.destroyObject(wrapped) }
            return try KnownComputation.output { (buffer) throws(CryptokiError) in
                try session.wrapKey(.aesKeyWrap, wrappingKey: key, key: wrapped, into: buffer)
            }
        }
    }

    /// What the token makes of a result; nothing is reversed where there is no way back.
    private func reverse(_ result: [UInt8], _ key: ObjectHandle, _ session: inout Session) throws(CryptokiError) -> [UInt8] {
        let (iv, aad) = (iv, KnownComputation.aad)
        switch self {
        case .gcm:
            return try KnownComputation.output { (buffer) throws(CryptokiError) in
                try session.decrypt(
                    .aesGCM(iv: iv.span.bytes, additionalData: aad.span.bytes, tagBits: 128), key: key,
                    ciphertext: result.span.bytes, into: buffer)
            }
        case .cbc:
            return try KnownComputation.output { (buffer) throws(CryptokiError) in
                try session.decrypt(.aesCBC(iv: iv.span.bytes), key: key, ciphertext: result.span.bytes, into: buffer)
            }
        case .hmac: return KnownComputation.plaintext
        case .keyWrap:
            let back = try session.unwrapKey(
                .aesKeyWrap, unwrappingKey: key, wrapped: result.span.bytes, KnownComputation.known(.genericSecret, []))
            defer { try? session.destroyObject(back) }
            return try session.bytes(.value, of: back)
        }
    }

    private var iv: [UInt8] { [UInt8](repeating: 7, count: self == .gcm ? 12 : 16) }

    private static func output(
        _ body: (UnsafeMutableRawBufferPointer) throws(CryptokiError) -> Int
    ) throws(CryptokiError) -> [UInt8] {
        var output = [UInt8](repeating: 0, count: 64)
        let outcome = output.withUnsafeMutableBytes { buffer in
            Result { () throws(CryptokiError) -> Int in try body(buffer) }
        }
        return Array(output.prefix(try outcome.get()))
    }
}
