/// A record as people look for it.
package struct AuditEntry: Sendable {
    /// The line as it stands in the log.
    package let line: [UInt8]
    private let value: JSONValue

    /// The record of a line; nil when it is none.
    package init?(_ line: [UInt8]) {
        guard let value = try? JSONValue(line), value["seq"]?.number != nil else { return nil }
        self.line = line
        self.value = value
    }

    package var sequence: UInt64 { value["seq"]?.number ?? 0 }
    package var time: String { value["eventTime"]?.text ?? "" }
    package var event: String { value["event"]?.text ?? "" }
    package var action: String { value["action"]?.text ?? "" }
    package var outcome: String { value["outcome"]?.text ?? "" }
    package var severity: String { value["severity"]?.text ?? "" }
    package var reasonCode: String { value["reason"]?["reasonCode"]?.number.map { String($0) } ?? "" }
    package var reasonType: String { value["reason"]?["reasonType"]?.text ?? "" }
    package var reason: String { value["reason"]?["reasonForFailure"]?.text ?? value["reason"]?["text"]?.text ?? "" }
    package var uid: String { value["initiator"]?["uid"]?.number.map { String($0) } ?? "" }
    package var gid: String { value["initiator"]?["gid"]?.number.map { String($0) } ?? "" }
    package var pid: String { value["initiator"]?["pid"]?.number.map { String($0) } ?? "" }
    /// The caller's account; `claviger` for the daemon itself.
    package var name: String {
        guard let initiator = value["initiator"] else { return "" }
        return initiator["name"]?.text ?? (initiator["uid"] == nil ? initiator["id"]?.text ?? "" : "")
    }
    package var unit: String { value["initiator"]?["unit"]?.text ?? "" }
    package var key: String { value["target"]?["id"]?.text ?? "" }
    package var version: String { value["target"]?["keyVersion"]?.number.map { String($0) } ?? "" }
    package var ring: String { value["target"]?["keyRing"]?.text ?? "" }
    package var correlation: String { value["correlationId"]?.text ?? "" }
    package var count: String { value["count"]?.number.map { String($0) } ?? "1" }

    /// All keys that the record speaks of.
    package var keys: [String] {
        (key.isEmpty ? [] : [key]) + (value["items"]?.elements.compactMap { $0["id"]?.text } ?? [])
    }

    /// Its outcome, and those of a batch's items.
    package var outcomes: [String] { [outcome] + (value["items"]?.elements.compactMap { $0["outcome"]?.text } ?? []) }

    /// Why it was refused, and why a batch's items were.
    package var reasonTypes: [String] { [reasonType] + (value["items"]?.elements.compactMap { $0["reasonType"]?.text } ?? []) }

    /// The fields of the request, and old and new values, as `name=value`.
    package var details: [String] {
        var details: [String] = []
        if case .object(let fields)? = value["requestData"] {
            for field in fields { if let text = field.value.text { details.append("\(field.name)=\(text)") } }
        }
        if case .object(let before)? = value["initialValue"], let after = value["newValue"] {
            for field in before {
                details.append("\(field.name): \(field.value.text ?? "none") -> \(after[field.name]?.text ?? "none")")
            }
        }
        for item in value["items"].map(\.elements) ?? [] {
            let version = item["keyVersion"]?.number.map { "/\($0)" } ?? ""
            let outcome = item["reasonType"]?.text ?? item["outcome"]?.text ?? ""
            details.append("\(item["count"]?.number ?? 1) x \(item["id"]?.text ?? "-")\(version) \(outcome)")
        }
        if let data = value["responseData"], case .object(let fields) = data {
            for field in fields { if let text = field.value.text { details.append("\(field.name)=\(text)") } }
        }
        return details
    }
}

/// What records are looked for. What is nil matches all.
package struct AuditQuery: Sendable {
    /// A key's id.
    package var key: String?
    /// A user id, an account's name, or a unit's.
    package var caller: String?
    /// An event's name, or an action's.
    package var event: String?
    /// Of the record as a whole, or of an item of a batch.
    package var outcome: String?
    /// A refusal's name, of the record or of an item of a batch.
    package var reason: String?
    package var correlation: String?
    /// Milliseconds since 1970, inclusive.
    package var since: UInt64?
    /// Milliseconds since 1970, exclusive.
    package var until: UInt64?

    package init() {}

    /// Whether a record is looked for.
    package func matches(_ entry: AuditEntry) -> Bool {
        if let key, !entry.keys.contains(key.lowercased()) { return false }
        if let caller, entry.uid != caller, entry.name != caller, entry.unit != caller { return false }
        if let event, entry.event != event, entry.action != event { return false }
        if let outcome, !entry.outcomes.contains(outcome) { return false }
        if let reason, !entry.reasonTypes.contains(reason) { return false }
        if let correlation, entry.correlation != correlation { return false }
        guard since != nil || until != nil else { return true }
        guard let time = AuditTime.milliseconds(entry.time) else { return false }
        if let since, time < since { return false }
        if let until, time >= until { return false }
        return true
    }
}
