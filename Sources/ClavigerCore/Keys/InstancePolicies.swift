import ClavigerWire

/// The instance's policies: what new keys start with, and which may be made at all. Keys that exist are never touched by a change here.
package struct InstancePolicies: Equatable, Sendable {
    /// A policy that is switched on and off and keeps its value meanwhile.
    package struct Switched<Value: Equatable & Sendable>: Equatable, Sendable {
        package var isEnabled = false
        /// Nil until it is set for the first time.
        package var value: Value?

        package init(isEnabled: Bool = false, value: Value? = nil) {
            self.isEnabled = isEnabled
            self.value = value
        }

        /// Takes up what a request says. A value given where there was none switches the policy on; otherwise what is absent stays.
        mutating func patch(isEnabled: Bool?, value: Value?) {
            if let isEnabled { self.isEnabled = isEnabled } else if self.value == nil, value != nil { self.isEnabled = true }
            if let value { self.value = value }
        }
    }

    /// How often new root keys are rotated, in months; never 0.
    package var rotation = Switched<UInt32>()
    /// For what new keys need a second person, and with `policy` changes of the instance's policies too; never empty.
    package var dualControl = Switched<DualControl>()
    /// Which keys may be made.
    package var access = Switched<CreationAccess>()
    /// Whether metrics of requests are kept.
    package var metrics = Switched<Bool>()
    /// Rises with every change.
    package var revision: UInt64 = 0
    /// When one was changed last, in milliseconds since 1970; nil when none ever was.
    package var updated: UInt64?
    /// Who changed it.
    package var updatedBy: String?

    /// Before anybody set one: nothing is rotated, approved or forbidden.
    package init() {}

    /// The policies after a change; nothing is stored.
    ///
    /// - Throws: `invalidValue` when they would not make sense.
    package func patched(_ values: PolicyValues) throws(Refusal) -> InstancePolicies {
        var next = self
        if values.rotationMonths == 0 {
            next.rotation = Switched(isEnabled: values.rotationEnabled ?? false)
        } else {
            next.rotation.patch(isEnabled: values.rotationEnabled, value: values.rotationMonths)
        }
        guard !next.rotation.isEnabled || next.rotation.value != nil else { throw InstancePolicies.noInterval }
        if values.dualControl == [] {
            next.dualControl = Switched(isEnabled: values.dualControlEnabled ?? false)
            guard !next.dualControl.isEnabled else {
                throw Refusal(.invalidValue, "dual control needs an action: give some, or switch it off")
            }
        } else {
            next.dualControl.patch(isEnabled: values.dualControlEnabled, value: values.dualControl)
            // Key Protect's policy knows deletion only: who switches it on without saying more means that.
            if next.dualControl.isEnabled, next.dualControl.value == nil { next.dualControl.value = .delete }
        }
        next.access.patch(isEnabled: values.accessEnabled, value: (next.access.value ?? .standard).patched(values))
        if values.accessEnabled != nil, next.access.value == nil { next.access.value = .standard }
        next.metrics.patch(isEnabled: values.metricsEnabled, value: nil)
        return next
    }

    static let noInterval = Refusal(
        .invalidValue, "rotation needs an interval: give rotation-months from 1 to \(Limits.maximumRotationMonths) too")

    /// What needs a second person now.
    package var secondPerson: DualControl { dualControl.isEnabled ? dualControl.value ?? [] : [] }

    /// Gives a new key what the instance's policies ask for.
    ///
    /// - Parameter key: the key as it is about to be made; its kind and origin are known.
    package func seed(_ key: inout StoredKey) {
        key.dualControl = secondPerson
        // Only the token can make new material by itself, so only generated root keys are rotated by policy.
        if key.kind == .root, !key.isImported, rotation.isEnabled, let months = rotation.value {
            key.rotationMonths = months
            key.isRotationEnabled = true
        }
    }

    /// Requires that such a key may be made or given new material.
    ///
    /// - Parameters:
    ///   - origin: where its material comes from.
    ///   - isNew: whether the key is new: the rules on creating and importing are about these, the one on import tokens about new
    ///     versions too.
    /// - Throws: `policyVeto` that says which rule forbids it.
    package func require(_ kind: KeyKind, from origin: MaterialOrigin, isNew: Bool) throws(Refusal) {
        guard access.isEnabled, let rules = access.value else { return }
        let needed: CreationAccess
        let rule: String
        switch (origin, kind) {
        case (.token, .root): (needed, rule) = (.createRoot, "create-root")
        case (.token, .standard): (needed, rule) = (.createStandard, "create-standard")
        case (.plain, .root): (needed, rule) = (.importRoot, "import-root")
        case (.plain, .standard): (needed, rule) = (.importStandard, "import-standard")
        // Where import tokens are enforced, an import with one is what the policy wants, whatever the other rules say.
        case (.importToken, _) where rules.contains(.enforceToken): return
        case (.importToken, .root): (needed, rule) = (.importRoot, "import-root")
        case (.importToken, .standard): (needed, rule) = (.importStandard, "import-standard")
        }
        if origin == .plain, rules.contains(.enforceToken) {
            throw Refusal(.policyVeto, "the instance's policy enforce-token lets keys be imported with an import token only")
        }
        guard !isNew || rules.contains(needed) else {
            throw Refusal(.policyVeto, "the instance's policy \(rule) is switched off: no such key may be made")
        }
    }
}

