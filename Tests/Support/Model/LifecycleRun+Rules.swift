import ClavigerWire

// Policies, settings, what needs a second person.
extension LifecycleRun {
    /// A change of policies; of the instance's too mild to stop the run.
    private func policyRequest() -> PolicySetRequest {
        var message = PolicySetRequest(operation: operation)
        if chance(65) { message.key = reference() }
        if chance(40) { message.values.rotationMonths = UInt32(number(0...12)) }
        if chance(20) { message.values.rotationEnabled = chance(50) }
        if chance(15) { message.values.dualControl = DualControl(rawValue: UInt32(number(0...31))) }
        if message.key == nil || chance(3) {
            if chance(15) { message.values.dualControlEnabled = chance(40) }
            if chance(10) { message.values.createRoot = chance(40) }
            if chance(10) { message.values.createStandard = chance(50) }
            if chance(10) { message.values.importRoot = chance(50) }
            if chance(10) { message.values.importStandard = chance(50) }
            if chance(10) { message.values.enforceToken = chance(30) }
            if chance(40) { message.values.accessEnabled = chance(20) }
            if chance(10) { message.values.metricsEnabled = chance(50) }
        }
        if chance(20) {
            let current = message.key.map { (try? model.resolve($0))?.revision ?? 1 } ?? model.instancePolicies.revision
            message.revision = chance(70) ? current : current + 1
        }
        return message
    }

    func setPolicies() throws {
        let message = policyRequest()
        let person = person
        try change(.policySet, message, by: person, mask) { (_: PolicyReply?) throws(ModelRefusal) in
            try model.setPolicies(message, by: person, at: now)
        }
    }

    func set() throws {
        let day: UInt64 = 86_400
        var choices: [(String, [UInt64])] = [
            ("maximum-rings", [3, 50]), ("maximum-aliases", [2, 5]), ("maximum-tags", [3, 30, 31]), ("no-such-setting", [1]),
        ]
        if isExact {
            choices += [("enable-delay", [0, 30, 60]), ("restore-delay", [0, 30]), ("purge-delay", [0, 14_400, day])]
            choices += [("restore-window", [day, 30 * day, 95 * day]), ("auto-purge", [40 * day, 90 * day, 100 * day])]
            choices += [("approval-window", [day, 7 * day]), ("rotation-interval-minimum", [0, 3_600])]
        }
        guard let (name, values) = pick(choices), let value = pick(values) else { return }
        let message = SettingSetRequest(name: name, operation: operation, value: value)
        let mask = { (record: SettingRecord) in
            var masked = record
            masked.updated = nil
            masked.updatedBy = nil
            return masked
        }
        try change(.settingsSet, message, by: person, mask) { (reply: SettingRecord?) throws(ModelRefusal) in
            let value = try model.set(message)
            // What is fixed about the setting is the table's; only its value is the run's.
            var record = reply ?? SettingRecord(name: name, value: 0, defaultValue: 0, least: 0, most: 0, unit: "", meaning: "")
            record.name = name
            record.value = value
            return record
        }
    }

    func ask() throws {
        let action = pick(ControlledAction.allCases) ?? .delete
        var message = ApprovalRequest(action: action, operation: operation)
        var carried: PolicySetRequest?
        if action != .policy || chance(60) {
            // Most often a key that needs it.
            let fitting = sortedKeys.filter { $0.dual.contains(DualControl(action)) }
            message.key = chance(80) ? pick(fitting).map { .id($0.id) } ?? reference() : reference()
        }
        if action == .policy {
            var policies = policyRequest()
            policies.key = nil
            if message.key != nil {
                policies.values.dualControlEnabled = nil
                policies.values.accessEnabled = nil
                policies.values.createRoot = nil
                (policies.values.createStandard, policies.values.importRoot) = (nil, nil)
                (policies.values.importStandard, policies.values.enforceToken) = (nil, nil)
                policies.values.metricsEnabled = nil
            }
            message.body = encoded(policies)
            carried = policies
        }
        if action == .delete { message.force = chance(50) }
        if chance(50) { message.reason = "because" }
        let person = person
        let reply = try change(.approvalRequest, message, by: person, mask) { (made: ApprovalRecord?) throws(ModelRefusal) in
            let id = made?.id ?? ApprovalID(high: 0, low: 0)
            return try model.ask(message, id: id, by: person, at: made.map { isExact ? now : $0.created } ?? now)
        }
        if let reply, let carried { policyChanges[reply.id] = carried }
    }

    private func encoded(_ message: PolicySetRequest) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: 1_024) { storage, count in
            var writer = BodyWriter(UnsafeMutableRawBufferPointer(storage))
            message.encode(to: &writer, source: RawSpan())
            count = writer.count
        }
    }

    func decide() throws {
        let open = model.approvals.filter { $0.state == .open }
        guard let approval = chance(90) ? pick(open) : pick(model.approvals) else { return }
        let message = ApprovalDecideRequest(id: approval.id, operation: operation)
        // Most often the other person.
        let person = chance(70) ? pick(persons.filter { $0.uid != approval.requesterUID }) ?? person : person
        if chance(80) {
            try change(.approvalApprove, message, by: person, mask) { (_: ApprovalRecord?) throws(ModelRefusal) in
                try model.approve(approval.id, policyChanges[approval.id], by: person, at: now)
            }
        } else {
            try change(.approvalCancel, message, by: person, mask) { (_: ApprovalRecord?) throws(ModelRefusal) in
                try model.cancel(approval.id, by: person, at: now)
            }
        }
    }
}

extension LifecycleRun {
    /// Sets settings before the first step.
    public func begin(_ settings: [(setting: InstanceSetting, value: UInt64)]) throws {
        for (setting, value) in settings {
            let message = SettingSetRequest(name: setting.name, operation: operation, value: value)
            guard case .reply = try target.ask(.settingsSet, message, source: [], as: persons[0]) else {
                throw difference(.settingsSet, "a refusal", "\(value)")
            }
            _ = try model.set(message)
        }
    }
}
