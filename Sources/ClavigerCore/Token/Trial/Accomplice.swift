import ClavigerWire
import Cryptoki
import SecureMemory

/// A key of the session that a thief wraps others under: known to him, or readable, or with a private half elsewhere.
enum Accomplice: CaseIterable {
    /// A key of known value, brought in as it is.
    case created
    /// A key that the token makes, to be read afterwards.
    case generated
    /// A key of known value, encrypted by a key of the token first and unwrapped by it.
    case unwrapped
    /// The public half of a pair that the thief has at home.
    case publicKey

    /// How it is called.
    var text: String {
        switch self {
        case .created: "a known key"
        case .generated: "a key made to be read"
        case .unwrapped: "a known key that was unwrapped"
        case .publicKey: "somebody's public key"
        }
    }

    /// What wraps under it.
    var wrappings: [MechanismType] {
        switch self {
        case .created, .generated, .unwrapped: [.aesKeyWrap, .aesKeyWrapPad, .aesKeyWrapKWP, .aesECB, .aesCBC, .aesCBCPad]
        case .publicKey: [.rsaOAEP, .rsaPKCS]
        }
    }

    // Nobody's secret.
    private static let value = [UInt8](repeating: 9, count: 32)
    // What a public key of 2,048 bits needs to be taken for one: nobody decrypts what is wrapped under it.
    private static let modulus = [0xc3] + [UInt8](repeating: 0x5a, count: 254) + [0x0b]

    private static let open: [Attribute] = [
        .objectClass(.secretKey), .keyType(.aes), .bool(.token, false), .bool(.private, true), .bool(.sensitive, false),
        .bool(.extractable, true), .bool(.wrap, true), .bool(.unwrap, true), .bool(.encrypt, true), .bool(.decrypt, true),
    ]

    /// Gets hold of it.
    func make(_ listed: Set<MechanismType>, _ session: inout Session) throws(CryptokiError) -> ObjectHandle {
        switch self {
        case .created: return try session.createObject(Accomplice.open, value: Accomplice.value.span.bytes)
        case .generated: return try session.generateKey(.aesKeyGeneration, [.ulong(.valueLength, 32)] + Accomplice.open)
        case .unwrapped: return try unwrap(listed, &session)
        case .publicKey:
            return try session.createObject([
                .objectClass(.publicKey), .keyType(.rsa), .bool(.token, false), .bool(.private, false), .bool(.wrap, true),
                .bool(.encrypt, true), .bytes(.modulus, Accomplice.modulus), .bytes(.publicExponent, [1, 0, 1]),
            ])
        }
    }

    private func unwrap(_ listed: Set<MechanismType>, _ session: inout Session) throws(CryptokiError) -> ObjectHandle {
        let isPadded = listed.contains(.aesCBCPad)
        guard listed.contains(.aesCBC) else { throw .failed(.unwrapKey, .mechanismInvalid) }
        let carrier = try session.generateKey(.aesKeyGeneration, TokenTrial.key([.encrypt, .unwrap]))
        defer { try? session.destroyObject(carrier) }
        let iv = [UInt8](repeating: 0, count: 16)
        let plaintext = Accomplice.value + (isPadded ? [UInt8](repeating: 16, count: 16) : [])
        var wrapped = [UInt8](repeating: 0, count: plaintext.count)
        let outcome = wrapped.withUnsafeMutableBytes { buffer in
            Result { () throws(CryptokiError) in
                try session.encrypt(.aesCBC(iv: iv.span.bytes), key: carrier, plaintext: plaintext.span.bytes, into: buffer)
            }
        }
        _ = try outcome.get()
        return try session.unwrapKey(
            .other(isPadded ? .aesCBCPad : .aesCBC, parameter: iv.span.bytes), unwrappingKey: carrier,
            wrapped: wrapped.span.bytes, Accomplice.open)
    }
}
