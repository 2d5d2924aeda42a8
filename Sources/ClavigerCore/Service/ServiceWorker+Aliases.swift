import ClavigerWire

// Aliases: names that only one key has.
extension ServiceWorker {
    func createAlias(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        let message = try call.decode(AliasCreateRequest.self)
        record.note(field: "operation", "\(message.operation)")
        record.note(field: "alias", message.alias)
        try requireKeys()
        let reply = try service.ledger.change(AskedChange(message.operation, call)) {
            (snapshot, now) throws(Refusal) -> Decision<KeyRecord> in
            let key = try authorisedKey(message.key, for: .updateKeys, of: call.caller, in: snapshot)
            try key.stored.require(.setAlias, at: now, snapshot.settings)
            guard snapshot.aliases[message.alias] == nil else {
                throw Refusal(.alreadyExists, "the alias '\(message.alias)' is taken")
            }
            let limit = snapshot.settings[.maximumAliases]
            guard UInt64(key.stored.aliases.count) < limit else {
                throw Refusal(
                    .limitReached,
                    "key \(key.id) has \(key.stored.aliases.count) aliases, as many as the setting "
                        + "\(InstanceSetting.maximumAliases.name) allows")
            }
            var decision = changeKey(key, call, at: now, snapshot.settings, [.init("alias", from: nil, to: message.alias)]) {
                $0.aliases = ($0.aliases + [message.alias]).sorted()
            }
            let update = decision.write
            decision.write = { connection throws(StoreError) in
                try update(connection)
                try connection.insert(alias: message.alias, of: key.id, at: now, by: call.caller.label)
            }
            return decision
        }
        record.note(key: reply.id, version: nil)
        return try call.answer.reply(reply)
    }

    func deleteAlias(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        let message = try call.decode(AliasDeleteRequest.self)
        record.note(field: "alias", message.alias)
        record.note(field: "operation", "\(message.operation)")
        try requireKeys()
        var id: KeyID?
        let reply = try service.ledger.change(AskedChange(message.operation, call)) {
            (snapshot, now) throws(Refusal) -> Decision<EmptyMessage> in
            // Whether there is no such alias or the caller may not change its key is not told apart.
            guard let owner = snapshot.aliases[message.alias] else { throw Refusal(.denied) }
            let key = try authorisedKey(.id(owner), for: .updateKeys, of: call.caller, in: snapshot)
            id = key.id
            try key.stored.require(.setAlias, at: now, snapshot.settings)
            let decision = changeKey(key, call, at: now, snapshot.settings, [.init("alias", from: message.alias, to: nil)]) {
                $0.aliases.removeAll { $0 == message.alias }
            }
            return Decision(
                note: decision.note, reply: EmptyMessage(), publish: decision.publish,
                write: { connection throws(StoreError) in
                    try decision.write(connection)
                    try connection.delete(alias: message.alias)
                })
        }
        record.note(key: id, version: nil)
        return try call.answer.reply(reply)
    }
}
