import SecureMemory

/// Why material could not be made ready for an import. Says nothing of the material.
public enum ImportError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The material has this many bytes, and an AES key has 16, 24 or 32.
    case keyLength(Int)
    /// The public key is none, or not of RSA.
    case publicKey
    /// The public key is one that should not be trusted with a key.
    case weakPublicKey(Weakness)
    /// The nonce has another length than `ImportProof.nonceLength`.
    case nonceLength(Int)
    /// libcrypto refused.
    case libcrypto(String)

    /// What is wrong with an RSA key.
    public enum Weakness: Equatable, Sendable {
        /// It has this many bits, fewer than `RSAPublicKey.minimumBits`.
        case short(Int)
        /// Its exponent is not 65,537.
        case exponent
        /// Its modulus has the structure that gives the primes away (CVE-2017-15361).
        case structured
    }

    public var description: String {
        switch self {
        case .keyLength(let count): "the material has \(count) bytes; a root key has 16, 24 or 32"
        case .publicKey: "the import token's public key is not one of RSA"
        case .weakPublicKey(.short(let bits)):
            "the import token's public key has \(bits) bits; \(RSAPublicKey.minimumBits) are the least"
        case .weakPublicKey(.exponent): "the import token's public key has an exponent other than 65537"
        case .weakPublicKey(.structured):
            "the import token's public key was made by a generator whose keys can be factored (CVE-2017-15361)"
        case .nonceLength(let count): "the import token's nonce has \(count) bytes instead of 12"
        case .libcrypto(let function): "libcrypto refused (\(function))"
        }
    }
}
