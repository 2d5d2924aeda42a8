import ClavigerWire
import Glibc
import Logging
import SecureMemory

/// One worker's part of the service: the choke point, and the session that the worker uses.
final class ServiceWorker: RequestWorker {
    let service: Service
    // Made when a request first needs the token, so that the reserved worker never has one.
    private var tokenSession: TokenSession?
    // What counts for the request that is done now; a guest between the items of a batch has its own.
    private var view: AccessView?
    /// The keys that it was allowed to use so far, as they were then.
    var uses: [KeyUse] = []
    /// What it is allowed by, where it is a change.
    var allowances: Allowances?
    private var phrases = AuditPhrases()
    // Closed between the last check and the queueing of an answer.
    private let gate: AnswerFence.Gate

    init(service: Service) {
        self.service = service
        gate = service.fence.makeGate()
    }

    func handle(
        _ request: IncomingRequest, frame: UnsafeRawBufferPointer, reply: UnsafeMutableRawBufferPointer,
        scheduling: any RequestScheduling
    ) -> Int {
        let outer = (view, uses, allowances)
        defer { (view, uses, allowances) = outer }
        let trace = service.audit?.trace(request)
        var round = 1
        while true {
            let (record, outcome, call) = attempt(request, trace, frame: frame, reply: reply, scheduling: scheduling)
            switch outcome {
            case .success(let length):
                if request.opcode.entry.retry != .always {
                    service.settle()
                    service.token.anchor()
                }
                gate.close()
                if round < ServiceWorker.rounds, isOvertaken(call) {
                    // What the answer rests on has changed meanwhile: it never leaves, and the request is done on what is there now.
                    gate.open()
                    round += 1
                    continue
                }
                if round == ServiceWorker.rounds, isOvertaken(call) {
                    return refuse(Refusal(.busy, "keys or grants change too fast", retryAfter: 100), record, trace, call)
                }
                // Recorded before the answer can leave; an answer that cannot be recorded is not given.
                var isHeld = false
                let unrecorded = keep(record, nil, trace, scheduling) { ticket in
                    isHeld = scheduling.hold(until: ticket)
                    return isHeld
                }
                if let refusal = unrecorded {
                    service.requests.count(request.opcode, refusal.code)
                    return call.answer.refuse(refusal)
                }
                // One that is held is counted when it leaves.
                if !isHeld { service.requests.count(request.opcode, nil) }
                return length
            case .failure(let refusal):
                gate.close()
                return refuse(refusal, record, trace, call)
            }
        }
    }

    private func refuse(_ refusal: Refusal, _ record: RequestRecord, _ trace: RequestTrace?, _ call: Call) -> Int {
        // In an outage the log has a line now and then for all: nobody's key was looked at.
        if record.uses.isEmpty, TurnedAway.merges(refusal.code) {
            _ = service.token.turnedAway.note(refusal.code, now: Clock.monotonic())
        }
        let answer = keep(record, refusal, trace, call.scheduling) { call.scheduling.hold(until: $0) } ?? refusal
        service.requests.count(call.request.opcode, answer.code)
        return call.answer.refuse(answer)
    }

    /// Records the request, where a log is kept.
    ///
    /// - Returns: the refusal to answer with instead, where there is no recording it.
    private func keep(
        _ record: RequestRecord, _ refusal: Refusal?, _ trace: RequestTrace?, _ scheduling: any RequestScheduling,
        hold: (RecordTicket) -> Bool
    ) -> Refusal? {
        guard let audit = service.audit, let trace else { return nil }
        var record = record
        record.isLate = scheduling.isAbandoned
        return audit.keep(record, refusal, trace, &phrases, mayWrite: scheduling.mayWrite, hold: hold)
    }

    func delivered() {
        gate.open()
        guard let session = tokenSession, session.lacksSession else { return }
        session.lacksSession = false
        // The kernel wakes whoever began to wait last: the one that was refused would come to this very worker again and again, which the
        // token has no session for. Others take it while this one rests.
        usleep(2 * TokenService.sessionRetry * 1_000)
    }

    /// How often a request is done before it is given up, when what it rests on changes each time.
    private static let rounds = 4

