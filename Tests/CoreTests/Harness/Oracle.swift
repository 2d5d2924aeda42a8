import COpenSSL

/// libcrypto as the judge of what the token computed.
enum Oracle {
    /// AES-GCM of the key's length; longer keys than 256 bits count with their first 256.
    private static func gcm(_ key: [UInt8]) -> OpaquePointer? {
        switch key.count {
        case 16: EVP_aes_128_gcm()
        case 24: EVP_aes_192_gcm()
        case _: EVP_aes_256_gcm()
        }
    }

    /// AES-GCM: ciphertext || tag.
    static func sealGCM(key: [UInt8], iv: [UInt8], aad: [UInt8], plaintext: [UInt8]) -> [UInt8] {
        let context = EVP_CIPHER_CTX_new()
        defer { EVP_CIPHER_CTX_free(context) }
        var output = [UInt8](repeating: 0, count: plaintext.count)
        var tag = [UInt8](repeating: 0, count: 16)
        var length: Int32 = 0
        EVP_EncryptInit_ex(context, gcm(key), nil, nil, nil)
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
        EVP_DecryptInit_ex(context, gcm(key), nil, nil, nil)
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_IVLEN, Int32(iv.count), nil)
        EVP_DecryptInit_ex(context, nil, nil, key, iv)
        EVP_DecryptUpdate(context, nil, &length, aad, Int32(aad.count))
        EVP_DecryptUpdate(context, &output, &length, ciphertext, Int32(ciphertext.count))
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, 16, &tag)
        var rest = [UInt8](repeating: 0, count: 16)
        return EVP_DecryptFinal_ex(context, &rest, &length) == 1 ? output : nil
    }

    /// HMAC-SHA-256.
    static func hmac(key: [UInt8], message: [UInt8]) -> [UInt8] {
        var mac = [UInt8](repeating: 0, count: 32)
        var length = 0
        EVP_Q_mac(nil, "HMAC", nil, "SHA256", nil, key, key.count, message, message.count, &mac, mac.count, &length)
        return Array(mac.prefix(length))
    }

    /// AES-256-CBC with PKCS#7 padding; nil when the padding is wrong.
    static func openCBC(key: [UInt8], iv: [UInt8], ciphertext: [UInt8]) -> [UInt8]? {
        decrypt(EVP_aes_256_cbc(), key: key, iv: iv, ciphertext)
    }

    /// AES-256-CBC with PKCS#7 padding, or without for content that has its own.
    static func sealCBC(key: [UInt8], iv: [UInt8], plaintext: [UInt8], pads: Bool = true) -> [UInt8] {
        let context = EVP_CIPHER_CTX_new()
        defer { EVP_CIPHER_CTX_free(context) }
        var output = [UInt8](repeating: 0, count: plaintext.count + 16)
        var length: Int32 = 0
        var last: Int32 = 0
        EVP_EncryptInit_ex(context, EVP_aes_256_cbc(), nil, key, iv)
        EVP_CIPHER_CTX_set_padding(context, pads ? 1 : 0)
        EVP_EncryptUpdate(context, &output, &length, plaintext, Int32(plaintext.count))
        output.withUnsafeMutableBufferPointer { _ = EVP_EncryptFinal_ex(context, $0.baseAddress! + Int(length), &last) }
        return Array(output.prefix(Int(length + last)))
    }

    /// RFC 3394 with AES-256; nil when the integrity check fails.
    static func unwrap(key: [UInt8], wrapped: [UInt8]) -> [UInt8]? {
        decrypt(EVP_aes_256_wrap(), key: key, iv: nil, wrapped)
    }

    private static func decrypt(_ type: OpaquePointer?, key: [UInt8], iv: [UInt8]?, _ ciphertext: [UInt8]) -> [UInt8]? {
        let context = EVP_CIPHER_CTX_new()
        defer { EVP_CIPHER_CTX_free(context) }
        EVP_CIPHER_CTX_set_flags(context, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW)
        var output = [UInt8](repeating: 0, count: ciphertext.count + 16)
        var length: Int32 = 0
        var last: Int32 = 0
        guard EVP_DecryptInit_ex(context, type, nil, key, iv) == 1,
            EVP_DecryptUpdate(context, &output, &length, ciphertext, Int32(ciphertext.count)) == 1,
            output.withUnsafeMutableBufferPointer({ EVP_DecryptFinal_ex(context, $0.baseAddress! + Int(length), &last) }) == 1
        else { return nil }
        return Array(output.prefix(Int(length + last)))
    }
}
