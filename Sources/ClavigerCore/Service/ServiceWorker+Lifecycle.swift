import ClavigerWire

// The states of keys, and what describes them. None of this needs the token.
extension ServiceWorker {
    func updateKey(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        let message = try call.decode(KeyUpdateRequest.self)
        record.note(field: "operation", "\(message.operation)")
        if let revision = message.revision { record.note(field: "revision", "\(revision)") }
        if let name = message.name { record.note(field: "name", name) }
        if let description = message.description { record.note(field: "description", description) }
        if let tags = message.tags { record.note(field: "tags", tags.joined(separator: ",")) }
        if let expires = message.expires { record.note(field: "expires-ms", "\(expires)") }
        try requireKeys()
        let reply = try service.ledger.change(AskedChange(message.operation, call)) { (snapshot, now) throws(Refusal) in
            let key = try authorisedKey(message.key, for: .updateKeys, of: call.caller, in: snapshot)
            return try updating(key, message, call, at: now, snapshot.settings)
        }
        record.note(key: reply.id, version: nil)
        return try call.answer.reply(reply)
    }

    private func updating(
        _ key: KeyEntry, _ message: KeyUpdateRequest, _ call: Call, at now: UInt64, _ settings: SettingValues
    ) throws(Refusal) -> Decision<KeyRecord> {
        let before = key.stored
        try before.require(.update, at: now, settings)
        if let revision = message.revision, revision != before.revision {
            throw Refusal(
                .revisionConflict, "key \(key.id) is at revision \(before.revision), not at \(revision): read it again")
        }
        if let tags = message.tags, UInt64(tags.count) > settings[.maximumTags] {
            throw Refusal(.limitReached, "a key has at most \(settings[.maximumTags]) tags")
        }
        var after = before
        if let name = message.name { after.name = name }
        if let description = message.description { after.description = description }
        if let tags = message.tags { after.tags = tags }
        if let expires = message.expires {
            try after.setExpiry(expires, at: now)
            try before.requireExpiryByOnePerson(expires, at: now, settings)
        }
        let edited = after
        return changeKey(key, call, at: now, settings, ChangeNote.changes(from: before, to: edited, at: now)) { $0 = edited }
    }

    func disableKey(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        try changeState(call, &record, .disableKeys, answering: KeyRecord.self, { $0.id }) {
            (key, now, settings) throws(Refusal) in
            try key.stored.require(.disable, at: now, settings)
            try key.stored.requireNoSecondPerson(for: .disable)
            return try disabling(key, call, at: now, settings)
        }
    }

    func enableKey(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        try changeState(call, &record, .disableKeys, answering: KeyRecord.self, { $0.id }) {
            (key, now, settings) throws(Refusal) in
            let state = try key.stored.require(.enable, at: now, settings)
            return changeState(of: key, to: state, call, at: now, settings) { $0.suspended = nil }
        }
    }

    func restoreKey(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        try changeState(call, &record, .restoreKeys, answering: KeyRecord.self, { $0.id }) {
            (key, now, settings) throws(Refusal) in
            try key.stored.require(.restore, at: now, settings)
            try key.stored.requireNoSecondPerson(for: .restore)
            return try restoring(key, call, at: now, settings)
        }
    }

    /// What the handlers of key-disable, key-enable, key-restore and key-purge share.
    func changeState<Reply: WireMessage>(
        _ call: Call, _ record: inout RequestRecord, _ permission: Permission, answering: Reply.Type, _ id: (Reply) -> KeyID,
        _ decide: (KeyEntry, UInt64, SettingValues) throws(Refusal) -> Decision<Reply>
    ) throws(Refusal) -> Int {
        let message = try call.decode(KeyChangeRequest.self)
        record.note(field: "operation", "\(message.operation)")
        if let reason = message.reason { record.note(field: "reason", reason) }
        try requireKeys()
        let reply = try service.ledger.change(AskedChange(message.operation, call)) {
            (snapshot, now) throws(Refusal) -> Decision<Reply> in
            let key = try authorisedKey(message.key, for: permission, of: call.caller, in: snapshot)
            return try decide(key, now, snapshot.settings)
        }
        record.note(key: id(reply), version: nil)
        return try call.answer.reply(reply)
    }

    /// Disables a key, whoever has approved it.
    func disabling(
        _ key: KeyEntry, _ call: Call, at now: UInt64, _ settings: SettingValues
    ) throws(Refusal) -> Decision<KeyRecord> {
        let state = try key.stored.require(.disable, at: now, settings)
        return changeState(of: key, to: state, call, at: now, settings) { $0.suspended = now }
    }

    /// Restores a key to the state it was deleted in, whoever has approved it.
    func restoring(
        _ key: KeyEntry, _ call: Call, at now: UInt64, _ settings: SettingValues
    ) throws(Refusal) -> Decision<KeyRecord> {
        let state = try key.stored.require(.restore, at: now, settings)
        guard !key.stored.isWiped else {
            throw Refusal(.restoreExpired, "key \(key.id) cannot be restored: its material has been wiped")
        }
        // What was asked about the deleted key was meant for that deletion, not for another one later.
        var settled = key
        settled.approvals = []
        var decision = changeState(of: settled, to: state, call, at: now, settings) {
            $0.endPromise()
            $0.deletedBy = nil
            $0.stateBefore = nil
        }
        let (id, write, publish) = (key.id, decision.write, decision.publish)
        decision.write = { connection throws(StoreError) in
            try write(connection)
            try connection.cancelApprovals(of: id, at: now)
        }
        decision.publish = { snapshot in publish(snapshot).changing(id) { $0.approvals = [] } }
        return decision
    }

    /// A change of a key's state and what goes with it.
    func changeState(
        of key: KeyEntry, to state: KeyState, _ call: Call, at now: UInt64, _ settings: SettingValues,
        _ edit: (inout StoredKey) -> Void
    ) -> Decision<KeyRecord> {
        let change = ChangeNote.Change("state", from: key.stored.state(at: now).name, to: state.name)
        return changeKey(key, call, at: now, settings, [change]) {
            $0.state = state
            edit(&$0)
        }
    }
}

extension StoredKey {
    /// Sets the expiration date, or removes it (0). A key that had expired is active again when its new date is still to come.
    ///
    /// - Throws: `invalidValue` for a date that has passed.
    mutating func setExpiry(_ date: UInt64, at now: UInt64) throws(Refusal) {
        guard date == 0 || date > now else {
            throw Refusal(.invalidValue, "the expiration date \(DateText(date)) has passed; to stop a key at once, disable it")
        }
        if state(at: now) == .deactivated { state = .active }
        expires = date == 0 ? nil : date
    }
}

extension ChangeNote {
    /// What the audit log says of a changed key: the fields that differ.
    static func changes(from before: StoredKey, to after: StoredKey, at now: UInt64) -> [Change] {
        let date = { (key: StoredKey) in key.expires.map { "\(DateText($0))" } }
        let fields: [(String, (StoredKey) -> String?)] = [
            ("name", { $0.name }), ("description", { $0.description.isEmpty ? nil : $0.description }),
            ("tags", { $0.tags.isEmpty ? nil : $0.tags.joined(separator: ",") }), ("expires", date),
            ("state", { $0.state(at: now).name }),
        ]
        return fields.compactMap { name, value in
            value(before) == value(after) ? nil : Change(name, from: value(before), to: value(after))
        }
    }
}
