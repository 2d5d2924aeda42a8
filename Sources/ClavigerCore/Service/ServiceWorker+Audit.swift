import ClavigerWire

// The audit log: how it is, its key, its head, its next file.
extension ServiceWorker {
    func auditStatus() throws(Refusal) -> AuditStatusReply {
        let audit = try recorder()
        let condition = audit.log.condition
        var reply = AuditStatusReply()
        reply.directory = short(audit.log.settings.directory)
        reply.durability = audit.durability.rawValue
        reply.failure = condition.failure.map(short)
        reply.warning = condition.warning.map(short)
        reply.sequence = condition.position.sequence
        reply.segment = condition.segment
        reply.segmentBytes = UInt64(clamping: condition.segmentBytes)
        reply.sealedSequence = condition.sealed?.position.sequence
        reply.sealed = condition.sealed?.time
        reply.unsealed = condition.unsealed
        reply.sealFailure = condition.sealFailure.map(short)
        reply.outbox = audit.outbox.waiting(for: audit.log)
        if let collector = audit.collector {
            let state = collector.state
            reply.collector = short(collector.path)
            reply.collectorLag = condition.position.sequence - min(state.sent, condition.position.sequence)
            reply.collectorFailure = state.concern.map(short)
        }
        return reply
    }

    func auditKey() throws(Refusal) -> AuditKeyReply {
        guard let key = service.token.signingPublicKey else {
            throw Refusal(.tokenUnavailable, "the public key is on the token, which has not been there yet", retryAfter: 1_000)
        }
        return AuditKeyReply(key: key.der)
    }

    func auditHead() throws(Refusal) -> AuditHeadReply {
        let audit = try recorder()
        let head = try mapping({ (error: AuditFailure) in
            audit.log.failure == nil
                ? Refusal(.tokenUnavailable, self.short(error.reason), retryAfter: 1_000) : Refusal(.auditUnavailable)
        }) { () throws(AuditFailure) in try audit.log.signedHead() }
        return AuditHeadReply(
            instance: head.instance, sequence: head.position.sequence, hash: head.position.hash.bytes, time: head.time,
            signature: head.signature)
    }

    func auditRotate() throws(Refusal) -> AuditRotateReply {
        guard let segment = try recorder().log.rotate("it was asked for") else {
            throw Refusal(.auditUnavailable, "no new file could be begun; the daemon's log says more", retryAfter: 1_000)
        }
        return AuditRotateReply(segment: segment.name)
    }

    private func recorder() throws(Refusal) -> AuditRecorder {
        guard let audit = service.audit else { throw Refusal(.internalError, "no audit log is kept") }
        return audit
    }

    // What a reply's text may hold; paths and reasons can be longer.
    private func short(_ text: String) -> String {
        String(String.UnicodeScalarView(text.unicodeScalars.prefix(Limits.maximumMessage)))
    }
}
