import ClavigerWire
import SecureMemory

/// What is recorded of one request: who, what, on which key, with what outcome. Never key material, plaintext, envelopes or PINs.
struct RequestRecord {
    let request: IncomingRequest
    /// The keys used and how often, or the key changed. Few in a request, so that looking through them is faster than hashing.
    private(set) var uses: [(use: Use, count: Int)] = []
    private(set) var contexts = AuditContexts()

    /// Fields of the request that the opcode table names for the record.
    private(set) var fields: [AuditRecord.Field] = []

    /// How contexts are recorded.
    private let contextForm: AuditContexts.Form
    // The records of changes say what was asked for too.
    private let trace: RequestTrace?

    /// Notes a field of the request.
    mutating func note(field name: String, _ value: String) {
        precondition(request.opcode.entry.recorded.contains(name), "field \(name) is not in the opcode table's record")
        fields.append(AuditRecord.Field(name, value))
        trace?.fields = fields
    }

    /// Notes the context that a grant is for, or a question about one, as contexts are recorded.
    mutating func note(condition: [UInt8]) {
        if let text = AuditContexts.text(ofCondition: condition, contextForm) { note(field: "context", text) }
    }

    struct Use: Equatable {
        var key: KeyID?
        var version: UInt32?
        /// The version of the envelope that was made anew of its, where one was.
        var fresh: UInt32?
        var code: RefusalCode?
    }

    init(_ request: IncomingRequest, contexts: AuditContexts.Form = .hash, trace: RequestTrace? = nil) {
        self.request = request
        contextForm = contexts
        self.trace = trace
    }

    /// Notes one item, or the one thing that a request was about.
    mutating func note(key: KeyID?, version: UInt32?, fresh: UInt32? = nil, code: RefusalCode? = nil) {
        let use = Use(key: key, version: version, fresh: fresh, code: code)
        // Items of a batch mostly are like the one before.
        if let index = uses.lastIndex(where: { $0.use == use }) { uses[index].count += 1 } else { uses.append((use, 1)) }
    }

    /// Notes the context of one item, in its encoded form.
    mutating func note(context: [UInt8]) { contexts.note(encoded: context.span.bytes, form: contextForm) }

    /// The keys that the caller turned out to be allowed to use: what ring each is in, and what a refusal was about that came before
    /// anything was noted.
    var allowed: [KeyEntry] = []
    /// The key that was asked for, by whatever name, where the request was refused before any was found: there need be none.
    var wanted: KeyReference?
    /// Whether nobody waited for the answer any more when the work was done: the caller was told `deadline`, or is gone.
    var isLate = false

    /// How many of what was asked for the answer shows, or says there are; nil for what is no list.
    var total: Int?

    /// Notes what a list or count of keys was of.
    mutating func note(_ filter: KeyFilter) {
        if let ring = filter.ring { note(field: "ring", ring) }
        if let states = filter.states { note(field: "states", states.map(\.name).joined(separator: ",")) }
        if let kind = filter.kind { note(field: "kind", kind.name) }
        if let search = filter.search { note(field: "search", search) }
        if let filter = filter.filter { note(field: "filter", filter) }
    }

    /// The name of the field with what was asked for in vain.
    static let asked = "asked"

    /// The key that the body of a request names, without a look at anything else in it.
    static func wantedKey(_ opcode: Opcode, _ body: RawSpan) -> KeyReference? {
        guard let field = opcode.entry.request.first, field.name == "key", body.byteCount >= fieldHead else { return nil }
        let head = body.part(ByteRange(offset: 0, count: fieldHead)).array()
        let length = head.suffix(4).reduce(0) { $0 << 8 | Int($1) }
        guard length <= body.byteCount - fieldHead,
            let fields = try? FieldMap(body, ByteRange(offset: 0, count: fieldHead + length), [field]),
            let range = fields.range(field.tag)
        else { return nil }
        return KeyReference(String(decoding: body.part(range).array(), as: UTF8.self))
    }

    // A field's tag and length.
    private static let fieldHead = 6

