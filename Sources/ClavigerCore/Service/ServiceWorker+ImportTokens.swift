import ClavigerWire

// Import tokens: made, taken, listed, ended. They belong to the instance; what comes in by one is authorised when it comes.
extension ServiceWorker {
    func createImportToken(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        let message = try call.decode(ImportTokenCreateRequest.self)
        record.note(field: "operation", "\(message.operation)")
        let order = TokenService.ImportTokenOrder(
            life: message.ttl ?? Limits.defaultImportTokenLife, uses: message.uses ?? 1)
        record.note(field: "ttl", "\(order.life)")
        record.note(field: "uses", "\(order.uses)")
        try requireInstance(.createKeys, of: call.caller)
        let asked = AskedChange(message.operation, call)
        let reply = try withToken { (_, _) throws(Refusal) in try service.token.makeImportToken(order, asked) }
        service.ledger.alarm.setSoon()
        return try call.answer.reply(reply)
    }

    func takeImportToken(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        let message = try call.decode(ImportTokenRequest.self)
        record.note(field: "operation", "\(message.operation)")
        record.note(field: "id", "\(message.id)")
        try requireInstance(.createKeys, of: call.caller)
        try requireKeys()
        let reply = try service.ledger.change(AskedChange(message.operation, call)) {
            (_, now) throws(Refusal) -> Decision<ImportTokenTakeReply> in
            let token = try service.ledger.openImportToken(message.id, at: now)
            guard token.used < token.uses else {
                throw Refusal(
                    .importTokenExpired, "import token \(token.id) has been taken \(token.uses) times, as often as it may be")
            }
            let nonce = RandomSource.bytes(ImportProof.nonceLength)
            let note = ChangeNote(
                event: call.event, caller: call.caller,
                changes: [
                    .init("import-token", from: "\(token.id)", to: "\(token.id)"),
                    .init("used", from: "\(token.used)", to: "\(token.used + 1)"),
                ])
            let reply = ImportTokenTakeReply(
                id: token.id, publicKey: token.publicKey, nonce: nonce, oaep: token.digest,
                remaining: token.uses - token.used - 1, expires: token.expires)
            return Decision(note: note, reply: reply) { connection throws(StoreError) in
                try connection.take(token, nonce: nonce, at: now)
            }
        }
        return try call.answer.reply(reply)
    }

    func listImportTokens(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        let message = try call.decode(PageRequest.self)
        let limit = Int(message.limit ?? UInt32(Limits.defaultPage))
        try requireInstance(.createKeys, of: call.caller)
        try requireKeys()
        let place = try message.cursor.map { (bytes) throws(Refusal) in try ImportTokenCursor(bytes) }
        // One more than asked tells whether there are more.
        let found = try service.ledger.read { connection throws(StoreError) in
            try connection.importTokens(after: place.map { ($0.created, $0.id) }, limit: limit + 1)
        }
        let now = service.time.now()
        let page = found.prefix(limit)
        let next = found.count > page.count ? page.last.map { ImportTokenCursor($0).bytes } : nil
        record.total = page.count
        return try call.answer.reply(ImportTokenListReply(tokens: page.map { $0.record(at: now) }, next: next))
    }

    func deleteImportToken(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        let message = try call.decode(ImportTokenRequest.self)
        record.note(field: "operation", "\(message.operation)")
        record.note(field: "id", "\(message.id)")
        try requireInstance(.createKeys, of: call.caller)
        try requireKeys()
        let reply = try service.ledger.change(AskedChange(message.operation, call)) {
            (_, now) throws(Refusal) -> Decision<EmptyMessage> in
            let token = try service.ledger.openImportToken(message.id, at: now)
            let note = ChangeNote(
                event: call.event, caller: call.caller, changes: [.init("import-token", from: "\(token.id)", to: nil)])
            return Decision(note: note, reply: EmptyMessage()) { connection throws(StoreError) in
                try connection.endImportToken(token.id, at: now, because: "import token deleted")
            }
        }
        service.token.forget(importTokens: [message.id])
        return try call.answer.reply(reply)
    }
}

extension KeyLedger {
    /// The import token of this id.
    ///
    /// - Throws: `notFound`, `importTokenExpired`.
    func openImportToken(_ id: ImportTokenID, at now: UInt64) throws(Refusal) -> StoredImportToken {
        let found = try read { connection throws(StoreError) in try connection.importToken(id) }
        guard let found else { throw Refusal(.notFound, "there is no import token \(id)") }
        guard found.isOpen(at: now) else {
            let reason = found.state == .ended ? "has ended" : "expired at \(DateText(found.expires))"
            throw Refusal(.importTokenExpired, "import token \(id) \(reason): make another")
        }
        return found
    }
}

/// Where a page of import tokens ends.
private struct ImportTokenCursor {
    let created: UInt64
    let id: ImportTokenID

    init(_ token: StoredImportToken) {
        created = token.created
        id = token.id
    }

    /// - Throws: `invalidValue` for a cursor that no list has given.
    init(_ bytes: [UInt8]) throws(Refusal) {
        guard bytes.count == 8 + ImportTokenID.byteCount, let id = ImportTokenID(bytes.span.bytes.extracting(8...)) else {
            throw Refusal(.invalidValue, Call.foreignCursor)
        }
        created = bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
        self.id = id
    }

    var bytes: [UInt8] { withUnsafeBytes(of: created.bigEndian) { Array($0) } + id.bytes }
}
