import ClavigerWire

// Settings, policies and what needs a second person.
extension LifecycleModel {
    public mutating func set(_ message: SettingSetRequest) throws(ModelRefusal) -> UInt64 {
        guard let setting = InstanceSetting(rawValue: message.name) else { throw ModelRefusal(.notFound) }
        guard setting.entry.range.contains(message.value) else { throw ModelRefusal(.invalidValue) }
        var next = settings
        next[message.name] = message.value
        guard next["restore-window"] ?? 0 <= next["auto-purge"] ?? 0 else { throw ModelRefusal(.invalidValue) }
        guard !policies.secondPerson.contains(.policy) else { throw ModelRefusal(.approvalRequired) }
        if ["purge-delay", "restore-window", "auto-purge"].contains(message.name), message.value < settings[message.name] ?? 0,
            keys.values.contains(where: { $0.dual.contains(.purge) })
        {
            throw ModelRefusal(.approvalRequired)
        }
        settings = next
        return message.value
    }

    public mutating func setPolicies(
        _ message: PolicySetRequest, by person: ModelPerson, at now: UInt64
    ) throws(ModelRefusal) -> PolicyReply {
        if let reference = message.key {
            let key = try resolve(reference)
            try require(.active, .suspended, .deactivated, of: key, at: now)
            guard !key.dual.contains(.policy) else { throw ModelRefusal(.approvalRequired) }
        } else {
            guard !policies.secondPerson.contains(.policy) else { throw ModelRefusal(.approvalRequired) }
        }
        return try settingPolicies(message, person, now, isApproved: false)
    }

    mutating func settingPolicies(
        _ message: PolicySetRequest, _ person: ModelPerson, _ now: UInt64, isApproved: Bool
    ) throws(ModelRefusal) -> PolicyReply {
        guard let reference = message.key else { return try settingInstancePolicies(message, person, now) }
        let before = try resolve(reference)
        try require(.active, .suspended, .deactivated, of: before, at: now)
        if let revision = message.revision, revision != before.revision { throw ModelRefusal(.revisionConflict) }
        let values = message.values
        guard values.dualControlEnabled == nil, values.accessEnabled == nil, values.metricsEnabled == nil,
            ModelAccess().patched(values) == nil
        else { throw ModelRefusal(.invalidValue) }
        if values.rotationMonths != nil || values.rotationEnabled != nil { try before.requireRotatedByPolicy() }
        var key = before
        if let months = values.rotationMonths {
            if before.months == 0 { key.rotates = true }
            if months == 0 { key.rotates = false }
            key.months = months
        }
        if let rotates = values.rotationEnabled { key.rotates = rotates }
        guard !key.rotates || key.months > 0 else { throw ModelRefusal(.invalidValue) }
        if let dual = values.dualControl {
            guard !key.dual.contains(.delete) || dual.contains(.delete) else { throw ModelRefusal(.invalidValue) }
            guard isApproved || key.dual.isSubset(of: dual) else { throw ModelRefusal(.approvalRequired) }
            key.dual = dual
        }
        if key != before { key.touch(now) }
        keys[key.id] = key
        var shown = PolicyValues()
        if key.kind == .root, !key.isImported { (shown.rotationEnabled, shown.rotationMonths) = (key.rotates, key.months) }
        shown.dualControl = key.dual
        return PolicyReply(key: key.id, revision: key.revision, values: shown)
    }

    private mutating func settingInstancePolicies(
        _ message: PolicySetRequest, _ person: ModelPerson, _ now: UInt64
    ) throws(ModelRefusal) -> PolicyReply {
        if let revision = message.revision, revision != policies.revision { throw ModelRefusal(.revisionConflict) }
        let values = message.values
        var next = policies
        if values.rotationMonths == 0 {
            (next.months, next.rotates) = (nil, values.rotationEnabled ?? false)
        } else {
            if let months = values.rotationMonths {
                if next.months == nil { next.rotates = true }
                next.months = months
            }
            if let rotates = values.rotationEnabled { next.rotates = rotates }
        }
        guard !next.rotates || next.months != nil else { throw ModelRefusal(.invalidValue) }
        if values.dualControl == [] {
            (next.dual, next.isDual) = (nil, values.dualControlEnabled ?? false)
            guard !next.isDual else { throw ModelRefusal(.invalidValue) }
        } else {
            if let dual = values.dualControl {
                if next.dual == nil { next.isDual = true }
                next.dual = dual
            }
            if let isDual = values.dualControlEnabled { next.isDual = isDual }
            if next.isDual, next.dual == nil { next.dual = .delete }
        }
        if let access = (next.access ?? ModelAccess()).patched(values) {
            if next.access == nil { next.isAccess = true }
            next.access = access
        }
        if let isAccess = values.accessEnabled { (next.isAccess, next.access) = (isAccess, next.access ?? ModelAccess()) }
        if let metrics = values.metricsEnabled { next.metrics = metrics }
        if next != policies {
            next.revision += 1
            (next.updated, next.updatedBy) = (now, person.label)
        }
        policies = next
        return instancePolicies
    }

