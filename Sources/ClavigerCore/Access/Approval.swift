import ClavigerWire

/// An open request about a key, as far as the key's record shows it.
package struct OpenApproval: Sendable, Equatable {
    package let id: ApprovalID
    package let action: ControlledAction
    /// In milliseconds since 1970.
    package let expires: UInt64

    package init(_ approval: StoredApproval) {
        id = approval.id
        action = approval.action
        expires = approval.expires
    }
}

/// What an approval carries out: the action, and what was asked for with it.
enum ApprovalPlan: Equatable {
    case delete(force: Bool)
    case purge
    case disable
    case restore
    case policy(PolicySetRequest)

    /// The plan of a request.
    ///
    /// - Parameter key: the key's id, which stands for whatever the request called it: names and aliases may have moved on by the time
    ///   it is approved.
    init(_ request: ApprovalRequest, key: KeyID?) throws(Refusal) {
        guard request.action == .delete || !request.force else {
            throw Refusal(.invalidValue, "field 6 (force) belongs to delete")
        }
        guard request.action == .policy || request.body == nil else {
            throw Refusal(.invalidValue, "field 5 (body) belongs to policy")
        }
        switch request.action {
        case .delete: self = .delete(force: request.force)
        case .purge: self = .purge
        case .disable: self = .disable
        case .restore: self = .restore
        case .policy:
            guard let body = request.body else {
                throw Refusal(.missingField, "field 5 (body) is missing: say which policies are to change")
            }
            var message = try PolicySetRequest.decode(body.span.bytes)
            message.key = key.map { .id($0) }
            self = .policy(message)
        }
    }

    /// The plan of a stored request.
    ///
    /// - Throws: `internalError` when what is stored is none.
    init(_ approval: StoredApproval) throws(Refusal) {
        switch approval.action {
        case .delete: self = .delete(force: approval.body == [1])
        case .purge: self = .purge
        case .disable: self = .disable
        case .restore: self = .restore
        case .policy:
            let message = try mapping({ (_: Refusal) in Refusal(.internalError) }) { () throws(Refusal) in
                try PolicySetRequest.decode(approval.body.span.bytes)
            }
            self = .policy(message)
        }
    }

    /// What is stored of the plan beside its action: for delete one byte, 1 for force; for policy the body of policy-set.
    var body: [UInt8] {
        get throws(Refusal) {
            switch self {
            case .delete(let force): [force ? 1 : 0]
            case .purge, .disable, .restore: []
            case .policy(let message): try KeyLedger.encoded(message)
            }
        }
    }
}

extension ControlledAction {
    /// What the caller must be allowed beside asking and approving.
    var permission: Permission {
        switch self {
        case .delete: .deleteKeys
        case .purge: .purgeKeys
        case .disable: .disableKeys
        case .restore: .restoreKeys
        case .policy: .managePolicies
        }
    }

    /// The row of the state table.
    var keyAction: KeyAction {
        switch self {
        case .delete: .delete
        case .purge: .purge
        case .disable: .disable
        case .restore: .restore
        case .policy: .setPolicies
        }
    }
}

extension StoredApproval {
    /// Notes the decision.
    mutating func decide(_ state: ApprovalState, by caller: Caller, at now: UInt64) {
        self.state = state
        approver = caller.label
        approverUID = caller.uid
        decided = now
    }

    /// What the audit log says of a decision.
    func changes(from before: StoredApproval) -> [ChangeNote.Change] {
        [
            .init("approval", from: "\(id)", to: "\(id)"), .init("approval-state", from: before.state.name, to: state.name),
            .init("requester", from: before.requester, to: requester),
        ]
    }

    /// As shown to callers.
    func record(at now: UInt64, keyName: String?) throws(Refusal) -> ApprovalRecord {
        var record = ApprovalRecord(
            id: id, action: action, reason: reason, requester: requester, requesterUID: requesterUID, created: created,
            expires: expires, state: state(at: now))
        record.key = key
        record.keyName = keyName
        record.approver = approver
        record.approverUID = approverUID
        record.decided = decided
        switch try ApprovalPlan(self) {
        case .delete(let force): record.force = force
        case .policy: record.body = body
        case .purge, .disable, .restore: break
        }
        return record
    }
}

extension Snapshot {
    /// The snapshot with the key of an approval changed; as it is when the approval is about the instance.
    func changing(_ approval: StoredApproval, _ edit: (inout KeyEntry) -> Void) -> Snapshot {
        guard let key = approval.key else { return self }
        return changing(key, edit)
    }
}

/// Where a page of approvals ends.
struct ApprovalCursor: Equatable {
    let created: UInt64
    let id: ApprovalID

    init(_ approval: StoredApproval) {
        created = approval.created
        id = approval.id
    }

    /// Reads a cursor that a client gives back.
    init(_ bytes: [UInt8]) throws(Refusal) {
        guard bytes.count == 8 + ApprovalID.byteCount, let id = ApprovalID(Array(bytes.dropFirst(8)).span.bytes) else {
            throw Refusal(.invalidValue, Call.foreignCursor)
        }
        created = bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
        self.id = id
    }

    var bytes: [UInt8] { withUnsafeBytes(of: created.bigEndian) { Array($0) } + id.bytes }
}

extension StoredApproval {
    /// The record of what was carried out, beside that of the approval: found under the action's own name and rated as it, with what was
    /// asked for and by whom.
    func carriedOut(_ note: ChangeNote, _ operation: OperationID) -> ChangeNote {
        var carried = note
        carried.event = action.opcode.entry.name
        var asked = [
            AuditRecord.Field("operation", "\(operation)"), AuditRecord.Field("approval", "\(id)"),
            AuditRecord.Field("requester", requester),
        ]
        if !reason.isEmpty { asked.append(AuditRecord.Field("reason", reason)) }
        if case .delete(let force)? = try? ApprovalPlan(self) { asked.append(AuditRecord.Field("force", "\(force)")) }
        carried.asked = asked
        return carried
    }
}

extension ControlledAction {
    /// The operation by which one person does it.
    fileprivate var opcode: Opcode {
        switch self {
        case .delete: .keyDelete
        case .purge: .keyPurge
        case .disable: .keyDisable
        case .restore: .keyRestore
        case .policy: .policySet
        }
    }
}
