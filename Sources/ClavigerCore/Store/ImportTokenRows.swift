import ClavigerWire

/// An import token as stored.
package struct StoredImportToken: Equatable, Sendable {
    package var id: ImportTokenID
    /// In milliseconds since 1970.
    package var created: UInt64
    package var createdBy: String
    package var expires: UInt64
    /// How often it may be taken.
    package var uses: UInt32
    /// How often it was taken.
    package var used: UInt32
    /// SubjectPublicKeyInfo, DER.
    package var publicKey: [UInt8]
    package var digest: OAEPDigest
    package var state: ImportTokenState

    /// The private key on the token.
    package var objectName: ObjectName { ObjectName(importToken: id) }

    /// As shown to callers at a moment: its end takes effect when its time comes, not when it is written down.
    package func record(at now: UInt64) -> ImportTokenRecord {
        ImportTokenRecord(
            id: id, created: created, expires: expires, uses: uses, used: used, state: isOpen(at: now) ? .open : .ended,
            oaep: digest, createdBy: createdBy)
    }

    /// Whether keys can still come in by it.
    package func isOpen(at now: UInt64) -> Bool { state == .open && now < expires }
}

extension ObjectName {
    /// The private key of an import token.
    package init(importToken id: ImportTokenID) {
        self.init(
            key: KeyID(high: id.high, low: id.low), version: Limits.firstVersion, role: .importPair)
    }
}

/// A nonce that an import token has given.
package struct StoredNonce: Equatable, Sendable {
    package var token: ImportTokenID
    package var isUsed: Bool
}

// Rows of import tokens and of the nonces that they gave.
extension SQLiteConnection {
    private static let importTokenColumns = """
        id, created_ms, created_by, expires_ms, maximum_uses, used, public_key, oaep, state
        """

    /// The import token of this id.
    func importToken(_ id: ImportTokenID) throws(StoreError) -> StoredImportToken? {
        try importTokens("WHERE id = ?", [.blob(id.bytes)]).first
    }

    /// The import tokens whose private key is on the token.
    func openImportTokens() throws(StoreError) -> [StoredImportToken] {
        try importTokens("WHERE state = 0 ORDER BY created_ms, id", [])
    }

    /// A page of import tokens by creation time, after the one of these values.
    func importTokens(
        after place: (created: UInt64, id: ImportTokenID)?, limit: Int
    ) throws(StoreError) -> [StoredImportToken] {
        guard let place else { return try importTokens("ORDER BY created_ms, id LIMIT ?", [.integer(Int64(limit))]) }
        return try importTokens(
            "WHERE (created_ms, id) > (?, ?) ORDER BY created_ms, id LIMIT ?",
            [.unsigned(place.created), .blob(place.id.bytes), .integer(Int64(limit))])
    }

    private func importTokens(_ condition: String, _ values: [SQLValue]) throws(StoreError) -> [StoredImportToken] {
        var tokens: [StoredImportToken] = []
        try run("SELECT \(SQLiteConnection.importTokenColumns) FROM import_token \(condition)", values) {
            row throws(StoreError) in
            tokens.append(
                StoredImportToken(
                    id: try row.identifier(0), created: row.unsigned(1), createdBy: row.text(2), expires: row.unsigned(3),
                    uses: row.number(4), used: row.number(5), publicKey: row.blob(6),
                    digest: try row.value(7, "an import token's digest"), state: try row.value(8, "an import token's state")))
        }
        return tokens
    }

    /// How many import tokens have not ended.
    func openImportTokenCount() throws(StoreError) -> Int {
        var count = 0
        try run("SELECT count(*) FROM import_token WHERE state = 0") { row throws(StoreError) in count = Int(row.integer(0)) }
        return count
    }

    /// Writes a new import token.
    func insert(_ token: StoredImportToken) throws(StoreError) {
        try run(
            """
            INSERT INTO import_token (id, created_ms, created_by, expires_ms, maximum_uses, used, public_key, oaep, state)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
            """,
            [
                .blob(token.id.bytes), .unsigned(token.created), .text(token.createdBy), .unsigned(token.expires),
                .integer(Int64(token.uses)), .integer(Int64(token.used)), .blob(token.publicKey),
                .integer(Int64(token.digest.rawValue)), .integer(Int64(token.state.rawValue)),
            ])
    }

    /// Notes that an import token was taken, and the nonce that it gave.
    func take(_ token: StoredImportToken, nonce: [UInt8], at now: UInt64) throws(StoreError) {
        let changed = try run(
            "UPDATE import_token SET used = used + 1 WHERE id = ? AND used < maximum_uses AND state = 0",
            [.blob(token.id.bytes)])
        guard changed == 1 else { throw .corrupt("import token \(token.id) is used up and was taken") }
        try run(
            "INSERT INTO import_nonce (nonce, token, issued_ms, used) VALUES (?, ?, ?, 0)",
            [.blob(nonce), .blob(token.id.bytes), .unsigned(now)])
    }

    /// What is known of a nonce; nil for one that no import token gave.
    func nonce(_ nonce: [UInt8]) throws(StoreError) -> StoredNonce? {
        var found: StoredNonce?
        try run("SELECT token, used FROM import_nonce WHERE nonce = ?", [.blob(nonce)]) { row throws(StoreError) in
            found = StoredNonce(token: try row.identifier(0), isUsed: row.flag(1))
        }
        return found
    }

    /// Uses a nonce up: it is good for no other import.
    func burn(nonce: [UInt8]) throws(StoreError) {
        let changed = try run("UPDATE import_nonce SET used = 1 WHERE nonce = ? AND used = 0", [.blob(nonce)])
        guard changed == 1 else { throw .corrupt("a nonce was to be used twice") }
    }

    /// Ends the import tokens by which no key can come in any more: taken as often as they may be, and every nonce used.
    ///
    /// - Returns: those that ended.
    func endExhaustedImportTokens(at now: UInt64) throws(StoreError) -> [ImportTokenID] {
        var exhausted: [ImportTokenID] = []
        try run(
            """
            SELECT id FROM import_token WHERE state = 0 AND used >= maximum_uses
                AND NOT EXISTS (SELECT 1 FROM import_nonce WHERE token = id AND import_nonce.used = 0)
            """
        ) { row throws(StoreError) in exhausted.append(try row.identifier(0)) }
        for id in exhausted { try endImportToken(id, at: now, because: "import token used up") }
        return exhausted
    }

    /// Forgets import tokens that ended long ago, with their nonces.
    ///
    /// - Parameter horizon: those whose time was over before this moment.
    func forgetImportTokens(expiredBefore horizon: UInt64) throws(StoreError) {
        try run(
            "DELETE FROM import_nonce WHERE token IN (SELECT id FROM import_token WHERE state = 1 AND expires_ms < ?)",
            [.unsigned(horizon)])
        try run("DELETE FROM import_token WHERE state = 1 AND expires_ms < ?", [.unsigned(horizon)])
    }
}
