import ClavigerWire

// The versions of a key: list, census, retire, destroy.
extension ServiceWorker {
    func listVersions(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        let message = try call.decode(KeyVersionsRequest.self)
        let (key, page, more) = try page(of: message, call, .listVersions)
        record.note(key: key.id, version: nil)
        record.total = page.count
        return try call.answer.reply(KeyVersionsReply(key: key.id, versions: page.map { $0.record(of: key) }, more: more))
    }

    func takeCensus(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        let message = try call.decode(KeyVersionsRequest.self)
        let (key, page, more) = try page(of: message, call, .listVersions)
        record.note(key: key.id, version: nil)
        record.total = page.count
        for version in page where version.state == .retired { version.use.noteShown(retired: version.stored.retired ?? 0) }
        return try call.answer.reply(KeyCensusReply(id: key.id, versions: page.map { $0.census(of: key) }, more: more))
    }

    /// A page of a key's versions, newest first, and whether older ones follow.
    private func page(
        of message: KeyVersionsRequest, _ call: Call, _ action: KeyAction
    ) throws(Refusal) -> (KeyEntry, [VersionEntry], Bool) {
        let snapshot = try keys()
        let key = try authorisedKey(message.key, for: .readKeys, of: call.caller, in: snapshot)
        try key.stored.require(action, at: service.time.now(), snapshot.settings)
        let older = key.versions.prefix { version in message.before.map { version.number < $0 } ?? true }
        let page = older.suffix(Int(message.limit ?? UInt32(Limits.defaultPage)))
        return (key, page.reversed(), older.count > page.count)
    }

    func retireVersion(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        let message = try call.decode(VersionRetireRequest.self)
        record.note(field: "operation", "\(message.operation)")
        record.note(field: "version", "\(message.version)")
        record.note(field: "undo", "\(message.undo)")
        return try changeVersion(
            message.version, of: message.key, message.operation, .disableKeys, .retireVersion, call, &record
        ) { (key, version, now, _) throws(Refusal) in
            if !message.undo { try key.stored.requireRetirementByOnePerson() }
            try message.undo ? version.reinstate(key) : version.retire(key, at: now)
        }
    }

    func destroyVersion(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        let message = try call.decode(VersionDestroyRequest.self)
        record.note(field: "operation", "\(message.operation)")
        record.note(field: "version", "\(message.version)")
        return try changeVersion(
            message.version, of: message.key, message.operation, .purgeKeys, .destroyVersion, call, &record
        ) { (key, version, now, settings) throws(Refusal) in
            try key.stored.requireVersionsOfOnePerson()
            try version.destroy(key, at: now, settings)
            try requireUnused(version, of: key, at: now)
            try requireShown(version, of: key)
        }
    }

    /// Requires that somebody has looked at what the version was used for since it was retired: from then on nothing was added.
    private func requireShown(_ version: VersionEntry, of key: KeyEntry) throws(Refusal) {
        guard !version.use.isShown(retired: version.stored.retired ?? 0) else { return }
        throw Refusal(
            .versionState,
            "nobody has looked at the uses of version \(version.number) since it was retired, or since the daemon started: "
                + "first 'claviger key census \(key.id)'")
    }

    /// Requires that no registered resource was last protected with a version: destroying it would lose that resource's data.
    private func requireUnused(_ version: VersionEntry, of key: KeyEntry, at now: UInt64) throws(Refusal) {
        let number = version.number
        let counts = try service.ledger.read { connection throws(StoreError) in
            let counts = try connection.registrationCounts(key.id, version: number, at: now)
            return [counts.all, counts.retained]
        }
        guard counts[0] > 0 else { return }
        throw Refusal(
            counts[1] > 0 ? .retention : .resourcesProtected,
            "\(counts[0]) registered resources are protected with version \(number) of key \(key.id): have them made anew first")
    }

    private func changeVersion(
        _ number: UInt32, of reference: KeyReference, _ operation: OperationID, _ permission: Permission, _ action: KeyAction,
        _ call: Call, _ record: inout RequestRecord,
        _ change: (KeyEntry, inout VersionEntry, UInt64, SettingValues) throws(Refusal) -> Void
    ) throws(Refusal) -> Int {
        try requireKeys()
        var id: KeyID?
        let reply = try service.ledger.change(AskedChange(operation, call)) {
            (snapshot, now) throws(Refusal) -> Decision<VersionRecord> in
            let key = try authorisedKey(reference, for: permission, of: call.caller, in: snapshot)
            id = key.id
            try key.stored.require(action, at: now, snapshot.settings)
            guard var version = key.version(number) else {
                throw Refusal(.notFound, "key \(key.id) has no version \(number): its newest is \(key.current.number)")
            }
            try change(key, &version, now, snapshot.settings)
            return key.changing(version, by: call.caller, event: call.event, at: now)
        }
        record.note(key: id, version: reply.version)
        return try call.answer.reply(reply)
    }
}

extension VersionEntry {
    /// What was seen of the version.
    func census(of key: KeyEntry) -> CensusRecord {
        let counts = use.counts
        return CensusRecord(
            version: number, state: state, wraps: counts.wraps, unwraps: counts.unwraps,
            lastWrap: counts.lastWrap == 0 ? nil : counts.lastWrap, lastUnwrap: counts.lastUnwrap == 0 ? nil : counts.lastUnwrap,
            isRetirable: number != key.current.number && state == .inUse)
    }

    /// Retires the version: its envelopes are refused until that is taken back.
    mutating func retire(_ key: KeyEntry, at now: UInt64) throws(Refusal) {
        guard number != key.current.number else {
            throw Refusal(.versionState, "version \(number) of key \(key.id) is the newest, which wraps: rotate the key first")
        }
        try requireState(.inUse, key)
        stored.state = .retired
        stored.retired = now
    }

    /// Has a retired version open its envelopes again.
    mutating func reinstate(_ key: KeyEntry) throws(Refusal) {
        try requireState(.retired, key)
        stored.state = .inUse
        stored.retired = nil
    }

    /// Ends a retired version for good.
    mutating func destroy(_ key: KeyEntry, at now: UInt64, _ settings: SettingValues) throws(Refusal) {
        try requireState(.retired, key)
        let (due, overflow) = (stored.retired ?? 0).addingReportingOverflow(settings.milliseconds(.purgeDelay))
        guard !overflow, now >= due else {
            throw Refusal(
                .tooEarly,
                "version \(number) of key \(key.id) was retired not long ago: it can be destroyed from \(DateText(due))",
                retryAfter: UInt32(clamping: due - min(now, due)))
        }
        stored.state = .destroyed
        handles = nil
    }

    private func requireState(_ needed: VersionState, _ key: KeyEntry) throws(Refusal) {
        guard state != needed else { return }
        let advice =
            switch needed {
            case .inUse: "only one in use can be retired"
            case .retired: "only a retired one can be reinstated or destroyed"
            case .destroyed: ""
            }
        throw Refusal(.versionState, "version \(number) of key \(key.id) is \(state.name): \(advice)")
    }
}
