/// A slot (CK_SLOT_ID, PKCS#11 v2.40 section 3.2). Valid until the module is finalised; tokens move between slots.
public struct SlotID: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    /// The CK_SLOT_ID.
    public let rawValue: UInt
    /// Any CK_SLOT_ID.
    public init(rawValue: UInt) { self.rawValue = rawValue }
    /// The number in decimal, as in `slot-id` of a PKCS#11 URI.
    public var description: String { String(rawValue) }
}

/// An object of a token or session (CK_OBJECT_HANDLE, PKCS#11 v2.40 section 3.4).
///
/// Means nothing after the module is finalised: the same number may then be another object.
public struct ObjectHandle: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    /// The CK_OBJECT_HANDLE; 0 is never an object.
    public let rawValue: UInt
    /// Any CK_OBJECT_HANDLE.
    public init(rawValue: UInt) { self.rawValue = rawValue }
    /// The number in decimal.
    public var description: String { String(rawValue) }

    /// The handle that `function` gave, or an error where it gave none.
    init(_ handle: UInt, from function: Function) throws(CryptokiError) {
        guard handle != 0 else { throw .malformedReply(function) }
        self.rawValue = handle
    }
}

/// What kind of object (CK_OBJECT_CLASS, PKCS#11 v2.40 section 3.4).
public struct ObjectClass: RawRepresentable, Hashable, Sendable {
    /// The CK_OBJECT_CLASS.
    public let rawValue: UInt
    /// Any CK_OBJECT_CLASS.
    public init(rawValue: UInt) { self.rawValue = rawValue }

    /// CKO_DATA.
    public static let data = Self(rawValue: 0)
    /// CKO_CERTIFICATE.
    public static let certificate = Self(rawValue: 1)
    /// CKO_PUBLIC_KEY.
    public static let publicKey = Self(rawValue: 2)
    /// CKO_PRIVATE_KEY.
    public static let privateKey = Self(rawValue: 3)
    /// CKO_SECRET_KEY.
    public static let secretKey = Self(rawValue: 4)
}

/// What kind of key (CK_KEY_TYPE, PKCS#11 v2.40 section 3.4).
public struct KeyType: RawRepresentable, Hashable, Sendable {
    /// The CK_KEY_TYPE.
    public let rawValue: UInt
    /// Any CK_KEY_TYPE.
    public init(rawValue: UInt) { self.rawValue = rawValue }

    /// CKK_RSA.
    public static let rsa = Self(rawValue: 0x0)
    /// CKK_EC.
    public static let ec = Self(rawValue: 0x3)
    /// CKK_GENERIC_SECRET.
    public static let genericSecret = Self(rawValue: 0x10)
    /// CKK_AES.
    public static let aes = Self(rawValue: 0x1f)
    /// CKK_SHA256_HMAC.
    public static let hmacSHA256 = Self(rawValue: 0x2b)
}

/// A mechanism without its parameters (CK_MECHANISM_TYPE, PKCS#11 v2.40 section 3.5).
public struct MechanismType: RawRepresentable, Hashable, Sendable {
    /// The CK_MECHANISM_TYPE.
    public let rawValue: UInt
    /// Any CK_MECHANISM_TYPE.
    public init(rawValue: UInt) { self.rawValue = rawValue }

