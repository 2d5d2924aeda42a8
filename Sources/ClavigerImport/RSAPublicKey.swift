import COpenSSL
import ClavigerWire

/// An RSA public key that material is encrypted to.
public struct RSAPublicKey: ~Copyable {
    private let key: OpaquePointer

    /// The shortest modulus that is used: what 128-bit security asks for (SP 800-57 part 1, table 2).
    public static let minimumBits = 3_072
    /// The public exponent of every key here.
    public static let exponent: [UInt8] = [1, 0, 1]

    /// The key in a DER SubjectPublicKeyInfo (RFC 5280, section 4.1).
    ///
    /// - Throws: `publicKey` for anything else, `weakPublicKey` for a key that should not be trusted.
    public init(_ der: RawSpan) throws(ImportError) {
        let parsed = der.withUnsafeBytes { bytes -> OpaquePointer? in
            var place = bytes.bindMemory(to: UInt8.self).baseAddress
            guard let key = d2i_PUBKEY(nil, &place, bytes.count) else { return nil }
            // Nothing may follow.
            guard place == bytes.bindMemory(to: UInt8.self).baseAddress.map({ $0 + bytes.count }) else {
                EVP_PKEY_free(key)
                return nil
            }
            return key
        }
        guard let parsed else { throw .publicKey }
        if let problem = RSAPublicKey.problem(with: parsed) {
            EVP_PKEY_free(parsed)
            throw problem
        }
        key = parsed
    }

    deinit { EVP_PKEY_free(key) }

    /// The length of the modulus in bits.
    public var bits: Int { Int(EVP_PKEY_get_bits(key)) }

    /// The DER SubjectPublicKeyInfo of a key of these numbers, both big-endian.
    public static func der(modulus: [UInt8], exponent: [UInt8]) -> [UInt8] {
        let numbers = DER.sequence(DER.integer(modulus) + DER.integer(exponent))
        return DER.sequence(DER.rsaEncryption + DER.bitString(numbers))
    }

    /// Encrypts material to the key: RSAES-OAEP without a label (RFC 8017, section 7.1.1).
    public borrowing func encrypt(_ material: RawSpan, _ digest: OAEPDigest) throws(ImportError) -> [UInt8] {
        guard let context = EVP_PKEY_CTX_new_from_pkey(nil, key, nil) else { throw .libcrypto("EVP_PKEY_CTX_new_from_pkey") }
        defer { EVP_PKEY_CTX_free(context) }
        let function =
            switch digest {
            case .sha1: EVP_sha1()
            case .sha256: EVP_sha256()
            }
        guard EVP_PKEY_encrypt_init(context) == 1, EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) == 1,
            EVP_PKEY_CTX_set_rsa_oaep_md(context, function) == 1, EVP_PKEY_CTX_set_rsa_mgf1_md(context, function) == 1
        else { throw .libcrypto("EVP_PKEY_encrypt_init") }
        var output = [UInt8](repeating: 0, count: Int(EVP_PKEY_get_size(key)))
        var length = output.count
        let result = material.withUnsafeBytes { bytes in
            EVP_PKEY_encrypt(context, &output, &length, bytes.bindMemory(to: UInt8.self).baseAddress, bytes.count)
        }
        guard result == 1, length == output.count else { throw .libcrypto("EVP_PKEY_encrypt") }
        return output
    }

    private static func problem(with key: OpaquePointer) -> ImportError? {
        guard EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA else { return .publicKey }
        let bits = Int(EVP_PKEY_get_bits(key))
        guard bits >= minimumBits else { return .weakPublicKey(.short(bits)) }
        var modulus: OpaquePointer?
        var exponent: OpaquePointer?
        defer {
            BN_free(modulus)
            BN_free(exponent)
        }
        guard EVP_PKEY_get_bn_param(key, "n", &modulus) == 1, EVP_PKEY_get_bn_param(key, "e", &exponent) == 1,
            let modulus, let exponent
        else { return .libcrypto("EVP_PKEY_get_bn_param") }
        guard BN_is_word(exponent, 65_537) == 1 else { return .weakPublicKey(.exponent) }
        guard !StructuredModulus.matches(modulus) else { return .weakPublicKey(.structured) }
        return nil
    }
}

/// The structure of moduli that some chips make (CVE-2017-15361), which lets them be factored: both primes are powers of 65,537 modulo
/// a product of small primes, and so is the modulus.
///
/// Source: Nemec, Sys, Svenda, Klinec, Matyas, "The Return of Coppersmith's Attack" (CCS 2017), section 2.
enum StructuredModulus {
    /// Small primes that divide the product for every length of key. For most, the powers of 65,537 are few.
    private static let primes: [UInt64] = [
        3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109, 113,
        127, 131, 137, 139, 149, 151, 157, 163, 167,
    ]

    /// Whether the modulus has the structure. An honest one has it by chance once in 2^27.
    static func matches(_ modulus: OpaquePointer) -> Bool {
        primes.allSatisfy { prime in powers(modulo: prime).contains(UInt64(BN_mod_word(modulus, UInt(prime)))) }
    }

    private static func powers(modulo prime: UInt64) -> Set<UInt64> {
        var powers: Set<UInt64> = []
        var power: UInt64 = 1
        while powers.insert(power).inserted { power = power * 65_537 % prime }
        return powers
    }
}

/// What of DER (X.690) a public key needs.
private enum DER {
    /// AlgorithmIdentifier of rsaEncryption, 1.2.840.113549.1.1.1, with its NULL parameter (RFC 3279, section 2.3.1).
    static let rsaEncryption: [UInt8] = [
        0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
    ]

    static func sequence(_ content: [UInt8]) -> [UInt8] { [0x30] + length(content.count) + content }

    static func bitString(_ content: [UInt8]) -> [UInt8] { [0x03] + length(content.count + 1) + [0] + content }

    /// A positive number: no superfluous zero in front, one where the top bit is set.
    static func integer(_ bytes: [UInt8]) -> [UInt8] {
        var content = Array(bytes.drop { $0 == 0 })
        if content.first.map({ $0 & 0x80 != 0 }) ?? true { content.insert(0, at: 0) }
        return [0x02] + length(content.count) + content
    }

    private static func length(_ count: Int) -> [UInt8] {
        if count < 0x80 { return [UInt8(count)] }
        let bytes = withUnsafeBytes(of: UInt32(count).bigEndian) { Array($0.drop { $0 == 0 }) }
        return [0x80 | UInt8(bytes.count)] + bytes
    }
}
