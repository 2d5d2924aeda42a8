import COpenSSL
import ClavigerWire

/// Key material made ready for a secure import: encrypted to the import token's public key, with the proof that the sender holds it.
///
/// The material itself goes nowhere else: neither on the socket nor into the daemon's memory.
public struct ImportParcel: Equatable, Sendable {
    /// The material under RSAES-OAEP.
    public let encryptedPayload: [UInt8]
    /// The proof, as `ImportProof` has it.
    public let proof: [UInt8]
    /// The material's length in bits.
    public let bits: UInt32

    /// Encrypts material and proves its possession.
    ///
    /// - Parameters:
    ///   - material: 16, 24 or 32 bytes.
    ///   - publicKey: the import token's, a DER SubjectPublicKeyInfo.
    ///   - digest: the one that the import token asks for.
    ///   - nonce: the one that the import token gave for this import.
    ///   - key: the new key's id, or that of the key to be rotated.
    public init(
        material: RawSpan, publicKey: RawSpan, digest: OAEPDigest, nonce: RawSpan, token: ImportTokenID, key: KeyID
    ) throws(ImportError) {
        let bits = UInt32(clamping: material.byteCount * 8)
        guard let cipher = ImportParcel.cipher(bits) else { throw .keyLength(material.byteCount) }
        guard nonce.byteCount == ImportProof.nonceLength else { throw .nonceLength(nonce.byteCount) }
        encryptedPayload = try RSAPublicKey(publicKey).encrypt(material, digest)
        proof = try ImportParcel.prove(
            material, cipher, nonce: nonce, associatedData: ImportProof.associatedData(token: token, key: key, bits: bits))
        self.bits = bits
    }

    private static func cipher(_ bits: UInt32) -> OpaquePointer? {
        switch bits {
        case 128: EVP_aes_128_gcm()
        case 192: EVP_aes_192_gcm()
        case 256: EVP_aes_256_gcm()
        case _: nil
        }
    }

    private static func prove(
        _ material: RawSpan, _ cipher: OpaquePointer, nonce: RawSpan, associatedData: [UInt8]
    ) throws(ImportError) -> [UInt8] {
        guard let context = EVP_CIPHER_CTX_new() else { throw .libcrypto("EVP_CIPHER_CTX_new") }
        defer { EVP_CIPHER_CTX_free(context) }  // wipes the key schedule
        var generator = SystemRandomNumberGenerator()
        let iv = (0..<ImportProof.ivLength).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
        var ciphertext = [UInt8](repeating: 0, count: ImportProof.nonceLength)
        var tag = [UInt8](repeating: 0, count: ImportProof.tagLength)
        var rest = [UInt8](repeating: 0, count: ImportProof.tagLength)  // GCM writes nothing at the end
        var length: Int32 = 0
        let isSealed = material.withUnsafeBytes { key in
            nonce.withUnsafeBytes { nonce in
                EVP_EncryptInit_ex2(context, cipher, key.bindMemory(to: UInt8.self).baseAddress, iv, nil) == 1
                    && EVP_EncryptUpdate(context, nil, &length, associatedData, Int32(associatedData.count)) == 1
                    && EVP_EncryptUpdate(
                        context, &ciphertext, &length, nonce.bindMemory(to: UInt8.self).baseAddress, Int32(nonce.count)) == 1
                    && EVP_EncryptFinal_ex(context, &rest, &length) == 1
                    && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, Int32(ImportProof.tagLength), &tag) == 1
            }
        }
        guard isSealed else { throw .libcrypto("EVP_EncryptUpdate") }
        return iv + ciphertext + tag
    }
}
