internal import CCryptoki

/// A mechanism with its parameters (CK_MECHANISM, PKCS#11 v2.40 section 3.5 and the Current Mechanisms specification).
///
/// Borrows its parameters from the caller (it is not escapable), so making one never allocates: a mechanism is written where it
/// is used, as in `session.encrypt(.aesGCM(iv: iv, additionalData: aad, tagBits: 128), ...)`.
public enum Mechanism: ~Escapable, Sendable {
    /// CKM_AES_GCM. The parameter is the CK_GCM_PARAMS of v2.40 with ulIvBits. The result is ciphertext || tag;
    /// `tagBits` is 128 unless there is a reason.
    case aesGCM(iv: RawSpan, additionalData: RawSpan, tagBits: Int)
    /// CKM_AES_CBC, without padding: data is a multiple of 16 bytes, `iv` 16 bytes.
    case aesCBC(iv: RawSpan)
    /// CKM_AES_KEY_WRAP with the default initial value: RFC 3394.
    case aesKeyWrap
    /// CKM_SHA256_HMAC: a MAC of 32 bytes, with a generic secret key.
    case hmacSHA256
    /// CKM_ECDSA over a digest that the caller made; the signature is r || s.
    case ecdsa
    /// CKM_ECDSA_SHA256; the signature is r || s.
    case ecdsaSHA256
    /// CKM_RSA_PKCS: RSASSA-PKCS1-v1_5 over a DigestInfo that the caller made.
    case rsaPKCS
    /// CKM_SHA256_RSA_PKCS: RSASSA-PKCS1-v1_5 with SHA-256.
    case rsaPKCSSHA256
    /// CKM_RSA_PKCS_OAEP with MGF1 over the same digest and no label.
    case rsaOAEP(OAEPDigest)
    /// CKM_AES_KEY_GEN; the template gives CKA_VALUE_LEN in bytes.
    case aesKeyGeneration
    /// CKM_GENERIC_SECRET_KEY_GEN; the template gives CKA_VALUE_LEN in bytes.
    case genericSecretKeyGeneration
    /// CKM_RSA_PKCS_KEY_PAIR_GEN; the public template gives CKA_MODULUS_BITS and CKA_PUBLIC_EXPONENT.
    case rsaKeyPairGeneration
    /// CKM_EC_KEY_PAIR_GEN; the public template gives CKA_EC_PARAMS.
    case ecKeyPairGeneration
    /// Any other mechanism, with its parameter as the C structure's bytes (empty: none).
    case other(MechanismType, parameter: RawSpan)

    /// The digests of RSA-OAEP.
    public enum OAEPDigest: Sendable, Hashable {
        /// SHA-1: still the only one that every token takes.
        case sha1
        /// SHA-256.
        case sha256
    }

    /// The mechanism without its parameters.
    public var type: MechanismType {
        switch self {
        case .aesGCM: .aesGCM
        case .aesCBC: .aesCBC
        case .aesKeyWrap: .aesKeyWrap
        case .hmacSHA256: .hmacSHA256
        case .ecdsa: .ecdsa
        case .ecdsaSHA256: .ecdsaSHA256
        case .rsaPKCS: .rsaPKCS
        case .rsaPKCSSHA256: .rsaPKCSSHA256
        case .rsaOAEP: .rsaOAEP
        case .aesKeyGeneration: .aesKeyGeneration
        case .genericSecretKeyGeneration: .genericSecretKeyGeneration
        case .rsaKeyPairGeneration: .rsaKeyPairGeneration
        case .ecKeyPairGeneration: .ecKeyPairGeneration
        case .other(let type, parameter: _): type
        }
    }

    /// The bytes that encrypting `count` bytes yields, where the mechanism alone decides it; else 0.
    func ciphertextLength(of count: Int) -> Int {
        switch self {
        case .aesGCM(iv: _, additionalData: _, let tagBits): count + (tagBits + 7) / 8
        case .aesCBC: count
        case .aesKeyWrap, .hmacSHA256, .ecdsa, .ecdsaSHA256, .rsaPKCS, .rsaPKCSSHA256, .rsaOAEP, .aesKeyGeneration,
            .genericSecretKeyGeneration, .rsaKeyPairGeneration, .ecKeyPairGeneration, .other:
            0
        }
    }

    /// Calls `body` with the C structure; it and all that it points to live on the stack for the length of the call.
    func withStructure<R>(_ body: (UnsafeMutablePointer<CK_MECHANISM>) -> R) -> R {
        switch self {
        case .aesGCM(let iv, let additionalData, let tagBits):
            return iv.withUnsafeBytes { iv in
                additionalData.withUnsafeBytes { aad in
                    var parameters = CK_GCM_PARAMS()
                    parameters.pIv = UnsafeMutablePointer(mutating: iv.bindMemory(to: UInt8.self).baseAddress)
                    parameters.ulIvLen = UInt(iv.count)
                    parameters.ulIvBits = UInt(iv.count) * 8
                    parameters.pAAD = UnsafeMutablePointer(mutating: aad.bindMemory(to: UInt8.self).baseAddress)
                    parameters.ulAADLen = UInt(aad.count)
                    parameters.ulTagBits = UInt(clamping: tagBits)
                    return withUnsafeMutableBytes(of: &parameters) { call(body, $0) }
                }
            }
        case .rsaOAEP(let digest):
            var parameters = CK_RSA_PKCS_OAEP_PARAMS()
            switch digest {
            case .sha1:
                parameters.hashAlg = MechanismType.sha1.rawValue
                parameters.mgf = UInt(CKG_MGF1_SHA1)
            case .sha256:
                parameters.hashAlg = MechanismType.sha256.rawValue
                parameters.mgf = UInt(CKG_MGF1_SHA256)
            }
            parameters.source = UInt(CKZ_DATA_SPECIFIED)
            return withUnsafeMutableBytes(of: &parameters) { call(body, $0) }
        case .aesCBC(let iv):
            return iv.withUnsafeBytes { call(body, UnsafeMutableRawBufferPointer(mutating: $0)) }
        case .other(_, let parameter):
            return parameter.withUnsafeBytes { call(body, UnsafeMutableRawBufferPointer(mutating: $0)) }
        case .aesKeyWrap, .hmacSHA256, .ecdsa, .ecdsaSHA256, .rsaPKCS, .rsaPKCSSHA256, .aesKeyGeneration,
            .genericSecretKeyGeneration,
            .rsaKeyPairGeneration, .ecKeyPairGeneration:
            return call(body, UnsafeMutableRawBufferPointer(start: nil, count: 0))
        }
    }

    private func call<R>(
        _ body: (UnsafeMutablePointer<CK_MECHANISM>) -> R, _ parameter: UnsafeMutableRawBufferPointer
    ) -> R {
        // No parameter is (NULL, 0): some modules refuse a pointer beside a length of zero.
        var mechanism = CK_MECHANISM(
            mechanism: type.rawValue, pParameter: parameter.isEmpty ? nil : parameter.baseAddress,
            ulParameterLen: UInt(parameter.count))
        return body(&mechanism)
    }
}