/// Where a key version's material comes from.
package enum MaterialOrigin: Sendable {
    /// The token makes it.
    case token
    /// The caller sends it as it is.
    case plain
    /// The caller sends it encrypted for an import token.
    case importToken
}

/// The rules on creating and importing keys.
package struct CreationAccess: OptionSet, Hashable, Sendable {
    package let rawValue: UInt32

    package init(rawValue: UInt32) { self.rawValue = rawValue }

    package static let createRoot = CreationAccess(rawValue: 1)
    package static let createStandard = CreationAccess(rawValue: 2)
    package static let importRoot = CreationAccess(rawValue: 4)
    package static let importStandard = CreationAccess(rawValue: 8)
    /// Imports need an import token.
    package static let enforceToken = CreationAccess(rawValue: 16)

    /// Until somebody says otherwise, as in Key Protect: everything may be made, with or without an import token.
    package static let standard: CreationAccess = [.createRoot, .createStandard, .importRoot, .importStandard]
    /// Every rule there is.
    package static let all: CreationAccess = [.standard, .enforceToken]

    /// The rules after a change; nil when the change says nothing of them.
    func patched(_ values: PolicyValues) -> CreationAccess? {
        let given: [(CreationAccess, Bool?)] = [
            (.createRoot, values.createRoot), (.createStandard, values.createStandard), (.importRoot, values.importRoot),
            (.importStandard, values.importStandard), (.enforceToken, values.enforceToken),
        ]
        guard given.contains(where: { $0.1 != nil }) else { return nil }
        var next = self
        for case (let rule, let isSet?) in given {
            if isSet { next.insert(rule) } else { next.remove(rule) }
        }
        return next
    }
}

extension InstancePolicies {
    /// As shown to callers.
    package var reply: PolicyReply {
        var values = PolicyValues()
        values.rotationEnabled = rotation.isEnabled
        values.rotationMonths = rotation.value ?? 0
        values.dualControlEnabled = dualControl.isEnabled
        values.dualControl = dualControl.value ?? []
        values.accessEnabled = access.isEnabled
        let rules = access.value ?? .standard
        values.createRoot = rules.contains(.createRoot)
        values.createStandard = rules.contains(.createStandard)
        values.importRoot = rules.contains(.importRoot)
        values.importStandard = rules.contains(.importStandard)
        values.enforceToken = rules.contains(.enforceToken)
        values.metricsEnabled = metrics.isEnabled
        return PolicyReply(revision: revision, values: values, updated: updated, updatedBy: updatedBy)
    }
}
