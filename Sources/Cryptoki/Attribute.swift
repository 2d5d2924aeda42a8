/// One attribute of a template: what to create, what to look for (CK_ATTRIBUTE, PKCS#11 v2.40 section 3.4).
///
/// Order is kept: some tokens apply a template in order, so CKA_MODIFIABLE goes last. A value here lives on the heap; a secret
/// goes to ``Session/createObject(_:value:)`` instead.
public struct Attribute: Hashable, Sendable {
    /// Which attribute.
    public let type: AttributeType
    /// Its value.
    public let value: Value

    /// The shapes that values have.
    public enum Value: Hashable, Sendable {
        /// CK_BBOOL.
        case bool(Bool)
        /// CK_ULONG.
        case ulong(UInt)
        /// Bytes; text as UTF-8, big integers big-endian.
        case bytes([UInt8])
        /// An array of CK_MECHANISM_TYPE.
        case mechanisms([MechanismType])
        /// An array of CK_ATTRIBUTE (CKF_ARRAY_ATTRIBUTE).
        case template([Attribute])
    }

    /// An attribute of any type and shape.
    public init(_ type: AttributeType, _ value: Value) {
        self.type = type
        self.value = value
    }

    /// The value's bytes as ``Session/template(_:of:)`` gives them; nil for a template, whose bytes are addresses.
    public var valueBytes: [UInt8]? {
        switch value {
        case .bool(let flag): [flag ? 1 : 0]
        case .ulong(let number): withUnsafeBytes(of: number) { Array($0) }
        case .bytes(let bytes): bytes
        case .mechanisms(let types): types.flatMap { type in withUnsafeBytes(of: type.rawValue) { Array($0) } }
        case .template: nil
        }
    }

    /// A flag, such as `.bool(.sensitive, true)`.
    public static func bool(_ type: AttributeType, _ value: Bool) -> Attribute { Attribute(type, .bool(value)) }
    /// A number, such as `.ulong(.valueLength, 32)`.
    public static func ulong(_ type: AttributeType, _ value: UInt) -> Attribute { Attribute(type, .ulong(value)) }
    /// Bytes, such as `.bytes(.id, [1, 2])`.
    public static func bytes(_ type: AttributeType, _ value: [UInt8]) -> Attribute { Attribute(type, .bytes(value)) }
    /// Text as UTF-8, such as `.text(.label, "key")`.
    public static func text(_ type: AttributeType, _ value: String) -> Attribute { Attribute(type, .bytes(Array(value.utf8))) }
    /// CKA_CLASS.
    public static func objectClass(_ value: ObjectClass) -> Attribute { Attribute(.objectClass, .ulong(value.rawValue)) }
    /// CKA_KEY_TYPE.
    public static func keyType(_ value: KeyType) -> Attribute { Attribute(.keyType, .ulong(value.rawValue)) }
    /// CKA_LABEL.
    public static func label(_ value: String) -> Attribute { .text(.label, value) }
    /// CKA_ID.
    public static func id(_ value: [UInt8]) -> Attribute { .bytes(.id, value) }
    /// CKA_ALLOWED_MECHANISMS.
    public static func allowedMechanisms(_ value: [MechanismType]) -> Attribute {
        Attribute(.allowedMechanisms, .mechanisms(value))
    }
    /// CKA_WRAP_TEMPLATE or CKA_UNWRAP_TEMPLATE.
    public static func template(_ type: AttributeType, _ value: [Attribute]) -> Attribute { Attribute(type, .template(value)) }
}
