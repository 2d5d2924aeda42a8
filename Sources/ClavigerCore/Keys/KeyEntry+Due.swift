import ClavigerWire

// What becomes due about a key by itself.
extension KeyEntry {
    /// The next moment at which the daemon has something to write down about the key, in milliseconds since 1970; nil when there is none.
    /// Rotations are apart: see `nextRotation`.
    func nextDue(_ settings: SettingValues) -> UInt64? {
        switch stored.state {
        case .active: stored.expires
        case .suspended, .deactivated: nil
        case .destroyed: stored.isWiped ? stored.due(.autoPurge, after: .deletion, settings) : wipeDue(settings)
        }
    }

    /// A key can be restored up to the last millisecond of the window; its material goes with the next.
    private func wipeDue(_ settings: SettingValues) -> UInt64? {
        stored.due(.restoreWindow, after: .deletion, settings).map { $0 == .max ? .max : $0 + 1 }
    }

    /// The change that the daemon makes by itself at this moment; nil when it is not due.
    func due(_ action: KeyAction, at now: UInt64, _ settings: SettingValues) -> Decision<EmptyMessage>? {
        switch action {
        case .expire:
            guard stored.state == .active, let expires = stored.expires, expires <= now else { return nil }
            return expire(at: now)
        case .wipe:
            guard stored.state == .destroyed, !stored.isWiped, let due = wipeDue(settings), due <= now else { return nil }
            return wipe(at: now)
        case .purgeByTime:
            guard stored.allows(.purgeByTime, at: now, settings) else { return nil }
            return purge(by: nil, event: "key-purge-by-time", at: now)
        case .show, .listVersions, .listRegistrations, .showPolicies, .read, .wrap, .unwrap, .rewrap, .rotate, .rotateByPolicy,
            .update, .move, .setAlias, .setPolicies, .register, .renew, .release, .disable, .enable, .delete, .restore, .purge,
            .retireVersion, .destroyVersion:
            return nil
        }
    }

    private func expire(at now: UInt64) -> Decision<EmptyMessage> {
        let before = stored
        let after = before.revised(at: now) { $0.state = .deactivated }
        let note = ChangeNote(
            event: "key-expire", caller: nil, key: id, ring: ring,
            changes: [.init("state", from: KeyState.active.name, to: KeyState.deactivated.name)])
        return Decision(
            note: note, reply: EmptyMessage(), publish: { snapshot in snapshot.changing(after.id) { $0.stored = after } }
        ) { connection throws(StoreError) in try connection.update(after, from: before) }
    }
}

/// A request that nobody decided in time.
private struct ExpiredApproval {
    let id: ApprovalID
    let key: KeyID?
}

/// What ends by itself and stands in the database only.
enum TimedEnding: String, CaseIterable {
    case approval
    case lease
    case importToken = "import-token"

    /// When the next of its kind ends, in milliseconds since 1970; nil when there is none.
    func nextMoment(_ ledger: KeyLedger) throws(Refusal) -> UInt64? {
        let query =
            switch self {
            case .approval: "SELECT min(expires_ms) FROM approval WHERE state = 0"
            case .lease: "SELECT min(lease_ends_ms) FROM registration"
            case .importToken: "SELECT min(expires_ms) FROM import_token WHERE state = 0"
            }
        return try ledger.read { connection throws(StoreError) in
            var moment: UInt64?
            try connection.run(query) { row throws(StoreError) in moment = row.moment(0) }
            return moment
        }
    }

    /// The change that ends one of them; nil when none is due.
    func next(_ ledger: KeyLedger, at now: UInt64) throws(Refusal) -> Decision<EmptyMessage>? {
        switch self {
        case .approval: try expiredApproval(ledger, at: now)
        case .lease: try endedLease(ledger, at: now)
        case .importToken: try expiredImportToken(ledger, at: now)
        }
    }

