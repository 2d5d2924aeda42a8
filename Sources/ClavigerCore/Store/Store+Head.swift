import ClavigerWire
import SecureMemory
import Synchronization

// The signed head: written with every change of what is authenticated, in the same transaction.
extension Store {
    /// The head as stored; nil before there was one.
    package func head() throws(StoreError) -> Head? {
        try withConnection { connection throws(StoreError) in try Store.head(connection) }
    }

    static func head(_ connection: SQLiteConnection) throws(StoreError) -> Head? {
        var head: Head?
        try connection.run("SELECT epoch, digest, audit_sequence, audit_hash, signature FROM head") { row throws(StoreError) in
            head = Head(
                epoch: UInt64(bitPattern: row.integer(0)), digest: row.blob(1), auditSequence: UInt64(bitPattern: row.integer(2)),
                auditHash: row.blob(3), signature: row.blob(4))
        }
        return head
    }

    /// Whether a daemon has served from it: `token init` leaves neither keys nor roles, and no change that was begun.
    func isUsed() throws(StoreError) -> Bool {
        try withConnection { connection throws(StoreError) in
            var isUsed = false
            try connection.run(
                """
                SELECT EXISTS (SELECT 1 FROM key) OR EXISTS (SELECT 1 FROM access_role) OR EXISTS (SELECT 1 FROM intent)
                """
            ) { row throws(StoreError) in isUsed = row.integer(0) == 1 }
            return isUsed
        }
    }

    /// What the database says of how far the audit log had got.
    package func auditAnchor() throws(StoreError) -> (sequence: UInt64, hash: [UInt8])? {
        try withConnection { connection throws(StoreError) in try Store.auditAnchor(connection) }
    }

    private static func auditAnchor(_ connection: SQLiteConnection) throws(StoreError) -> (sequence: UInt64, hash: [UInt8])? {
        var anchor: (UInt64, [UInt8])?
        try connection.run("SELECT sequence, hash FROM audit_anchor") { row throws(StoreError) in
            anchor = (UInt64(bitPattern: row.integer(0)), row.blob(1))
        }
        return anchor
    }

    /// Reads all authenticated rows and says what their digest is.
    ///
    /// - Returns: the digest now, and whether this process has followed every change since it last believed the database.
    package func scan() throws(StoreError) -> (digest: [UInt8], isFollowed: Bool) {
        try alone { connection throws(StoreError) in
            // Read first: what is written while the rows are read must count as another's.
            connection.rows.version = try connection.version()
            let followed = connection.rows.isTrusted ? connection.rows.committed : nil
            try HeadTables.scan(connection)
            let isFollowed = followed == connection.rows.committed
            connection.rows.isTrusted = isFollowed
            return (connection.rows.committed.digest, isFollowed)
        }
    }

    /// Believes the database as it was last scanned, and signs it anew: from now on every change is signed.
    ///
    /// - Parameters:
    ///   - least: the epoch is higher than this too.
    ///   - note: who has it believed against what speaks against it: in the same transaction, since a crash right after it would leave
    ///     a database that is believed, and nobody who answers for that.
    /// - Returns: the epoch.
    @discardableResult
    package func begin(
        signing signer: any HeadSigner, after least: UInt64 = 0, leaving note: ChangeNote? = nil
    ) throws(StoreError) -> UInt64 {
        self.signer.withLock { $0 = signer }
        let epoch = try alone { connection throws(StoreError) in
            // One beyond all bounds was written by nobody who signs.
            let stored = try Store.head(connection)?.epoch ?? 0
            let before = max(stored < Head.maximumEpoch ? stored : 0, least)
            try Store.signing(connection, signer, always: before + 1) { () throws(StoreError) in
                if let note { try leave(note, connection) }
            }
            connection.rows.isTrusted = true
            return connection.rows.epoch
        }
        if note != nil {
            hasOutbox.store(true, ordering: .releasing)
            RequestTrace.current?.changes += 1
        }
        return epoch
    }

    /// Believes the database no more: nothing authenticated is changed until it is verified again.
    func disbelieve() { signer.withLock { $0 = nil } }

    /// Signs the database anew under a higher epoch, though nothing has changed: at a stop, so that an older copy of the database is
    /// known for one also by what no signature covers.
    package func advance() throws(StoreError) -> UInt64? {
        guard let signer = signer.withLock({ $0 }) else { return nil }
        return try alone { connection throws(StoreError) in
            try Store.signing(connection, signer, always: connection.rows.epoch + 1) { () throws(StoreError) in }
            return connection.rows.epoch
        }
    }

    /// Whether what stands in the database may be acted upon: it was verified, or there never was a head to verify it by.
    var isBelieved: Bool {
        guard signer.withLock({ $0 == nil }) else { return true }
        return (try? head()) == .some(nil)
    }

    /// The epoch of the newest head of a database that was verified; nil before it was, when its epoch may be an older one.
    var believedEpoch: UInt64? { signer.withLock({ $0 == nil }) ? nil : headEpoch }

    /// The epoch of the newest head; 0 before there was one.
    package var headEpoch: UInt64 {
        (try? alone { connection throws(StoreError) in connection.rows.epoch }) ?? 0
    }

    /// Runs `body` in a transaction, and signs what it made of the database in the same one.
    ///
    /// - Parameters:
    ///   - always: the epoch to sign under though nothing may have changed; nil to sign changes only, under the next one.
    ///   - canWait: whether nothing is written at all while the token does not sign.
    /// - Throws: `unsigned` for what can wait.
    static func signing<R>(
        _ connection: SQLiteConnection, _ signer: (any HeadSigner)?, always epoch: UInt64? = nil, canWait: Bool = false,
        _ body: () throws(StoreError) -> R
    ) throws(StoreError) -> R {
        do throws(StoreError) {
            let result = try connection.transaction { () throws(StoreError) in
                // From here to the commit nobody else can write.
                try connection.requireOwn()
                let result = try body()
                if let signer, epoch != nil || connection.rows.hasChanged {
                    try seal(connection, signer, epoch: epoch ?? connection.rows.epoch + 1, canWait: canWait)
                } else if signer == nil, connection.rows.hasChanged, try head(connection) != nil {
                    throw .corrupt("it is signed, and only a daemon that has verified it may change it")
                }
                return result
            }
            connection.rows.commit()
            return result
        } catch {
            connection.rows.rollBack()
            throw error
        }
    }

    /// Writes the head for what the present transaction makes of the database.
    private static func seal(
        _ connection: SQLiteConnection, _ signer: any HeadSigner, epoch: UInt64, canWait: Bool
    ) throws(StoreError) {
        let log = try auditAnchor(connection)
        let head = signer.sign(
            Head(
                epoch: epoch, digest: connection.rows.working.digest, auditSequence: log?.sequence ?? 0,
                auditHash: log?.hash ?? []))
        guard !canWait || !head.signature.isEmpty else { throw .unsigned }
        try connection.run(
            "INSERT OR REPLACE INTO head (one, epoch, digest, audit_sequence, audit_hash, signature) VALUES (1, ?, ?, ?, ?, ?)",
            [
                .integer(Int64(bitPattern: head.epoch)), .blob(head.digest), .integer(Int64(bitPattern: head.auditSequence)),
                .blob(head.auditHash), .blob(head.signature),
            ])
        connection.rows.epoch = epoch
    }
}
