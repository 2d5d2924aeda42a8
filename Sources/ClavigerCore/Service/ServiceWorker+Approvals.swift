import ClavigerWire

// What needs a second person: one asks, another approves, and by approving does it.
extension ServiceWorker {
    func requestApproval(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        let message = try call.decode(ApprovalRequest.self)
        record.note(field: "operation", "\(message.operation)")
        record.note(field: "action", message.action.name)
        if let reason = message.reason { record.note(field: "reason", reason) }
        if message.force { record.note(field: "force", "true") }
        try requireKeys()
        // Looked up outside the turn: the account databases may take their time.
        let name = PinnedName(call.caller.uid, service.authoriser.accounts)
        let requester = Absent(
            caller: AccessText.requester(uid: call.caller.uid, label: call.caller.label), isSamePerson: true)
        let reply = try service.ledger.change(AskedChange(message.operation, call)) {
            (snapshot, now) throws(Refusal) -> Decision<ApprovalRecord> in
            let key = try message.key.map { (reference) throws(Refusal) in
                try authorisedKey(reference, for: .requestApproval, of: call.caller, in: snapshot)
            }
            try authorise(message.action, on: key, call.caller, in: snapshot)
            try requireSecondPerson(message.action, on: key)
            // Better said now than to whoever is to approve.
            guard standing(requester, message.action, on: key) == .may else {
                throw Refusal(
                    .approvalRequired,
                    "nobody could approve this: your right to it comes from a group that the account database does not list you in, "
                        + "so that nobody can tell later whether you have it still; have it granted to your user or unit")
            }
            if let key { try key.stored.requireRuling(on: message.action.keyAction, at: now) }
            let body = try ApprovalPlan(message, key: key?.id).body
            let open = try service.ledger.read { connection throws(StoreError) in try connection.openApprovals(at: now) }
            if let other = open.first(where: { $0.key == key?.id && $0.action == message.action }) {
                throw Refusal(
                    .alreadyExists,
                    "\(other.requester) has asked for this already (\(other.id)): approve that, or cancel it and ask again")
            }
            let (expires, _) = now.addingReportingOverflow(snapshot.settings.milliseconds(.approvalWindow))
            var approval = StoredApproval(
                id: RandomSource.identifier(), action: message.action, key: key?.id, body: body, reason: message.reason ?? "",
                requester: call.caller.label, requesterUID: call.caller.uid, created: now, expires: expires)
            approval.requesterName = name
            let asked = approval
            let note = ChangeNote(
                event: call.event, caller: call.caller, key: key?.id, ring: key?.ring,
                changes: [
                    .init("approval", from: nil, to: "\(asked.id)"), .init("action", from: nil, to: asked.action.name),
                ])
            return Decision(
                note: note, reply: try asked.record(at: now, keyName: key?.name),
                publish: { snapshot in snapshot.changing(asked) { $0.approvals.append(OpenApproval(asked)) } },
                write: { connection throws(StoreError) in try connection.write(asked) })
        }
        if let key = reply.key { record.note(key: key, version: nil) }
        return try call.answer.reply(reply)
    }

    func approve(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        let message = try call.decode(ApprovalDecideRequest.self)
        record.note(field: "id", "\(message.id)")
        record.note(field: "operation", "\(message.operation)")
        try requireKeys()
        // Looked up outside the turn: the account databases may take their time.
        let requester = try storedApproval(message.id).map { absent($0) }
        let reply = try service.ledger.change(AskedChange(message.operation, call)) {
            (snapshot, now) throws(Refusal) -> Decision<ApprovalRecord> in
            let approval = try openApproval(message.id, of: call.caller, in: snapshot, at: now)
            let key = try approval.key.map { (id) throws(Refusal) in
                try authorisedKey(.id(id), for: .approve, of: call.caller, in: snapshot)
            }
            if key == nil { try requireInstance(.approve, of: call.caller) }
            try authorise(approval.action, on: key, call.caller, in: snapshot)
            guard !isSameSubject(call.caller, uid: approval.requesterUID) else {
                throw Refusal(.approvalRequired, "you asked for this yourself: somebody else must approve it")
            }
            switch requester.map({ standing($0, approval.action, on: key) }) {
            case .may?: break
            case .mayNot?: return try settled(approval, .cancelled, key, call, at: now)
            // What cannot be told is no reason to end what somebody asked for, and none to do it.
            case .unknown?, nil:
                throw Refusal(
                    .approvalRequired,
                    "whether \(approval.requester), who asked for this, may still do it cannot be told: the account database does not "
                        + "list him in the group that a grant is for, knows him by another name, or does not answer. The request stays "
                        + "open: have the right granted to his user or unit, or cancel it")
            }
            let done = try carryOut(approval, key, call, snapshot, now)
            var decided = approval
            decided.decide(.approved, by: call.caller, at: now)
            let after = decided
            let note = ChangeNote(
                event: call.event, caller: call.caller, key: key?.id, ring: key?.ring, changes: after.changes(from: approval))
            var decision = Decision(
                note: note, reply: try after.record(at: now, keyName: key?.name),
                publish: { snapshot in
                    done.publish(snapshot).changing(after) { key in key.approvals.removeAll { $0.id == after.id } }
                },
                write: { connection throws(StoreError) in
                    // A revoke of who asked counts from its acknowledgement on, as one of who approves does.
                    guard requester.map({ self.standing($0, approval.action, on: key) }) == .may else { throw .overtaken }
                    try connection.write(after)
                    try done.write(connection)
                })
            decision.consequences = done.consequences + [approval.carriedOut(done.note, message.operation)]
            return decision
        }
        if let key = reply.key { record.note(key: key, version: nil) }
        guard reply.state == .approved else {
            throw Refusal(
                .approvalRequired,
                "\(reply.requester), who asked for this, may not do it any more: the request is cancelled, and another has to ask"
            )
        }
        return try call.answer.reply(reply)
    }

