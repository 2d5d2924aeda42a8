/// An attribute of an object (CK_ATTRIBUTE_TYPE, PKCS#11 v2.40 section 3.4 and chapter 4).
public struct AttributeType: RawRepresentable, Hashable, Sendable {
    /// The CK_ATTRIBUTE_TYPE.
    public let rawValue: UInt
    /// Any CK_ATTRIBUTE_TYPE.
    public init(rawValue: UInt) { self.rawValue = rawValue }

    // Common to all objects, 4.2 to 4.4.
    /// CKA_CLASS, an ``ObjectClass``.
    public static let objectClass = Self(rawValue: 0x0)
    /// CKA_TOKEN: a token object (true) or one that ends with its session.
    public static let token = Self(rawValue: 0x1)
    /// CKA_PRIVATE: visible only to a user who has logged in.
    public static let `private` = Self(rawValue: 0x2)
    /// CKA_LABEL, UTF-8.
    public static let label = Self(rawValue: 0x3)
    /// CKA_MODIFIABLE.
    public static let modifiable = Self(rawValue: 0x170)
    /// CKA_COPYABLE.
    public static let copyable = Self(rawValue: 0x171)
    /// CKA_DESTROYABLE.
    public static let destroyable = Self(rawValue: 0x172)

    // Data objects, 4.5.
    /// CKA_APPLICATION, UTF-8.
    public static let application = Self(rawValue: 0x10)
    /// CKA_VALUE: the bytes of a data object or of a secret key.
    public static let value = Self(rawValue: 0x11)
    /// CKA_OBJECT_ID, a DER object identifier.
    public static let objectID = Self(rawValue: 0x12)

    // Keys, 4.7 to 4.10.
    /// CKA_KEY_TYPE, a ``KeyType``.
    public static let keyType = Self(rawValue: 0x100)
    /// CKA_ID, bytes.
    public static let id = Self(rawValue: 0x102)
    /// CKA_SENSITIVE: the value cannot be read.
    public static let sensitive = Self(rawValue: 0x103)
    /// CKA_ENCRYPT.
    public static let encrypt = Self(rawValue: 0x104)
    /// CKA_DECRYPT.
    public static let decrypt = Self(rawValue: 0x105)
    /// CKA_WRAP.
    public static let wrap = Self(rawValue: 0x106)
    /// CKA_UNWRAP.
    public static let unwrap = Self(rawValue: 0x107)
    /// CKA_SIGN.
    public static let sign = Self(rawValue: 0x108)
    /// CKA_SIGN_RECOVER.
    public static let signRecover = Self(rawValue: 0x109)
    /// CKA_VERIFY.
    public static let verify = Self(rawValue: 0x10a)
    /// CKA_VERIFY_RECOVER.
    public static let verifyRecover = Self(rawValue: 0x10b)
    /// CKA_DERIVE.
    public static let derive = Self(rawValue: 0x10c)
    /// CKA_START_DATE.
    public static let startDate = Self(rawValue: 0x110)
    /// CKA_END_DATE.
    public static let endDate = Self(rawValue: 0x111)
    /// CKA_VALUE_LEN: the length of a secret key in bytes.
    public static let valueLength = Self(rawValue: 0x161)
    /// CKA_CHECK_VALUE.
    public static let checkValue = Self(rawValue: 0x90)
    /// CKA_EXTRACTABLE: the key can be wrapped.
    public static let extractable = Self(rawValue: 0x162)
    /// CKA_LOCAL: generated on this token.
    public static let local = Self(rawValue: 0x163)
    /// CKA_NEVER_EXTRACTABLE.
    public static let neverExtractable = Self(rawValue: 0x164)
    /// CKA_ALWAYS_SENSITIVE.
    public static let alwaysSensitive = Self(rawValue: 0x165)
    /// CKA_KEY_GEN_MECHANISM, a ``MechanismType``.
    public static let keyGenerationMechanism = Self(rawValue: 0x166)
    /// CKA_ALWAYS_AUTHENTICATE: each use of the private key needs the PIN.
    public static let alwaysAuthenticate = Self(rawValue: 0x202)
    /// CKA_TRUSTED.
    public static let trusted = Self(rawValue: 0x86)
    /// CKA_WRAP_WITH_TRUSTED.
    public static let wrapWithTrusted = Self(rawValue: 0x210)
    /// CKA_WRAP_TEMPLATE, attributes.
    public static let wrapTemplate = Self(rawValue: 0x4000_0211)
    /// CKA_UNWRAP_TEMPLATE, attributes.
    public static let unwrapTemplate = Self(rawValue: 0x4000_0212)
    /// CKA_ALLOWED_MECHANISMS, mechanism types.
    public static let allowedMechanisms = Self(rawValue: 0x4000_0600)

