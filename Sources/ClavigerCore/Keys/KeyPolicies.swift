import ClavigerWire

// The policies of one key.
extension StoredKey {
    /// Takes up a change of the key's policies; nothing is stored.
    ///
    /// - Throws: `invalidValue`, `rootKeyRequired` or `payloadRequired` when the key cannot have such policies.
    package mutating func patchPolicies(_ values: PolicyValues) throws(Refusal) {
        guard values.isOfKeysOnly else {
            throw Refusal(.invalidValue, "a key has the policies rotation and dual-control only; the others are the instance's")
        }
        try patchRotation(isEnabled: values.rotationEnabled, months: values.rotationMonths)
        if let wanted = values.dualControl {
            // As in Key Protect: whoever wants to delete the key alone could else switch the policy off first.
            guard !dualControl.contains(.delete) || wanted.contains(.delete) else {
                throw Refusal(
                    .invalidValue, "key \(id) needs a second person to be deleted: that cannot be taken back while the key exists"
                )
            }
            dualControl = wanted
        }
    }

    private mutating func patchRotation(isEnabled: Bool?, months: UInt32?) throws(Refusal) {
        guard isEnabled != nil || months != nil else { return }
        guard kind == .root else {
            throw Refusal(.rootKeyRequired, "key \(id) is a standard key: only root keys are rotated by policy")
        }
        guard !isImported else {
            throw Refusal(.payloadRequired, "key \(id) was imported: it cannot be rotated without new material, so not by policy")
        }
        // An interval given where there was none switches the policy on; none switches it off.
        let had = rotationMonths
        if let months { rotationMonths = months }
        if let isEnabled {
            isRotationEnabled = isEnabled
        } else if let months, had == 0 || months == 0 {
            isRotationEnabled = months > 0
        }
        guard !isRotationEnabled || rotationMonths > 0 else { throw InstancePolicies.noInterval }
    }

    /// The key's policies, as shown to callers.
    package var policies: PolicyReply {
        var values = PolicyValues()
        if kind == .root, !isImported {
            values.rotationEnabled = isRotationEnabled
            values.rotationMonths = rotationMonths
        }
        values.dualControl = dualControl
        return PolicyReply(key: id, revision: revision, values: values)
    }

    /// Requires that one person alone may do something to the key.
    ///
    /// - Throws: `approvalRequired` with the next step.
    package func requireNoSecondPerson(for action: ControlledAction) throws(Refusal) {
        guard dualControl.contains(DualControl(action)) else { return }
        throw Refusal(
            .approvalRequired,
            "key \(id) needs a second person for \(action.name): ask for it, and have somebody else approve it")
    }
}

extension StoredKey {
    /// Requires that one person alone may destroy versions. They are what a second person guards on a key that nobody may delete or
    /// purge alone, so there they end with the key only.
    ///
    /// - Throws: `approvalRequired` with the next step.
    package func requireVersionsOfOnePerson() throws(Refusal) {
        guard !dualControl.isDisjoint(with: [.delete, .purge]) else { return }
        throw Refusal(
            .approvalRequired,
            "key \(id) needs a second person to be deleted or purged: its versions can be retired, and end with the key")
    }

    /// Requires that one person alone may retire versions: for the envelopes of a version that is the same as disabling the key.
    ///
    /// - Throws: `approvalRequired` with the next step.
    package func requireRetirementByOnePerson() throws(Refusal) {
        guard dualControl.contains(.disable) else { return }
        throw Refusal(
            .approvalRequired,
            "key \(id) needs a second person to be disabled, so nobody retires its versions alone: have it disabled, "
                + "or the policy lifted")
    }

    /// Requires that one person alone may set another expiration date. A date that comes sooner than a request for a second person would
    /// expire disables an active key just as well.
    ///
    /// - Throws: `approvalRequired` with the next step.
    package func requireExpiryByOnePerson(_ date: UInt64, at now: UInt64, _ settings: SettingValues) throws(Refusal) {
        guard dualControl.contains(.disable), state(at: now) == .active, date > 0, date < expires ?? .max else { return }
        let (end, overflow) = now.addingReportingOverflow(settings.milliseconds(.approvalWindow))
        guard overflow || date < end else { return }
        throw Refusal(
            .approvalRequired,
            "key \(id) needs a second person to be disabled, so nobody alone has it expire before \(DateText(end)): "
                + "ask for it to be disabled, or choose a later date")
    }

    /// Requires that a change of policies takes no second person away, or that one has approved it.
    ///
    /// - Throws: `approvalRequired` with the next step.
    package func requireKeepsSecondPerson(_ wanted: StoredKey) throws(Refusal) {
        let lost = dualControl.subtracting(wanted.dualControl)
        guard !lost.isEmpty else { return }
        throw Refusal(
            .approvalRequired,
            "key \(id) would need no second person any more for \(lost.actions.map(\.name).joined(separator: ", ")): "
                + "ask for the change of policy, and have somebody else approve it")
    }
}

extension PolicyValues {
    /// Whether nothing is said of what only the instance has.
    var isOfKeysOnly: Bool {
        var rest = self
        rest.rotationEnabled = nil
        rest.rotationMonths = nil
        rest.dualControl = nil
        return rest == PolicyValues()
    }
}
