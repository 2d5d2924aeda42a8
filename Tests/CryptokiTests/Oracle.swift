import COpenSSL
import Glibc

/// libcrypto as the judge of what the token computed.
enum Oracle {
    /// AES-256-GCM: ciphertext || tag.
    static func encryptGCM(key: [UInt8], iv: [UInt8], aad: [UInt8], plaintext: [UInt8]) -> [UInt8] {
        let context = EVP_CIPHER_CTX_new()
        defer { EVP_CIPHER_CTX_free(context) }
        var output = [UInt8](repeating: 0, count: plaintext.count + 32)
        var tag = [UInt8](repeating: 0, count: 16)
        var length: Int32 = 0
        var total = 0
        EVP_EncryptInit_ex(context, EVP_aes_256_gcm(), nil, nil, nil)
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_IVLEN, Int32(iv.count), nil)
        EVP_EncryptInit_ex(context, nil, nil, key, iv)
        EVP_EncryptUpdate(context, nil, &length, aad, Int32(aad.count))
        EVP_EncryptUpdate(context, &output, &length, plaintext, Int32(plaintext.count))
        total = Int(length)
        output.withUnsafeMutableBufferPointer { _ = EVP_EncryptFinal_ex(context, $0.baseAddress! + total, &length) }
        total += Int(length)
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, &tag)
        return Array(output.prefix(total)) + tag
    }

    /// AES-256-CBC without padding.
    static func encryptCBC(key: [UInt8], iv: [UInt8], plaintext: [UInt8]) -> [UInt8] {
        let context = EVP_CIPHER_CTX_new()
        defer { EVP_CIPHER_CTX_free(context) }
        var output = [UInt8](repeating: 0, count: plaintext.count + 16)
        var length: Int32 = 0
        EVP_EncryptInit_ex(context, EVP_aes_256_cbc(), nil, key, iv)
        EVP_CIPHER_CTX_set_padding(context, 0)
        EVP_EncryptUpdate(context, &output, &length, plaintext, Int32(plaintext.count))
        return Array(output.prefix(Int(length)))
    }

    /// AES-256-KW (RFC 3394) undone; nil when it is not whole.
    static func unwrapKey(key: [UInt8], wrapped: [UInt8]) -> [UInt8]? {
        let context = EVP_CIPHER_CTX_new()
        defer { EVP_CIPHER_CTX_free(context) }
        var output = [UInt8](repeating: 0, count: wrapped.count + 16)
        var length: Int32 = 0
        EVP_CIPHER_CTX_set_flags(context, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW)
        guard EVP_DecryptInit_ex(context, EVP_aes_256_wrap(), nil, key, nil) == 1,
            EVP_DecryptUpdate(context, &output, &length, wrapped, Int32(wrapped.count)) == 1
        else { return nil }
        return Array(output.prefix(Int(length)))
    }

    /// HMAC-SHA-256.
    static func hmac(key: [UInt8], data: [UInt8]) -> [UInt8] {
        var output = [UInt8](repeating: 0, count: 32)
        var length = 0
        EVP_Q_mac(nil, "HMAC", nil, "SHA256", nil, key, key.count, data, data.count, &output, output.count, &length)
        return Array(output.prefix(length))
    }

    /// Whether r || s is a P-256 signature over `digest` by the key with the uncompressed point `point`.
    static func verifyP256(point: [UInt8], digest: [UInt8], signature: [UInt8]) -> Bool {
        var point = point
        let der = derSignature(signature)
        // OSSL_PARAM keeps pointers to names and values, so these outlive the calls.
        let words: [String] = ["group", "pub", "prime256v1"]
        let names = words.map { strdup($0) }
        defer { for name in names { free(name) } }
        return point.withUnsafeMutableBytes { point in
            var parameters = [
                OSSL_PARAM_construct_utf8_string(names[0], names[2], 0),
                OSSL_PARAM_construct_octet_string(names[1], point.baseAddress, point.count), OSSL_PARAM_construct_end(),
            ]
            let maker = EVP_PKEY_CTX_new_from_name(nil, "EC", nil)
            defer { EVP_PKEY_CTX_free(maker) }
            var key: OpaquePointer?
            guard EVP_PKEY_fromdata_init(maker) == 1,
                EVP_PKEY_fromdata(maker, &key, publicKeySelection, &parameters) == 1
            else { return false }
            defer { EVP_PKEY_free(key) }
            let verifier = EVP_PKEY_CTX_new_from_pkey(nil, key, nil)
            defer { EVP_PKEY_CTX_free(verifier) }
            guard EVP_PKEY_verify_init(verifier) == 1 else { return false }
            return EVP_PKEY_verify(verifier, der, der.count, digest, digest.count) == 1
        }
    }

    /// RSAES-OAEP with SHA-1 and MGF1 over SHA-1 (RFC 8017); nil when libcrypto refuses.
    static func encryptOAEP(modulus: [UInt8], exponent: [UInt8], plaintext: [UInt8]) -> [UInt8]? {
        // BN parameters are in the machine's order, which is little-endian wherever this runs.
        var (n, e) = (Array(modulus.reversed()), Array(exponent.reversed()))
        let words: [String] = ["n", "e"]
        let names = words.map { strdup($0) }
        defer { for name in names { free(name) } }
        var key: OpaquePointer?
        let made = n.withUnsafeMutableBufferPointer { modulus in
            e.withUnsafeMutableBufferPointer { exponent in
                var parameters = [
                    OSSL_PARAM_construct_BN(names[0], modulus.baseAddress, modulus.count),
                    OSSL_PARAM_construct_BN(names[1], exponent.baseAddress, exponent.count), OSSL_PARAM_construct_end(),
                ]
                let maker = EVP_PKEY_CTX_new_from_name(nil, "RSA", nil)
                defer { EVP_PKEY_CTX_free(maker) }
                return EVP_PKEY_fromdata_init(maker) == 1
                    && EVP_PKEY_fromdata(maker, &key, publicKeySelection, &parameters) == 1
            }
        }
        guard made else { return nil }
        defer { EVP_PKEY_free(key) }
        let context = EVP_PKEY_CTX_new_from_pkey(nil, key, nil)
        defer { EVP_PKEY_CTX_free(context) }
        var output = [UInt8](repeating: 0, count: modulus.count)
        var length = output.count
        guard EVP_PKEY_encrypt_init(context) == 1, EVP_PKEY_CTX_set_rsa_padding(context, 4) == 1,
            EVP_PKEY_encrypt(context, &output, &length, plaintext, plaintext.count) == 1
        else { return nil }
        return Array(output.prefix(length))
    }

    /// EVP_PKEY_PUBLIC_KEY of evp.h, a macro that Swift does not import: OSSL_KEYMGMT_SELECT_PUBLIC_KEY and all parameters.
    private static let publicKeySelection: Int32 = 0x02 | 0x04 | 0x80

    private static func derSignature(_ raw: [UInt8]) -> [UInt8] {
        func integer(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
            var value = Array(bytes.drop { $0 == 0 })
            if value.isEmpty || value[0] & 0x80 != 0 { value.insert(0, at: 0) }
            return [0x02, UInt8(value.count)] + value
        }
        let body = integer(raw.prefix(raw.count / 2)) + integer(raw.suffix(raw.count / 2))
        return [0x30, UInt8(body.count)] + body
    }
}