    func cancelApproval(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        let message = try call.decode(ApprovalDecideRequest.self)
        record.note(field: "id", "\(message.id)")
        record.note(field: "operation", "\(message.operation)")
        try requireKeys()
        let reply = try service.ledger.change(AskedChange(message.operation, call)) {
            (snapshot, now) throws(Refusal) -> Decision<ApprovalRecord> in
            let approval = try openApproval(message.id, of: call.caller, in: snapshot, at: now)
            let key = approval.key.flatMap { snapshot.keys[$0] }
            // Who asked may take it back; so may whoever could approve it.
            if !hasAsked(approval, call.caller) {
                if let key {
                    _ = try authorisedKey(.id(key.id), for: .approve, of: call.caller, in: snapshot)
                } else {
                    try requireInstance(.approve, of: call.caller)
                }
            }
            return try settled(approval, .cancelled, key, call, at: now)
        }
        if let key = reply.key { record.note(key: key, version: nil) }
        return try call.answer.reply(reply)
    }

    func listApprovals(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        let message = try call.decode(ApprovalListRequest.self)
        let limit = Int(message.limit ?? UInt32(Limits.defaultPage))
        let snapshot = try keys()
        let now = service.time.now()
        var place = try message.cursor.map { (bytes) throws(Refusal) in try ApprovalCursor(bytes) }
        var found: [StoredApproval] = []
        while found.count <= limit {
            let rows = try service.ledger.read { connection throws(StoreError) in
                try connection.approvals(
                    after: place.map { ($0.created, $0.id) }, openAt: message.all ? nil : now,
                    limit: ServiceWorker.approvalsAtOnce)
            }
            found += rows.filter { maySee($0, call.caller, in: snapshot) }
            guard let last = rows.last, rows.count == ServiceWorker.approvalsAtOnce else { break }
            place = ApprovalCursor(last)
        }
        let records = try found.prefix(limit).map { (approval) throws(Refusal) in
            (approval, try approval.record(at: now, keyName: approval.key.flatMap { snapshot.keys[$0]?.name }))
        }
        return try call.reply(page: records, hasMore: found.count > limit) { rows, isLast in
            record.total = rows.count
            return ApprovalListReply(approvals: rows.map(\.1), next: isLast ? nil : rows.last.map { ApprovalCursor($0.0).bytes })
        }
    }

    /// How many rows a list reads at once: the database is free for others in between.
    static let approvalsAtOnce = 1_000
}

// The rules of approvals.
extension ServiceWorker {
    /// Whether a caller is shown a request: its own, those about keys that it may see, and, when it may ask for approvals anywhere, those
    /// about the instance and about keys that are gone.
    private func maySee(_ approval: StoredApproval, _ caller: Caller, in snapshot: Snapshot) -> Bool {
        if hasAsked(approval, caller) { return true }
        guard let key = approval.key.flatMap({ snapshot.keys[$0] }) else { return mayEverywhere(.requestApproval, caller) }
        return mayRead(key, caller)
    }

    /// Requires that a caller may do the action itself: approving is no way round one's own permissions, neither is asking.
    private func authorise(
        _ action: ControlledAction, on key: KeyEntry?, _ caller: Caller, in snapshot: Snapshot
    ) throws(Refusal) {
        if let key {
            _ = try authorisedKey(.id(key.id), for: action.permission, of: caller, in: snapshot)
        } else {
            guard action == .policy else {
                throw Refusal(.missingField, "field 3 (key) is missing: \(action.name) is about a key")
            }
            try requireInstance(.managePolicies, of: caller)
        }
    }

    /// Requires that the action does need a second person.
    private func requireSecondPerson(_ action: ControlledAction, on key: KeyEntry?) throws(Refusal) {
        let needed: DualControl
        if let key {
            needed = key.stored.dualControl
        } else {
            needed = try service.ledger.read { connection throws(StoreError) in try connection.policies() }.secondPerson
        }
        // What takes a second person away needs one too, so where any action needs two, so may a change of policies.
        guard needed.contains(DualControl(action)) || (action == .policy && key != nil && !needed.isEmpty) else {
            let subject = key.map { "key \($0.id)" } ?? "the instance"
            throw Refusal(.notDualControl, "\(subject) needs no second person for \(action.name): do it directly")
        }
    }

