import ClavigerWire

// The state table, applied to a key at a moment.
extension StoredKey {
    /// The state at a moment: expiry takes effect when its date comes, not when it is written down.
    package func state(at now: UInt64) -> KeyState {
        guard state == .active, let expires, expires <= now else { return state }
        return .deactivated
    }

    /// Whether the expiration date has passed.
    package func isExpired(at now: UInt64) -> Bool { expires.map { $0 <= now } ?? false }

    /// Requires that an action is possible now: the table's ruling for state and kind, then its conditions.
    ///
    /// - Parameter isEmergency: whether the least interval between rotations is passed over.
    /// - Returns: the state afterwards; the present one when it does not change or nothing remains.
    /// - Throws: the refusal that the table names, saying which key, why, and from when on it is possible.
    @discardableResult
    package func require(
        _ action: KeyAction, at now: UInt64, _ settings: SettingValues = SettingValues(), isEmergency: Bool = false
    ) throws(Refusal) -> KeyState {
        let after = try requireRuling(on: action, at: now)
        for condition in action.entry.conditions { try require(condition, action, at: now, settings, isEmergency) }
        return after
    }

    /// Requires that the table lets an action happen in the present state, whether or not its time has come.
    ///
    /// - Returns: as for `require`.
    /// - Throws: the refusal that the table names.
    @discardableResult
    package func requireRuling(on action: KeyAction, at now: UInt64) throws(Refusal) -> KeyState {
        let state = state(at: now)
        switch action.entry.ruling(state, kind) {
        case .stays, .ends: return state
        case .becomes(let next): return next
        // A key deleted by a version that did not write the state before it comes back as the least able of all.
        case .returns:
            let before = stateBefore ?? .suspended
            // Its date may have passed meanwhile.
            return before == .active && isExpired(at: now) ? .deactivated : before
        case .refused(let code): throw Refusal(code, explanation(code, action, state))
        case .skipped: throw Refusal(.keyState, explanation(.keyState, action, state))
        }
    }

    /// Whether an action would be done now.
    package func allows(_ action: KeyAction, at now: UInt64, _ settings: SettingValues) -> Bool {
        do throws(Refusal) {
            _ = try require(action, at: now, settings)
            return true
        } catch {
            return false
        }
    }

    /// The moment from which conditions count; nil when it has not been.
    package func moment(_ moment: KeyMoment) -> UInt64? {
        switch moment {
        case .disabling: suspended
        case .deletion: deleted
        case .rotation: rotated
        }
    }

    /// `setting` after a moment of the key's life, in milliseconds since 1970; nil when that moment has not been. What a deletion has
    /// promised holds whatever the setting is by now.
    package func due(_ setting: InstanceSetting, after moment: KeyMoment, _ settings: SettingValues) -> UInt64? {
        switch moment {
        case .deletion: promised(setting) ?? time(setting, after: moment, settings)
        case .disabling, .rotation: time(setting, after: moment, settings)
        }
    }

    /// Writes down what a deletion at this moment promises.
    mutating func promise(at now: UInt64, _ settings: SettingValues) {
        deleted = now
        restorableUntil = time(.restoreWindow, after: .deletion, settings)
        purgeableFrom = time(.purgeDelay, after: .deletion, settings)
        purgedFrom = time(.autoPurge, after: .deletion, settings)
    }

    /// Ends what a deletion promised: the key is restored.
    mutating func endPromise() {
        deleted = nil
        restorableUntil = nil
        purgeableFrom = nil
        purgedFrom = nil
    }

    private func promised(_ setting: InstanceSetting) -> UInt64? {
        switch setting {
        case .restoreWindow: restorableUntil
        case .purgeDelay: purgeableFrom
        case .autoPurge: purgedFrom
        case .enableDelay, .restoreDelay, .approvalWindow, .rotationIntervalMinimum, .maximumRings, .maximumAliases, .maximumTags:
            nil
        }
    }

    private func time(_ setting: InstanceSetting, after moment: KeyMoment, _ settings: SettingValues) -> UInt64? {
        self.moment(moment).map { start in
            let (due, overflow) = start.addingReportingOverflow(settings.milliseconds(setting))
            return overflow ? .max : due
        }
    }

    private func require(
        _ condition: KeyCondition, _ action: KeyAction, at now: UInt64, _ settings: SettingValues, _ isEmergency: Bool
    ) throws(Refusal) {
        switch condition {
        case .unexpired:
            guard isExpired(at: now) else { return }
            throw Refusal(.keyExpired, "key \(id) has expired: set a later expiration date first")
        case .notBefore(let setting, after: .rotation):
            guard !isEmergency, let due = due(setting, after: .rotation, settings), now < due else { return }
            throw Refusal(
                .rotationTooSoon,
                "key \(id) was rotated not long ago: it can be again from \(DateText(due)), or now with a reason",
                retryAfter: UInt32(clamping: due - now))
        case .notBefore(let setting, let moment):
            guard let due = due(setting, after: moment, settings), now < due else { return }
            throw Refusal(
                .tooEarly, "key \(id): \(action.rawValue) is possible from \(DateText(due))",
                retryAfter: UInt32(clamping: due - now))
        case .notAfter(let setting, let moment, let code):
            guard let due = due(setting, after: moment, settings), now > due else { return }
            throw Refusal(code, "key \(id): \(action.rawValue) was possible until \(DateText(due))")
        }
    }

    private func explanation(_ code: RefusalCode, _ action: KeyAction, _ state: KeyState) -> String? {
        if code == .keyState { return "key \(id) is \(state.name): \(action.rawValue) is not possible" }
        if code == .keyDeleted { return "key \(id) is deleted: it can only be restored or purged" }
        if code == .rootKeyRequired { return "key \(id) is a standard key: only root keys have \(action.rawValue)" }
        if code == .standardKeyRequired { return "key \(id) is a root key: it never leaves its token" }
        return nil
    }
}

extension KeyEntry {
    /// Requires that a version opens its envelopes.
    ///
    /// - Throws: `versionState`, saying what can be done.
    package func requireInUse(_ version: VersionEntry) throws(Refusal) {
        switch version.state {
        case .inUse: return
        case .retired:
            throw Refusal(.versionState, "version \(version.number) of key \(id) is retired: reinstate it to open its envelopes")
        case .destroyed:
            throw Refusal(.versionState, "version \(version.number) of key \(id) is destroyed: its envelopes open no more")
        }
    }
}
