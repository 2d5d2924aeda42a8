/// Policies: as a request, what is to change (nil stays as it is); as a reply, what holds (nil does not apply).
public struct PolicyValues: Sendable, Equatable {
    /// Whether keys are rotated by policy.
    public var rotationEnabled: Bool?
    /// Every so many months; 0 for none.
    public var rotationMonths: UInt32?
    /// The actions that need a second person: delete, purge, disable, restore, policy.
    public var dualControl: DualControl?
    /// Instance: whether new keys take this over.
    public var dualControlEnabled: Bool?
    /// Instance: whether the rules on creating and importing hold.
    public var accessEnabled: Bool?
    /// Instance: whether root keys may be created.
    public var createRoot: Bool?
    /// Instance: whether standard keys may be created.
    public var createStandard: Bool?
    /// Instance: whether root keys may be imported.
    public var importRoot: Bool?
    /// Instance: whether standard keys may be imported.
    public var importStandard: Bool?
    /// Instance: whether keys may be imported with an import token only.
    public var enforceToken: Bool?
    /// Instance: whether metrics of requests are kept.
    public var metricsEnabled: Bool?

    /// No values.
    public init() {}

    init(_ fields: FieldMap, _ bytes: RawSpan) {
        rotationEnabled = fields.flag(4, bytes)
        rotationMonths = fields.u32(5, bytes)
        dualControl = fields.u32(6, bytes).map { DualControl(rawValue: $0) }
        dualControlEnabled = fields.flag(7, bytes)
        accessEnabled = fields.flag(8, bytes)
        createRoot = fields.flag(9, bytes)
        createStandard = fields.flag(10, bytes)
        importRoot = fields.flag(11, bytes)
        importStandard = fields.flag(12, bytes)
        enforceToken = fields.flag(13, bytes)
        metricsEnabled = fields.flag(14, bytes)
    }

    func encode(to writer: inout BodyWriter) {
        writer.flag(4, rotationEnabled)
        writer.u32(5, rotationMonths)
        writer.u32(6, dualControl?.rawValue)
        writer.flag(7, dualControlEnabled)
        writer.flag(8, accessEnabled)
        writer.flag(9, createRoot)
        writer.flag(10, createStandard)
        writer.flag(11, importRoot)
        writer.flag(12, importStandard)
        writer.flag(13, enforceToken)
        writer.flag(14, metricsEnabled)
    }
}

/// A request to change policies. What is absent stays as it is.
public struct PolicySetRequest: WireMessage {
    public static var schema: [FieldEntry] { Schema.policySetRequest }
    /// The key; nil: the instance.
    public var key: KeyReference?
    /// The operation's id, made by the client.
    public var operation: OperationID
    /// The revision that the change is meant for; nil: whichever it is.
    public var revision: UInt64?
    /// What is to change.
    public var values: PolicyValues

    /// A request of these values.
    public init(
        key: KeyReference? = nil, operation: OperationID, revision: UInt64? = nil, values: PolicyValues = PolicyValues()
    ) {
        self.key = key
        self.operation = operation
        self.revision = revision
        self.values = values
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        key = fields.reference(1, bytes)
        operation = fields.id(2, bytes) ?? .zero
        revision = fields.u64(3, bytes)
        values = PolicyValues(fields, bytes)
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.text(1, key?.description)
        writer.id(2, operation)
        writer.u64(3, revision)
        values.encode(to: &writer)
    }
}

/// The reply to policy-show and policy-set.
public struct PolicyReply: WireMessage {
    public static var schema: [FieldEntry] { Schema.policyReply }
    /// The key's id; nil: the instance's policies.
    public var key: KeyID?
    /// Rises with every change.
    public var revision: UInt64
    /// What holds.
    public var values: PolicyValues
    /// When a policy was last changed, in milliseconds since 1970.
    public var updated: UInt64?
    /// Who changed it.
    public var updatedBy: String?

    /// A reply of these values.
    public init(
        key: KeyID? = nil, revision: UInt64, values: PolicyValues, updated: UInt64? = nil, updatedBy: String? = nil
    ) {
        self.key = key
        self.revision = revision
        self.values = values
        self.updated = updated
        self.updatedBy = updatedBy
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        key = fields.id(1, bytes)
        revision = fields.u64(3, bytes) ?? 0
        values = PolicyValues(fields, bytes)
        updated = fields.u64(15, bytes)
        updatedBy = fields.text(16, bytes)
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.id(1, key)
        writer.u64(3, revision)
        values.encode(to: &writer)
        writer.u64(15, updated)
        writer.text(16, updatedBy)
    }
}

/// A request for a key's policies or the instance's.
public struct PolicyShowRequest: WireMessage {
    public static var schema: [FieldEntry] { Schema.policyShowRequest }
    /// The key; nil: the instance.
    public var key: KeyReference?

    /// A request of these values.
    public init(key: KeyReference? = nil) {
        self.key = key
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        key = fields.reference(1, bytes)
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.text(1, key?.description)
    }
}