    /// CKM_RSA_PKCS_KEY_PAIR_GEN.
    public static let rsaKeyPairGeneration = Self(rawValue: 0x0)
    /// CKM_RSA_PKCS.
    public static let rsaPKCS = Self(rawValue: 0x1)
    /// CKM_RSA_PKCS_OAEP.
    public static let rsaOAEP = Self(rawValue: 0x9)
    /// CKM_SHA256_RSA_PKCS.
    public static let rsaPKCSSHA256 = Self(rawValue: 0x40)
    /// CKM_SHA_1.
    public static let sha1 = Self(rawValue: 0x220)
    /// CKM_SHA256.
    public static let sha256 = Self(rawValue: 0x250)
    /// CKM_SHA256_HMAC.
    public static let hmacSHA256 = Self(rawValue: 0x251)
    /// CKM_SHA384.
    public static let sha384 = Self(rawValue: 0x260)
    /// CKM_SHA512.
    public static let sha512 = Self(rawValue: 0x270)
    /// CKM_GENERIC_SECRET_KEY_GEN.
    public static let genericSecretKeyGeneration = Self(rawValue: 0x350)
    /// CKM_EC_KEY_PAIR_GEN.
    public static let ecKeyPairGeneration = Self(rawValue: 0x1040)
    /// CKM_ECDSA.
    public static let ecdsa = Self(rawValue: 0x1041)
    /// CKM_ECDSA_SHA256.
    public static let ecdsaSHA256 = Self(rawValue: 0x1044)
    /// CKM_AES_KEY_GEN.
    public static let aesKeyGeneration = Self(rawValue: 0x1080)
    /// CKM_AES_ECB.
    public static let aesECB = Self(rawValue: 0x1081)
    /// CKM_AES_CBC.
    public static let aesCBC = Self(rawValue: 0x1082)
    /// CKM_AES_CBC_PAD.
    public static let aesCBCPad = Self(rawValue: 0x1085)
    /// CKM_AES_CTR.
    public static let aesCTR = Self(rawValue: 0x1086)
    /// CKM_AES_GCM.
    public static let aesGCM = Self(rawValue: 0x1087)
    /// CKM_AES_CMAC.
    public static let aesCMAC = Self(rawValue: 0x108a)
    /// CKM_AES_KEY_WRAP (RFC 3394).
    public static let aesKeyWrap = Self(rawValue: 0x2109)
    /// CKM_AES_KEY_WRAP_PAD; tokens disagree on the padding.
    public static let aesKeyWrapPad = Self(rawValue: 0x210a)
    /// CKM_AES_KEY_WRAP_KWP (v3.0; RFC 5649).
    public static let aesKeyWrapKWP = Self(rawValue: 0x210b)
}

extension MechanismType: CustomStringConvertible {
    /// The CKM name of the constants above, else `CKM 0x108a`.
    public var description: String {
        switch self {
        case .rsaKeyPairGeneration: "CKM_RSA_PKCS_KEY_PAIR_GEN"
        case .rsaPKCS: "CKM_RSA_PKCS"
        case .rsaOAEP: "CKM_RSA_PKCS_OAEP"
        case .rsaPKCSSHA256: "CKM_SHA256_RSA_PKCS"
        case .sha1: "CKM_SHA_1"
        case .sha256: "CKM_SHA256"
        case .hmacSHA256: "CKM_SHA256_HMAC"
        case .sha384: "CKM_SHA384"
        case .sha512: "CKM_SHA512"
        case .genericSecretKeyGeneration: "CKM_GENERIC_SECRET_KEY_GEN"
        case .ecKeyPairGeneration: "CKM_EC_KEY_PAIR_GEN"
        case .ecdsa: "CKM_ECDSA"
        case .ecdsaSHA256: "CKM_ECDSA_SHA256"
        case .aesKeyGeneration: "CKM_AES_KEY_GEN"
        case .aesECB: "CKM_AES_ECB"
        case .aesCBC: "CKM_AES_CBC"
        case .aesCBCPad: "CKM_AES_CBC_PAD"
        case .aesCTR: "CKM_AES_CTR"
        case .aesGCM: "CKM_AES_GCM"
        case .aesCMAC: "CKM_AES_CMAC"
        case .aesKeyWrap: "CKM_AES_KEY_WRAP"
        case .aesKeyWrapPad: "CKM_AES_KEY_WRAP_PAD"
        case .aesKeyWrapKWP: "CKM_AES_KEY_WRAP_KWP"
        default: "CKM 0x\(String(rawValue, radix: 16))"
        }
    }
}
