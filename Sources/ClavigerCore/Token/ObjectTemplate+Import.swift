import ClavigerImport
import Cryptoki

/// Where a secret key on the token comes from.
package enum KeyMaterial: Hashable, Sendable {
    /// Made in the token, with 256 bits.
    case generated
    /// Brought from outside, with as many bits as whoever brought it said.
    case imported(bits: UInt32)
}

// Keys from outside, and the pairs that they come in by.
extension ObjectTemplate {
    /// The length of an import pair's modulus, as in Key Protect.
    package static let importModulusBits: UInt = 4_096

    /// What every key must be that an import pair unwraps: its CKA_UNWRAP_TEMPLATE. The token holds to it whoever asks, also somebody
    /// who has the PIN: without it the blob of an import could be unwrapped once more as a key that can be read.
    package static func unwrapFence(_ quirks: TokenQuirks) -> [Attribute] {
        let secrecy: [Attribute] = [
            .objectClass(.secretKey), .keyType(.aes), .bool(.private, true), .bool(.sensitive, true), .bool(.extractable, false),
        ]
        let uses: [AttributeType] = [.sign, .verify, .wrap, .unwrap, .derive]
        return secrecy + uses.map { .bool($0, false) } + importFences(quirks)
    }

    /// The key that an import unwraps first, for the length of one call: it opens the proof and does nothing else.
    package static func proofKey(_ quirks: TokenQuirks) -> [Attribute] {
        let secrecy: [Attribute] = [
            .objectClass(.secretKey), .keyType(.aes), .bool(.token, false), .bool(.private, true), .bool(.sensitive, true),
            .bool(.extractable, false),
        ]
        return secrecy + secretKeyUses.map { .bool($0, $0 == .decrypt) } + importFences(quirks)
    }

    private static func importFences(_ quirks: TokenQuirks) -> [Attribute] {
        let fences: [Attribute] = [.allowedMechanisms([.aesGCM]), .bool(.copyable, false), .bool(.modifiable, false)]
        return fences.filter { quirks.keeps($0.type) }
    }

    /// An import pair's public key does nothing on the token: callers get its numbers. So it ends with the session, and what stays on the
    /// token is one object.
    var importPublicKey: [Attribute] {
        let identity: [Attribute] = [
            .objectClass(.publicKey), .keyType(.rsa), .bool(.token, false), .bool(.private, false),
            .ulong(.modulusBits, ObjectTemplate.importModulusBits), .bytes(.publicExponent, RSAPublicKey.exponent),
        ]
        let last: [Attribute] = quirks.keeps(.modifiable) ? [.bool(.modifiable, false)] : []
        return identity + ObjectTemplate.publicKeyUses.map { .bool($0, false) } + last
    }

    /// What is to be said of a pair beyond its flags.
    func pairDifference(of object: ObjectHandle, session: inout Session) throws(CryptokiError) -> String? {
        guard name.role == .importPair else { return nil }
        let found = try session.template(.unwrapTemplate, of: object)
        let wanted = ObjectTemplate.unwrapFence(quirks)
        guard found.count == wanted.count,
            wanted.allSatisfy({ attribute in
                found.contains { $0.type == attribute.type && $0.valueBytes == attribute.valueBytes }
            })
        else { return "CKA_UNWRAP_TEMPLATE differs" }
        return nil
    }

    /// Whether a secret key has the length that it must have, where the token knows: some say 0 of keys that they have unwrapped.
    func lengthDifference(of object: ObjectHandle, session: inout Session) throws(CryptokiError) -> String? {
        let length = try session.ulong(.valueLength, of: object)
        switch material {
        case .generated:
            return length == ObjectTemplate.secretKeyLength ? nil : "CKA_VALUE_LEN is not \(ObjectTemplate.secretKeyLength)"
        case .imported(let bits):
            return length == UInt(bits / 8) || length == 0 ? nil : "CKA_VALUE_LEN is not \(bits / 8)"
        }
    }
}
