import COpenSSL
import Glibc
import SecureMemory

/// The public half of the instance's signing pair. Whoever has it can check what the token signed; it is no secret.
package struct SigningPublicKey: Sendable, Equatable {
    /// SubjectPublicKeyInfo in DER (RFC 5280 section 4.1.2.7).
    package let der: [UInt8]
    /// What kind of key it is.
    package let kind: TokenQuirks.AuditKey

    /// Bytes of an uncompressed point of P-256.
    package static let pointLength = 65
    /// Bytes of a modulus of 3,072 bits.
    package static let modulusLength = 384
    /// Bytes of a signature of P-256: r || s.
    package static let signatureLength = 64
    /// The lengths that signatures of either kind of key have.
    package static let signatureLengths = [signatureLength, modulusLength]

    /// Bytes of this key's signatures: r || s for P-256, the modulus' length for RSA.
    package var signatureLength: Int {
        switch kind {
        case .ecP256: SigningPublicKey.signatureLength
        case .rsa3072: SigningPublicKey.modulusLength
        }
    }

    /// The key of an uncompressed point (SEC 1 section 2.3.3); nil when the bytes do not have its form or lie beside the curve.
    package init?(point: [UInt8]) {
        guard point.count == SigningPublicKey.pointLength, point[0] == 0x04 else { return nil }
        self.init(der: SigningPublicKey.pointPrefix + point, kind: .ecP256)
    }

    /// The key of an RSA modulus of 3,072 bits, big-endian, with the exponent 65,537; nil for another length.
    package init?(modulus: [UInt8]) {
        let bytes = Array(modulus.drop { $0 == 0 })
        guard bytes.count == SigningPublicKey.modulusLength, bytes[0] & 0x80 != 0, bytes[bytes.count - 1] & 1 == 1 else {
            return nil
        }
        self.init(der: SigningPublicKey.modulusPrefix + bytes + SigningPublicKey.exponent, kind: .rsa3072)
    }

    /// The key in CKA_EC_POINT: the point as a DER OCTET STRING (PKCS#11 v2.40 mechanisms, section 2.3.3), or bare as some tokens
    /// have it.
    package init?(attribute: [UInt8]) {
        let header: [UInt8] = [0x04, UInt8(SigningPublicKey.pointLength)]
        let isWrapped = attribute.count == SigningPublicKey.pointLength + header.count && attribute.starts(with: header)
        self.init(point: isWrapped ? Array(attribute.dropFirst(header.count)) : attribute)
    }

    private init?(der: [UInt8], kind: TokenQuirks.AuditKey) {
        self.der = der
        self.kind = kind
        guard withKey({ $0 != nil }) else { return nil }
    }

    // SubjectPublicKeyInfo (RFC 5480 section 2) of id-ecPublicKey on prime256v1, up to the point.
    private static let pointPrefix: [UInt8] = [
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d,
        0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
    ]
    // SubjectPublicKeyInfo (RFC 8017 appendix A.1) of rsaEncryption with a modulus of 3,072 bits, up to the modulus' first byte.
    private static let modulusPrefix: [UInt8] = [
        0x30, 0x82, 0x01, 0xa2, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00, 0x03,
        0x82, 0x01, 0x8f, 0x00, 0x30, 0x82, 0x01, 0x8a, 0x02, 0x82, 0x01, 0x81, 0x00,
    ]
    // The exponent 65,537 behind it.
    private static let exponent: [UInt8] = [0x02, 0x03, 0x01, 0x00, 0x01]
    private static let begin = "-----BEGIN PUBLIC KEY-----"
    private static let end = "-----END PUBLIC KEY-----"
    private static let lineLength = 64

    /// SubjectPublicKeyInfo in PEM (RFC 7468), as `openssl pkey -pubin` reads it.
    package var pem: String {
        // Four characters for each three bytes begun, and the terminating zero that libcrypto writes.
        var encoded = [UInt8](repeating: 0, count: (der.count + 2) / 3 * 4 + 1)
        let count = Int(EVP_EncodeBlock(&encoded, der, Int32(der.count)))
        var text = SigningPublicKey.begin + "\n"
        for start in stride(from: 0, to: count, by: SigningPublicKey.lineLength) {
            let line = encoded[start..<min(count, start + SigningPublicKey.lineLength)]
            text += String(decoding: line, as: UTF8.self) + "\n"
        }
        return text + SigningPublicKey.end + "\n"
    }

    /// The key in a PEM text; nil when it holds none, or one of another kind.
    package init?(pem: String) {
        let lines = pem.split(whereSeparator: \.isNewline).map { String($0) }
        guard let first = lines.firstIndex(of: SigningPublicKey.begin),
            let last = lines[first...].firstIndex(of: SigningPublicKey.end)
        else { return nil }
        let encoded = Array(lines[(first + 1)..<last].joined().utf8)
        // The DER form has one length for each kind, so its text has: anything else is another sort of key.
        let pointLength = SigningPublicKey.pointPrefix.count + SigningPublicKey.pointLength
        let modulusEnd = SigningPublicKey.modulusPrefix.count + SigningPublicKey.modulusLength
        let lengths = [pointLength, modulusEnd + SigningPublicKey.exponent.count]
        guard let length = lengths.first(where: { encoded.count == ($0 + 2) / 3 * 4 }) else { return nil }
        var decoded = [UInt8](repeating: 0, count: encoded.count / 4 * 3)
        guard EVP_DecodeBlock(&decoded, encoded, Int32(encoded.count)) == Int32(decoded.count) else { return nil }
        self.init(der: Array(decoded.prefix(length)))
    }

    /// The key of a SubjectPublicKeyInfo; nil when it is one of another kind, or none.
    package init?(der: [UInt8]) {
        let modulusEnd = SigningPublicKey.modulusPrefix.count + SigningPublicKey.modulusLength
        if der.starts(with: SigningPublicKey.pointPrefix) {
            self.init(point: Array(der.dropFirst(SigningPublicKey.pointPrefix.count)))
        } else {
            guard der.count == modulusEnd + SigningPublicKey.exponent.count, der.starts(with: SigningPublicKey.modulusPrefix),
                der[modulusEnd...].elementsEqual(SigningPublicKey.exponent)
            else { return nil }
            self.init(modulus: Array(der[SigningPublicKey.modulusPrefix.count..<modulusEnd]))
        }
    }

    /// Whether `signature` is this key's over the SHA-256 `digest`: ECDSA with r || s (FIPS 186-5 section 6.4), or
    /// RSASSA-PKCS1-v1_5 (RFC 8017 section 8.2).
    package func verifies(_ signature: [UInt8], of digest: [UInt8]) -> Bool {
        guard signature.count == signatureLength, digest.count == SHA256.byteCount else { return false }
        return withKey { key in
            guard let key, let verifier = EVP_PKEY_CTX_new_from_pkey(nil, key, nil) else { return false }
            defer { EVP_PKEY_CTX_free(verifier) }
            guard EVP_PKEY_verify_init(verifier) == 1 else { return false }
            switch kind {
            case .ecP256:
                let encoded = SigningPublicKey.encoded(signature)
                return EVP_PKEY_verify(verifier, encoded, encoded.count, digest, digest.count) == 1
            case .rsa3072:
                guard EVP_PKEY_CTX_set_rsa_padding(verifier, RSA_PKCS1_PADDING) == 1,
                    EVP_PKEY_CTX_set_signature_md(verifier, EVP_sha256()) == 1
                else { return false }
                return EVP_PKEY_verify(verifier, signature, signature.count, digest, digest.count) == 1
            }
        }
    }

    /// What the token is given to sign for a SHA-256 digest: the digest for ECDSA, its DigestInfo for RSA (RFC 8017 section 9.2).
    func input(_ digest: [UInt8]) -> [UInt8] {
        switch kind {
        case .ecP256: digest
        case .rsa3072: SigningPublicKey.digestInfo + digest
        }
    }

    private static let digestInfo: [UInt8] = [
        0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20,
    ]

    /// Runs `body` with libcrypto's form of the key; nil when it takes it for none.
    private func withKey<R>(_ body: (OpaquePointer?) -> R) -> R {
        der.withUnsafeBufferPointer { bytes in
            var position = bytes.baseAddress
            let key = d2i_PUBKEY(nil, &position, bytes.count)
            defer { EVP_PKEY_free(key) }
            return body(key)
        }
    }

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
