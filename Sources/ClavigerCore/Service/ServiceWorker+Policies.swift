import ClavigerWire

// Policies: the instance's, which new keys begin with, and those of each key.
extension ServiceWorker {
    func showPolicies(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        let message = try call.decode(PolicyShowRequest.self)
        let snapshot = try keys()
        guard let reference = message.key else {
            try requireInstance(.readPolicies, of: call.caller)
            let policies = try service.ledger.read { connection throws(StoreError) in try connection.policies() }
            return try call.answer.reply(policies.reply)
        }
        let key = try authorisedKey(reference, for: .readPolicies, of: call.caller, in: snapshot)
        record.note(key: key.id, version: nil)
        return try call.answer.reply(key.stored.policies)
    }

    func setPolicies(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        let message = try call.decode(PolicySetRequest.self)
        record.note(message)
        try requireKeys()
        let reply = try service.ledger.change(AskedChange(message.operation, call)) {
            (snapshot, now) throws(Refusal) -> Decision<PolicyReply> in
            try policyChange(message, call, snapshot, now, isApproved: false)
        }
        if let key = reply.key { record.note(key: key, version: nil) }
        return try call.answer.reply(reply)
    }

    /// What a change of policies comes to.
    ///
    /// - Parameter isApproved: whether a second person has approved it.
    func policyChange(
        _ message: PolicySetRequest, _ call: Call, _ snapshot: Snapshot, _ now: UInt64, isApproved: Bool
    ) throws(Refusal) -> Decision<PolicyReply> {
        guard let reference = message.key else { return try instancePolicyChange(message, call, now, isApproved: isApproved) }
        let key = try authorisedKey(reference, for: .managePolicies, of: call.caller, in: snapshot)
        try key.stored.require(.setPolicies, at: now, snapshot.settings)
        if !isApproved { try key.stored.requireNoSecondPerson(for: .policy) }
        if let expected = message.revision, expected != key.stored.revision {
            throw Refusal(
                .revisionConflict, "key \(key.id) is at revision \(key.stored.revision), not \(expected); read it again")
        }
        var wanted = key.stored
        try wanted.patchPolicies(message.values)
        if !isApproved { try key.stored.requireKeepsSecondPerson(wanted) }
        let changes = wanted.policies.values.changes(from: key.stored.policies.values)
        let decision = changeKey(key, call, at: now, snapshot.settings, changes) { $0 = wanted }
        let after = wanted == key.stored ? key.stored.policies.revision : key.stored.revision + 1
        var reply = wanted.policies
        reply.revision = after
        return decision.replying(reply)
    }

    private func instancePolicyChange(
        _ message: PolicySetRequest, _ call: Call, _ now: UInt64, isApproved: Bool
    ) throws(Refusal) -> Decision<PolicyReply> {
        try requireInstance(.managePolicies, of: call.caller)
        let before = try service.ledger.read { connection throws(StoreError) in try connection.policies() }
        guard isApproved || !before.secondPerson.contains(.policy) else {
            throw Refusal(
                .approvalRequired,
                "the instance's policies need a second person to be changed: ask for it, and have somebody else approve it")
        }
        if let expected = message.revision, expected != before.revision {
            throw Refusal(
                .revisionConflict, "the instance's policies are at revision \(before.revision), not \(expected); read them again")
        }
        var after = try before.patched(message.values)
        if after != before {
            after.revision += 1
            after.updated = now
            after.updatedBy = call.caller.label
        }
        let changed = after
        let note = ChangeNote(
            event: call.event, caller: call.caller, changes: changed.reply.values.changes(from: before.reply.values))
        return Decision(note: note, reply: changed.reply) { connection throws(StoreError) in
            try connection.update(changed, from: before)
        }
    }
}

// Settings: delays, windows and bounds.
extension ServiceWorker {
    func showSettings(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        _ = try call.decode(EmptyMessage.self)
        let snapshot = try keys()
        let records = try service.ledger.read { connection throws(StoreError) in
            var records: [SettingRecord] = []
            for setting in InstanceSetting.allCases {
                let change = try connection.settingChange(setting)
                records.append(setting.record(snapshot.settings[setting], changed: change))
            }
            return records
        }
        return try call.answer.reply(SettingsReply(settings: records))
    }

