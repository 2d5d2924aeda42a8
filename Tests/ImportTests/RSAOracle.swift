import COpenSSL
import Testing

/// An RSA key pair of libcrypto's, in the token's place.
///
/// Sendable: the key never changes once it is made, and libcrypto lets several threads use one key.
final class RSAOracle: @unchecked Sendable {
    private let key: OpaquePointer

    /// Makes a pair of `bits` bits; 3,072 take about a second.
    init(bits: Int32) throws {
        let context = EVP_PKEY_CTX_new_from_name(nil, "RSA", nil)
        defer { EVP_PKEY_CTX_free(context) }
        try #require(EVP_PKEY_keygen_init(context) == 1)
        try #require(EVP_PKEY_CTX_set_rsa_keygen_bits(context, bits) == 1)
        var made: OpaquePointer?
        try #require(EVP_PKEY_generate(context, &made) == 1)
        key = try #require(made)
    }

    deinit { EVP_PKEY_free(key) }

    /// One pair for all tests of the process.
    static let shared = Result { try RSAOracle(bits: 3_072) }

    /// The public key as libcrypto writes it.
    var der: [UInt8] {
        var place: UnsafeMutablePointer<UInt8>?
        let count = Int(i2d_PUBKEY(key, &place))
        defer { CRYPTO_free(place, #file, #line) }
        return Array(UnsafeBufferPointer(start: place, count: max(count, 0)))
    }

    /// A number of the key (`n`, `e`), big-endian.
    func number(_ name: String) throws -> [UInt8] {
        var number: OpaquePointer?
        try #require(EVP_PKEY_get_bn_param(key, name, &number) == 1)
        defer { BN_free(number) }
        var bytes = [UInt8](repeating: 0, count: 1 + Int(BN_num_bits(number) + 7) / 8)
        try #require(BN_bn2binpad(number, &bytes, Int32(bytes.count)) == bytes.count)
        return bytes
    }

    /// RSAES-OAEP decryption; nil when it fails.
    func decrypt(_ ciphertext: [UInt8], _ digest: OpaquePointer?) -> [UInt8]? {
        let context = EVP_PKEY_CTX_new_from_pkey(nil, key, nil)
        defer { EVP_PKEY_CTX_free(context) }
        guard EVP_PKEY_decrypt_init(context) == 1, EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) == 1,
            EVP_PKEY_CTX_set_rsa_oaep_md(context, digest) == 1, EVP_PKEY_CTX_set_rsa_mgf1_md(context, digest) == 1
        else { return nil }
        var output = [UInt8](repeating: 0, count: 1_024)
        var length = output.count
        guard EVP_PKEY_decrypt(context, &output, &length, ciphertext, ciphertext.count) == 1 else { return nil }
        return Array(output.prefix(length))
    }
}
