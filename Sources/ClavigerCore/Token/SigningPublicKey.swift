import COpenSSL
import Glibc

/// The public half of the instance's signing pair: a point of P-256. Whoever has it can check what the token signed; it is no secret.
package struct SigningPublicKey: Sendable, Equatable {
    /// The uncompressed point: 0x04 || X || Y (SEC 1 section 2.3.3).
    package let point: [UInt8]

    /// Bytes of an uncompressed point.
    package static let pointLength = 65
    /// Bytes of a signature: r || s.
    package static let signatureLength = 64

    /// The key of an uncompressed point; nil when the bytes do not have its form or lie beside the curve.
    package init?(point: [UInt8]) {
        guard point.count == SigningPublicKey.pointLength, point[0] == 0x04 else { return nil }
        self.point = point
        guard withKey({ $0 != nil }) else { return nil }
    }

    /// The key in CKA_EC_POINT: the point as a DER OCTET STRING (PKCS#11 v2.40 mechanisms, section 2.3.3), or bare as some tokens
    /// have it.
    init?(attribute: [UInt8]) {
        let header: [UInt8] = [0x04, UInt8(SigningPublicKey.pointLength)]
        let isWrapped = attribute.count == SigningPublicKey.pointLength + header.count && attribute.starts(with: header)
        self.init(point: isWrapped ? Array(attribute.dropFirst(header.count)) : attribute)
    }

    // SubjectPublicKeyInfo (RFC 5480 section 2) of id-ecPublicKey on prime256v1, up to the point.
    private static let prefix: [UInt8] = [
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d,
        0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
    ]
    private static let begin = "-----BEGIN PUBLIC KEY-----"
    private static let end = "-----END PUBLIC KEY-----"
    private static let lineLength = 64

    /// SubjectPublicKeyInfo in DER.
    package var der: [UInt8] { SigningPublicKey.prefix + point }

    /// SubjectPublicKeyInfo in PEM (RFC 7468), as `openssl pkey -pubin` reads it.
    package var pem: String {
        let bytes = der
        // Four characters for each three bytes begun, and the terminating zero that libcrypto writes.
        var encoded = [UInt8](repeating: 0, count: (bytes.count + 2) / 3 * 4 + 1)
        let count = Int(EVP_EncodeBlock(&encoded, bytes, Int32(bytes.count)))
        var text = SigningPublicKey.begin + "\n"
        for start in stride(from: 0, to: count, by: SigningPublicKey.lineLength) {
            let line = encoded[start..<min(count, start + SigningPublicKey.lineLength)]
            text += String(decoding: line, as: UTF8.self) + "\n"
        }
        return text + SigningPublicKey.end + "\n"
    }

    /// The key in a PEM text; nil when it holds none, or one that is not of P-256.
    package init?(pem: String) {
        let lines = pem.split(whereSeparator: \.isNewline).map { String($0) }
        guard let first = lines.firstIndex(of: SigningPublicKey.begin),
            let last = lines[first...].firstIndex(of: SigningPublicKey.end)
        else { return nil }
        let encoded = Array(lines[(first + 1)..<last].joined().utf8)
        // The DER form has one length, so its text has: anything else is another sort of key.
        let length = SigningPublicKey.prefix.count + SigningPublicKey.pointLength
        guard encoded.count == (length + 2) / 3 * 4 else { return nil }
        var decoded = [UInt8](repeating: 0, count: encoded.count / 4 * 3)
        guard EVP_DecodeBlock(&decoded, encoded, Int32(encoded.count)) == Int32(decoded.count),
            decoded.starts(with: SigningPublicKey.prefix)
        else { return nil }
        self.init(point: Array(decoded[SigningPublicKey.prefix.count..<length]))
    }

    /// Whether `signature` (r || s) is this key's over `digest`: ECDSA, FIPS 186-5 section 6.4.
    package func verifies(_ signature: [UInt8], of digest: [UInt8]) -> Bool {
        guard signature.count == SigningPublicKey.signatureLength else { return false }
        let encoded = SigningPublicKey.encoded(signature)
        return withKey { key in
            guard let key, let verifier = EVP_PKEY_CTX_new_from_pkey(nil, key, nil) else { return false }
            defer { EVP_PKEY_CTX_free(verifier) }
            guard EVP_PKEY_verify_init(verifier) == 1 else { return false }
            return EVP_PKEY_verify(verifier, encoded, encoded.count, digest, digest.count) == 1
        }
    }

    /// Runs `body` with libcrypto's form of the key; nil when it takes the point for none of the curve.
    private func withKey<R>(_ body: (OpaquePointer?) -> R) -> R {
        // OSSL_PARAM keeps pointers to names and values, so these outlive the calls.
        let words: [String] = ["group", "pub", "prime256v1"]
        let names = words.map { strdup($0) }
        defer { for name in names { free(name) } }
        var point = point
        return point.withUnsafeMutableBytes { point in
            var parameters = [
                OSSL_PARAM_construct_utf8_string(names[0], names[2], 0),
                OSSL_PARAM_construct_octet_string(names[1], point.baseAddress, point.count), OSSL_PARAM_construct_end(),
            ]
            guard let maker = EVP_PKEY_CTX_new_from_name(nil, "EC", nil) else { return body(nil) }
            defer { EVP_PKEY_CTX_free(maker) }
            var key: OpaquePointer?
            guard EVP_PKEY_fromdata_init(maker) == 1,
                EVP_PKEY_fromdata(maker, &key, SigningPublicKey.publicKeySelection, &parameters) == 1
            else { return body(nil) }
            defer { EVP_PKEY_free(key) }
            return body(key)
        }
    }

    /// EVP_PKEY_PUBLIC_KEY of evp.h, a macro that Swift does not import: OSSL_KEYMGMT_SELECT_PUBLIC_KEY and all parameters.
    private static let publicKeySelection: Int32 = 0x02 | 0x04 | 0x80

    /// r || s as libcrypto wants it: Ecdsa-Sig-Value in DER (RFC 3279 section 2.2.3).
    private static func encoded(_ signature: [UInt8]) -> [UInt8] {
        func integer(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
            var value = Array(bytes.drop { $0 == 0 })
            if value.isEmpty || value[0] & 0x80 != 0 { value.insert(0, at: 0) }
            return [0x02, UInt8(value.count)] + value
        }
        let body = integer(signature.prefix(signatureLength / 2)) + integer(signature.suffix(signatureLength / 2))
        return [0x30, UInt8(body.count)] + body
    }
}