    // RSA and elliptic curves, Current Mechanisms 2.1 and 2.3.
    /// CKA_MODULUS, big-endian.
    public static let modulus = Self(rawValue: 0x120)
    /// CKA_MODULUS_BITS.
    public static let modulusBits = Self(rawValue: 0x121)
    /// CKA_PUBLIC_EXPONENT, big-endian.
    public static let publicExponent = Self(rawValue: 0x122)
    /// CKA_PUBLIC_KEY_INFO, a DER SubjectPublicKeyInfo.
    public static let publicKeyInfo = Self(rawValue: 0x129)
    /// CKA_EC_PARAMS, DER.
    public static let ecParameters = Self(rawValue: 0x180)
    /// CKA_EC_POINT, a DER octet string around the point (some tokens: the bare point).
    public static let ecPoint = Self(rawValue: 0x181)
}

extension AttributeType: CustomStringConvertible {
    /// The CKA name where one of the constants above has it, else `CKA 0x90`.
    public var description: String { AttributeType.names[self] ?? "CKA 0x\(String(rawValue, radix: 16))" }

    private static let names: [AttributeType: String] = [
        .objectClass: "CKA_CLASS", .token: "CKA_TOKEN", .private: "CKA_PRIVATE", .label: "CKA_LABEL",
        .modifiable: "CKA_MODIFIABLE", .copyable: "CKA_COPYABLE", .destroyable: "CKA_DESTROYABLE",
        .application: "CKA_APPLICATION", .value: "CKA_VALUE", .objectID: "CKA_OBJECT_ID", .keyType: "CKA_KEY_TYPE",
        .id: "CKA_ID", .sensitive: "CKA_SENSITIVE", .encrypt: "CKA_ENCRYPT", .decrypt: "CKA_DECRYPT", .wrap: "CKA_WRAP",
        .unwrap: "CKA_UNWRAP", .sign: "CKA_SIGN", .signRecover: "CKA_SIGN_RECOVER", .verify: "CKA_VERIFY",
        .verifyRecover: "CKA_VERIFY_RECOVER", .derive: "CKA_DERIVE", .startDate: "CKA_START_DATE",
        .endDate: "CKA_END_DATE", .valueLength: "CKA_VALUE_LEN", .checkValue: "CKA_CHECK_VALUE",
        .extractable: "CKA_EXTRACTABLE", .local: "CKA_LOCAL", .neverExtractable: "CKA_NEVER_EXTRACTABLE",
        .alwaysSensitive: "CKA_ALWAYS_SENSITIVE", .keyGenerationMechanism: "CKA_KEY_GEN_MECHANISM",
        .alwaysAuthenticate: "CKA_ALWAYS_AUTHENTICATE", .trusted: "CKA_TRUSTED", .wrapWithTrusted: "CKA_WRAP_WITH_TRUSTED",
        .wrapTemplate: "CKA_WRAP_TEMPLATE", .unwrapTemplate: "CKA_UNWRAP_TEMPLATE",
        .allowedMechanisms: "CKA_ALLOWED_MECHANISMS", .modulus: "CKA_MODULUS", .modulusBits: "CKA_MODULUS_BITS",
        .publicExponent: "CKA_PUBLIC_EXPONENT", .publicKeyInfo: "CKA_PUBLIC_KEY_INFO", .ecParameters: "CKA_EC_PARAMS",
        .ecPoint: "CKA_EC_POINT",
    ]
}
