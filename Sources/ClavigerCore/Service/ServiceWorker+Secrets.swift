import ClavigerWire
import SecureMemory

// Keys whose material comes with the request, and standard keys.
extension ServiceWorker {
    /// Creates a key whose material is given, or a standard key.
    func createKeyFromMaterial(
        _ message: KeyCreateRequest, _ call: Call, _ record: inout RequestRecord
    ) throws(Refusal) -> Int {
        let key = try withToken { (_, session) throws(Refusal) -> KeyRecord in
            let asked = try asked(message.operation, call, hasSecret: message.payload != nil, session)
            if let earlier = try service.ledger.answer(to: asked, as: KeyRecord.self) { return earlier }
            let given = GivenMaterial(message, call.body)
            try given.requireUsable(for: message.kind ?? .root, suite: message.suite, key: message.keyID)
            let key = try newKey(message, call, from: given.origin)
            guard key.id.bytes != service.token.instance.id.bytes else { throw Refusal(.invalidValue) }
            switch key.kind {
            case .standard: return try keep(given.payload, asked, .create(key), call, session)
            case .root:
                return try service.token.perform(
                    TokenService.Change(asked, .create(key), try given.material(for: key.id)))
            }
        }
        record.note(key: key.id, version: key.version)
        return try call.answer.reply(key)
    }

    /// Rotates a key to material that is given, or a standard key.
    func rotateKeyWithMaterial(
        _ key: KeyEntry, _ message: KeyRotateRequest, _ asked: AskedChange, _ call: Call, _ session: TokenSession
    ) throws(Refusal) -> KeyRecord {
        let given = GivenMaterial(message, call.body)
        let now = service.time.now()
        try key.stored.require(.rotate, at: now, service.snapshots.current.settings, isEmergency: message.reason != nil)
        try given.requireUsable(for: key.kind, suite: nil, key: nil)
        let policies = try service.ledger.read { connection throws(StoreError) in try connection.policies() }
        try policies.require(key.kind, from: given.origin, isNew: false)
        let target = TokenService.Change.Target.rotate(key.id, message.reason.map { .emergency($0) } ?? .wish)
        switch key.kind {
        case .standard: return try keep(given.payload, asked, target, call, session)
        case .root:
            guard key.stored.isImported else {
                throw Refusal(
                    .invalidValue, "key \(key.id) was generated in the token, and so are its versions: rotate it without material"
                )
            }
            return try service.token.perform(TokenService.Change(asked, target, try given.material(for: key.id)))
        }
    }

    /// What a request is recognised by when it comes again. One with a secret has its HMAC under the instance's key: a mere digest, which
    /// the database keeps, would let whoever reads it try out passwords.
    func asked(
        _ operation: OperationID, _ call: Call, hasSecret: Bool, _ session: TokenSession
    ) throws(Refusal) -> AskedChange {
        guard hasSecret else { return AskedChange(operation, call) }
        return AskedChange(operation, call, digest: try service.token.fingerprint(call.body, session))
    }

    /// Has a secret kept: the one given, or a new one of 256 bits.
    private func keep(
        _ given: UnsafeRawBufferPointer?, _ asked: AskedChange, _ target: TokenService.Change.Target, _ call: Call,
        _ session: TokenSession
    ) throws(Refusal) -> KeyRecord {
        let change = TokenService.Change(asked, target, .generated)
        if let given { return try service.token.keep(given, isGiven: true, change) }
        // The answer's memory is locked, and nothing has been written to it yet.
        let room = UnsafeMutableRawBufferPointer(rebasing: call.answer.body[..<Limits.defaultGenerated])
        defer { wipe(room) }
        try service.token.generate(room, session)
        return try service.token.keep(UnsafeRawBufferPointer(room), isGiven: false, change)
    }

    func readKey(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        let message = try call.decode(KeyReadRequest.self)
        if let version = message.version { record.note(field: "version", "\(version)") }
        return try withToken { (snapshot, session) throws(Refusal) -> Int in
            let key = try authorisedKey(message.key, for: .readSecrets, of: call.caller, in: snapshot)
            record.note(key: key.id, version: message.version ?? key.current.number)
            try key.stored.require(.read, at: service.time.now(), snapshot.settings)
            let number = message.version ?? key.current.number
            guard let version = key.version(number) else {
                throw Refusal(.notFound, "key \(key.id) has no version \(number): its newest is \(key.current.number)")
            }
            try key.requireInUse(version)
            let sealed = try service.ledger.read { connection throws(StoreError) in try connection.sealed(key.id, number) }
            let length = try write(sealed ?? [], of: key.id, number, call, session)
            if version.use.noteUnwrap(at: service.time.now()) { service.ledger.alarm.setForUses() }
            return length
        }
    }

    /// Opens a secret and writes it into the reply, all of it in the reply's locked memory.
    private func write(
        _ sealed: [UInt8], of key: KeyID, _ version: UInt32, _ call: Call, _ session: TokenSession
    ) throws(Refusal) -> Int {
        let body = call.answer.body
        let room = UnsafeMutableRawBufferPointer(rebasing: body[(body.count - Limits.maximumPayload)...])
        defer { wipe(room) }
        let place = Vault.Place(key: key, version: version)
        let count = try service.token.open(sealed, place, session, into: room)
        var writer = BodyWriter(UnsafeMutableRawBufferPointer(rebasing: body[..<(body.count - Limits.maximumPayload)]))
        writer.bytes(1, UnsafeRawBufferPointer(rebasing: room[..<count]).bytes)
        writer.u32(2, version)
        writer.id(3, key)
        guard writer.isComplete else { throw Refusal(.internalError, "the answer does not fit a frame") }
        return call.answer.finish(bodyLength: writer.count)
    }
}

extension TokenService.Change {
    /// A change as it was asked for.
    init(_ asked: AskedChange, _ target: Target, _ material: NewMaterial) {
        self.init(
            operation: asked.operation, caller: asked.caller, opcode: asked.opcode, digest: asked.digest, target: target,
            material: material, allowances: asked.allowances?.all ?? [])
    }
}
