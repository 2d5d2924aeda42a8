import ClavigerWire

/// The key lifecycle in plain memory: what the daemon must answer, written down a second time from what is documented, without its
/// tables, database and token. Each request has a function that returns the reply or throws the refusal, and changes nothing then.
///
/// The model is told the time. It knows root keys that the token makes or that come in, and standard keys.
public struct LifecycleModel: Sendable {
    /// The keys that are not purged.
    public internal(set) var keys: [KeyID: ModelKey] = [:]
    /// The rings beside the default one.
    public internal(set) var rings: Set<String> = []
    /// The settings, by name.
    public internal(set) var settings: [String: UInt64]
    public internal(set) var policies = ModelPolicies()
    /// Requests for a second person, in the order in which they were made.
    public internal(set) var approvals: [ApprovalRecord] = []
    public internal(set) var importTokens: [ImportTokenID: ModelImportToken] = [:]

    /// An instance without keys.
    public init() {
        settings = Dictionary(uniqueKeysWithValues: InstanceSetting.allCases.map { ($0.name, $0.entry.standard) })
    }

    func setting(_ name: String) -> UInt64 { settings[name] ?? 0 }
    func milliseconds(_ name: String) -> UInt64 { setting(name) * 1_000 }

    /// The one key that a reference means.
    public func resolve(_ reference: KeyReference) throws(ModelRefusal) -> ModelKey {
        switch reference {
        case .id(let id):
            guard let key = keys[id] else { throw ModelRefusal(.denied) }
            return key
        case .name(let text):
            let meant = keys.values.filter { $0.name == text || $0.aliases.contains(text) }
            guard let key = meant.first else { throw ModelRefusal(.denied) }
            guard meant.count == 1 else { throw ModelRefusal(.ambiguousName) }
            return key
        }
    }

    /// Requires one of these states.
    func require(_ states: KeyState..., of key: ModelKey, at now: UInt64) throws(ModelRefusal) {
        let state = key.state(at: now)
        guard !states.contains(state) else { return }
        throw ModelRefusal(state == .destroyed ? .keyDeleted : .keyState)
    }

    /// The key's open requests for a second person.
    func open(_ key: KeyID?, at now: UInt64) -> [ApprovalRecord] {
        approvals.filter { $0.key == key && $0.state == .open && now < $0.expires }
    }

    /// A key as it is shown.
    public func record(_ key: ModelKey, at now: UInt64) -> KeyRecord {
        let current = key.versions[key.versions.count - 1]
        var record = KeyRecord(
            id: key.id, name: key.name, state: key.state(at: now), created: key.created, version: UInt32(key.versions.count),
            versionCreated: current.created, suite: .aesGCM)
        record.kind = key.kind
        record.isImported = key.isImported
        record.bits = current.bits
        record.description = key.description.isEmpty ? nil : key.description
        record.ring = key.ring
        record.tags = key.tags
        record.aliases = key.aliases
        record.createdBy = key.createdBy
        record.updated = key.updated
        record.revision = key.revision
        record.rotated = key.rotated
        record.expires = key.expires
        if key.kind == .root {
            record.rotationMonths = key.months
            record.isRotationEnabled = key.rotates
        }
        record.dualControl = key.dual
        record.registrations = UInt32(key.registrations.count)
        record.isWiped = key.isWiped
        record.pendingApproval = open(key.id, at: now).first?.id
        if key.rotates, key.state(at: now) == .active {
            record.nextRotation = current.created + UInt64(key.months) * 30 * 86_400_000
        }
        if key.state == .destroyed, let deleted = key.deleted {
            record.deleted = deleted
            record.deletedBy = key.deletedBy
            record.restorableUntil = key.restorableUntil
            record.purgeFrom = key.purgeableFrom
            record.purgeScheduled = key.purgedFrom
            record.isRestoreAllowed =
                !key.isWiped && now >= deleted + milliseconds("restore-delay") && now <= key.restorableUntil
            record.isPurgeAllowed = now >= key.purgeableFrom
        }
        return record
    }

    /// Stores a changed key; its record.
    mutating func store(_ key: ModelKey, _ now: UInt64) -> KeyRecord {
        keys[key.id] = key
        return record(key, at: now)
    }

    /// What the daemon does by itself at a moment.
    public mutating func sweep(at now: UInt64) {
        for var key in keys.values {
            if key.state == .active, key.isExpired(at: now) {
                key.state = .deactivated
                key.touch(now)
            }
            if key.state == .destroyed {
                if !key.isWiped, now > key.restorableUntil {
                    key.isWiped = true
                    key.touch(now)
                }
                if now >= key.purgedFrom {
                    remove(key.id, now)
                    continue
                }
            }
            key.registrations = key.registrations.filter { $0.value.record.leaseEnds.map { now < $0 } ?? true }
            keys[key.id] = key
        }
        for index in approvals.indices where approvals[index].state == .open && approvals[index].expires <= now {
            approvals[index].state = .expired
        }
        for (id, token) in importTokens where token.expires <= now { importTokens[id]?.end() }
    }

    /// Forgets a key; nobody can approve any more what was asked about it.
    mutating func remove(_ id: KeyID, _ now: UInt64) {
        keys[id] = nil
        for index in approvals.indices where approvals[index].key == id && approvals[index].state == .open {
            approvals[index].state = .cancelled
            approvals[index].decided = now
        }
    }
}

/// The instance's policies as the model knows them.
public struct ModelPolicies: Equatable, Sendable {
    var months: UInt32?
    var rotates = false
    var dual: DualControl?
    var isDual = false
    var access: ModelAccess?
    var isAccess = false
    var metrics = false
    var revision: UInt64 = 0
    var updated: UInt64?
    var updatedBy: String?

    var secondPerson: DualControl { isDual ? dual ?? [] : [] }
}
