import ClavigerWire

// Rings, aliases and registrations.
extension LifecycleModel {
    public mutating func createRing(
        _ message: RingCreateRequest, by person: ModelPerson, at now: UInt64
    ) throws(ModelRefusal) -> RingRecord {
        guard message.id != "default", !rings.contains(message.id) else { throw ModelRefusal(.alreadyExists) }
        guard UInt64(rings.count) < setting("maximum-rings") else { throw ModelRefusal(.limitReached) }
        rings.insert(message.id)
        return RingRecord(id: message.id, created: now, createdBy: person.label, keys: 0)
    }

    public mutating func deleteRing(_ message: RingDeleteRequest, at now: UInt64) throws(ModelRefusal) -> RingDeleteReply {
        guard message.id != "default" else { throw ModelRefusal(.invalidValue) }
        guard rings.contains(message.id) else { throw ModelRefusal(.notFound) }
        let held = keys.values.filter { $0.ring == message.id }
        guard held.allSatisfy({ $0.state == .destroyed }), held.isEmpty || message.force else {
            throw ModelRefusal(.ringNotEmpty)
        }
        for var key in held {
            key.ring = "default"
            key.touch(now)
            keys[key.id] = key
        }
        rings.remove(message.id)
        return RingDeleteReply(moved: UInt32(held.count))
    }

    public mutating func move(_ message: KeyMoveRequest, at now: UInt64) throws(ModelRefusal) -> KeyRecord {
        var key = try resolve(message.key)
        try require(.active, .suspended, .deactivated, of: key, at: now)
        guard message.ring == "default" || rings.contains(message.ring) else { throw ModelRefusal(.notFound) }
        if key.ring != message.ring {
            key.ring = message.ring
            key.touch(now)
        }
        return store(key, now)
    }

    public mutating func createAlias(_ message: AliasCreateRequest, at now: UInt64) throws(ModelRefusal) -> KeyRecord {
        var key = try resolve(message.key)
        try require(.active, .suspended, .deactivated, of: key, at: now)
        guard !keys.values.contains(where: { $0.aliases.contains(message.alias) }) else { throw ModelRefusal(.alreadyExists) }
        guard UInt64(key.aliases.count) < setting("maximum-aliases") else { throw ModelRefusal(.limitReached) }
        key.aliases = (key.aliases + [message.alias]).sorted()
        key.touch(now)
        return store(key, now)
    }

    public mutating func deleteAlias(_ message: AliasDeleteRequest, at now: UInt64) throws(ModelRefusal) -> EmptyMessage {
        guard var key = keys.values.first(where: { $0.aliases.contains(message.alias) }) else { throw ModelRefusal(.denied) }
        try require(.active, .suspended, .deactivated, of: key, at: now)
        key.aliases.removeAll { $0 == message.alias }
        key.touch(now)
        keys[key.id] = key
        return EmptyMessage()
    }

    public mutating func register(
        _ message: RegistrationSetRequest, by person: ModelPerson, at now: UInt64
    ) throws(ModelRefusal) -> RegistrationRecord {
        var key = try resolve(message.key)
        guard key.kind == .root else { throw ModelRefusal(.rootKeyRequired) }
        let before = key.holding(at: now).first { $0.resource == message.resource }
        if before == nil {
            try require(.active, of: key, at: now)
        } else {
            try require(.active, .suspended, .deactivated, of: key, at: now)
        }
        if let before, person.uid != 0, person.uid != before.ownerUID { throw ModelRefusal(.denied) }
        if let revision = message.revision, revision != before?.revision ?? 0 { throw ModelRefusal(.revisionConflict) }
        var record =
            before
            ?? RegistrationRecord(
                key: key.id, resource: message.resource, retention: false, version: UInt32(key.versions.count), created: now,
                createdBy: person.label, ownerUID: person.uid, updated: now, revision: 0)
        if let description = message.description { record.description = description.isEmpty ? nil : description }
        if let retention = message.retention { record.retention = retention }
        if let lease = message.lease { record.leaseEnds = lease == 0 ? nil : now + lease }
        if let number = message.version {
            guard number >= 1, Int(number) <= key.versions.count else { throw ModelRefusal(.invalidValue) }
            guard key.versions[Int(number) - 1].state == .inUse else { throw ModelRefusal(.versionState) }
            guard number >= before?.version ?? 0 else { throw ModelRefusal(.invalidValue) }
            record.version = number
        }
        record.updated = now
        record.revision += 1
        key.registrations[message.resource] = ModelKey.Registration(record: record)
        keys[key.id] = key
        return record
    }

    public mutating func release(
        _ message: RegistrationReleaseRequest, by person: ModelPerson, at now: UInt64
    ) throws(ModelRefusal) -> EmptyMessage {
        var key = try resolve(message.key)
        try require(.active, .suspended, .deactivated, of: key, at: now)
        guard let record = key.holding(at: now).first(where: { $0.resource == message.resource }) else {
            throw ModelRefusal(.notFound)
        }
        guard person.uid == 0 || person.uid == record.ownerUID else { throw ModelRefusal(.denied) }
        key.registrations[message.resource] = nil
        keys[key.id] = key
        return EmptyMessage()
    }

    /// All registrations that hold, in their order.
    public func registrations(at now: UInt64) -> [RegistrationRecord] {
        keys.values.flatMap { $0.holding(at: now) }.sorted {
            $0.key != $1.key ? $0.key < $1.key : $0.resource.utf8.lexicographicallyPrecedes($1.resource.utf8)
        }
    }
}
