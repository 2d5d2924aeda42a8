/// A request to give a key another name that no other key has.
public struct AliasCreateRequest: WireMessage {
    public static var schema: [FieldEntry] { Schema.aliasCreateRequest }
    /// The key, by id, alias or name.
    public var key: KeyReference
    /// The operation's id, made by the client.
    public var operation: OperationID
    /// The alias.
    public var alias: String

    /// A request of these values.
    public init(key: KeyReference, operation: OperationID, alias: String) {
        self.key = key
        self.operation = operation
        self.alias = alias
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        key = fields.reference(1, bytes) ?? KeyReference("")
        operation = fields.id(2, bytes) ?? .zero
        alias = fields.text(3, bytes) ?? ""
        try AliasName.check(alias)
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.text(1, key.description)
        writer.id(2, operation)
        writer.text(3, alias)
    }
}

/// A request to take an alias from its key.
public struct AliasDeleteRequest: WireMessage {
    public static var schema: [FieldEntry] { Schema.aliasDeleteRequest }
    /// The alias.
    public var alias: String
    /// The operation's id, made by the client.
    public var operation: OperationID

    /// A request of these values.
    public init(alias: String, operation: OperationID) {
        self.alias = alias
        self.operation = operation
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        alias = fields.text(1, bytes) ?? ""
        operation = fields.id(2, bytes) ?? .zero
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.text(1, alias)
        writer.id(2, operation)
    }
}
