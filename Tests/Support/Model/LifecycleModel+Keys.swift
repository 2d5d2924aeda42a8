import ClavigerWire

// Keys from creation to purge, and their versions.
extension LifecycleModel {
    /// - Parameters:
    ///   - material: where it comes from.
    ///   - id: what the daemon has called it; the only thing that the model cannot know.
    public mutating func create(
        _ message: KeyCreateRequest, _ material: ModelMaterial = .generated, id: KeyID, by person: ModelPerson, at now: UInt64
    ) throws(ModelRefusal) -> KeyRecord {
        let kind = message.kind ?? .root
        try material.requireUsable(for: kind)
        try requireAllowed(kind, material, isNew: true)
        let ring = message.ring ?? "default"
        var key = ModelKey(id: id, name: message.name, createdBy: person.label, created: now, updated: now)
        key.kind = kind
        key.isImported = kind == .root && !material.isGenerated
        key.description = message.description ?? ""
        key.ring = ring
        key.tags = message.tags
        key.aliases = message.aliases.sorted()
        key.expires = message.expires
        key.versions = [material.version(of: kind, at: now)]
        if !message.withoutPolicies {
            key.dual = policies.secondPerson
            if kind == .root, !key.isImported, policies.rotates, let months = policies.months {
                (key.months, key.rotates) = (months, true)
            }
        }
        if let months = message.rotationMonths {
            try key.requireRotatedByPolicy()
            (key.months, key.rotates) = (months, months > 0)
        }
        if let dual = message.dualControl { key.dual = dual }
        try requireNonce(material, at: now)
        guard UInt64(key.tags.count) <= setting("maximum-tags"), UInt64(key.aliases.count) <= setting("maximum-aliases") else {
            throw ModelRefusal(.limitReached)
        }
        guard !keys.values.contains(where: { other in other.aliases.contains { key.aliases.contains($0) } }) else {
            throw ModelRefusal(.alreadyExists)
        }
        if let expires = key.expires, expires <= now { throw ModelRefusal(.invalidValue) }
        guard ring == "default" || rings.contains(ring) else { throw ModelRefusal(.notFound) }
        try useUp(material)
        return store(key, now)
    }

    public mutating func update(_ message: KeyUpdateRequest, at now: UInt64) throws(ModelRefusal) -> KeyRecord {
        let before = try resolve(message.key)
        try require(.active, .suspended, .deactivated, of: before, at: now)
        if let revision = message.revision, revision != before.revision { throw ModelRefusal(.revisionConflict) }
        var key = before
        if let tags = message.tags {
            guard UInt64(tags.count) <= setting("maximum-tags") else { throw ModelRefusal(.limitReached) }
            key.tags = tags
        }
        if let name = message.name { key.name = name }
        if let description = message.description { key.description = description }
        if let expires = message.expires {
            guard expires == 0 || expires > now else { throw ModelRefusal(.invalidValue) }
            if key.dual.contains(.disable), key.state(at: now) == .active, expires > 0, expires < key.expires ?? .max,
                expires < now + milliseconds("approval-window")
            {
                throw ModelRefusal(.approvalRequired)
            }
            if key.state(at: now) == .deactivated { key.state = .active }
            key.expires = expires == 0 ? nil : expires
        }
        if key != before { key.touch(now) }
        return store(key, now)
    }

    public mutating func disable(_ message: KeyChangeRequest, at now: UInt64) throws(ModelRefusal) -> KeyRecord {
        let key = try resolve(message.key)
        try require(.active, of: key, at: now)
        guard !key.dual.contains(.disable) else { throw ModelRefusal(.approvalRequired) }
        return try disabling(key, now)
    }

    mutating func disabling(_ before: ModelKey, _ now: UInt64) throws(ModelRefusal) -> KeyRecord {
        var key = before
        try require(.active, of: key, at: now)
        key.state = .suspended
        key.suspended = now
        key.touch(now)
        return store(key, now)
    }

    public mutating func enable(_ message: KeyChangeRequest, at now: UInt64) throws(ModelRefusal) -> KeyRecord {
        var key = try resolve(message.key)
        try require(.suspended, of: key, at: now)
        guard !key.isExpired(at: now) else { throw ModelRefusal(.keyExpired) }
        guard now >= (key.suspended ?? 0) + milliseconds("enable-delay") else { throw ModelRefusal(.tooEarly) }
        key.state = .active
        key.suspended = nil
        key.touch(now)
        return store(key, now)
    }

