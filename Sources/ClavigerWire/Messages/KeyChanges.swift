// Requests that change a key and its state.

/// A request to change what describes a key. What is absent stays as it is.
public struct KeyUpdateRequest: WireMessage {
    public static var schema: [FieldEntry] { Schema.keyUpdateRequest }
    /// The key, by id, alias or name.
    public var key: KeyReference
    /// The operation's id, made by the client.
    public var operation: OperationID
    /// The record's revision that the change is meant for; nil: whichever it is.
    public var revision: UInt64?
    /// The new name.
    public var name: String?
    /// The new description; empty removes it.
    public var description: String?
    /// The new tags, all of them.
    public var tags: [String]?
    /// The new expiry, in milliseconds since 1970; 0 removes it.
    public var expires: UInt64?

    /// A request that changes nothing yet; the rest is filled in by who makes it.
    public init(key: KeyReference, operation: OperationID) {
        self.key = key
        self.operation = operation
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        key = fields.reference(1, bytes) ?? KeyReference("")
        operation = fields.id(2, bytes) ?? .zero
        revision = fields.u64(3, bytes)
        name = fields.text(4, bytes)
        description = fields.text(5, bytes)
        tags = fields.texts(6, bytes)
        expires = fields.u64(7, bytes)
        if let name { try KeyName.check(name) }
        try KeyText.check(description: description)
        try KeyText.check(tags: tags)
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.text(1, key.description)
        writer.id(2, operation)
        writer.u64(3, revision)
        writer.text(4, name)
        writer.text(5, description)
        writer.texts(6, tags)
        writer.u64(7, expires)
    }
}

/// A request to disable, enable, restore or purge a key.
public struct KeyChangeRequest: WireMessage {
    public static var schema: [FieldEntry] { Schema.keyChangeRequest }
    /// The key, by id, alias or name.
    public var key: KeyReference
    /// The operation's id, made by the client.
    public var operation: OperationID
    /// Why, for the record.
    public var reason: String?

    /// A request of these values.
    public init(key: KeyReference, operation: OperationID, reason: String? = nil) {
        self.key = key
        self.operation = operation
        self.reason = reason
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        key = fields.reference(1, bytes) ?? KeyReference("")
        operation = fields.id(2, bytes) ?? .zero
        reason = fields.text(3, bytes)
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.text(1, key.description)
        writer.id(2, operation)
        writer.text(3, reason)
    }
}

/// A request to delete a key, or to say what that would do.
public struct KeyDeleteRequest: WireMessage {
    public static var schema: [FieldEntry] { Schema.keyDeleteRequest }
    /// The key, by id, alias or name.
    public var key: KeyReference
    /// The operation's id, made by the client.
    public var operation: OperationID
    /// Whether to delete it though resources are registered with it.
    public var force = false
    /// Whether to change nothing and only say what would happen.
    public var dryRun = false

    /// A request of these values.
    public init(key: KeyReference, operation: OperationID, force: Bool = false, dryRun: Bool = false) {
        self.key = key
        self.operation = operation
        self.force = force
        self.dryRun = dryRun
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        key = fields.reference(1, bytes) ?? KeyReference("")
        operation = fields.id(2, bytes) ?? .zero
        force = fields.flag(3, bytes) ?? false
        dryRun = fields.flag(4, bytes) ?? false
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.text(1, key.description)
        writer.id(2, operation)
        writer.mark(3, force)
        writer.mark(4, dryRun)
    }
}

/// What deleting a key did, or would do.
public struct KeyDeleteReply: WireMessage {
    public static var schema: [FieldEntry] { Schema.keyDeleteReply }
    /// The key's id.
    public var id: KeyID
    /// The key's state now.
    public var state: KeyState
    /// How many resources are registered with it.
    public var registrations: UInt32
    /// How many of them forbid its deletion.
    public var retained: UInt32
    /// How many versions it has.
    public var versions: UInt32
    /// How many envelopes it has made, as far as was seen.
    public var wraps: UInt64
    /// How many envelopes of it were opened, as far as was seen.
    public var unwraps: UInt64
    /// When it was last seen in use, in milliseconds since 1970.
    public var lastUsed: UInt64?
    /// Until when it can be restored, in milliseconds since 1970.
    public var restorableUntil: UInt64
    /// From when on it can be purged, in milliseconds since 1970.
    public var purgeFrom: UInt64
    /// How many aliases it has.
    public var aliases: UInt32
    /// Whether it is deleted; not after a dry run.
    public var isDone: Bool
    /// Why deleting it would be refused.
    public var blocked: String?

    /// A reply of these values; the rest is filled in by who makes it.
    public init(
        id: KeyID, state: KeyState, registrations: UInt32, retained: UInt32, versions: UInt32, wraps: UInt64, unwraps: UInt64,
        restorableUntil: UInt64, purgeFrom: UInt64, aliases: UInt32, isDone: Bool
    ) {
        self.id = id
        self.state = state
        self.registrations = registrations
        self.retained = retained
        self.versions = versions
        self.wraps = wraps
        self.unwraps = unwraps
        self.restorableUntil = restorableUntil
        self.purgeFrom = purgeFrom
        self.aliases = aliases
        self.isDone = isDone
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        id = fields.id(1, bytes) ?? .zero
        state = try fields.choice(2, bytes)
        registrations = fields.u32(3, bytes) ?? 0
        retained = fields.u32(4, bytes) ?? 0
        versions = fields.u32(5, bytes) ?? 0
        wraps = fields.u64(6, bytes) ?? 0
        unwraps = fields.u64(7, bytes) ?? 0
        lastUsed = fields.u64(8, bytes)
        restorableUntil = fields.u64(9, bytes) ?? 0
        purgeFrom = fields.u64(10, bytes) ?? 0
        aliases = fields.u32(11, bytes) ?? 0
        isDone = fields.flag(12, bytes) ?? false
        blocked = fields.text(13, bytes)
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.id(1, id)
        writer.u8(2, state.rawValue)
        writer.u32(3, registrations)
        writer.u32(4, retained)
        writer.u32(5, versions)
        writer.u64(6, wraps)
        writer.u64(7, unwraps)
        writer.u64(8, lastUsed)
        writer.u64(9, restorableUntil)
        writer.u64(10, purgeFrom)
        writer.u32(11, aliases)
        writer.flag(12, isDone)
        writer.text(13, blocked)
    }
}

/// The reply to key-purge.
public struct KeyPurgeReply: WireMessage {
    public static var schema: [FieldEntry] { Schema.keyPurgeReply }
    /// The id of the key that is no more.
    public var id: KeyID

    /// A reply of these values.
    public init(id: KeyID) {
        self.id = id
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        id = fields.id(1, bytes) ?? .zero
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.id(1, id)
    }
}

/// A request to move a key to another ring.
public struct KeyMoveRequest: WireMessage {
    public static var schema: [FieldEntry] { Schema.keyMoveRequest }
    /// The key, by id, alias or name.
    public var key: KeyReference
    /// The operation's id, made by the client.
    public var operation: OperationID
    /// The ring that it moves to.
    public var ring: String

    /// A request of these values.
    public init(key: KeyReference, operation: OperationID, ring: String) {
        self.key = key
        self.operation = operation
        self.ring = ring
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        key = fields.reference(1, bytes) ?? KeyReference("")
        operation = fields.id(2, bytes) ?? .zero
        ring = fields.text(3, bytes) ?? ""
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.text(1, key.description)
        writer.id(2, operation)
        writer.text(3, ring)
    }
}
