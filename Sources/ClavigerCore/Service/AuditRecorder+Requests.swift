import ClavigerWire
import Logging
import Synchronization

// Records of requests, before their answers leave; and what becomes of them when there is no log.
extension AuditRecorder {
    /// What a request's records have in common.
    func trace(_ request: IncomingRequest) -> RequestTrace { trace(request, name: accounts.user(request.caller.uid)) }

    private func trace(_ request: IncomingRequest, name: String?) -> RequestTrace {
        let number = counter.add(1, ordering: .relaxed).newValue
        return RequestTrace(
            correlation: Correlation(run: nonce, number: number), request: request.header.requestID,
            initiator: AuditRecord.Initiator(caller: request.caller, name: name), contexts: contexts)
    }

    /// Opcodes beside those that only look which work while nothing can be recorded: what takes away must not wait for a disk. Their
    /// records wait in the outbox.
    private static let unstoppable: Set<String> = ["key-disable", "access-revoke"]

    /// Why a request is refused although the caller may make it: nothing leaves without its record.
    func refusal(for opcode: Opcode) -> Refusal? {
        guard let failure = log.failure else { return nil }
        switch opcode.entry.permission {
        case .observe, .readToken, .readAudit, .unlock: return nil
        case .wrap, .unwrap, .rewrap, .readKeys, .readSecrets, .createKeys, .updateKeys, .rotateKeys, .disableKeys, .deleteKeys,
            .restoreKeys, .purgeKeys, .moveKeys, .registerResources, .readRings, .createRings, .deleteRings, .readPolicies,
            .managePolicies, .requestApproval, .approve, .readAccess, .manageAccess:
            guard !AuditRecorder.unstoppable.contains(opcode.entry.name) else { return nil }
            logger.debug("refused for want of a record", metadata: ["reason": "\(failure)"])
            return Refusal(.auditUnavailable, retryAfter: 1_000)
        }
    }

    /// Records a request, before its answer can leave.
    ///
    /// - Parameters:
    ///   - phrases: the calling worker's.
    ///   - mayWrite: whether the calling thread may be kept by the log's file.
    ///   - hold: is offered the ticket of a record that is not on the disk yet; true when the answer waits for it elsewhere.
    /// - Returns: the refusal to answer with instead, where there is no recording it.
    func keep(
        _ request: RequestRecord, _ refusal: Refusal?, _ trace: RequestTrace, _ phrases: inout AuditPhrases,
        mayWrite: Bool, hold: (RecordTicket) -> Bool
    ) -> Refusal? {
        let entry = request.request.opcode.entry
        if refusal == nil, entry.permission == .observe { return nil }
        // The change's own record, which is durable already, says it all.
        if refusal == nil, trace.changes > 0 {
            drain()
            return nil
        }
        guard durability != .off || entry.isManagement else { return nil }
        let now = time.now()
        if refusal == nil, !entry.isManagement, let body = request.plainBody(now, trace, token.instance.id, &phrases) {
            return keep(body, mayWrite: mayWrite, hold)
        }
        var record = request.record(outcome: refusal, time: now, trace: trace)
        // Known in the log and in the outbox by one name, should it have to go there: a flush that failed leaves it in the file.
        if entry.isManagement || record.refusal != nil { record.id = RandomSource.identifier() }
        let kind = record.refusal.map { request.kind($0, trace.initiator) }
        if let kind, request.isCounted(refusal), !denials.admit(record, kind, now: Clock.monotonic()) { return nil }
        var ticket: RecordTicket?
        let isRefused = refusal != nil || request.isCounted(nil)
        do throws(AuditFailure) {
            let body = record.body(token.instance.id, &phrases)
            // Where the disk is flushed first, another is at it: one that hangs keeps no worker, whom a change would wait for.
            let isFlushed = entry.isManagement || durability == .fsync
            let added = try log.add(body, flushed: isFlushed)
            ticket = added
            if !isFlushed, mayWrite, try log.secureIfFree(added) { return nil }
            if !entry.isManagement, hold(added) {
                // Nobody is given another answer than a refusal when its record does not get there.
                if isRefused { underWay.withLock { $0.append((added, record)) } }
                return nil
            }
            try log.secure(added)
            return nil
        } catch {
            guard isRefused, let kind else { return keepAside(record, ticket, entry) }
            // What was refused gives nothing away; it is recorded when there is a log again. One that may stand in the file is looked for
            // there first, or it would stand there twice.
            if let ticket {
                underWay.withLock { $0.append((ticket, record)) }
            } else {
                denials.count(record, kind, now: Clock.monotonic())
            }
            return nil
        }
    }

    // The body of a plain record. Nobody waits for it but the answer.
    private func keep(_ body: [UInt8], mayWrite: Bool, _ hold: (RecordTicket) -> Bool) -> Refusal? {
        do throws(AuditFailure) {
            let ticket =
                if durability == .buffered, mayWrite {
                    try log.addWritten(body)
                } else {
                    try log.add(body, flushed: durability == .fsync)
                }
            if let ticket, !hold(ticket) { try log.secure(ticket) }
            return nil
        } catch {
            return Refusal(.auditUnavailable, retryAfter: 1_000)
        }
    }

    /// Records that a caller was told `deadline` while a worker was still at its request, or its record on its way to the disk. The
    /// worker's own record says what was done, should it come back. Whoever keeps the deadlines must not wait for a disk.
    func abandoned(_ request: IncomingRequest) {
        guard durability != .off || request.opcode.entry.isManagement else { return }
        // Nor for the account database.
        let trace = trace(request, name: accounts.lastHeard(ofUser: request.caller.uid))
        let refusal = Refusal(.deadline)
        let bare = RequestRecord(request)
        var record = bare.record(outcome: refusal, time: time.now(), trace: trace)
        record.id = RandomSource.identifier()
        let kind = bare.kind(refusal, trace.initiator)
        guard denials.admit(record, kind, now: Clock.monotonic()) else { return }
        do throws(AuditFailure) {
            let ticket = try log.add(record.body(token.instance.id), flushed: true)
            underWay.withLock { $0.append((ticket, record)) }
        } catch {
            denials.count(record, kind, now: Clock.monotonic())
        }
    }

    /// Waits until the record is where it has to be.
    ///
    /// - Returns: what to answer in place of a reply when it never will be.
    func secure(_ ticket: RecordTicket) -> Refusal? {
        do throws(AuditFailure) {
            try log.secure(ticket)
            return nil
        } catch {
            return Refusal(.auditUnavailable, retryAfter: 1_000)
        }
    }

    // The log has failed just now, or this is one of the few requests that go on without it.
    private func keepAside(_ record: AuditRecord, _ ticket: RecordTicket?, _ entry: OpcodeEntry) -> Refusal? {
        guard entry.isManagement else { return Refusal(.auditUnavailable, retryAfter: 1_000) }
        do throws(StoreError) {
            try outbox.leave(record, ticket)
            return nil
        } catch {
            switch entry.permission {
            case .observe, .readToken, .readAudit, .unlock:
                strand(record, ticket, error)
                return nil
            case .wrap, .unwrap, .rewrap, .readKeys, .readSecrets, .createKeys, .updateKeys, .rotateKeys, .disableKeys,
                .deleteKeys, .restoreKeys, .purgeKeys, .moveKeys, .registerResources, .readRings, .createRings, .deleteRings,
                .readPolicies, .managePolicies, .requestApproval, .approve, .readAccess, .manageAccess:
                return Refusal(.auditUnavailable, retryAfter: 1_000)
            }
        }
    }
}