    private func attempt(
        _ request: IncomingRequest, _ trace: RequestTrace?, frame: UnsafeRawBufferPointer, reply: UnsafeMutableRawBufferPointer,
        scheduling: any RequestScheduling
    ) -> (RequestRecord, Result<Int, Refusal>, Call) {
        var record = RequestRecord(request, contexts: trace?.contexts ?? .none, trace: trace)
        let view = service.authoriser.view(of: request.caller)
        self.view = view
        uses = []
        allowances = request.opcode.entry.retry == .always ? nil : Allowances()
        let call = Call(
            request: request, access: view, allowances: allowances,
            body: UnsafeRawBufferPointer(rebasing: frame[Limits.headerLength...]),
            answer: Answer(request: request, buffer: reply), scheduling: scheduling)
        do throws(Refusal) {
            // Authorise: nothing of the body is even looked at before.
            if request.opcode.entry.isManagement, !request.isAdmin, let path = service.adminPath {
                throw Refusal(.adminSocketOnly, "management requests are taken on \(path) only")
            }
            try admit(request.opcode, view)
            if let refusal = service.audit?.refusal(for: request.opcode) { throw refusal }
            guard let trace else { return (record, .success(try perform(call, &record)), call) }
            let length = try trace.during { () throws(Refusal) in try perform(call, &record) }
            record.allowed = uses.map(\.key)
            return (record, .success(length), call)
        } catch {
            record.allowed = uses.map(\.key)
            if error.code == .denied || record.allowed.isEmpty { record.wanted = wanted(call, error.code) }
            return (record, .failure(error), call)
        }
    }

    /// The key that a refused request named, for the record.
    private func wanted(_ call: Call, _ code: RefusalCode) -> KeyReference? {
        let named = RequestRecord.wantedKey(call.request.opcode, call.body.bytes)
        // A denial must not tell whether there is such a key; what is refused for want of a log is found by the key's id.
        guard code == .auditUnavailable, let named, let key = try? service.snapshots.current.resolve(named) else { return named }
        return .id(key.id)
    }

    /// Whether the request may be done at all: for what is about keys and rings, whether it might for some of them.
    private func admit(_ opcode: Opcode, _ view: AccessView) throws(Refusal) {
        let permission = opcode.entry.permission
        if !view.snapshot.isVerified {
            switch permission.reach {
            case .everyone, .operators: break
            case .key, .ring, .instance:
                // No grant counts before the database can be believed. Who is to unlock must see how many tries the PIN has left.
                guard opcode == .tokenStatus, service.authoriser.mayUnlock(view.caller) else {
                    throw service.token.refusal ?? Refusal(.needsOperator)
                }
                return
            }
        }
        // What concerns the instance as a whole, though its permission may be about keys: a grant for some of them is not enough.
        guard opcode.entry.isInstanceWide else {
            guard view.allows(permission) else { throw Refusal(.denied) }
            return
        }
        guard view.allows(permission, on: .instance) else { throw Refusal(.denied) }
        // Whatever else it is allowed by, this is asked again too.
        allowances?.add(permission, on: .instance)
    }

    private func perform(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        switch call.request.opcode {
        case .ping: return try call.reply(toEmpty: EmptyMessage())
        case .health: return try call.reply(toEmpty: service.health)
        case .status: return try call.reply(toEmpty: status(call))
        case .metrics: return try call.reply(toEmpty: MetricsReply(text: service.metrics(keys: keyFigures(call.access))))
        case .whoami: return try call.reply(toEmpty: whoami(call.access))
        case .wrap: return try wrap(call, &record)
        case .unwrap: return try unwrap(call, &record)
        case .rewrap: return try rewrap(call, &record)
        case .unlock: return try unlock(call)
        case .tokenStatus: return try call.reply(toEmpty: service.token.describe())
        case .keyCreate: return try createKey(call, &record)
        case .keyList: return try listKeys(call, &record)
        case .keyShow: return try showKey(call, &record)
        case .keyVersions: return try listVersions(call, &record)
        case .keyRotate: return try rotateKey(call, &record)
        case .keyCount: return try countKeys(call, &record)
        case .keyRead: return try readKey(call, &record)
        case .keyUpdate: return try updateKey(call, &record)
        case .keyDisable: return try disableKey(call, &record)
        case .keyEnable: return try enableKey(call, &record)
        case .keyDelete: return try deleteKey(call, &record)
        case .keyRestore: return try restoreKey(call, &record)
        case .keyPurge: return try purgeKey(call, &record)
        case .keyMove: return try moveKey(call, &record)
        case .keyCensus: return try takeCensus(call, &record)
        case .versionRetire: return try retireVersion(call, &record)
        case .versionDestroy: return try destroyVersion(call, &record)
        case .aliasCreate: return try createAlias(call, &record)
        case .aliasDelete: return try deleteAlias(call, &record)
        case .ringCreate: return try createRing(call, &record)
        case .ringList: return try listRings(call, &record)
        case .ringDelete: return try deleteRing(call, &record)
        case .registrationSet: return try setRegistration(call, &record)
        case .registrationRelease: return try releaseRegistration(call, &record)
        case .registrationList: return try listRegistrations(call, &record)
        case .importTokenCreate: return try createImportToken(call, &record)
        case .importTokenTake: return try takeImportToken(call, &record)
        case .importTokenList: return try listImportTokens(call, &record)
        case .importTokenDelete: return try deleteImportToken(call, &record)
        case .policyShow: return try showPolicies(call, &record)
        case .policySet: return try setPolicies(call, &record)
        case .settingsShow: return try showSettings(call, &record)
        case .settingsSet: return try setSetting(call, &record)
        case .approvalRequest: return try requestApproval(call, &record)
        case .approvalList: return try listApprovals(call, &record)
        case .approvalApprove: return try approve(call, &record)
        case .approvalCancel: return try cancelApproval(call, &record)
        case .acceptRollback: return try acceptRollback(call, &record)
        case .auditStatus: return try call.reply(toEmpty: auditStatus())
        case .auditKey: return try call.reply(toEmpty: auditKey())
        case .auditHead: return try call.reply(toEmpty: auditHead())
        case .auditRotate: return try call.reply(toEmpty: auditRotate())
        case .accessGrant: return try grantAccess(call, &record)
        case .accessRevoke: return try revokeAccess(call, &record)
        case .accessList: return try listAccess(call, &record)
        case .accessRoles: return try call.reply(toEmpty: listRoles(call, &record))
        case .roleCreate: return try createRole(call, &record)
        case .roleDelete: return try deleteRole(call, &record)
        case .accessExplain: return try explainAccess(call, &record)
        }
    }