    /// How it is to be counted with others like it.
    func kind(_ refusal: Refusal, _ initiator: AuditRecord.Initiator) -> DenialMerger.Kind {
        // Not the operation's id: it is another one each time.
        let named = fields.filter { $0.name != "operation" }.map { "\($0.name)=\($0.value)" }
        // What was refused as a whole is about the keys that it was allowed to use.
        let keys = uses.isEmpty ? allowed.map { "\($0.id)" } : uses.map { RequestRecord.order($0.use) }.sorted()
        let target = keys + named + (wanted.map { ["\($0)"] } ?? [])
        let caller = initiator.caller
        return DenialMerger.Kind(
            event: request.opcode.entry.name, code: refusal.code, uid: caller.uid, gid: caller.gid, unit: caller.unit,
            target: SHA256.digest(Array(target.joined(separator: "\n").utf8).span.bytes))
    }

    /// Whether others like it are counted with it: what was denied, or refused before anything was known of it.
    ///
    /// - Parameter refusal: that of the request as a whole.
    func isCounted(_ refusal: Refusal?) -> Bool {
        guard uses.isEmpty else { return uses.allSatisfy { $0.use.code == .denied } }
        return refusal.map { $0.code == .denied || fields.isEmpty } ?? false
    }

    /// The record: items merged by key, version and outcome. A request of which every item was refused counts as refused.
    func record(outcome refusal: Refusal?, time: UInt64, trace: RequestTrace) -> AuditRecord {
        var record = AuditRecord(event: request.opcode.entry.name, time: time)
        record.refusal = refusal ?? commonRefusal
        record.initiator = trace.initiator
        record.correlation = trace.correlation.text
        record.request = trace.request
        record.requestData = fields
        record.action = AuditEvent.action(of: record.event, askedWith: fields)
        record.contexts = contexts
        if let total { record.responseData.append(AuditRecord.Field("totalResources", "\(total)")) }
        if isLate { record.responseData.append(AuditRecord.Field("reply", "given-up")) }
        let rings = allowed.count < 2 ? [:] : Dictionary(allowed.map { ($0.id, $0.ring) }) { first, _ in first }
        func ring(_ key: KeyID?) -> String? {
            if let only = allowed.first, allowed.count == 1 { return only.id == key ? only.ring : nil }
            return key.flatMap { rings[$0] }
        }
        let ordered = uses.count < 2 ? uses : uses.sorted { RequestRecord.order($0.use) < RequestRecord.order($1.use) }
        if ordered.isEmpty {
            if refusal != nil { nameTarget(&record) }
        } else if ordered.count == 1, ordered[0].count == 1 {
            let use = ordered[0].use
            record.target = AuditRecord.Target(key: use.key, version: use.version, ring: ring(use.key))
            if let fresh = use.fresh { record.responseData.append(AuditRecord.Field("\(AuditRecord.rewrapped)", "\(fresh)")) }
        } else {
            let common = ordered.first?.use.key.flatMap { key in ordered.allSatisfy { $0.use.key == key } ? key : nil }
            if let common { record.target = AuditRecord.Target(key: common, ring: ring(common)) }
            record.items = ordered.map {
                AuditRecord.Item(
                    key: $0.use.key, version: $0.use.version, ring: common == nil ? ring($0.use.key) : nil, code: $0.use.code,
                    count: $0.count, fresh: $0.use.fresh)
            }
        }
        return record
    }

    // What a refusal is about that came before anything was noted.
    private func nameTarget(_ record: inout AuditRecord) {
        switch (allowed.first, wanted) {
        case (let key?, _): record.target = AuditRecord.Target(key: key.id, ring: key.ring)
        case (nil, .id(let id)?): record.target.key = id
        case (nil, .name(let name)?): record.requestData.append(AuditRecord.Field(RequestRecord.asked, name))
        case (nil, nil): break
        }
    }

    private var commonRefusal: Refusal? {
        guard !uses.isEmpty, uses.allSatisfy({ $0.use.code != nil }) else { return nil }
        // Of several the most frequent; the items say the rest.
        return uses.max { ($0.count, RequestRecord.order($0.use)) < ($1.count, RequestRecord.order($1.use)) }?.use.code
            .map { Refusal($0) }
    }

    private static func order(_ use: Use) -> String {
        "\(use.key.map { "\($0)" } ?? "") \(use.version ?? 0) \(use.fresh ?? 0) \(use.code?.rawValue ?? 0)"
    }
}
