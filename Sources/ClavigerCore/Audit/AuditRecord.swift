import ClavigerWire
import Glibc

/// What a record says, before it has its place in the log.
///
/// Field names are CADF's as Key Protect uses them, with a few of our own; Audit in the documentation lists all. Never key material,
/// plaintext, envelopes or PINs.
package struct AuditRecord: Sendable, Equatable {
    /// When it happened, in milliseconds since 1970.
    package var time: UInt64
    /// The id under which it waited in the database; nil for what did not.
    package var id: OperationID?
    /// The event's name.
    package var event: String
    /// The action, where it is not the event's usual one.
    package var action: String?
    /// Why it was refused; nil for success.
    package var refusal: Refusal?
    /// How it came about, for what the daemon did by itself.
    package var reason: String?
    /// Who did it; nil for the daemon itself.
    package var initiator: Initiator?
    package var target = Target()
    /// What ties together what belongs to one request: here, in the daemon's log.
    package var correlation: String?
    /// The request's number on its connection, as its client knows it.
    package var request: UInt32?
    /// Fields of the request.
    package var requestData: [Field] = []
    /// What came of it.
    package var responseData: [Field] = []
    /// Old and new values.
    package var changes: [ChangeNote.Change] = []
    /// Items of a batch, merged.
    package var items: [Item] = []
    package var contexts = AuditContexts()
    /// How many like it there were, when more than one.
    package var count = 1
    /// For a checkpoint.
    package var checkpoint: AuditHead?

    /// A named value.
    package struct Field: Sendable, Equatable {
        package var name: String
        package var value: String

        package init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    /// Who asked, as the kernel said.
    package struct Initiator: Sendable, Equatable {
        package var caller: Caller
        /// The account's name; nil when there is none.
        package var name: String?

        package init(caller: Caller, name: String?) {
            self.caller = caller
            self.name = name
        }
    }

    /// What it was done to.
    package struct Target: Sendable, Equatable {
        package var key: KeyID?
        package var version: UInt32?
        package var ring: String?

        func write(to text: inout JSONText) {
            text.open("target")
            if let key { text.identifier("id", key) }
            if let version { text.number("keyVersion", version) }
            if let ring { text.text("keyRing", ring) }
            text.close()
        }
    }

    /// Items of one request that had the same key, version and outcome.
    package struct Item: Sendable, Equatable {
        package var key: KeyID?
        package var version: UInt32?
        package var ring: String?
        package var code: RefusalCode?
        package var count: Int
        /// The version of the envelope that was made anew, where one was.
        package var fresh: UInt32?
    }

    package init(event: String, time: UInt64) {
        self.event = event
        self.time = time
    }

    /// A record of something that the daemon did or met by itself.
    package static func system(
        _ event: AuditEvent.System, time: UInt64, reason: String? = nil, _ data: [Field] = []
    ) -> AuditRecord {
        var record = AuditRecord(event: event.rawValue, time: time)
        record.reason = reason
        record.responseData = data
        return record
    }

    /// The fields from `"eventTime"` on, without the braces around a record, as `AuditLog.append` wants them.
    package func body(_ instance: InstanceID) -> [UInt8] {
        var phrases = AuditPhrases()
        return body(instance, &phrases)
    }

    /// The same bytes; faster where `phrases` knows some of them.
    func body(_ instance: InstanceID, _ phrases: inout AuditPhrases) -> [UInt8] {
        var text = JSONText(reusing: phrases.takeBuffer())
        text.time("eventTime", time)
        if let id { text.identifier("id", id) }
        let isDataEvent = writeBeginning(&text, &phrases)
        if target != Target() { target.write(to: &text) }
        text.fields(phrases.observer(instance))
        if let correlation { text.text("correlationId", correlation) }
        if count > 1 { text.number("count", count) }
        text.flag("dataEvent", isDataEvent)
        AuditRecord.write(request: request, requestData, contexts, to: &text)
        AuditRecord.write("responseData", responseData, &text)
        writeChanges(&text)
        writeItems(&text)
        if let checkpoint {
            text.open("checkpoint")
            checkpoint.write(to: &text)
            text.close()
        }
        phrases.keep(text.bytes)
        return text.bytes
    }

    // What happened, what came of it and who did it; whether it is about data.
    private func writeBeginning(_ text: inout JSONText, _ phrases: inout AuditPhrases) -> Bool {
        guard outcome == .success, reason == nil, action == nil, let initiator else { return writeBeginning(&text) }
        if let isDataEvent = phrases.write(event, initiator, to: &text) { return isDataEvent }
        var part = JSONText()
        let isDataEvent = writeBeginning(&part)
        text.fields(part.bytes)
        phrases.remember(
            AuditPhrases.Beginning(event: event, initiator: initiator, isDataEvent: isDataEvent, bytes: part.bytes))
        return isDataEvent
    }

    private func writeBeginning(_ text: inout JSONText) -> Bool {
        let entry = AuditEvent(named: event)
        text.text("event", event)
        text.text("action", action ?? entry.action)
        text.text("outcome", outcome.rawValue)
        text.text("severity", severity(entry).rawValue)
        writeReason(&text)
        writeInitiator(&text)
        return entry.isDataEvent
    }

    /// What came of it as a whole.
    package enum Outcome: String, Sendable {
        case success
        case failure
        /// Some items of a batch succeeded and others did not.
        case partial
    }

    private var outcome: Outcome {
        guard refusal == nil else { return .failure }
        return items.contains { $0.code != nil } ? .partial : .success
    }

    // That of the worst item, where there are several.
    private func severity(_ entry: AuditEvent) -> AuditSeverity {
        let refused = refusal.map { [$0.code] } ?? items.compactMap(\.code)
        return refused.map(AuditEvent.severity).max() ?? entry.severity
    }

    /// The name of the field with the version of the envelope that replaces the one given: Key Protect's.
    static let rewrapped: StaticString = "rewrappedKeyVersionId"

    /// RFC 4918 section 11.1: some of several succeeded.
    private static let multiStatus = 207

    private func writeReason(_ text: inout JSONText) {
        text.open("reason")
        let status = outcome == .partial ? AuditRecord.multiStatus : 200
        text.number("reasonCode", refusal.map { $0.code.entry.httpStatus } ?? status)
        if let refusal {
            text.text("reasonType", refusal.code.name)
            // The code's own words are in the documentation; only what is particular is worth its bytes.
            if refusal.message != refusal.code.entry.message { text.text("reasonForFailure", refusal.message) }
        }
        if let reason { text.text("text", reason) }
        text.close()
    }

    private func writeInitiator(_ text: inout JSONText) {
        text.open("initiator")
        if let initiator {
            let caller = initiator.caller
            text.text("id", "uid:", caller.uid)
            if let name = initiator.name { text.text("name", name) }
            text.number("uid", caller.uid)
            text.number("gid", caller.gid)
            text.number("pid", max(0, caller.pid))
            if let unit = caller.unit { text.text("unit", unit) }
        } else {
            text.text("id", event == DenialMerger.various ? DenialMerger.various : "claviger")
        }
        text.close()
    }

    /// What was asked for.
    static func write(request: UInt32?, _ fields: [Field], _ contexts: AuditContexts, to text: inout JSONText) {
        guard request != nil || !fields.isEmpty || !contexts.isEmpty else { return }
        text.open("requestData")
        if let request { text.number("requestId", request) }
        for field in fields { text.text(named: field.name, field.value) }
        contexts.write(to: &text)
        text.close()
    }

    private static func write(_ name: StaticString, _ fields: [Field], _ text: inout JSONText) {
        guard !fields.isEmpty else { return }
        text.open(name)
        for field in fields { text.text(named: field.name, field.value) }
        text.close()
    }

    private func writeChanges(_ text: inout JSONText) {
        guard !changes.isEmpty else { return }
        text.open("initialValue")
        for change in changes { text.text(named: change.field, change.before) }
        text.close()
        text.open("newValue")
        for change in changes { text.text(named: change.field, change.after) }
        text.close()
    }

    private func writeItems(_ text: inout JSONText) {
        guard !items.isEmpty else { return }
        text.openArray("items")
        for item in items {
            text.open()
            if let key = item.key { text.identifier("id", key) }
            if let version = item.version { text.number("keyVersion", version) }
            if let ring = item.ring { text.text("keyRing", ring) }
            text.text("outcome", item.code == nil ? "success" : "failure")
            if let code = item.code { text.text("reasonType", code.name) }
            text.number("count", item.count)
            if let fresh = item.fresh { text.number(AuditRecord.rewrapped, fresh) }
            text.close()
        }
        text.closeArray()
    }
}
