import ClavigerWire

// Registrations: the resources that keys protect.
extension ServiceWorker {
    /// Registrations of one key: far more than services of one host register, few enough that a flood cannot fill the disk.
    static let maximumRegistrations: UInt32 = 10_000
    /// The longest lease in milliseconds: ten years, longer than anybody plans; who needs more takes none.
    static let maximumLease: UInt64 = 3_650 * 86_400_000
    /// How many rows a list reads at once: the database is free for others in between.
    static let registrationsAtOnce = 1_000

    func setRegistration(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        let message = try call.decode(RegistrationSetRequest.self)
        record.note(message)
        try requireKeys()
        let name = PinnedName(call.caller.uid, service.authoriser.accounts)
        let reply = try service.ledger.change(AskedChange(message.operation, call)) {
            (snapshot, now) throws(Refusal) -> Decision<RegistrationRecord> in
            let key = try authorisedKey(message.key, for: .registerResources, of: call.caller, in: snapshot)
            let (stored, counts) = try service.ledger.read { connection throws(StoreError) in
                (
                    try connection.registration(key.id, message.resource),
                    try connection.registrationCounts(key.id, at: now)
                )
            }
            let before = stored.flatMap { $0.holds(at: now) ? $0 : nil }
            try key.stored.require(before == nil ? .register : .renew, at: now, snapshot.settings)
            try before?.requireOwner(call.caller, name)
            if let expected = message.revision, expected != before?.revision ?? 0 {
                throw Refusal(
                    .revisionConflict,
                    before.map { "the registration is at revision \($0.revision), not \(expected); read it again" }
                        ?? "the resource is not registered with key \(key.id)")
            }
            guard before != nil || counts.all < ServiceWorker.maximumRegistrations else {
                throw Refusal(
                    .limitReached, "key \(key.id) has \(counts.all) registrations; release some, or use another key for some")
            }
            let after = try registration(message, of: key, from: before, call.caller, name, now)
            return Decision(
                note: note(call, key, from: before, to: after), reply: after.record,
                publish: { snapshot in
                    // A registration whose lease has ended is counted until its row is removed.
                    stored == nil ? snapshot.changing(key.id) { $0.registrations += 1 } : snapshot
                },
                write: { connection throws(StoreError) in try connection.write(after) })
        }
        record.note(key: reply.key, version: reply.version)
        return try call.answer.reply(reply)
    }

    /// What a registration becomes. What a request does not say stays as it is.
    private func registration(
        _ message: RegistrationSetRequest, of key: KeyEntry, from before: StoredRegistration?, _ caller: Caller,
        _ name: PinnedName, _ now: UInt64
    ) throws(Refusal) -> StoredRegistration {
        var next =
            before
            ?? StoredRegistration(
                key: key.id, resource: message.resource, version: key.current.number, created: now, createdBy: caller.label,
                owner: caller.uid, ownerName: name, updated: now, revision: 0)
        if let description = message.description { next.description = description }
        if let retention = message.retention { next.isRetained = retention }
        if let lease = message.lease {
            guard lease <= ServiceWorker.maximumLease else {
                throw Refusal(
                    .invalidValue, "a lease lasts \(ServiceWorker.maximumLease) milliseconds (ten years) at most; 0 is none")
            }
            next.leaseEnds = lease == 0 ? nil : now + lease
        }
        if let number = message.version {
            guard let version = key.version(number) else {
                throw Refusal(.invalidValue, "key \(key.id) has no version \(number)")
            }
            guard version.state == .inUse else {
                throw Refusal(.versionState, "version \(number) of key \(key.id) is \(version.state.name)")
            }
            guard number >= before?.version ?? 0 else {
                throw Refusal(.invalidValue, "the resource is registered with version \(next.version), newer than \(number)")
            }
            next.version = number
        }
        next.updated = now
        next.revision += 1
        return next
    }

    func releaseRegistration(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        let message = try call.decode(RegistrationReleaseRequest.self)
        record.note(field: "operation", "\(message.operation)")
        record.note(field: "resource", message.resource)
        try requireKeys()
        var id: KeyID?
        let name = PinnedName(call.caller.uid, service.authoriser.accounts)
        let reply = try service.ledger.change(AskedChange(message.operation, call)) {
            (snapshot, now) throws(Refusal) -> Decision<EmptyMessage> in
            let key = try authorisedKey(message.key, for: .registerResources, of: call.caller, in: snapshot)
            id = key.id
            try key.stored.require(.release, at: now, snapshot.settings)
            let stored = try service.ledger.read { connection throws(StoreError) in
                try connection.registration(key.id, message.resource)
            }
            guard let stored, stored.holds(at: now) else {
                throw Refusal(.notFound, "the resource is not registered with key \(key.id)")
            }
            try stored.requireOwner(call.caller, name)
            return Decision(
                note: note(call, key, from: stored, to: nil), reply: EmptyMessage(),
                publish: { snapshot in snapshot.changing(key.id) { $0.registrations -= min(1, $0.registrations) } },
                write: { connection throws(StoreError) in try connection.deleteRegistration(key.id, message.resource) })
        }
        record.note(key: id, version: nil)
        return try call.answer.reply(reply)
    }

