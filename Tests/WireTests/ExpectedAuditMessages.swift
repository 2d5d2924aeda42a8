import ClavigerWire

// What the message vectors of the audit log decode to.
extension ExpectedMessages {
    static func auditMessage(_ vector: Vector) throws -> (any WireMessage)? {
        switch vector.file {
        case "audit-status-request", "audit-key-request", "audit-head-request", "audit-rotate-request": return EmptyMessage()
        case "audit-status-reply": return status(isWhole: true)
        case "audit-status-reply-failed": return status(isWhole: false)
        case "audit-key-reply": return AuditKeyReply(key: [4] + Array(0..<64))
        case "audit-head-reply":
            return AuditHeadReply(
                instance: instance, sequence: 123_456, hash: [UInt8](repeating: 0xab, count: 32), time: 1_763_848_800_000,
                signature: Array(0..<64))
        case "audit-rotate-reply": return AuditRotateReply(segment: "audit-00000000000000000042.jsonl")
        case _: return nil
        }
    }

    private static func status(isWhole: Bool) -> AuditStatusReply {
        var reply = AuditStatusReply()
        reply.directory = "/var/lib/claviger/audit"
        reply.durability = isWhole ? "fsync" : "buffered"
        reply.sequence = 123_456
        reply.segmentBytes = 65_536
        reply.unsealed = 7
        reply.outbox = 3
        if isWhole {
            reply.segment = "audit-00000000000000000042.jsonl"
            reply.sealedSequence = 123_449
            reply.sealed = 1_763_848_800_000
            reply.collector = "/run/collector.sock"
            reply.collectorLag = 5
            reply.collectorFailure = "connect: Connection refused"
        } else {
            reply.failure = "No space left on device"
            reply.warning = "record 8 is missing"
            reply.sealFailure = "the token cannot sign now"
        }
        return reply
    }
}
