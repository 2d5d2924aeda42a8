import COpenSSL

/// libcrypto as the judge of what the token computed.
enum Oracle {
    /// AES-256-GCM: ciphertext || tag.
    static func sealGCM(key: [UInt8], iv: [UInt8], aad: [UInt8], plaintext: [UInt8]) -> [UInt8] {
        let context = EVP_CIPHER_CTX_new()
        defer { EVP_CIPHER_CTX_free(context) }
        var output = [UInt8](repeating: 0, count: plaintext.count)
        var tag = [UInt8](repeating: 0, count: 16)
        var length: Int32 = 0
        EVP_EncryptInit_ex(context, EVP_aes_256_gcm(), nil, nil, nil)
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_IVLEN, Int32(iv.count), nil)
        EVP_EncryptInit_ex(context, nil, nil, key, iv)
        EVP_EncryptUpdate(context, nil, &length, aad, Int32(aad.count))
        EVP_EncryptUpdate(context, &output, &length, plaintext, Int32(plaintext.count))
        var rest = [UInt8](repeating: 0, count: 16)
        EVP_EncryptFinal_ex(context, &rest, &length)
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, &tag)
        return output + tag
    }

    /// The plaintext of ciphertext || tag; nil when the tag does not fit.
    static func openGCM(key: [UInt8], iv: [UInt8], aad: [UInt8], sealed: [UInt8]) -> [UInt8]? {
        let context = EVP_CIPHER_CTX_new()
        defer { EVP_CIPHER_CTX_free(context) }
        let ciphertext = Array(sealed.dropLast(16))
        var tag = Array(sealed.suffix(16))
        var output = [UInt8](repeating: 0, count: ciphertext.count)
        var length: Int32 = 0
        EVP_DecryptInit_ex(context, EVP_aes_256_gcm(), nil, nil, nil)
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_IVLEN, Int32(iv.count), nil)
        EVP_DecryptInit_ex(context, nil, nil, key, iv)
        EVP_DecryptUpdate(context, nil, &length, aad, Int32(aad.count))
        EVP_DecryptUpdate(context, &output, &length, ciphertext, Int32(ciphertext.count))
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, 16, &tag)
        var rest = [UInt8](repeating: 0, count: 16)
        return EVP_DecryptFinal_ex(context, &rest, &length) == 1 ? output : nil
    }
}