    private func note(
        _ call: Call, _ key: KeyEntry, from before: StoredRegistration?, to after: StoredRegistration?
    ) -> ChangeNote {
        let fields: [(String, (StoredRegistration) -> String?)] = [
            ("resource", { $0.resource }), ("description", { $0.description.isEmpty ? nil : $0.description }),
            ("retention", { "\($0.isRetained)" }), ("lease-ends-ms", { $0.leaseEnds.map { "\($0)" } }),
            ("version", { "\($0.version)" }), ("owner-uid", { "\($0.owner)" }),
        ]
        return ChangeNote(
            event: call.event, caller: call.caller, key: key.id, version: (after ?? before)?.version, ring: key.ring,
            changes: fields.compactMap { name, value in
                let (old, new) = (before.flatMap(value), after.flatMap(value))
                return old == new && name != "resource" ? nil : ChangeNote.Change(name, from: old, to: new)
            })
    }

    func listRegistrations(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        let message = try call.decode(RegistrationListRequest.self)
        let limit = Int(message.limit ?? UInt32(Limits.defaultPage))
        let snapshot = try keys()
        let now = service.time.now()
        let key = try message.key.map { (reference) throws(Refusal) in
            try authorisedKey(reference, for: .readKeys, of: call.caller, in: snapshot)
        }
        if let key { record.note(key: key.id, version: nil) }
        let pattern = message.resourcePattern.map { TextPattern($0) }
        var place = try message.cursor.map { (bytes) throws(Refusal) in try RegistrationCursor(bytes) }
        var found: [StoredRegistration] = []
        while found.count <= limit {
            let rows = try service.ledger.read { connection throws(StoreError) in
                try connection.registrations(
                    of: key?.id, after: place.map { ($0.key, $0.resource) }, limit: ServiceWorker.registrationsAtOnce)
            }
            found += rows.filter { row in
                row.holds(at: now) && message.retention ?? row.isRetained == row.isRetained
                    && pattern?.matches(row.resource) ?? true
                    && snapshot.keys[row.key].map { mayRead($0, call.caller) } ?? false
            }
            guard let last = rows.last, rows.count == ServiceWorker.registrationsAtOnce else { break }
            place = RegistrationCursor(last)
        }
        return try call.reply(page: Array(found.prefix(limit)), hasMore: found.count > limit) { rows, isLast in
            record.total = rows.count
            return RegistrationListReply(
                registrations: rows.map(\.record), next: isLast ? nil : rows.last.map { RegistrationCursor($0).bytes })
        }
    }
}

/// Where a page of registrations ends.
struct RegistrationCursor: Equatable {
    let key: KeyID
    let resource: String

    init(_ registration: StoredRegistration) {
        key = registration.key
        resource = registration.resource
    }

    /// Reads a cursor that a client gives back.
    init(_ bytes: [UInt8]) throws(Refusal) {
        guard let key = KeyID(bytes.span.bytes),
            let resource = String(validating: bytes.dropFirst(KeyID.byteCount), as: UTF8.self)
        else { throw Refusal(.invalidValue, Call.foreignCursor) }
        self.key = key
        self.resource = resource
    }

    var bytes: [UInt8] { key.bytes + resource.utf8 }
}

extension StoredRegistration {
    /// Requires that a caller may change or release the registration: the user that made it, or the superuser, who clears away what
    /// users that are gone have left. Whoever got the number of such a user is not that user.
    ///
    /// - Parameter name: what the caller is called today.
    /// - Throws: `denied` that names the owner: the caller may use the key, so there is nothing to hide.
    func requireOwner(_ caller: Caller, _ name: PinnedName) throws(Refusal) {
        if caller.uid == 0 { return }
        guard caller.uid == owner else {
            throw Refusal(.denied, "the resource was registered by uid \(owner), who alone may change or release it")
        }
        guard let isSame = ownerName.isSame(as: name) else {
            throw Refusal(.busy, "the account database does not tell whether uid \(owner) is who it was", retryAfter: 1_000)
        }
        guard isSame else {
            throw Refusal(
                .denied,
                "the resource was registered by uid \(owner) when that was another account; user 0 can release it")
        }
    }
}

extension RequestRecord {
    mutating func note(_ message: RegistrationSetRequest) {
        note(field: "operation", "\(message.operation)")
        note(field: "resource", message.resource)
        if let description = message.description { note(field: "description", description) }
        if let retention = message.retention { note(field: "retention", "\(retention)") }
        if let lease = message.lease { note(field: "lease-ms", "\(lease)") }
        if let version = message.version { note(field: "version", "\(version)") }
        if let revision = message.revision { note(field: "revision", "\(revision)") }
    }
}
