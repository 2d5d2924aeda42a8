import ClavigerWire
import Logging
import Synchronization

/// Changes of grants and roles: checked, written, published, one at a time.
package final class AccessLedger: Sendable {
    private let store: Store
    private let authoriser: Authoriser
    private let log: Logger
    // Check, write and publish belong together: a snapshot read before another's change must not be published after it.
    private let turn = Mutex(())

    /// For how long a revoked grant is remembered, so that a repeated request gets its first answer: a day, as clients may count on.
    static let memory: UInt64 = 86_400_000

    init(store: Store, authoriser: Authoriser, log: Logger) {
        self.store = store
        self.authoriser = authoriser
        self.log = log
    }

    /// Publishes what the verified database says.
    func load() throws(StoreError) {
        try alone { () throws(StoreError) in
            authoriser.box.publish(isVerified: true, grants: try store.grants(), customRoles: try store.customRoles())
        }
    }

    /// Publishes what the database says after a ring went, and the grants on it with it.
    func refresh(without ring: String) throws(Refusal) {
        try alone { () throws(Refusal) in try publish { $0.scope == .ring(ring) } }
    }

    /// Nothing counts any more until the database is verified again.
    func unload() { turn.withLock { _ in authoriser.box.publish(isVerified: false, grants: [], customRoles: []) } }

    /// Publishes what the database says after a change that is in it.
    ///
    /// When it cannot be read, what the change took away counts no more all the same, and what it gave does not count yet: the change is not
    /// acknowledged, and whoever repeats it comes here again.
    private func publish(without isGone: (Grant) -> Bool = { _ in false }) throws(Refusal) {
        do throws(StoreError) {
            authoriser.box.refresh(grants: try store.grants(), customRoles: try store.customRoles())
        } catch {
            authoriser.box.retract(isGone)
            throw refuse(error)
        }
    }

    private func alone<R: Sendable, E: Error>(_ body: () throws(E) -> R) throws(E) -> R {
        let outcome: Result<R, E> = turn.withLock { _ in
            do throws(E) { return .success(try body()) } catch { return .failure(error) }
        }
        return try outcome.get()
    }

    private func refuse(_ error: StoreError) -> Refusal {
        // Not the database's failure: what allowed the change is gone, as if the request had come later.
        if error == .overtaken { return Refusal(.denied) }
        log.error("database", metadata: ["error": "\(error)"])
        return Refusal(.storeUnavailable, retryAfter: 1_000)
    }

    // MARK: grants

    /// Makes a grant; a repeated request gets the first one back.
    func grant(_ grant: Grant, by caller: Caller, _ allowances: Allowances? = nil) throws(Refusal) -> Grant {
        try alone { () throws(Refusal) in
            let earlier = try mapping(refuse) { () throws(StoreError) in try store.grant(grant.id) }
            if let earlier {
                guard earlier.creator == caller.uid, earlier.revoked == nil, earlier.grant.isSame(as: grant) else {
                    throw Refusal(.operationConflict)
                }
                // The first time may have ended between commit and publication.
                try publish()
                allowances?.noteUnchanged()
                return earlier.grant
            }
            let snapshot = authoriser.box.current
            guard snapshot.roles[grant.role] != nil else {
                let known = snapshot.roles.keys.sorted().joined(separator: ", ")
                throw Refusal(.notFound, "there is no role '\(grant.role)'; there are \(known)")
            }
            if let expires = grant.expires, expires <= grant.created {
                throw Refusal(.invalidValue, "the grant would have expired before it is made")
            }
            guard snapshot.grants.count < Limits.maximumGrants else {
                throw Refusal(.limitReached, "there are \(Limits.maximumGrants) grants already; revoke some")
            }
            let horizon = grant.created - min(grant.created, AccessLedger.memory)
            let note = ChangeNote(
                event: Opcode.accessGrant.entry.name, caller: caller, key: grant.scope.key, ring: grant.scope.ring,
                changes: grant.changes(from: false))
            try mapping(refuse) { () throws(StoreError) in
                try store.insertGrant(grant, creator: caller.uid, forgetBefore: horizon, note: note)
            }
            try publish()
            return grant
        }
    }

    /// Takes a grant back; a repeated request is told so again.
    func revoke(
        _ id: GrantID, operation: OperationID, by caller: Caller, _ allowances: Allowances? = nil
    ) throws(Refusal) -> Grant {
        try alone { () throws(Refusal) in
            let now = authoriser.time.now()
            let stored = try mapping(refuse) { () throws(StoreError) in try store.grant(id) }
            guard let stored else { throw Refusal(.notFound, "there is no grant \(id); see 'claviger access list'") }
            if stored.revoked != nil {
                guard stored.revoker == caller.uid, stored.revokeOperation == operation.bytes else {
                    throw Refusal(.notFound, "grant \(id) was revoked before")
                }
                // The first time may have ended between commit and publication: then the grant still counted.
                try publish { $0.id == id }
                allowances?.noteUnchanged()
                return stored.grant
            }
            guard mayGo(stored.grant) else { throw Refusal(.lastAdministrator) }
            let note = ChangeNote(
                event: Opcode.accessRevoke.entry.name, caller: caller, key: stored.grant.scope.key,
                ring: stored.grant.scope.ring, changes: stored.grant.changes(from: true))
            _ = try mapping(refuse) { () throws(StoreError) in
                try store.revokeGrant(id, by: caller.uid, operation: operation, now: now, note: note)
            }
            try publish { $0.id == id }
            return stored.grant
        }
    }

    /// Whether somebody can still grant, for ever, once a grant is gone.
    private func mayGo(_ grant: Grant) -> Bool {
        let snapshot = authoriser.box.current
        func isForEver(_ grant: Grant) -> Bool {
            grant.scope == .instance && grant.expires == nil && grant.condition.isEmpty
                && snapshot.roles[grant.role]?.permissions.holds(.manageAccess) == true
        }
        guard isForEver(grant) else { return true }
        switch grant.subject.loss(authoriser.accounts) {
        // While its account cannot be looked up it may be the last one as well as any.
        case nil, .unknownName?: break
        case .foreign?, .user?, .recreatedUser?, .group?, .recreatedGroup?, .unit?: return true
        }
        return snapshot.grants.contains { $0.id != grant.id && isForEver($0) && $0.subject.loss(authoriser.accounts) == nil }
    }

    // MARK: roles

    /// Makes a role; a repeated request gets the first one back.
    func create(
        _ role: Role, operation: OperationID, by caller: Caller, _ allowances: Allowances? = nil
    ) throws(Refusal) -> Role {
        try alone { () throws(Refusal) in
            let stored = try mapping(refuse) { () throws(StoreError) in try store.storedRoles() }
            if let earlier = stored.first(where: { $0.operation == operation.bytes }) {
                guard earlier.creator == caller.uid, earlier.role == role else { throw Refusal(.operationConflict) }
                try publish()
                allowances?.noteUnchanged()
                return earlier.role
            }
            let taken = authoriser.box.current.roles
            // Names that differ in case only would be mixed up.
            guard !taken.keys.contains(where: { $0.lowercased() == role.name.lowercased() }) else {
                throw Refusal(
                    .alreadyExists, "there is a role '\(role.name)' already; names that differ in case only count as one")
            }
            guard taken.count < Limits.maximumRoles else {
                throw Refusal(.limitReached, "there are \(Limits.maximumRoles) roles already; remove some")
            }
            let note = ChangeNote(
                event: Opcode.roleCreate.entry.name, caller: caller,
                changes: [
                    ChangeNote.Change("role", from: nil, to: role.name),
                    ChangeNote.Change("permissions", from: nil, to: role.words),
                ])
            try mapping(refuse) { () throws(StoreError) in
                try store.insertRole(role, by: caller, operation: operation, now: authoriser.time.now(), note: note)
            }
            try publish()
            return role
        }
    }

    /// Removes a role that no grant names.
    func deleteRole(_ name: String, by caller: Caller) throws(Refusal) {
        try alone { () throws(Refusal) in
            let snapshot = authoriser.box.current
            guard let role = snapshot.roles[name] else { throw Refusal(.notFound, "there is no role '\(name)'") }
            guard !role.isBuiltIn else { throw Refusal(.invalidValue, "role '\(name)' comes with the daemon and stays") }
            guard try mapping(refuse, { () throws(StoreError) in try store.customRoles().contains { $0.name == name } }) else {
                // It was deleted before, and that could not be published.
                try publish()
                throw Refusal(.notFound, "role '\(name)' was deleted before")
            }
            let users = snapshot.grants.filter { $0.role == name }.count
            guard users == 0 else { throw Refusal(.roleInUse, "\(users) grants name role '\(name)'; revoke them first") }
            let note = ChangeNote(
                event: Opcode.roleDelete.entry.name, caller: caller,
                changes: [
                    ChangeNote.Change("role", from: name, to: nil),
                    ChangeNote.Change("permissions", from: role.words, to: nil),
                ])
            try mapping(refuse) { () throws(StoreError) in
                _ = try store.deleteRole(name, note: note)
            }
            try publish()
        }
    }
}

