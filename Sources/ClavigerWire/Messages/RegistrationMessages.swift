/// One resource registered with a key; the reply to registration-set.
public struct RegistrationRecord: WireMessage {
    public static var schema: [FieldEntry] { Schema.registrationRecord }
    /// The key's id.
    public var key: KeyID
    /// The resource's name, as its owner calls it.
    public var resource: String
    /// What it is.
    public var description: String?
    /// Whether it forbids deleting the key, force or not.
    public var retention: Bool
    /// When the registration ends by itself, in milliseconds since 1970; nil: when it is released.
    public var leaseEnds: UInt64?
    /// The key version that the resource was last protected with.
    public var version: UInt32
    /// When it was registered, in milliseconds since 1970.
    public var created: UInt64
    /// Who registered it.
    public var createdBy: String
    /// The uid that may change it.
    public var ownerUID: UInt32
    /// When it was last changed, in milliseconds since 1970.
    public var updated: UInt64
    /// Rises with every change.
    public var revision: UInt64

    /// A record of these values; the rest is filled in by who makes it.
    public init(
        key: KeyID, resource: String, retention: Bool, version: UInt32, created: UInt64, createdBy: String, ownerUID: UInt32,
        updated: UInt64, revision: UInt64
    ) {
        self.key = key
        self.resource = resource
        self.retention = retention
        self.version = version
        self.created = created
        self.createdBy = createdBy
        self.ownerUID = ownerUID
        self.updated = updated
        self.revision = revision
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        key = fields.id(1, bytes) ?? .zero
        resource = fields.text(2, bytes) ?? ""
        description = fields.text(3, bytes)
        retention = fields.flag(4, bytes) ?? false
        leaseEnds = fields.u64(5, bytes)
        version = fields.u32(6, bytes) ?? 0
        created = fields.u64(7, bytes) ?? 0
        createdBy = fields.text(8, bytes) ?? ""
        ownerUID = fields.u32(9, bytes) ?? 0
        updated = fields.u64(10, bytes) ?? 0
        revision = fields.u64(11, bytes) ?? 0
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.id(1, key)
        writer.text(2, resource)
        writer.text(3, description)
        writer.flag(4, retention)
        writer.u64(5, leaseEnds)
        writer.u32(6, version)
        writer.u64(7, created)
        writer.text(8, createdBy)
        writer.u32(9, ownerUID)
        writer.u64(10, updated)
        writer.u64(11, revision)
    }
}

/// A request to register a resource with a key, or to change its registration. What is absent stays as it is.
public struct RegistrationSetRequest: WireMessage {
    public static var schema: [FieldEntry] { Schema.registrationSetRequest }
    /// The key, by id, alias or name.
    public var key: KeyReference
    /// The operation's id, made by the client.
    public var operation: OperationID
    /// The resource's name.
    public var resource: String
    /// What it is; empty removes it.
    public var description: String?
    /// Whether the key cannot be deleted while this is registered.
    public var retention: Bool?
    /// For how long it is registered, in milliseconds from now; 0 for until it is released.
    public var lease: UInt64?
    /// The key version that it is protected with; nil: the newest.
    public var version: UInt32?
    /// The record's revision that the change is meant for; 0: only if there is none yet.
    public var revision: UInt64?

    /// A request for a registration until it is released; the rest is filled in by who makes it.
    public init(key: KeyReference, operation: OperationID, resource: String) {
        self.key = key
        self.operation = operation
        self.resource = resource
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        key = fields.reference(1, bytes) ?? KeyReference("")
        operation = fields.id(2, bytes) ?? .zero
        resource = fields.text(3, bytes) ?? ""
        description = fields.text(4, bytes)
        retention = fields.flag(5, bytes)
        lease = fields.u64(6, bytes)
        version = fields.u32(7, bytes)
        revision = fields.u64(8, bytes)
        try KeyText.check(description: description)
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.text(1, key.description)
        writer.id(2, operation)
        writer.text(3, resource)
        writer.text(4, description)
        writer.flag(5, retention)
        writer.u64(6, lease)
        writer.u32(7, version)
        writer.u64(8, revision)
    }
}

/// A request to end a registration.
public struct RegistrationReleaseRequest: WireMessage {
    public static var schema: [FieldEntry] { Schema.registrationReleaseRequest }
    /// The key, by id, alias or name.
    public var key: KeyReference
    /// The operation's id, made by the client.
    public var operation: OperationID
    /// The resource's name.
    public var resource: String

    /// A request of these values.
    public init(key: KeyReference, operation: OperationID, resource: String) {
        self.key = key
        self.operation = operation
        self.resource = resource
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        key = fields.reference(1, bytes) ?? KeyReference("")
        operation = fields.id(2, bytes) ?? .zero
        resource = fields.text(3, bytes) ?? ""
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.text(1, key.description)
        writer.id(2, operation)
        writer.text(3, resource)
    }
}

/// A request for a page of registrations.
public struct RegistrationListRequest: WireMessage {
    public static var schema: [FieldEntry] { Schema.registrationListRequest }
    /// Only those of this key.
    public var key: KeyReference?
    /// How many at most; 100 when nil.
    public var limit: UInt32?
    /// `next` of the page before; nil for the first.
    public var cursor: [UInt8]?
    /// Only resources of this name; `*` stands for any characters.
    public var resourcePattern: String?
    /// Only those with or without retention.
    public var retention: Bool?

    /// A request of these values.
    public init(
        key: KeyReference? = nil, limit: UInt32? = nil, cursor: [UInt8]? = nil, resourcePattern: String? = nil,
        retention: Bool? = nil
    ) {
        self.key = key
        self.limit = limit
        self.cursor = cursor
        self.resourcePattern = resourcePattern
        self.retention = retention
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        key = fields.reference(1, bytes)
        limit = fields.u32(2, bytes)
        cursor = fields.bytes(3, bytes)
        resourcePattern = fields.text(4, bytes)
        retention = fields.flag(5, bytes)
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.text(1, key?.description)
        writer.u32(2, limit)
        writer.bytes(3, cursor)
        writer.text(4, resourcePattern)
        writer.flag(5, retention)
    }
}

/// The reply to registration-list.
public struct RegistrationListReply: WireMessage {
    public static var schema: [FieldEntry] { Schema.registrationListReply }
    /// By key and resource.
    public var registrations: [RegistrationRecord]
    /// Where the next page begins; absent on the last.
    public var next: [UInt8]?

    /// A reply of these values.
    public init(registrations: [RegistrationRecord], next: [UInt8]? = nil) {
        self.registrations = registrations
        self.next = next
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        registrations = try fields.items(1, bytes, as: RegistrationRecord.self)
        next = fields.bytes(2, bytes)
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.items(1, registrations, source: source)
        writer.bytes(2, next)
    }
}
