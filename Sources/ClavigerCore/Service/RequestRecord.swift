import ClavigerWire

/// What is recorded of one request: who, what, on which key, with what outcome. Never key material, plaintext, envelopes or PINs.
struct RequestRecord {
    let request: IncomingRequest
    /// The keys used and how often, or the key changed.
    var uses: [Use: Int] = [:]

    /// Fields of the request that the opcode table names for the record.
    private var fields: [(name: String, value: String)] = []

    /// Notes a field of the request.
    mutating func note(field name: String, _ value: String) {
        precondition(request.opcode.entry.recorded.contains(name), "field \(name) is not in the opcode table's record")
        fields.append((name, value))
    }

    struct Use: Hashable {
        var key: KeyID?
        var version: UInt32?
        var code: RefusalCode?
    }

    init(_ request: IncomingRequest) { self.request = request }

    /// Notes one item, or the one thing that a request was about.
    mutating func note(key: KeyID?, version: UInt32?, code: RefusalCode? = nil) {
        uses[Use(key: key, version: version, code: code), default: 0] += 1
    }

    /// Writes the record: one structured line for the request, its items merged by key, version and outcome.
    func write(outcome refusal: Refusal?) {
        let caller = request.caller
        var text = "event=\(request.opcode.entry.name) outcome=\(refusal == nil ? "success" : "refused")"
        if let refusal { text += " code=\(refusal.code.name)" }
        text += " uid=\(caller.uid) gid=\(caller.gid) pid=\(caller.pid)"
        if let unit = caller.unit { text += " unit=\(LogLine.quoted(unit))" }
        text += " request=\(request.header.requestID)"
        for field in fields { text += " \(field.name)=\(LogLine.quoted(field.value))" }
        let ordered = uses.count < 2 ? Array(uses) : uses.sorted { RequestRecord.order($0.key) < RequestRecord.order($1.key) }
        for (use, count) in ordered {
            text += " item=\(use.key.map { "\($0)" } ?? "-"):\(use.version.map { "\($0)" } ?? "-")"
            text += ":\(use.code?.name ?? "success"):\(count)"
        }
        LogLine.write(.info, text)
    }

    private static func order(_ use: Use) -> String {
        "\(use.key.map { "\($0)" } ?? "") \(use.version ?? 0) \(use.code?.rawValue ?? 0)"
    }
}