    /// The instance's policies as they are shown.
    public var instancePolicies: PolicyReply {
        var shown = PolicyValues()
        (shown.rotationEnabled, shown.rotationMonths) = (policies.rotates, policies.months ?? 0)
        (shown.dualControlEnabled, shown.dualControl) = (policies.isDual, policies.dual ?? [])
        let access = policies.access ?? ModelAccess()
        shown.accessEnabled = policies.isAccess
        (shown.createRoot, shown.createStandard) = (access.createRoot, access.createStandard)
        (shown.importRoot, shown.importStandard) = (access.importRoot, access.importStandard)
        shown.enforceToken = access.enforceToken
        shown.metricsEnabled = policies.metrics
        return PolicyReply(
            revision: policies.revision, values: shown, updated: policies.updated, updatedBy: policies.updatedBy)
    }

    // MARK: approvals

    /// - Parameter id: what the daemon has called the request.
    public mutating func ask(
        _ message: ApprovalRequest, id: ApprovalID, by person: ModelPerson, at now: UInt64
    ) throws(ModelRefusal) -> ApprovalRecord {
        let key: ModelKey?
        if let reference = message.key { key = try resolve(reference) } else { key = nil }
        guard key != nil || message.action == .policy else { throw ModelRefusal(.missingField) }
        let needed = key?.dual ?? policies.secondPerson
        guard needed.contains(DualControl(message.action)) || (message.action == .policy && key != nil && !needed.isEmpty) else {
            throw ModelRefusal(.notDualControl)
        }
        if let key { try requireImaginable(message.action, key, now) }
        guard !open(key?.id, at: now).contains(where: { $0.action == message.action }) else { throw ModelRefusal(.alreadyExists) }
        var record = ApprovalRecord(
            id: id, action: message.action, reason: message.reason ?? "", requester: person.label, requesterUID: person.uid,
            created: now, expires: now + milliseconds("approval-window"), state: .open)
        record.key = key?.id
        record.keyName = key?.name
        record.force = message.force
        record.body = message.body
        approvals.append(record)
        return record
    }

    /// An action that could never happen in this state cannot be asked for.
    private func requireImaginable(_ action: ControlledAction, _ key: ModelKey, _ now: UInt64) throws(ModelRefusal) {
        switch action {
        case .delete, .policy: try require(.active, .suspended, .deactivated, of: key, at: now)
        case .disable: try require(.active, of: key, at: now)
        case .restore, .purge: guard key.state == .destroyed else { throw ModelRefusal(.keyState) }
        }
    }

    /// - Parameter policies: the change that a request about policies asks for.
    public mutating func approve(
        _ id: ApprovalID, _ change: PolicySetRequest?, by person: ModelPerson, at now: UInt64
    ) throws(ModelRefusal) -> ApprovalRecord {
        let index = try openIndex(id, now)
        let approval = approvals[index]
        let key: ModelKey?
        if let id = approval.key { key = try resolve(.id(id)) } else { key = nil }
        guard approval.requesterUID != person.uid else { throw ModelRefusal(.approvalRequired) }
        switch (approval.action, key) {
        case (.policy, let key):
            var message = change ?? PolicySetRequest(operation: OperationID(high: 0, low: 0))
            message.key = key.map { .id($0.id) }
            _ = try settingPolicies(message, person, now, isApproved: true)
        case (.delete, let key?): _ = try deleting(key, force: approval.force, person, now)
        case (.disable, let key?): _ = try disabling(key, now)
        case (.restore, let key?): _ = try restoring(key, now)
        case (.purge, let key?): try requirePurgeable(key, now)
        case (.delete, nil), (.disable, nil), (.restore, nil), (.purge, nil): throw ModelRefusal(.denied)
        }
        let record = decide(index, .approved, person, now, keyName: key?.name)
        if approval.action == .purge, let id = approval.key { remove(id, now) }
        return record
    }

    public mutating func cancel(
        _ id: ApprovalID, by person: ModelPerson, at now: UInt64
    ) throws(ModelRefusal) -> ApprovalRecord {
        let index = try openIndex(id, now)
        return decide(index, .cancelled, person, now, keyName: approvals[index].key.flatMap { keys[$0]?.name })
    }

    private func openIndex(_ id: ApprovalID, _ now: UInt64) throws(ModelRefusal) -> Int {
        guard let index = approvals.firstIndex(where: { $0.id == id }), approvals[index].state == .open else {
            let isExpired = approvals.first { $0.id == id }?.state == .expired
            throw ModelRefusal(isExpired ? .approvalRequired : .notFound)
        }
        guard now < approvals[index].expires else { throw ModelRefusal(.approvalRequired) }
        return index
    }

    private mutating func decide(
        _ index: Int, _ state: ApprovalState, _ person: ModelPerson, _ now: UInt64, keyName: String?
    ) -> ApprovalRecord {
        approvals[index].state = state
        approvals[index].approver = person.label
        approvals[index].approverUID = person.uid
        approvals[index].decided = now
        var record = approvals[index]
        record.keyName = keyName
        return record
    }

    /// All requests as they are listed: those that are open, or all.
    public func approvals(all: Bool, at now: UInt64) -> [ApprovalRecord] {
        let shown = approvals.map { approval in
            var record = approval
            if record.state == .open, record.expires <= now { record.state = .expired }
            record.keyName = record.key.flatMap { keys[$0]?.name }
            return record
        }
        return shown.filter { all || $0.state == .open }.sorted { ($0.created, $0.id) < ($1.created, $1.id) }
    }
}
