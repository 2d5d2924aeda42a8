/// A question why somebody may or may not do something.
public struct AccessExplainRequest: WireMessage {
    public static var schema: [FieldEntry] { Schema.accessExplainRequest }
    /// As whom.
    public var subject: String
    /// What: an operation or a permission, by name.
    public var action: String
    /// With what: a key, or `ring:NAME`; nil: anything.
    public var target: String?
    /// The envelope's context, encoded; nil: any.
    public var context: [UInt8]?

    /// A question of these values.
    public init(subject: String, action: String, target: String? = nil, context: [UInt8]? = nil) {
        self.subject = subject
        self.action = action
        self.target = target
        self.context = context
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        subject = fields.text(1, bytes) ?? ""
        action = fields.text(2, bytes) ?? ""
        target = fields.text(3, bytes)
        context = fields.range(4).map { bytes.part($0).array() }
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.text(1, subject)
        writer.text(2, action)
        if let target { writer.text(3, target) }
        if let context { writer.bytes(4, context) }
    }
}

/// The reply to access-explain.
public struct AccessExplainReply: WireMessage {
    public static var schema: [FieldEntry] { Schema.accessExplainReply }
    /// Whether it would be allowed now.
    public var isAllowed: Bool
    /// The rule or grant that decided.
    public var decidedBy: String
    /// What each grant that comes near lacks, and what would change the answer; a line each.
    public var details: [String]

    /// A reply of these values.
    public init(isAllowed: Bool, decidedBy: String, details: [String]) {
        self.isAllowed = isAllowed
        self.decidedBy = decidedBy
        self.details = details
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        isAllowed = fields.flag(1, bytes) ?? false
        decidedBy = fields.text(2, bytes) ?? ""
        details = fields.texts(3, bytes) ?? []
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.flag(1, isAllowed)
        writer.text(2, decidedBy)
        writer.texts(3, details)
    }
}
