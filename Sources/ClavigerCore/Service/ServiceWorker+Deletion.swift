import ClavigerWire

// Deleting and purging keys.
extension ServiceWorker {
    func deleteKey(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        let message = try call.decode(KeyDeleteRequest.self)
        record.note(field: "operation", "\(message.operation)")
        record.note(field: "force", "\(message.force)")
        record.note(field: "dry-run", "\(message.dryRun)")
        try requireKeys()
        let reply: KeyDeleteReply
        if message.dryRun {
            call.allowances?.noteUnchanged()
            let snapshot = try keys()
            let key = try authorisedKey(message.key, for: .deleteKeys, of: call.caller, in: snapshot)
            reply = try rehearseDeletion(of: key, force: message.force, at: service.time.now(), snapshot.settings)
        } else {
            reply = try service.ledger.change(AskedChange(message.operation, call)) { (snapshot, now) throws(Refusal) in
                let key = try authorisedKey(message.key, for: .deleteKeys, of: call.caller, in: snapshot)
                try key.stored.require(.delete, at: now, snapshot.settings)
                try key.stored.requireNoSecondPerson(for: .delete)
                return try deleting(key, force: message.force, call, at: now, snapshot.settings)
            }
        }
        record.note(key: reply.id, version: nil)
        return try call.answer.reply(reply)
    }

    /// Deletes a key, whoever has approved it.
    ///
    /// - Parameter force: whether registered resources are passed over; those that forbid deletion never are.
    func deleting(
        _ key: KeyEntry, force: Bool, _ call: Call, at now: UInt64, _ settings: SettingValues
    ) throws(Refusal) -> Decision<KeyDeleteReply> {
        let before = key.stored.state(at: now)
        let state = try key.stored.require(.delete, at: now, settings)
        let counts = try registrations(of: key, at: now)
        if let obstacle = obstacle(to: key, counts, force: force) { throw obstacle }
        let decision = changeState(of: key, to: state, call, at: now, settings) {
            $0.stateBefore = before
            $0.promise(at: now, settings)
            $0.deletedBy = call.caller.label
        }
        return decision.replying(deletion(of: key, state, counts, at: now, settings, isDone: true))
    }

    /// What deleting a key would do and break; nothing is changed.
    private func rehearseDeletion(
        of key: KeyEntry, force: Bool, at now: UInt64, _ settings: SettingValues
    ) throws(Refusal) -> KeyDeleteReply {
        try key.stored.require(.delete, at: now, settings)
        let counts = try registrations(of: key, at: now)
        var reply = deletion(of: key, key.stored.state(at: now), counts, at: now, settings, isDone: false)
        do throws(Refusal) {
            try key.stored.requireNoSecondPerson(for: .delete)
            if let obstacle = obstacle(to: key, counts, force: force) { throw obstacle }
        } catch {
            reply.blocked = error.description
        }
        return reply
    }

    private func registrations(of key: KeyEntry, at now: UInt64) throws(Refusal) -> (all: UInt32, retained: UInt32) {
        let counts = try service.ledger.read { connection throws(StoreError) in
            let counts = try connection.registrationCounts(key.id, at: now)
            return [counts.all, counts.retained]
        }
        return (counts[0], counts[1])
    }

    private func obstacle(to key: KeyEntry, _ counts: (all: UInt32, retained: UInt32), force: Bool) -> Refusal? {
        if counts.retained > 0 {
            return Refusal(
                .retention,
                "\(counts.retained) of the resources registered with key \(key.id) forbid its deletion: release them first")
        }
        guard counts.all > 0, !force else { return nil }
        return Refusal(
            .resourcesProtected,
            "\(counts.all) resources are registered with key \(key.id): release them, or delete it with force")
    }

    private func deletion(
        of key: KeyEntry, _ state: KeyState, _ counts: (all: UInt32, retained: UInt32), at now: UInt64, _ settings: SettingValues,
        isDone: Bool
    ) -> KeyDeleteReply {
        let uses = key.versions.map(\.use.counts)
        var reply = KeyDeleteReply(
            id: key.id, state: state, registrations: counts.all, retained: counts.retained,
            versions: UInt32(clamping: key.versions.count), wraps: uses.reduce(0) { $0 &+ $1.wraps },
            unwraps: uses.reduce(0) { $0 &+ $1.unwraps }, restorableUntil: now + settings.milliseconds(.restoreWindow),
            purgeFrom: now + settings.milliseconds(.purgeDelay), aliases: UInt32(clamping: key.stored.aliases.count),
            isDone: isDone)
        let last = uses.map(\.last).max() ?? 0
        reply.lastUsed = last == 0 ? nil : last
        return reply
    }

    func purgeKey(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        try changeState(call, &record, .purgeKeys, answering: KeyPurgeReply.self, { $0.id }) {
            (key, now, settings) throws(Refusal) in
            try key.stored.require(.purge, at: now, settings)
            try key.stored.requireNoSecondPerson(for: .purge)
            return try purging(key, call, at: now, settings)
        }
    }

    /// Purges a key, whoever has approved it.
    func purging(
        _ key: KeyEntry, _ call: Call, at now: UInt64, _ settings: SettingValues
    ) throws(Refusal) -> Decision<KeyPurgeReply> {
        try key.stored.require(.purge, at: now, settings)
        return key.purge(by: call.caller, event: call.event, at: now).replying(KeyPurgeReply(id: key.id))
    }
}
