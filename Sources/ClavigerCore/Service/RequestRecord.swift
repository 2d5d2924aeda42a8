import ClavigerWire

/// What is recorded of one request: who, what, on which key, with what outcome. Never key material, plaintext, envelopes or PINs.
struct RequestRecord {
    let request: IncomingRequest
    /// The keys used and how often, or the key changed.
    private(set) var uses: [Use: Int] = [:]
    private(set) var contexts = AuditContexts()

    /// Fields of the request that the opcode table names for the record.
    private(set) var fields: [AuditRecord.Field] = []

    /// How contexts are recorded.
    private let contextForm: AuditContexts.Form

    /// Notes a field of the request.
    mutating func note(field name: String, _ value: String) {
        precondition(request.opcode.entry.recorded.contains(name), "field \(name) is not in the opcode table's record")
        fields.append(AuditRecord.Field(name, value))
    }

    struct Use: Hashable {
        var key: KeyID?
        var version: UInt32?
        var code: RefusalCode?
    }

    init(_ request: IncomingRequest, contexts: AuditContexts.Form = .hash) {
        self.request = request
        contextForm = contexts
    }

    /// Notes one item, or the one thing that a request was about.
    mutating func note(key: KeyID?, version: UInt32?, code: RefusalCode? = nil) {
        uses[Use(key: key, version: version, code: code), default: 0] += 1
    }

    /// Notes the context of one item, in its encoded form.
    mutating func note(context: [UInt8]) { contexts.note(encoded: context.span.bytes, form: contextForm) }

    /// Whether nothing was noted but that it was refused.
    var isBare: Bool { uses.isEmpty && fields.isEmpty }

    /// The record: items merged by key, version and outcome. A request of which every item was refused counts as refused.
    func record(outcome refusal: Refusal?, time: UInt64, trace: RequestTrace) -> AuditRecord {
        var record = AuditRecord(event: request.opcode.entry.name, time: time)
        record.refusal = refusal ?? commonRefusal
        record.initiator = trace.initiator
        record.correlation = trace.correlation
        record.request = trace.request
        record.requestData = fields
        record.contexts = contexts
        let ordered = uses.count < 2 ? Array(uses) : uses.sorted { RequestRecord.order($0.key) < RequestRecord.order($1.key) }
        if ordered.count == 1, ordered[0].value == 1 {
            record.target = AuditRecord.Target(key: ordered[0].key.key, version: ordered[0].key.version)
        } else {
            if let key = ordered.first?.key.key, ordered.allSatisfy({ $0.key.key == key }) { record.target.key = key }
            record.items = ordered.map {
                AuditRecord.Item(key: $0.key.key, version: $0.key.version, code: $0.key.code, count: $0.value)
            }
        }
        return record
    }

    private var commonRefusal: Refusal? {
        guard !uses.isEmpty, uses.keys.allSatisfy({ $0.code != nil }) else { return nil }
        // Of several the most frequent; the items say the rest.
        return uses.max { ($0.value, RequestRecord.order($0.key)) < ($1.value, RequestRecord.order($1.key)) }?.key.code
            .map { Refusal($0) }
    }

    private static func order(_ use: Use) -> String {
        "\(use.key.map { "\($0)" } ?? "") \(use.version ?? 0) \(use.code?.rawValue ?? 0)"
    }
}
