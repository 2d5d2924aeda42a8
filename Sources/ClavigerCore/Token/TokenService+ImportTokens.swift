import ClavigerImport
import ClavigerWire
import Cryptoki
import Logging
import SecureMemory
import Synchronization

// Import tokens: an RSA pair in the token for as long as keys may come in by it.
extension TokenService {
    /// What a caller asks of a new import token.
    struct ImportTokenOrder {
        /// In seconds.
        var life: UInt32
        var uses: UInt32
    }

    /// Makes an import token, or returns the answer that its operation had the first time. Call it inside `enter`.
    ///
    /// The pair takes seconds to make, and other changes that need the token wait meanwhile; uses of keys do not. An attempt that fails
    /// leaves nothing that counts: nobody has the public key, so what it made is ordered to be destroyed.
    func makeImportToken(_ order: ImportTokenOrder, _ asked: AskedChange) throws(Refusal) -> ImportTokenRecord {
        let outcome = try manage { (session, scratch) throws(Refusal) -> ImportTokenRecord in
            if let earlier = try ledger.answer(to: asked, as: ImportTokenRecord.self) { return earlier }
            try requireImportMechanisms()
            let now = time.now()
            let open = try ledger.read { connection throws(StoreError) in try connection.openImportTokenCount() }
            guard open < TokenService.maximumImportTokens else {
                throw Refusal(
                    .limitReached,
                    "there are \(open) import tokens already: wait for the end of one, or delete one that is not needed")
            }
            let id: ImportTokenID = RandomSource.identifier()
            let name = ObjectName(importToken: id)
            try begin(name, asked, now)
            let pair = try make(name, asked, &session, &scratch)
            // Its time begins when it is there, not when it was asked for.
            let made = time.now()
            let token = StoredImportToken(
                id: id, created: made, createdBy: asked.caller.label, expires: made + UInt64(order.life) * 1_000,
                uses: order.uses, used: 0, publicKey: pair.publicKey, digest: pair.digest, state: .open)
            let record = token.record(at: made)
            try complete(token, record, asked)
            importPairs.withLock { $0[id] = pair }
            return record
        }
        guard let outcome else { throw Refusal(.tokenUnavailable, retryAfter: 1_000) }
        return outcome
    }

    /// So many import tokens are open at once at most: each is an object on the token, and each is looked at when the token is bound.
    static let maximumImportTokens = 100

    /// The pair of an import token, if the token has it. Call it inside `enter`.
    func importPair(_ id: ImportTokenID) -> ImportPair? { importPairs.withLock { $0[id] } }

    private func requireImportMechanisms() throws(Refusal) {
        guard let live = live.withLock({ $0 }) else { throw Refusal(.tokenUnavailable, retryAfter: 1_000) }
        let needed: [(MechanismType, MechanismInfo.Flags)] = [
            (.rsaKeyPairGeneration, .generateKeyPair), (.rsaOAEP, .unwrap), (.aesGCM, .decrypt),
        ]
        for (mechanism, flag) in needed {
            let info: MechanismInfo?
            do throws(CryptokiError) {
                info = try live.module.mechanismInfo(mechanism, in: live.slot)
            } catch {
                guard error.returnValue == .mechanismInvalid else { throw Refusal(.tokenUnavailable, retryAfter: 1_000) }
                info = nil
            }
            let isLongEnough = mechanism != .rsaKeyPairGeneration || info.map { $0.maximumKeySize >= 4_096 } ?? false
            guard let info, info.flags.contains(flag), isLongEnough else {
                throw Refusal(
                    .invalidValue,
                    "the token cannot \(mechanism) as import tokens need it: import with the material in the request")
            }
        }
    }

    private func begin(_ name: ObjectName, _ asked: AskedChange, _ now: UInt64) throws(Refusal) {
        let intent = Intent(
            operation: asked.operation, uid: asked.caller.uid, opcode: asked.opcode, bodyDigest: asked.digest, key: name.key,
            name: "", version: name.version, suite: .aesGCM, created: now, state: .open, reply: [])
        try mapping(ledger.refuse) { () throws(StoreError) in
            try store.begin(intent, forgetBefore: KeyLedger.horizon(now))
        }
    }