extension Role {
    /// The permissions by name, a space between.
    fileprivate var words: String { permissions.permissions.map(\.rawValue).joined(separator: " ") }
}

extension Scope {
    /// The key, when the scope is one.
    var key: KeyID? {
        if case .key(let id) = self { id } else { nil }
    }

    /// The ring, when the scope is one.
    var ring: String? {
        if case .ring(let name) = self { name } else { nil }
    }
}

extension Grant {
    /// Whether it gives the same as another, apart from when and by whom it was made.
    fileprivate func isSame(as other: Grant) -> Bool {
        subject == other.subject && role == other.role && scope == other.scope && expires == other.expires
            && condition == other.condition
    }

    /// The grant as a change: all of it came to be, or all of it went.
    func changes(from isGone: Bool) -> [ChangeNote.Change] {
        var fields = [("grant", "\(id)"), ("subject", "\(subject)"), ("role", role), ("scope", "\(scope)")]
        if let expires { fields.append(("expires-ms", "\(expires)")) }
        if !condition.isEmpty,
            let text = AuditContexts.text(ofCondition: condition, RequestTrace.current?.contexts ?? .hash)
        {
            fields.append(("context", text))
        }
        return fields.map { ChangeNote.Change($0.0, from: isGone ? $0.1 : nil, to: isGone ? nil : $0.1) }
    }
}
