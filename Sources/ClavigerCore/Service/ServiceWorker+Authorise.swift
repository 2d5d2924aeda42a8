import ClavigerWire

// Which keys and rings a request may work on. Every handler that uses a key comes through here.
extension ServiceWorker {
    /// The key that a reference names, if this caller may do this with it. Every handler that works on a key comes through here: a
    /// key that does not exist, one that the caller may not use so, and one in another ring than asked are refused alike.
    ///
    /// - Throws: `denied`, `ambiguousName`.
    func authorisedKey(
        _ reference: KeyReference, for permission: Permission, of caller: Caller, in snapshot: Snapshot
    ) throws(Refusal) -> KeyEntry {
        let key = try snapshot.resolve(reference)
        guard service.authoriser.allows(permission, to: caller) else { throw Refusal(.denied) }
        return key
    }

    /// Whether this caller may see that the key is there, and what is known about it: what lists show.
    func mayRead(_ key: KeyEntry, _ caller: Caller) -> Bool { service.authoriser.allows(.readKeys, to: caller) }

    /// Whether this caller may see that the ring is there: what lists show.
    func mayRead(ring: String, _ caller: Caller) -> Bool { service.authoriser.allows(.readRings, to: caller) }

    /// Refuses a caller who may not do this in the ring: what creates keys there or moves them there.
    ///
    /// - Throws: `denied`.
    func requireRing(_ ring: String, for permission: Permission, of caller: Caller) throws(Refusal) {
        guard service.authoriser.allows(permission, to: caller) else { throw Refusal(.denied) }
    }

    /// Refuses a caller who may not do this to the instance as a whole.
    ///
    /// - Throws: `denied`.
    func requireInstance(_ permission: Permission, of caller: Caller) throws(Refusal) {
        guard mayEverywhere(permission, caller) else { throw Refusal(.denied) }
    }

    /// Whether this caller may do this to the instance as a whole, whatever it may do to single keys and rings.
    func mayEverywhere(_ permission: Permission, _ caller: Caller) -> Bool { service.authoriser.allows(permission, to: caller) }

    /// Whether two callers count as one person: whoever runs under the same user does, whatever groups and units he has.
    func isSameSubject(_ caller: Caller, uid: UInt32) -> Bool { caller.uid == uid }
}