    public mutating func delete(
        _ message: KeyDeleteRequest, by person: ModelPerson, at now: UInt64
    ) throws(ModelRefusal) -> KeyDeleteReply {
        let key = try resolve(message.key)
        try require(.active, .suspended, .deactivated, of: key, at: now)
        guard !key.dual.contains(.delete) else { throw ModelRefusal(.approvalRequired) }
        return try deleting(key, force: message.force, person, now)
    }

    mutating func deleting(
        _ before: ModelKey, force: Bool, _ person: ModelPerson, _ now: UInt64
    ) throws(ModelRefusal) -> KeyDeleteReply {
        var key = before
        try require(.active, .suspended, .deactivated, of: key, at: now)
        let holding = key.holding(at: now)
        let retained = holding.count(where: \.retention)
        guard retained == 0 else { throw ModelRefusal(.retention) }
        guard holding.isEmpty || force else { throw ModelRefusal(.resourcesProtected) }
        key.stateBefore = key.state(at: now)
        key.state = .destroyed
        key.deleted = now
        key.deletedBy = person.label
        key.restorableUntil = now + milliseconds("restore-window")
        key.purgeableFrom = now + milliseconds("purge-delay")
        key.purgedFrom = now + milliseconds("auto-purge")
        key.touch(now)
        keys[key.id] = key
        return KeyDeleteReply(
            id: key.id, state: .destroyed, registrations: UInt32(holding.count), retained: 0,
            versions: UInt32(key.versions.count), wraps: 0, unwraps: 0, restorableUntil: now + milliseconds("restore-window"),
            purgeFrom: now + milliseconds("purge-delay"), aliases: UInt32(key.aliases.count), isDone: true)
    }

    public mutating func restore(_ message: KeyChangeRequest, at now: UInt64) throws(ModelRefusal) -> KeyRecord {
        let key = try resolve(message.key)
        try requireRestorable(key, now)
        guard !key.dual.contains(.restore) else { throw ModelRefusal(.approvalRequired) }
        return try restoring(key, now)
    }

    private func requireRestorable(_ key: ModelKey, _ now: UInt64) throws(ModelRefusal) {
        guard key.state == .destroyed, let deleted = key.deleted else { throw ModelRefusal(.keyState) }
        guard now >= deleted + milliseconds("restore-delay") else { throw ModelRefusal(.tooEarly) }
        guard now <= key.restorableUntil else { throw ModelRefusal(.restoreExpired) }
    }

    mutating func restoring(_ before: ModelKey, _ now: UInt64) throws(ModelRefusal) -> KeyRecord {
        var key = before
        try requireRestorable(key, now)
        guard !key.isWiped else { throw ModelRefusal(.restoreExpired) }
        for index in approvals.indices where approvals[index].key == key.id && approvals[index].state == .open {
            approvals[index].state = .cancelled
            approvals[index].decided = now
        }
        key.state = key.stateBefore == .active && key.isExpired(at: now) ? .deactivated : key.stateBefore ?? .suspended
        key.stateBefore = nil
        key.deleted = nil
        key.deletedBy = nil
        key.touch(now)
        return store(key, now)
    }

    public mutating func purge(_ message: KeyChangeRequest, at now: UInt64) throws(ModelRefusal) -> KeyPurgeReply {
        let key = try resolve(message.key)
        try requirePurgeable(key, now)
        guard !key.dual.contains(.purge) else { throw ModelRefusal(.approvalRequired) }
        remove(key.id, now)
        return KeyPurgeReply(id: key.id)
    }

    func requirePurgeable(_ key: ModelKey, _ now: UInt64) throws(ModelRefusal) {
        guard key.state == .destroyed else { throw ModelRefusal(.keyState) }
        guard now >= key.purgeableFrom else { throw ModelRefusal(.tooEarly) }
    }