    private func make(
        _ name: ObjectName, _ asked: AskedChange, _ session: inout Session, _ scratch: inout CipherScratch
    ) throws(Refusal) -> ImportPair {
        do throws(ObjectFailure) {
            return try factory.makeImportPair(name, session: &session, scratch: &scratch)
        } catch {
            log.error("import token not made", metadata: ["error": "\(error)"])
            try abandon(name, asked)
            switch error {
            case .token(let cause):
                if cause.meansLost { declareLost(cause.description) }
                throw Refusal(.tokenUnavailable, retryAfter: 1_000)
            case .attributes, .storage, .unproven:
                throw Refusal(.tokenUnavailable, "the token did not make a key pair that can be trusted; the log says more")
            }
        }
    }

    /// Ends an attempt: whether there is an object is not known, so its end is ordered.
    private func abandon(_ name: ObjectName, _ asked: AskedChange) throws(Refusal) {
        let order = DestroyOrder(name, ordered: time.now(), reason: "import token not made")
        try mapping(ledger.refuse) { () throws(StoreError) in try store.fail(asked.operation, destroying: [order]) }
    }

    private func complete(
        _ token: StoredImportToken, _ record: ImportTokenRecord, _ asked: AskedChange
    ) throws(Refusal) {
        let reply = try KeyLedger.encoded(record)
        var described = ChangeNote(
            event: asked.opcode.entry.name, caller: asked.caller,
            changes: [
                .init("import-token", from: nil, to: "\(token.id)"), .init("uses", from: nil, to: "\(token.uses)"),
                .init("expires", from: nil, to: "\(DateText(token.expires))"),
            ])
        described.allowances = asked.allowances?.all ?? []
        let note = described
        try ledger.alone { () throws(Refusal) in
            try mapping(ledger.refuse) { () throws(StoreError) in
                do throws(StoreError) {
                    try store.change(note) { connection throws(StoreError) in
                        try connection.forgetImportTokens(expiredBefore: KeyLedger.horizon(token.created))
                        try connection.insert(token)
                        try connection.endIntent(asked.operation, reply: reply)
                    }
                } catch {
                    // Nobody has the token: its pair goes.
                    if error == .overtaken {
                        let order = DestroyOrder(token.objectName, ordered: time.now(), reason: "import token refused")
                        try store.fail(asked.operation, destroying: [order])
                        wantOrders()
                    }
                    throw error
                }
            }
        }
    }

    /// Ends the creation of an import token that a crash cut off: nobody was told of its key, so it goes.
    func abandonImportToken(_ intent: Intent) throws(TokenFailure) {
        let name = ObjectName(key: intent.key, version: intent.version, role: .importPair)
        let order = DestroyOrder(name, ordered: time.now(), reason: "import token not made")
        try mapping({ (error: StoreError) in TokenFailure(error) }) { () throws(StoreError) in
            try store.fail(intent.operation, destroying: [order])
        }
        log.notice("the making of an import token was cut off", metadata: intent.metadata)
        wantOrders()
    }

    /// Takes hold of the pairs of open import tokens after a login. One that is missing or not as it was made leaves its token without
    /// use; nothing is decided about it here.
    ///
    /// - Returns: whether all were there.
    func proveImportPairs(
        _ objects: inout TokenObjects, _ quarantine: inout [QuarantineRecord], _ session: inout Session
    ) throws(TokenFailure) -> Bool {
        let tokens = try mapping({ (error: StoreError) in TokenFailure(error) }) { () throws(StoreError) in
            try store.withConnection { connection throws(StoreError) in try connection.openImportTokens() }
        }
        var pairs: [ImportTokenID: ImportPair] = [:]
        for token in tokens {
            let name = token.objectName
            let handle = try theOneAsOrdered(name, .aesGCM, objects.take(name), &quarantine, &session).found
            if let handle, try hasPublicKey(token.publicKey, handle, &session) {
                pairs[token.id] = ImportPair(
                    privateKey: handle, publicKey: token.publicKey, digest: token.digest, quirks: factory.quirks)
            } else {
                log.error("import token has no usable key on the token", metadata: ["import-token": "\(token.id)"])
            }
        }
        let proven = pairs
        importPairs.withLock { $0 = proven }
        return proven.count == tokens.count
    }

    private func hasPublicKey(
        _ publicKey: [UInt8], _ handle: ObjectHandle, _ session: inout Session
    ) throws(TokenFailure) -> Bool {
        do throws(CryptokiError) {
            return try publicKey == ObjectFactory.publicKey(of: handle, session: &session)
        } catch {
            if error.meansLost { throw .lost(error.description) }
            return false
        }
    }
}
