import ClavigerWire

// Keys and their versions.
extension Client {
    /// Creates a key. Without more it is a root key that the token makes; `fill` says what else it is to be.
    public func createKey(name: String, _ fill: (inout KeyCreateRequest) -> Void = { _ in }) throws(ClientError) -> KeyRecord {
        try message(Requests.filled(.keyCreate, KeyCreateRequest(name: name, operation: Requests.newOperation()), fill))
    }

    /// Creates a standard key that keeps `payload`, or, where `fill` says so, imports a root key of it. The bytes are copied
    /// to locked memory.
    public func createKey(
        name: String, payload: RawSpan, _ fill: (inout KeyCreateRequest) -> Void = { _ in }
    ) throws(ClientError) -> KeyRecord {
        try message(Requests.create(name: name, payload, fill))
    }

    /// Gives a key a new version, under which it wraps from then on; `fill` says more, such as why it is an emergency.
    public func rotateKey(
        _ key: KeyReference, _ fill: (inout KeyRotateRequest) -> Void = { _ in }
    ) throws(ClientError) -> KeyRecord {
        try message(Requests.filled(.keyRotate, KeyRotateRequest(key: key, operation: Requests.newOperation()), fill))
    }

    /// Gives a key a new version of given bytes: a standard key's secret, or the material of an imported root key.
    public func rotateKey(
        _ key: KeyReference, payload: RawSpan, _ fill: (inout KeyRotateRequest) -> Void = { _ in }
    ) throws(ClientError) -> KeyRecord {
        try message(Requests.rotate(key, payload, fill))
    }

    /// A page of keys: `limit` of them, 100 when nil, 500 at most, from `cursor` on; by creation time unless `sort` says
    /// otherwise.
    public func listKeys(
        limit: Int? = nil, cursor: [UInt8]? = nil, filter: KeyFilter = KeyFilter(), sort: String? = nil
    ) throws(ClientError) -> KeyListReply {
        try message(
            OutgoingRequest(
                .keyList, KeyListRequest(limit: limit.map { UInt32(clamping: $0) }, cursor: cursor, filter: filter, sort: sort)))
    }

    /// Calls `body` with every key, in the order of the list, a page at a time.
    public func forEachKey(
        filter: KeyFilter = KeyFilter(), sort: String? = nil, _ body: (KeyRecord) throws(ClientError) -> Void
    ) throws(ClientError) {
        var cursor: [UInt8]?
        repeat {
            let page = try listKeys(limit: Limits.maximumPage, cursor: cursor, filter: filter, sort: sort)
            for key in page.keys { try body(key) }
            cursor = page.next
        } while cursor != nil
    }

    /// How many keys there are.
    public func countKeys(filter: KeyFilter = KeyFilter()) throws(ClientError) -> UInt64 {
        try message(OutgoingRequest(.keyCount, KeyCountRequest(filter: filter)), as: KeyCountReply.self).count
    }

    /// One key.
    public func showKey(_ key: KeyReference) throws(ClientError) -> KeyRecord {
        try message(OutgoingRequest(.keyShow, KeyShowRequest(key: key)))
    }

    /// What a standard key keeps: its newest version, or the one given.
    public func readKey(_ key: KeyReference, version: UInt32? = nil) throws(ClientError) -> StandardSecret {
        try call(OutgoingRequest(.keyRead, KeyReadRequest(key: key, version: version))) { (frame) throws(ClientError) in
            try Replies.secret(frame)
        }
    }

    /// Changes what describes a key; what `fill` leaves nil stays as it is.
    public func updateKey(_ key: KeyReference, _ fill: (inout KeyUpdateRequest) -> Void) throws(ClientError) -> KeyRecord {
        try message(Requests.filled(.keyUpdate, KeyUpdateRequest(key: key, operation: Requests.newOperation()), fill))
    }

    /// Suspends a key: nothing is wrapped or unwrapped until it is enabled.
    public func disableKey(_ key: KeyReference, reason: String? = nil) throws(ClientError) -> KeyRecord {
        try message(Requests.change(.keyDisable, key, reason))
    }

    /// Makes a suspended key active again.
    public func enableKey(_ key: KeyReference, reason: String? = nil) throws(ClientError) -> KeyRecord {
        try message(Requests.change(.keyEnable, key, reason))
    }

    /// Deletes a key, or says what that would do. It can be restored for some time.
    public func deleteKey(
        _ key: KeyReference, force: Bool = false, dryRun: Bool = false
    ) throws(ClientError) -> KeyDeleteReply {
        try message(
            OutgoingRequest(
                .keyDelete, KeyDeleteRequest(key: key, operation: Requests.newOperation(), force: force, dryRun: dryRun)))
    }

    /// Gives a deleted key back the state that it had.
    public func restoreKey(_ key: KeyReference, reason: String? = nil) throws(ClientError) -> KeyRecord {
        try message(Requests.change(.keyRestore, key, reason))
    }

    /// Removes a deleted key for good; returns its id.
    public func purgeKey(_ key: KeyReference, reason: String? = nil) throws(ClientError) -> KeyID {
        try message(Requests.change(.keyPurge, key, reason), as: KeyPurgeReply.self).id
    }

    /// Moves a key to another ring.
    public func moveKey(_ key: KeyReference, to ring: String) throws(ClientError) -> KeyRecord {
        try message(OutgoingRequest(.keyMove, KeyMoveRequest(key: key, operation: Requests.newOperation(), ring: ring)))
    }

    /// A page of a key's versions, newest first: `limit` of them, older than `before`.
    public func versions(
        of key: KeyReference, limit: Int? = nil, before: UInt32? = nil
    ) throws(ClientError) -> KeyVersionsReply {
        try message(Requests.versions(.keyVersions, key, limit, before))
    }

    /// How often the versions of a key were used and when last; a page as for `versions`.
    public func census(of key: KeyReference, limit: Int? = nil, before: UInt32? = nil) throws(ClientError) -> KeyCensusReply {
        try message(Requests.versions(.keyCensus, key, limit, before))
    }

    /// Retires a version, whose envelopes are then refused, or takes that back.
    public func retireVersion(
        _ version: UInt32, of key: KeyReference, undo: Bool = false
    ) throws(ClientError) -> VersionRecord {
        try message(
            OutgoingRequest(
                .versionRetire, VersionRetireRequest(key: key, operation: Requests.newOperation(), version: version, undo: undo)))
    }

    /// Destroys the material of a retired version for good.
    public func destroyVersion(_ version: UInt32, of key: KeyReference) throws(ClientError) -> VersionRecord {
        try message(
            OutgoingRequest(
                .versionDestroy, VersionDestroyRequest(key: key, operation: Requests.newOperation(), version: version)))
    }
}
