import ClavigerWire
import SecureMemory

// The daemon about itself: status, whoami, unlock.
extension ServiceWorker {
    func status() throws(Refusal) -> StatusReply {
        var reply = StatusReply(health: service.health)
        reply.version = Service.version
        reply.instance = service.token.instance.id
        reply.uptime = (Clock.monotonic() - service.started) / 1_000_000
        reply.keys = UInt32(clamping: service.snapshots.current.keys.count)
        if let figures = service.figures {
            reply.workers = UInt32(clamping: figures.workers)
            reply.connections = UInt32(clamping: figures.connections)
            reply.requests = figures.requests
            reply.queued = UInt32(clamping: figures.queued)
        }
        reply.quarantined = UInt32(clamping: service.token.quarantinedCount)
        return reply
    }

    func whoami(_ access: AccessView) -> WhoamiReply {
        let caller = access.caller
        return WhoamiReply(
            uid: caller.uid, gid: caller.gid, pid: UInt32(clamping: caller.pid),
            groups: Array(caller.groups.prefix(Limits.maximumGroups)), unit: caller.unit,
            permissions: access.permissions.map(\.rawValue), isProven: caller.pidfdVerified, isForeign: caller.isForeign,
            grants: access.lines)
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