    public mutating func rotate(
        _ message: KeyRotateRequest, _ material: ModelMaterial = .generated, at now: UInt64
    ) throws(ModelRefusal) -> KeyRecord {
        var key = try resolve(message.key)
        try require(.active, .deactivated, of: key, at: now)
        if message.reason == nil, let rotated = key.rotated, now < rotated + milliseconds("rotation-interval-minimum") {
            throw ModelRefusal(.rotationTooSoon)
        }
        if key.kind == .root, material.isGenerated {
            guard !key.isImported else { throw ModelRefusal(.payloadRequired) }
        } else {
            try material.requireUsable(for: key.kind)
            try requireAllowed(key.kind, material, isNew: false)
            guard key.kind == .standard || key.isImported else { throw ModelRefusal(.invalidValue) }
        }
        try requireNonce(material, at: now)
        try useUp(material)
        var version = material.version(of: key.kind, at: now)
        version.reason = message.reason ?? ""
        key.versions.append(version)
        key.rotated = now
        key.touch(now)
        return store(key, now)
    }

    // MARK: versions

    public mutating func retire(_ message: VersionRetireRequest, at now: UInt64) throws(ModelRefusal) -> VersionRecord {
        let isGuarded = try resolve(message.key).dual.contains(.disable)
        return try changeVersion(message.version, of: message.key, now) { (version, isNewest) throws(ModelRefusal) in
            guard message.undo || !isGuarded else { throw ModelRefusal(.approvalRequired) }
            if message.undo {
                guard version.state == .retired else { throw ModelRefusal(.versionState) }
                (version.state, version.retired) = (.inUse, nil)
            } else {
                guard version.state == .inUse, !isNewest else { throw ModelRefusal(.versionState) }
                (version.state, version.retired, version.isShown) = (.retired, now, false)
            }
        }
    }

    public mutating func destroy(_ message: VersionDestroyRequest, at now: UInt64) throws(ModelRefusal) -> VersionRecord {
        let delay = milliseconds("purge-delay")
        let key = try resolve(message.key)
        let pinned = key.registrations.values.filter { $0.record.version == message.version }
        return try changeVersion(message.version, of: message.key, now) { (version, _) throws(ModelRefusal) in
            guard key.dual.isDisjoint(with: [.delete, .purge]) else { throw ModelRefusal(.approvalRequired) }
            guard version.state == .retired else { throw ModelRefusal(.versionState) }
            guard now >= (version.retired ?? 0) + delay else { throw ModelRefusal(.tooEarly) }
            if pinned.contains(where: { $0.record.retention }) { throw ModelRefusal(.retention) }
            guard pinned.isEmpty else { throw ModelRefusal(.resourcesProtected) }
            guard version.isShown else { throw ModelRefusal(.versionState) }
            version.state = .destroyed
        }
    }

    private mutating func changeVersion(
        _ number: UInt32, of reference: KeyReference, _ now: UInt64,
        _ change: (inout ModelKey.Version, _ isNewest: Bool) throws(ModelRefusal) -> Void
    ) throws(ModelRefusal) -> VersionRecord {
        var key = try resolve(reference)
        try require(.active, .suspended, .deactivated, of: key, at: now)
        guard number >= 1, Int(number) <= key.versions.count else { throw ModelRefusal(.notFound) }
        let index = Int(number) - 1
        try change(&key.versions[index], index == key.versions.count - 1)
        key.touch(now)
        keys[key.id] = key
        return record(of: number, key)
    }

    /// A version as it is shown; what is counted and what the token says of it is left out.
    public func record(of number: UInt32, _ key: ModelKey) -> VersionRecord {
        let version = key.versions[Int(number) - 1]
        var record = VersionRecord(
            version: number, created: version.created, suite: .aesGCM, isCurrent: Int(number) == key.versions.count, wraps: 0,
            isUsable: true)
        record.state = version.state
        record.bits = version.bits
        record.isImported = version.isImported
        record.reason = version.reason.isEmpty ? nil : version.reason
        record.retired = version.retired
        return record
    }

    // MARK: use

    /// Whether a key may wrap; its newest version.
    public func wrap(_ reference: KeyReference, at now: UInt64) throws(ModelRefusal) -> UInt32 {
        let key = try resolve(reference)
        guard key.kind == .root else { throw ModelRefusal(.rootKeyRequired) }
        try require(.active, of: key, at: now)
        return UInt32(key.versions.count)
    }

    /// Whether an envelope of a version may be opened.
    public func unwrap(_ id: KeyID, _ number: UInt32, at now: UInt64) throws(ModelRefusal) {
        let key = try resolve(.id(id))
        try require(.active, .deactivated, of: key, at: now)
        guard key.versions[Int(number) - 1].state == .inUse else { throw ModelRefusal(.versionState) }
    }
}
