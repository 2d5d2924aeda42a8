import ClavigerWire

// Which keys a request may work on. Every handler that uses a key comes through here.
extension ServiceWorker {
    /// The key that a reference names, if this caller may do this with it. Every handler that works on a key comes through here: a
    /// key that does not exist, one that the caller may not use so, and one in another ring than asked are refused alike, and after the
    /// same steps: one look at the snapshot, none at the store or the token.
    ///
    /// Conditions on the context are left open: `allowsContext` judges them item by item.
    ///
    /// - Throws: `denied`; `ambiguousName`, but only when the caller may do it with several of the keys meant.
    func authorisedKey(
        _ reference: KeyReference, for permission: Permission, of caller: Caller, in snapshot: Snapshot
    ) throws(Refusal) -> KeyEntry {
        let access = access(of: caller)
        let key: KeyEntry
        do throws(Refusal) {
            key = try snapshot.resolve(reference)
        } catch {
            guard error.code == .ambiguousName else { throw error }
            // Of keys that the caller may not use so, not even the number is told.
            let allowed = snapshot.candidates(reference).filter { access.allows(permission, on: $0.target) }
            guard let only = allowed.first else { throw Refusal(.denied) }
            guard allowed.count == 1 else { throw Snapshot.ambiguous(reference, allowed.map(\.id)) }
            note(only, permission)
            return only
        }
        guard access.allows(permission, on: key.target) else { throw Refusal(.denied) }
        note(key, permission)
        return key
    }

    /// A key that a request was allowed to use, as it was then.
    struct KeyUse {
        let key: KeyEntry
    }

    private func note(_ key: KeyEntry, _ permission: Permission) {
        allowances?.add(permission, on: key.target)
        // A batch names the same key again and again.
        if uses.last?.key.id != key.id { uses.append(KeyUse(key: key)) }
    }

    /// Whether what a finished request rests on has changed since it began: a grant that allowed it, or the state of a key that it used.
    ///
    /// A change that was carried out counts as done before whatever was published since: its permission was checked again where it was
    /// written. One that was carried out before and is answered again, and one that is only rehearsed, were checked nowhere else.
    func isOvertaken(_ call: Call) -> Bool {
        switch call.request.opcode.entry.retry {
        case .always: break
        case .withOperationID, .never: guard call.allowances?.isUnchanged == true else { return false }
        }
        // Grants change rarely, and judging a request anew judges its contexts too.
        if call.access.snapshot.epoch != service.authoriser.box.current.epoch {
            switch call.request.opcode.entry.permission.reach {
            case .everyone, .operators: break
            case .key, .ring, .instance: return true
            }
        }
        let snapshot = service.snapshots.current
        return uses.contains { use in snapshot.keys[use.key.id].map { !$0.isSame(as: use.key) } ?? true }
    }

    /// Whether this caller may do this with the key's envelopes of this context: a grant may be for some contexts only.
    ///
    /// - Throws: `denied`.
    func requireContext(
        _ context: [UInt8], _ permission: Permission, _ key: KeyEntry, of caller: Caller
    ) throws(Refusal) {
        guard access(of: caller).allows(permission, on: key.target, context: context) else { throw Refusal(.denied) }
    }

    /// Whether this caller may see that the key is there, and what is known about it: what lists show.
    func mayRead(_ key: KeyEntry, _ caller: Caller) -> Bool { access(of: caller).allows(.readKeys, on: key.target) }

    /// Whether this caller may see that the ring is there: what lists show.
    func mayRead(ring: String, _ caller: Caller) -> Bool { access(of: caller).allows(.readRings, on: .ring(ring)) }

    /// Refuses a caller who may not do this to the instance as a whole.
    ///
    /// - Throws: `denied`.
    func requireInstance(_ permission: Permission, of caller: Caller) throws(Refusal) {
        guard mayEverywhere(permission, caller) else { throw Refusal(.denied) }
        allowances?.add(permission, on: .instance)
    }

    /// Whether this caller may do this to the instance as a whole, whatever it may do to single keys and rings.
    func mayEverywhere(_ permission: Permission, _ caller: Caller) -> Bool {
        access(of: caller).allows(permission, on: .instance)
    }

    /// Whether two callers count as one person: whoever runs under the same user does, whatever groups and units he has.
    func isSameSubject(_ caller: Caller, uid: UInt32) -> Bool { caller.uid == uid }

    /// Refuses a caller who may not do this in the ring: what creates keys there or moves them there.
    ///
    /// - Throws: `denied`.
    func requireRing(_ ring: String, for permission: Permission, of caller: Caller) throws(Refusal) {
        guard access(of: caller).allows(permission, on: .ring(ring)) else { throw Refusal(.denied) }
        allowances?.add(permission, on: .ring(ring))
    }
}

extension KeyEntry {
    /// The key as grants see it.
    var target: AccessTarget { .key(id, ring: ring) }

    /// Whether nothing has changed that decides what may be done with the key.
    func isSame(as other: KeyEntry) -> Bool {
        stored == other.stored && versions.count == other.versions.count
            && zip(versions, other.versions).allSatisfy { $0.state == $1.state }
    }
}

extension Snapshot {
    /// All keys that a reference could mean.
    func candidates(_ reference: KeyReference) -> [KeyEntry] {
        switch reference {
        case .id(let id): keys[id].map { [$0] } ?? []
        case .name(let name): Set(names[name] ?? []).union(aliases[name].map { [$0] } ?? []).sorted().compactMap { keys[$0] }
        }
    }

    /// The refusal of a name that means several keys.
    static func ambiguous(_ reference: KeyReference, _ ids: [KeyID]) -> Refusal {
        let shown = ids.prefix(8).map(\.description).joined(separator: ", ")
        let more = ids.count > 8 ? " and \(ids.count - 8) more" : ""
        return Refusal(.ambiguousName, "\(ids.count) keys are named '\(reference)': \(shown)\(more); name one by its id")
    }
}
