import ClavigerImport
import ClavigerWire

// Material from outside, standard keys, and the census.
extension LifecycleRun {
    private func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &random) } }

    /// A secret, or material; sometimes of a length that no key has.
    func payload(of kind: KeyKind) -> [UInt8] {
        switch kind {
        case .standard: bytes(chance(5) ? 7_500 : number(1...60))
        case .root: bytes(pick([16, 24, 32, 32, 32, chance(30) ? 20 : 16]) ?? 32)
        }
    }

    func createOfMaterial() throws {
        guard model.keys.count < keyLimit || chance(15) else { return }
        var message = KeyCreateRequest(name: "key-\(number(0...30))", operation: operation)
        let kind: KeyKind = chance(55) ? .standard : .root
        if kind == .standard { message.kind = .standard }
        if chance(20) { message.aliases = ["alias-\(number(0...40))"] }
        if chance(20) { message.ring = "ring-\(number(0...5))" }
        if chance(15), isExact { message.expires = now + UInt64(number(1...5)) * 86_400_000 }
        if chance(8) { message.rotationMonths = UInt32(number(0...12)) }
        if chance(8) { message.dualControl = DualControl(rawValue: UInt32(number(0...31))) }
        let payload = kind == .standard && chance(30) ? nil : payload(of: kind)
        message.payload = payload.map { ByteRange(offset: 0, count: $0.count) }
        let person = person
        let made = try change(.keyCreate, message, source: payload ?? [], by: person, mask) {
            (made: KeyRecord?) throws(ModelRefusal) in
            try model.create(
                message, payload.map { .given($0) } ?? .generated, id: made?.id ?? anyID, by: person,
                at: made.map { isExact ? now : $0.created } ?? now)
        }
        if made != nil { count(kind == .standard ? "standard key" : "plain import", nil) }
    }

    func read() throws {
        let reference = reference { $0.kind == .standard && $0.state != .destroyed }
        let number = chance(40) ? UInt32(self.number(1...4)) : nil
        let answer = try target.ask(.keyRead, KeyReadRequest(key: reference, version: number), source: [], as: persons[0])
        note("read version \(number.map { "\($0)" } ?? "-") of \(reference)")
        switch (foresee { () throws(ModelRefusal) in try model.read(reference, number, at: now) }, answer) {
        case (.success(let (key, version)), .reply(let body)):
            let reply = try KeyReadReply.decode(body.span.bytes)
            let secret = Array(body[reply.payload.offset..<reply.payload.offset + reply.payload.count])
            guard reply.key == key, reply.version == version, model.learn(secret, of: key, version) else {
                throw difference(
                    .keyRead, "\(secret.count) bytes of version \(reply.version)", "the secret of version \(version)")
            }
            count("key-read", nil)
        case (.failure(let refusal), .refused(let code)) where code == refusal.code: count("key-read", refusal.code)
        case (let foreseen, let answer): throw difference(.keyRead, "\(answer)", "\(foreseen)")
        }
    }

    /// Looks at the uses of a key's versions: what is retired can be destroyed from then on.
    func takeCensus(_ reference: KeyReference) throws {
        try look(
            .keyCensus, KeyVersionsRequest(key: reference), by: person,
            { (reply: KeyCensusReply) in
                let versions = reply.versions.map { version in
                    CensusRecord(
                        version: version.version, state: version.state, wraps: 0, unwraps: 0, isRetirable: version.isRetirable)
                }
                return KeyCensusReply(id: reply.id, versions: versions, more: reply.more)
            }
        ) { (_: KeyCensusReply?) throws(ModelRefusal) in try model.census(reference) }
    }

    // MARK: import tokens

    private var openTokens: [ModelImportToken] {
        model.importTokens.values.filter { $0.isOpen(at: now) }
            .sorted { ($0.record.created, $0.record.id) < ($1.record.created, $1.record.id) }
    }

    func importByToken() throws {
        guard let token = pick(openTokens) else { return try makeImportToken() }
        let unused = taken.filter { model.importTokens[$0.id]?.nonces[$0.nonce] == false }
        switch number(0...9) {
        case 0: try chance(30) ? endImportToken(token.record.id) : takeImportToken(pick(taken)?.id ?? token.record.id)
        case 1...4: try takeImportToken(token.record.id)
        case _:
            guard let given = (chance(85) ? pick(unused) : nil) ?? pick(taken) else {
                return try takeImportToken(token.record.id)
            }
            try chance(65) ? importKey(given) : importVersion(given)
        }
    }

    private func makeImportToken() throws {
        // Seconds of the token's work each.
        guard importTokensMade < 4 || done["import of a version"] == nil else { return }
        importTokensMade += 1
        let message = ImportTokenCreateRequest(
            ttl: chance(70) || !isExact ? 86_400 : 300, operation: operation, uses: UInt32(number(2...8)))
        let person = person
        try change(.importTokenCreate, message, by: person, mask) { (made: ImportTokenRecord?) throws(ModelRefusal) in
            guard let made else { throw ModelRefusal(.tokenUnavailable) }
            return try model.createImportToken(message, made: made, by: person, at: isExact ? now : made.created)
        }
        for _ in 0..<8 { try importByToken() }
    }

    private func takeImportToken(_ id: ImportTokenID) throws {
        let message = ImportTokenRequest(id: id, operation: operation)
        let reply = try change(
            .importTokenTake, message, by: person,
            { (reply: ImportTokenTakeReply) in
                var masked = reply
                masked.expires = mask(reply.expires)
                return masked
            }
        ) { (reply: ImportTokenTakeReply?) throws(ModelRefusal) in
            try model.takeImportToken(id, taken: reply, at: now)
        }
        if let reply { taken.append(reply) }
    }

    private func endImportToken(_ id: ImportTokenID) throws {
        let message = ImportTokenRequest(id: id, operation: operation)
        try change(.importTokenDelete, message, by: person, { $0 }) { (_: EmptyMessage?) throws(ModelRefusal) in
            try model.deleteImportToken(id, at: now)
        }
    }

    /// A parcel for a key, or for another one: then it proves nothing.
    private func parcel(_ given: ImportTokenTakeReply, _ key: KeyID, isProven: Bool) throws -> ImportParcel {
        let material = bytes(pick([16, 24, 32]) ?? 32)
        let (publicKey, nonce) = (given.publicKey, given.nonce)
        return try ImportParcel(
            material: material.span.bytes, publicKey: publicKey.span.bytes, digest: given.oaep, nonce: nonce.span.bytes,
            token: given.id, key: isProven ? key : anyID)
    }

    private func importKey(_ given: ImportTokenTakeReply) throws {
        let isProven = chance(85)
        let key = anyID
        let parcel = try parcel(given, key, isProven: isProven)
        var message = KeyCreateRequest(name: "key-\(number(0...30))", operation: operation)
        if chance(20) { message.ring = "ring-\(number(0...5))" }
        (message.importToken, message.keyID, message.nonce) = (given.id, key, given.nonce)
        (message.encryptedPayload, message.proof, message.bits) = (parcel.encryptedPayload, parcel.proof, parcel.bits)
        let material = ModelMaterial.wrapped(bits: parcel.bits, given.id, nonce: given.nonce, isProven: isProven)
        let person = person
        let made = try change(.keyCreate, message, by: person, mask) { (made: KeyRecord?) throws(ModelRefusal) in
            try model.create(message, material, id: key, by: person, at: made.map { isExact ? now : $0.created } ?? now)
        }
        guard made != nil else { return }
        count("import", nil)
        if chance(50), let next = pick(taken.filter({ model.importTokens[$0.id]?.nonces[$0.nonce] == false })) {
            try importVersion(next)
        }
    }

    private func importVersion(_ given: ImportTokenTakeReply) throws {
        let imported = sortedKeys.filter { $0.isImported && $0.state(at: now) == .active }
        let reference = (chance(80) ? pick(imported).map { .id($0.id) } : nil) ?? reference()
        let key = try? model.resolve(reference)
        let isProven = chance(85)
        let parcel = try parcel(given, key?.id ?? anyID, isProven: isProven)
        var message = KeyRotateRequest(key: reference, operation: operation)
        message.reason = "new material"
        (message.importToken, message.nonce) = (given.id, given.nonce)
        (message.encryptedPayload, message.proof, message.bits) = (parcel.encryptedPayload, parcel.proof, parcel.bits)
        let material = ModelMaterial.wrapped(bits: parcel.bits, given.id, nonce: given.nonce, isProven: isProven)
        let made = try change(.keyRotate, message, by: person, mask) { (_: KeyRecord?) throws(ModelRefusal) in
            try model.rotate(message, material, at: now)
        }
        if made != nil { count("import of a version", nil) }
    }

    func compareImportTokens() throws {
        try look(
            .importTokenList, PageRequest(limit: 500), by: person,
            { (reply: ImportTokenListReply) in
                let tokens = reply.tokens.map(self.mask)
                return ImportTokenListReply(tokens: self.isExact ? tokens : tokens.sorted { $0.id < $1.id }, next: reply.next)
            }
        ) { (_: ImportTokenListReply?) throws(ModelRefusal) in ImportTokenListReply(tokens: model.importTokens(at: now)) }
    }

    func mask(_ record: ImportTokenRecord) -> ImportTokenRecord {
        var masked = record
        masked.created = mask(record.created)
        masked.expires = mask(record.expires)
        return masked
    }
}
