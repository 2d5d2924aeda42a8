import ClavigerWire
import SecureMemory

// The daemon about itself: status, whoami, unlock.
extension ServiceWorker {
    func status(_ call: Call) throws(Refusal) -> StatusReply {
        var reply = StatusReply(health: service.health)
        reply.version = Service.version
        reply.instance = service.token.instance.id
        reply.uptime = (Clock.monotonic() - service.started) / 1_000_000
        reply.keys = UInt32(clamping: keyFigures(call.access)?.count ?? 0)
        if let figures = service.figures {
            reply.workers = UInt32(clamping: figures.workers)
            reply.connections = UInt32(clamping: figures.connections)
            reply.requests = figures.requests
            reply.queued = UInt32(clamping: figures.queued)
        }
        if service.token.currentStatus.state.serves { reply.isAnchored = service.token.isAnchored }
        reply.damagedFiles = service.token.damagedFileCount.map { UInt32(clamping: $0) }
        reply.quarantined = UInt32(clamping: service.token.quarantinedCount)
        return reply
    }

    /// How many keys a caller may see; nil for a stranger, whatever there is, and for everybody before the database is verified.
    func keyFigures(_ access: AccessView) -> KeyFigures? {
        guard access.snapshot.isVerified, access.allows(.readKeys) else { return nil }
        let all = service.snapshots.current.keys.values
        let isAll = access.allows(.readKeys, on: .instance)
        return all.reduce(into: KeyFigures(count: 0, unusable: 0)) { figures, key in
            guard isAll || access.allows(.readKeys, on: key.target) else { return }
            figures.count += 1
            figures.unusable += key.faultyVersions
        }
    }

    func whoami(_ access: AccessView) -> WhoamiReply {
        let caller = access.caller
        return WhoamiReply(
            uid: caller.uid, gid: caller.gid, pid: UInt32(clamping: caller.pid),
            groups: Array(caller.groups.prefix(Limits.maximumGroups)), unit: caller.unit,
            permissions: access.permissions.map(\.rawValue), isProven: caller.pidfdVerified, isForeign: caller.isForeign,
            grants: access.lines)
    }

    /// Believes a database that was changed or put back. Not for the unlock group: who may present a PIN may not decide what is true.
    func acceptRollback(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        _ = try call.decode(EmptyMessage.self)
        guard service.authoriser.isOwn(call.caller) else { throw Refusal(.denied) }
        let doubt = try service.token.acceptDatabase(by: call.caller)
        record.note(field: "doubt", doubt)
        return try call.answer.reply(service.health)
    }

    func unlock(_ call: Call) throws(Refusal) -> Int {
        let request = try call.decode(UnlockRequest.self)
        let pin = try mapping({ (_: SecureMemoryError) in
            Refusal(.internalError, "memory for the PIN cannot be locked: raise LimitMEMLOCK")
        }) { () throws(SecureMemoryError) in try SecretBytes(copying: call.body.bytes.part(request.pin)) }
        try service.token.unlock(pin)
        return try call.answer.reply(service.health)
    }
}