    /// What the caller of the present request may do.
    func access(of caller: Caller) -> AccessView { view ?? service.authoriser.view(of: caller) }

    /// Runs `body` with the token: state checked, snapshot and session of one generation.
    func withToken<R>(_ body: (Snapshot, TokenSession) throws(Refusal) -> R) throws(Refusal) -> R {
        let session: TokenSession
        if let known = tokenSession {
            session = known
        } else {
            session = try mapping({ (_: SecureMemoryError) in
                Refusal(.internalError, "memory for secrets cannot be locked: raise LimitMEMLOCK")
            }) { () throws(SecureMemoryError) in try TokenSession() }
            tokenSession = session
        }
        let snapshot = try service.token.enter(session)
        defer { service.token.leave(session) }
        return try body(snapshot, session)
    }
}

/// One request as its handler sees it.
struct Call {
    let request: IncomingRequest
    /// What the caller may do, for this request from its beginning to its end.
    let access: AccessView
    /// What a change is allowed by, collected while it is judged; nil for what changes nothing.
    let allowances: Allowances?
    /// The request's body, in locked memory.
    let body: UnsafeRawBufferPointer
    let answer: Answer
    let scheduling: any RequestScheduling

    var caller: Caller { request.caller }

    /// The body as this opcode's message.
    func decode<Message: WireMessage>(_ type: Message.Type = Message.self) throws(Refusal) -> Message {
        try Message.decode(body.bytes)
    }

    /// Replies to a request that has no fields.
    func reply(toEmpty message: @autoclosure () throws(Refusal) -> some WireMessage) throws(Refusal) -> Int {
        _ = try decode(EmptyMessage.self)
        return try answer.reply(try message())
    }
}

/// Writes the answer to one request.
struct Answer {
    let request: IncomingRequest
    let buffer: UnsafeMutableRawBufferPointer

    /// Writes a reply that holds no ranges of other bytes.
    func reply(_ message: some WireMessage) throws(Refusal) -> Int {
        guard let length = replyIfItFits(message) else { throw Refusal(.internalError, "the answer does not fit a frame") }
        return length
    }

    /// Writes a reply as `reply` does; nil when it is too long.
    func replyIfItFits(_ message: some WireMessage) -> Int? {
        FrameWriter.reply(
            message, opcode: request.opcode, requestID: request.header.requestID, source: RawSpan(), into: buffer)
    }

    /// The memory for a body that is written piece by piece.
    var body: UnsafeMutableRawBufferPointer { UnsafeMutableRawBufferPointer(rebasing: buffer[Limits.headerLength...]) }

    /// Finishes a reply whose body of `count` bytes has been written to `body`.
    func finish(bodyLength count: Int) -> Int {
        FrameHeader(
            bodyLength: count, kind: .reply, opcode: request.opcode.rawValue, requestID: request.header.requestID, detail: 0
        ).write(to: buffer)
        return Limits.headerLength + count
    }

    /// Writes a refusal in place of whatever was written.
    func refuse(_ refusal: Refusal) -> Int {
        let bytes = FrameWriter.refusal(refusal, opcode: request.opcode.rawValue, requestID: request.header.requestID)
        buffer.copyBytes(from: bytes)
        return bytes.count
    }
}