    private func storedApproval(_ id: ApprovalID) throws(Refusal) -> StoredApproval? {
        try service.ledger.read { connection throws(StoreError) in try connection.approval(id) }
    }

    /// A request that is open. One that the caller has no part in is refused like one that does not exist.
    private func openApproval(
        _ id: ApprovalID, of caller: Caller, in snapshot: Snapshot, at now: UInt64
    ) throws(Refusal) -> StoredApproval {
        guard let approval = try storedApproval(id), hasPart(in: approval, caller, snapshot) else {
            throw Refusal(.notFound, "nobody has asked for an approval \(id)")
        }
        switch approval.state(at: now) {
        case .open: return approval
        case .expired:
            throw Refusal(.approvalRequired, "approval \(id) expired at \(DateText(approval.expires)): ask for it again")
        case .approved, .cancelled:
            throw Refusal(.notFound, "approval \(id) is \(approval.state.name) already; it is not open any more")
        }
    }

    /// Whether a caller has asked for something, or could approve it.
    private func hasPart(in approval: StoredApproval, _ caller: Caller, _ snapshot: Snapshot) -> Bool {
        if hasAsked(approval, caller) { return true }
        guard let key = approval.key.flatMap({ snapshot.keys[$0] }) else { return mayEverywhere(.approve, caller) }
        return access(of: caller).allows(.approve, on: key.target)
    }

    /// Whether a request is the caller's own: of whoever got the requester's number later it is not.
    private func hasAsked(_ approval: StoredApproval, _ caller: Caller) -> Bool {
        isSameSubject(caller, uid: approval.requesterUID)
            && approval.requesterName.isSame(as: PinnedName(caller.uid, service.authoriser.accounts)) == true
    }

    /// Who asked, as far as he can be looked up.
    private func absent(_ approval: StoredApproval) -> Absent {
        Absent(
            caller: AccessText.requester(uid: approval.requesterUID, label: approval.requester),
            isSamePerson: approval.requesterName.isSame(
                as: PinnedName(approval.requesterUID, service.authoriser.accounts)))
    }

    /// Whether somebody could ask for an action today: who has lost the right to it since he asked counts as a second person no more.
    private func standing(_ requester: Absent, _ action: ControlledAction, on key: KeyEntry?) -> Standing {
        let authoriser = service.authoriser
        // Not `access(of:)`, which is the present caller's.
        let snapshot = authoriser.box.current
        func standing(_ permission: Permission, on target: AccessTarget) -> Standing {
            snapshot.standing(
                of: requester, on: AccessSnapshot.Question(permission, on: target), now: authoriser.time.now(),
                authoriser.accounts)
        }
        return standing(action.permission, on: key?.target ?? .instance)
            .and(standing(.requestApproval, on: key?.target ?? .anything))
    }

    /// A request that ends with nothing done.
    private func settled(
        _ approval: StoredApproval, _ state: ApprovalState, _ key: KeyEntry?, _ call: Call, at now: UInt64
    ) throws(Refusal) -> Decision<ApprovalRecord> {
        var decided = approval
        decided.decide(state, by: call.caller, at: now)
        let after = decided
        let note = ChangeNote(
            event: call.event, caller: call.caller, key: after.key, ring: key?.ring, changes: after.changes(from: approval))
        return Decision(
            note: note, reply: try after.record(at: now, keyName: key?.name),
            publish: { snapshot in snapshot.changing(after) { key in key.approvals.removeAll { $0.id == after.id } } },
            write: { connection throws(StoreError) in try connection.write(after) })
    }

    /// What the action comes to now that two persons want it: every other rule holds as ever.
    private func carryOut(
        _ approval: StoredApproval, _ key: KeyEntry?, _ call: Call, _ snapshot: Snapshot, _ now: UInt64
    ) throws(Refusal) -> Decision<EmptyMessage> {
        let plan = try ApprovalPlan(approval)
        switch plan {
        case .policy(let message):
            return try policyChange(message, call, snapshot, now, isApproved: true).replying(EmptyMessage())
        case .delete(let force):
            return try deleting(present(key), force: force, call, at: now, snapshot.settings).replying(EmptyMessage())
        case .purge: return try purging(present(key), call, at: now, snapshot.settings).replying(EmptyMessage())
        case .disable: return try disabling(present(key), call, at: now, snapshot.settings).replying(EmptyMessage())
        case .restore: return try restoring(present(key), call, at: now, snapshot.settings).replying(EmptyMessage())
        }
    }

    private func present(_ key: KeyEntry?) throws(Refusal) -> KeyEntry {
        guard let key else { throw Refusal(.denied) }
        return key
    }
}