    func setSetting(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        let message = try call.decode(SettingSetRequest.self)
        record.note(field: "name", message.name)
        record.note(field: "operation", "\(message.operation)")
        record.note(field: "value", "\(message.value)")
        try requireKeys()
        let reply = try service.ledger.change(AskedChange(message.operation, call)) {
            (snapshot, now) throws(Refusal) -> Decision<SettingRecord> in
            guard let setting = InstanceSetting(rawValue: message.name) else {
                let names = InstanceSetting.allCases.map(\.name).joined(separator: ", ")
                throw Refusal(.notFound, "there is no setting \(message.name.quotedForRefusal); there are \(names)")
            }
            guard let value = setting.checked(message.value) else {
                let range = setting.entry.range
                throw Refusal(
                    .invalidValue,
                    "\(setting.name) is from \(range.lowerBound) to \(range.upperBound)"
                        + (setting.entry.unit == .seconds ? " seconds" : ""))
            }
            let before = snapshot.settings[setting]
            var values = snapshot.settings
            values[setting] = value
            // A key could else be purged while it can still be restored.
            guard values[.restoreWindow] <= values[.autoPurge] else {
                throw Refusal(
                    .invalidValue,
                    "\(InstanceSetting.restoreWindow.name) (\(values[.restoreWindow]) seconds) must not exceed "
                        + "\(InstanceSetting.autoPurge.name) (\(values[.autoPurge]) seconds)")
            }
            try requireNoSecondPerson(toLower: setting, from: before, to: value, call.caller, snapshot)
            let settings = values
            let note = ChangeNote(
                event: call.event, caller: call.caller, changes: [.init(setting.name, from: "\(before)", to: "\(value)")])
            return Decision(
                note: note, reply: setting.record(value, changed: (now, call.caller.label)),
                publish: { $0.with(settings) },
                write: { connection throws(StoreError) in
                    try connection.set(setting, to: value, at: now, by: call.caller.label)
                })
        }
        return try call.answer.reply(reply)
    }
}

extension ServiceWorker {
    /// Requires that one person alone may change a setting: not while the instance's policies need two, and to have deleted keys wiped or
    /// purged sooner only somebody who may purge, and only while there is no key that nobody may purge alone: it could be deleted next.
    private func requireNoSecondPerson(
        toLower setting: InstanceSetting, from before: UInt64, to value: UInt64, _ caller: Caller, _ snapshot: Snapshot
    ) throws(Refusal) {
        let policies = try service.ledger.read { connection throws(StoreError) in try connection.policies() }
        guard !policies.secondPerson.contains(.policy) else {
            throw Refusal(
                .approvalRequired,
                "the instance's policies need a second person to be changed, and so do its settings: have the policy lifted first"
            )
        }
        guard setting.endsMaterial, value < before else { return }
        guard mayEverywhere(.purgeKeys, caller) else {
            throw Refusal(
                .denied, "to lower \(setting.name) takes \(Permission.purgeKeys.rawValue) too: what it ends does not come back")
        }
        let guarded = snapshot.keys.values.count { $0.stored.dualControl.contains(.purge) }
        guard guarded == 0 else {
            throw Refusal(
                .approvalRequired,
                "\(guarded) keys need a second person to be purged: \(setting.name) cannot be lowered before that is lifted")
        }
    }
}

extension InstanceSetting {
    /// As shown to callers.
    func record(_ value: UInt64, changed: (updated: UInt64, by: String)?) -> SettingRecord {
        let unit =
            switch entry.unit {
            case .seconds: "s"
            case .count: ""
            }
        return SettingRecord(
            name: name, value: value, defaultValue: entry.standard, least: entry.range.lowerBound, most: entry.range.upperBound,
            unit: unit, meaning: entry.meaning, updated: changed?.updated, updatedBy: changed?.by)
    }
}

extension PolicyValues {
    /// The values by the names of their fields; those that do not apply are left out.
    private var named: [(name: String, value: String?)] {
        [
            ("rotation-enabled", rotationEnabled.map { "\($0)" }), ("rotation-months", rotationMonths.map { "\($0)" }),
            ("dual-control", dualControl.map { $0.actions.map(\.name).joined(separator: ",") }),
            ("dual-control-enabled", dualControlEnabled.map { "\($0)" }), ("access-enabled", accessEnabled.map { "\($0)" }),
            ("create-root", createRoot.map { "\($0)" }), ("create-standard", createStandard.map { "\($0)" }),
            ("import-root", importRoot.map { "\($0)" }), ("import-standard", importStandard.map { "\($0)" }),
            ("enforce-token", enforceToken.map { "\($0)" }), ("metrics-enabled", metricsEnabled.map { "\($0)" }),
        ]
    }

    /// The values that are given, by the names of their fields.
    var given: [(name: String, value: String)] {
        named.compactMap { field in field.value.map { (field.name, $0) } }
    }

    /// What differs, for the audit log.
    func changes(from before: PolicyValues) -> [ChangeNote.Change] {
        zip(before.named, named).compactMap { old, new in
            old.value == new.value ? nil : ChangeNote.Change(new.name, from: old.value, to: new.value)
        }
    }
}

extension RequestRecord {
    mutating func note(_ message: PolicySetRequest) {
        note(field: "operation", "\(message.operation)")
        if let revision = message.revision { note(field: "revision", "\(revision)") }
        for field in message.values.given { note(field: field.name, field.value) }
    }
}
