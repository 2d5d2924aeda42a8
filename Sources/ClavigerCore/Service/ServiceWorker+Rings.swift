import ClavigerWire

// Key rings, and moves of keys between them.
extension ServiceWorker {
    func createRing(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        let message = try call.decode(RingCreateRequest.self)
        record.note(field: "id", message.id)
        record.note(field: "operation", "\(message.operation)")
        try requireKeys()
        let reply = try service.ledger.change(AskedChange(message.operation, call)) {
            (snapshot, now) throws(Refusal) -> Decision<RingRecord> in
            let (isTaken, count) = try service.ledger.read { connection throws(StoreError) in
                (try connection.hasRing(message.id), try connection.ringCount())
            }
            guard !isTaken else { throw Refusal(.alreadyExists, "there is a key ring '\(message.id)' already") }
            guard UInt64(count) < snapshot.settings[.maximumRings] else {
                throw Refusal(
                    .limitReached,
                    "there are \(count) key rings beside '\(StoredKey.defaultRing)', as many as the setting "
                        + "\(InstanceSetting.maximumRings.name) allows")
            }
            let ring = StoredRing(id: message.id, created: now, createdBy: call.caller.label)
            let note = ChangeNote(
                event: call.event, caller: call.caller, ring: ring.id, changes: [.init("id", from: nil, to: ring.id)])
            return Decision(note: note, reply: ring.record(keys: 0)) { connection throws(StoreError) in
                try connection.insert(ring)
            }
        }
        return try call.answer.reply(reply)
    }

    func listRings(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        let message = try call.decode(PageRequest.self)
        let limit = Int(message.limit ?? UInt32(Limits.defaultPage))
        let snapshot = try keys()
        var after = ""
        if let cursor = message.cursor {
            guard let text = String(validating: cursor, as: UTF8.self) else { throw Refusal(.invalidValue, Call.foreignCursor) }
            after = text
        }
        let stored = try service.ledger.read { connection throws(StoreError) in try connection.rings() }
        let standard = StoredRing(id: StoredKey.defaultRing, created: service.token.instance.created, createdBy: "")
        let rest = (stored + [standard]).filter { $0.id > after && mayRead(ring: $0.id, call.caller) }.sorted { $0.id < $1.id }
        var counts: [String: UInt32] = [:]
        for key in snapshot.keys.values { counts[key.ring, default: 0] += 1 }
        let page = rest.prefix(limit)
        let next = rest.count > page.count ? page.last.map { Array($0.id.utf8) } : nil
        record.total = page.count
        return try call.answer.reply(RingListReply(rings: page.map { $0.record(keys: counts[$0.id] ?? 0) }, next: next))
    }

    func deleteRing(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        let message = try call.decode(RingDeleteRequest.self)
        record.note(field: "id", message.id)
        record.note(field: "operation", "\(message.operation)")
        record.note(field: "force", "\(message.force)")
        try requireKeys()
        let reply = try service.ledger.change(AskedChange(message.operation, call)) {
            (snapshot, now) throws(Refusal) -> Decision<RingDeleteReply> in
            guard message.id != StoredKey.defaultRing else {
                throw Refusal(.invalidValue, "the key ring '\(StoredKey.defaultRing)' always exists")
            }
            let isThere = try service.ledger.read { connection throws(StoreError) in try connection.hasRing(message.id) }
            guard isThere else { throw Refusal(.notFound, "there is no key ring '\(message.id)'") }
            let moved = try emptied(message.id, force: message.force, call, snapshot, now)
            let grants = try service.ledger.read { connection throws(StoreError) in
                try Store.grants(ofRing: message.id, connection)
            }
            let note = ChangeNote(
                event: call.event, caller: call.caller, ring: message.id,
                changes: [
                    .init("id", from: message.id, to: nil), .init("keys-moved", from: nil, to: "\(moved.count)"),
                    .init("grants-revoked", from: nil, to: "\(grants.count)"),
                ])
            var decision = Decision(
                note: note, reply: RingDeleteReply(moved: UInt32(clamping: moved.count)),
                publish: { snapshot in snapshot.storing(moved.map(\.after)) },
                write: { connection throws(StoreError) in
                    for change in moved { try connection.update(change.after, from: change.before) }
                    try connection.delete(ring: message.id)
                    try Store.revokeGrants(ofRing: message.id, by: call.caller.uid, message.operation, at: now, connection)
                })
            // A record each: one of all would grow with the ring.
            decision.consequences =
                moved.map { change in
                    ChangeNote(
                        event: Opcode.keyMove.entry.name, caller: call.caller, key: change.after.id, ring: change.after.ring,
                        changes: [.init("ring", from: message.id, to: change.after.ring)])
                }
                + grants.map { grant in
                    ChangeNote(
                        event: Opcode.accessRevoke.entry.name, caller: call.caller, ring: message.id,
                        changes: grant.changes(from: true))
                }
            return decision
        }
        // Another ring of this name is another ring: what was granted on this one is gone with it.
        try service.access.refresh(without: message.id)
        return try call.answer.reply(reply)
    }

    /// The destroyed keys of a ring as they move to the default ring.
    ///
    /// - Throws: `ringNotEmpty` while it holds others, or destroyed ones and `force` is not set.
    private func emptied(
        _ ring: String, force: Bool, _ call: Call, _ snapshot: Snapshot, _ now: UInt64
    ) throws(Refusal) -> [(before: StoredKey, after: StoredKey)] {
        let held = snapshot.keys.values.filter { $0.ring == ring }
        let living = held.count { $0.stored.state != .destroyed }
        guard living == 0 else {
            throw Refusal(.ringNotEmpty, "the key ring '\(ring)' holds \(living) keys: move or delete them first")
        }
        guard held.isEmpty || force else {
            throw Refusal(
                .ringNotEmpty,
                "the key ring '\(ring)' holds \(held.count) deleted keys: force moves them to '\(StoredKey.defaultRing)'")
        }
        // They move, and whoever restores keys of the other ring can restore them then.
        for key in held { _ = try authorisedKey(.id(key.id), for: .moveKeys, of: call.caller, in: snapshot) }
        if !held.isEmpty { try requireRing(StoredKey.defaultRing, for: .moveKeys, of: call.caller) }
        return held.map { key in (key.stored, key.stored.revised(at: now) { $0.ring = StoredKey.defaultRing }) }
    }

    func moveKey(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        let message = try call.decode(KeyMoveRequest.self)
        record.note(field: "operation", "\(message.operation)")
        record.note(field: "ring", message.ring)
        try requireKeys()
        let reply = try service.ledger.change(AskedChange(message.operation, call)) {
            (snapshot, now) throws(Refusal) -> Decision<KeyRecord> in
            let key = try authorisedKey(message.key, for: .moveKeys, of: call.caller, in: snapshot)
            try requireRing(message.ring, for: .moveKeys, of: call.caller)
            try key.stored.require(.move, at: now, snapshot.settings)
            let isThere = try service.ledger.read { connection throws(StoreError) in try connection.hasRing(message.ring) }
            guard isThere else { throw Refusal(.notFound, "there is no key ring '\(message.ring)'") }
            return changeKey(key, call, at: now, snapshot.settings, [.init("ring", from: key.ring, to: message.ring)]) {
                $0.ring = message.ring
            }
        }
        record.note(key: reply.id, version: nil)
        return try call.answer.reply(reply)
    }
}

extension StoredRing {
    /// As shown to callers.
    func record(keys: UInt32) -> RingRecord { RingRecord(id: id, created: created, createdBy: createdBy, keys: keys) }
}