    private func expiredApproval(_ ledger: KeyLedger, at now: UInt64) throws(Refusal) -> Decision<EmptyMessage>? {
        let found = try ledger.read { connection throws(StoreError) -> ExpiredApproval? in
            var found: ExpiredApproval?
            try connection.run("SELECT id, key FROM approval WHERE state = 0 AND expires_ms <= ? LIMIT 1", [.unsigned(now)]) {
                row throws(StoreError) in
                found = ExpiredApproval(id: try row.identifier(0), key: row.isNull(1) ? nil : try row.identifier(1))
            }
            return found
        }
        guard let found else { return nil }
        let (id, key) = (found.id, found.key)
        let note = ChangeNote(
            event: "approval-expire", caller: nil, key: key,
            changes: [.init("approval", from: "\(id)", to: "\(id)"), .init("approval-state", from: "open", to: "expired")])
        return Decision(
            note: note, reply: EmptyMessage(),
            publish: { snapshot in
                guard let key else { return snapshot }
                return snapshot.changing(key) { $0.approvals.removeAll { $0.id == id } }
            }
        ) { connection throws(StoreError) in
            try connection.run(
                "UPDATE approval SET state = 3, decided_ms = ? WHERE id = ?", [.unsigned(now), .blob(id.bytes)])
        }
    }

    private func endedLease(_ ledger: KeyLedger, at now: UInt64) throws(Refusal) -> Decision<EmptyMessage>? {
        let found = try ledger.read { connection throws(StoreError) in
            try connection.endedLease(at: now)
        }
        guard let found else { return nil }
        let note = ChangeNote(
            event: "registration-lease-end", caller: nil, key: found.key,
            changes: [
                .init("resource", from: found.resource, to: nil),
                .init("lease-ends", from: found.leaseEnds.map { "\(DateText($0))" }, to: nil),
            ])
        return Decision(
            note: note, reply: EmptyMessage(),
            publish: { snapshot in snapshot.changing(found.key) { $0.registrations -= min(1, $0.registrations) } }
        ) { connection throws(StoreError) in try connection.deleteRegistration(found.key, found.resource) }
    }

    private func expiredImportToken(_ ledger: KeyLedger, at now: UInt64) throws(Refusal) -> Decision<EmptyMessage>? {
        let found = try ledger.read { connection throws(StoreError) in
            var found: ImportTokenID?
            try connection.run("SELECT id FROM import_token WHERE state = 0 AND expires_ms <= ? LIMIT 1", [.unsigned(now)]) {
                row throws(StoreError) in found = try row.identifier(0)
            }
            return found
        }
        guard let id = found else { return nil }
        let note = ChangeNote(
            event: "import-token-expire", caller: nil, changes: [.init("import-token", from: "\(id)", to: nil)])
        return Decision(note: note, reply: EmptyMessage()) { connection throws(StoreError) in
            try connection.endImportToken(id, at: now, because: "import token expired")
        }
    }
}

extension SQLiteConnection {
    /// A registration whose lease has ended by this moment, if there is one.
    func endedLease(at now: UInt64) throws(StoreError) -> StoredRegistration? {
        var place: (key: KeyID, resource: String)?
        try run("SELECT key, resource FROM registration WHERE lease_ends_ms <= ? LIMIT 1", [.unsigned(now)]) {
            row throws(StoreError) in place = (try row.identifier(0), row.text(1))
        }
        guard let place else { return nil }
        return try registration(place.key, place.resource)
    }

    /// Ends an import token: it can be taken no more, and its private key is ordered to be destroyed.
    func endImportToken(_ id: ImportTokenID, at now: UInt64, because reason: String) throws(StoreError) {
        try run("UPDATE import_token SET state = 1 WHERE id = ?", [.blob(id.bytes)])
        try run("UPDATE import_nonce SET used = 1 WHERE token = ?", [.blob(id.bytes)])
        let pair = ObjectName(key: KeyID(high: id.high, low: id.low), version: Limits.firstVersion, role: .importPair)
        try insert(DestroyOrder(pair, ordered: now, reason: reason))
    }
}
