import ClavigerWire

// Keys: create, rotate, show.
extension ServiceWorker {
    func createKey(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        let message = try call.decode(KeyCreateRequest.self)
        record.note(message)
        try message.requireConsistent()
        guard message.isGenerated else { return try createKeyFromMaterial(message, call, &record) }
        let key = try withToken { (_, _) throws(Refusal) -> KeyRecord in
            if let earlier = try service.ledger.answer(to: AskedChange(message.operation, call), as: KeyRecord.self) {
                return earlier
            }
            let change = TokenService.Change(
                operation: message.operation, caller: call.caller, opcode: .keyCreate, body: Array(call.body),
                target: .create(try newKey(message, call, from: .token), suite: message.suite),
                allowances: call.allowances?.all ?? [])
            return try service.token.perform(change)
        }
        record.note(key: key.id, version: key.version)
        return try call.answer.reply(key)
    }

    /// The key that a request describes, with what the instance's policies give it; nothing is made yet.
    ///
    /// - Parameter origin: where its material comes from.
    /// - Throws: `denied` where the caller may not create in that ring or set policies, `policyVeto` where the instance forbids it.
    func newKey(_ message: KeyCreateRequest, _ call: Call, from origin: MaterialOrigin) throws(Refusal) -> StoredKey {
        let ring = message.ring ?? StoredKey.defaultRing
        try requireRing(ring, for: .createKeys, of: call.caller)
        let policies = try service.ledger.read { connection throws(StoreError) in try connection.policies() }
        var key = StoredKey(
            id: message.keyID ?? RandomSource.identifier(), name: message.name, state: .active, created: service.time.now(),
            version: Limits.firstVersion)
        key.kind = message.kind ?? .root
        key.isImported = origin != .token && key.kind == .root
        try policies.require(key.kind, from: origin, isNew: true)
        key.description = message.description ?? ""
        key.ring = ring
        key.tags = message.tags
        key.aliases = message.aliases.sorted()
        key.createdBy = call.caller.label
        key.expires = message.expires
        if !message.withoutPolicies { policies.seed(&key) }
        guard message.overridesPolicies else { return key }
        try requireRing(ring, for: .managePolicies, of: call.caller)
        var values = PolicyValues()
        values.rotationMonths = message.rotationMonths
        values.rotationEnabled = message.rotationMonths.map { $0 > 0 }
        values.dualControl = message.dualControl
        // What the instance asks for can be left out of a key or added to, as the override says.
        key.dualControl = []
        try key.patchPolicies(values)
        if message.dualControl == nil, !message.withoutPolicies { key.dualControl = policies.secondPerson }
        return key
    }

    func rotateKey(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        let message = try call.decode(KeyRotateRequest.self)
        record.note(message)
        try message.requireConsistent()
        let key = try withToken { (snapshot, session) throws(Refusal) -> KeyRecord in
            let asked = try asked(message.operation, call, hasSecret: message.payload != nil, session)
            if let earlier = try service.ledger.answer(to: asked, as: KeyRecord.self) { return earlier }
            let target = try authorisedKey(message.key, for: .rotateKeys, of: call.caller, in: snapshot)
            guard message.isGenerated, target.kind == .root else {
                return try rotateKeyWithMaterial(target, message, asked, call, session)
            }
            try target.stored.require(
                .rotate, at: service.time.now(), snapshot.settings, isEmergency: message.reason != nil)
            guard !target.stored.isImported else {
                throw Refusal(.payloadRequired, "key \(target.id) was imported: its new version needs new material")
            }
            let change = TokenService.Change(
                operation: message.operation, caller: call.caller, opcode: .keyRotate, body: Array(call.body),
                target: .rotate(target.id, message.reason.map { .emergency($0) } ?? .wish),
                allowances: call.allowances?.all ?? [])
            return try service.token.perform(change)
        }
        record.note(key: key.id, version: key.version)
        return try call.answer.reply(key)
    }

    func showKey(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        let message = try call.decode(KeyShowRequest.self)
        let snapshot = try keys()
        let key = try authorisedKey(message.key, for: .readKeys, of: call.caller, in: snapshot)
        record.note(key: key.id, version: nil)
        return try call.answer.reply(key.record(at: service.time.now(), snapshot.settings))
    }
}

extension KeyCreateRequest {
    /// Whether the token makes the material, and keeps it as an object.
    var isGenerated: Bool { kind != .standard && payload == nil && importToken == nil }

    /// Whether it asks for other policies than the instance's.
    var overridesPolicies: Bool { rotationMonths != nil || dualControl != nil || withoutPolicies }
}

extension KeyRotateRequest {
    /// Whether no material comes with it.
    var isGenerated: Bool { payload == nil && importToken == nil }
}

extension RequestRecord {
    /// Notes what a request says of a new key; never its material.
    mutating func note(_ message: KeyCreateRequest) {
        note(field: "name", message.name)
        note(field: "operation", "\(message.operation)")
        if let kind = message.kind { note(field: "kind", kind.name) }
        if let description = message.description { note(field: "description", description) }
        if !message.tags.isEmpty { note(field: "tags", message.tags.joined(separator: ",")) }
        if !message.aliases.isEmpty { note(field: "aliases", message.aliases.joined(separator: ",")) }
        if let expires = message.expires { note(field: "expires-ms", "\(expires)") }
        if let ring = message.ring { note(field: "ring", ring) }
        if let months = message.rotationMonths { note(field: "rotation-months", "\(months)") }
        if let control = message.dualControl {
            note(field: "dual-control", control.actions.map(\.name).joined(separator: ","))
        }
        if message.withoutPolicies { note(field: "no-policies", "true") }
        if let token = message.importToken { note(field: "import-token", "\(token)") }
        if let bits = message.bits { note(field: "bits", "\(bits)") }
        if let suite = message.suite { note(field: "suite", suite.name) }
        if let id = message.keyID { note(field: "key-id", "\(id)") }
    }

    /// Notes what a request says of a new version; never its material.
    mutating func note(_ message: KeyRotateRequest) {
        note(field: "operation", "\(message.operation)")
        if let reason = message.reason { note(field: "reason", reason) }
        if let token = message.importToken { note(field: "import-token", "\(token)") }
        if let bits = message.bits { note(field: "bits", "\(bits)") }
    }
}
