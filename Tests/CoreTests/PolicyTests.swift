import ClavigerWire
import Testing

@testable import ClavigerCore

@Suite struct PolicyTests {
    /// The values that `set` gives.
    private func values(_ set: (inout PolicyValues) -> Void) -> PolicyValues {
        var values = PolicyValues()
        set(&values)
        return values
    }

    private func key(_ kind: KeyKind = .root, isImported: Bool = false) -> StoredKey {
        var key = StoredKey(id: KeyID(high: 1, low: 2), name: "k", state: .active, created: 1, version: 1)
        key.kind = kind
        key.isImported = isImported
        return key
    }

    @Test func whatIsNotGivenStays() throws {
        var policies = try InstancePolicies().patched(
            values {
                $0.rotationMonths = 3
                $0.dualControl = [.delete, .policy]
                $0.createRoot = false
                $0.metricsEnabled = true
            })
        #expect(policies.rotation == .init(isEnabled: true, value: 3))
        #expect(policies.dualControl == .init(isEnabled: true, value: [.delete, .policy]))
        #expect(policies.access == .init(isEnabled: true, value: [.createStandard, .importRoot, .importStandard]))
        #expect(policies.metrics.isEnabled)
        let before = policies
        #expect(try policies.patched(PolicyValues()) == before)
        policies = try policies.patched(values { $0.rotationEnabled = false })
        #expect(policies.rotation == .init(isEnabled: false, value: 3))
        policies.rotation = before.rotation
        #expect(policies == before)
        policies = try policies.patched(values { $0.enforceToken = true })
        #expect(policies.access.value == [.createStandard, .importRoot, .importStandard, .enforceToken])
        policies = try policies.patched(values { $0.accessEnabled = false })
        #expect(
            policies.access == .init(isEnabled: false, value: [.createStandard, .importRoot, .importStandard, .enforceToken]))
        // Switched off by somebody, it is not switched on by a value alone.
        policies = try policies.patched(values { $0.createRoot = true })
        #expect(policies.access.isEnabled == false && policies.access.value?.contains(.createRoot) == true)
    }

    @Test func rotationNeedsAnInterval() throws {
        #expect(throws: InstancePolicies.noInterval) { try InstancePolicies().patched(values { $0.rotationEnabled = true }) }
        let set = try InstancePolicies().patched(values { $0.rotationMonths = 12 })
        #expect(throws: InstancePolicies.noInterval) {
            try set.patched(
                values {
                    $0.rotationEnabled = true
                    $0.rotationMonths = 0
                })
        }
        let off = try set.patched(values { $0.rotationMonths = 0 })
        #expect(off.rotation == .init(isEnabled: false, value: nil))
        #expect(throws: InstancePolicies.noInterval) { try off.patched(values { $0.rotationEnabled = true }) }
        // Kept while it is off, and there again without being given.
        let paused = try set.patched(values { $0.rotationEnabled = false })
        #expect(try paused.patched(values { $0.rotationEnabled = true }) == set)
    }

    @Test func dualControlIsOfSomething() throws {
        #expect(try InstancePolicies().patched(values { $0.dualControlEnabled = true }).secondPerson == .delete)
        let set = try InstancePolicies().patched(values { $0.dualControl = [.purge] })
        #expect(set.secondPerson == .purge)
        let off = try set.patched(values { $0.dualControlEnabled = false })
        #expect(off.secondPerson == [] && off.dualControl.value == .purge)
        #expect(try off.patched(values { $0.dualControlEnabled = true }).secondPerson == .purge)
        #expect(try set.patched(values { $0.dualControl = [] }).dualControl == .init(isEnabled: false, value: nil))
        let refusal = #expect(throws: Refusal.self) {
            try set.patched(
                values {
                    $0.dualControl = []
                    $0.dualControlEnabled = true
                })
        }
        #expect(refusal?.code == .invalidValue)
    }

    @Test func newKeysBeginWithThePoliciesThatFitThem() throws {
        let policies = try InstancePolicies().patched(
            values {
                $0.rotationMonths = 6
                $0.dualControl = [.delete, .disable]
            })
        var root = key()
        policies.seed(&root)
        #expect(root.rotationMonths == 6 && root.isRotationEnabled && root.dualControl == [.delete, .disable])
        for var other in [key(.standard), key(isImported: true)] {
            policies.seed(&other)
            #expect(other.rotationMonths == 0 && !other.isRotationEnabled && other.dualControl == [.delete, .disable])
        }
        var plain = key()
        let off = try policies.patched(
            values {
                $0.rotationEnabled = false
                $0.dualControlEnabled = false
            })
        off.seed(&plain)
        #expect(plain == key())
    }

    /// Every rule by itself, for every way to make a key.
    @Test func whichKeysMayBeMade() throws {
        func code(_ policies: InstancePolicies, _ kind: KeyKind, _ origin: MaterialOrigin, isNew: Bool = true) -> RefusalCode? {
            do throws(Refusal) {
                try policies.require(kind, from: origin, isNew: isNew)
                return nil
            } catch {
                return error.code
            }
        }
        let all: [(KeyKind, MaterialOrigin)] = [
            (.root, .token), (.standard, .token), (.root, .plain), (.standard, .plain), (.root, .importToken),
            (.standard, .importToken),
        ]
        for (kind, origin) in all { #expect(code(InstancePolicies(), kind, origin) == nil) }
        let forbidden: [((inout PolicyValues) -> Void, [Int])] = [
            ({ $0.createRoot = false }, [0]), ({ $0.createStandard = false }, [1]), ({ $0.importRoot = false }, [2, 4]),
            ({ $0.importStandard = false }, [3, 5]), ({ $0.enforceToken = true }, [2, 3]),
        ]
        for (set, places) in forbidden {
            let policies = try InstancePolicies().patched(values(set))
            for (place, (kind, origin)) in all.enumerated() {
                #expect(code(policies, kind, origin) == (places.contains(place) ? .policyVeto : nil), "\(place) of \(places)")
            }
            let off = try policies.patched(values { $0.accessEnabled = false })
            for (kind, origin) in all { #expect(code(off, kind, origin) == nil) }
        }
        // New versions: only the rule on import tokens counts; and that one makes up for a forbidden import.
        var strict = try InstancePolicies().patched(
            values {
                $0.createRoot = false
                $0.importRoot = false
                $0.importStandard = false
            })
        for (kind, origin) in all { #expect(code(strict, kind, origin, isNew: false) == nil) }
        strict = try strict.patched(values { $0.enforceToken = true })
        #expect(code(strict, .root, .plain, isNew: false) == .policyVeto)
        #expect(code(strict, .root, .token, isNew: false) == nil)
        #expect(code(strict, .root, .importToken) == nil)
    }

    @Test func aKeyTakesRotationOnlyWhenTheTokenCanMakeItsMaterial() throws {
        var root = key()
        try root.patchPolicies(values { $0.rotationMonths = 1 })
        #expect(root.rotationMonths == 1 && root.isRotationEnabled)
        try root.patchPolicies(values { $0.rotationEnabled = false })
        #expect(root.rotationMonths == 1 && !root.isRotationEnabled)
        // Another interval leaves it off.
        try root.patchPolicies(values { $0.rotationMonths = 2 })
        #expect(root.rotationMonths == 2 && !root.isRotationEnabled)
        try root.patchPolicies(values { $0.rotationEnabled = true })
        #expect(root.isRotationEnabled)
        try root.patchPolicies(values { $0.rotationMonths = 0 })
        #expect(root.rotationMonths == 0 && !root.isRotationEnabled)
        #expect(throws: InstancePolicies.noInterval) { try root.patchPolicies(values { $0.rotationEnabled = true }) }
        for (var other, code) in [(key(.standard), RefusalCode.rootKeyRequired), (key(isImported: true), .payloadRequired)] {
            let refusal = #expect(throws: Refusal.self) { try other.patchPolicies(values { $0.rotationMonths = 1 }) }
            #expect(refusal?.code == code)
            try other.patchPolicies(values { $0.dualControl = .all })
            #expect(other.dualControl == .all)
        }
    }

    @Test func dualControlOfDeletionIsThereToStay() throws {
        var root = key()
        try root.patchPolicies(values { $0.dualControl = [.delete, .purge] })
        try root.patchPolicies(values { $0.dualControl = [.delete, .restore] })
        #expect(root.dualControl == [.delete, .restore])
        let refusal = #expect(throws: Refusal.self) { try root.patchPolicies(values { $0.dualControl = .restore }) }
        #expect(refusal?.code == .invalidValue)
        for action in ControlledAction.allCases {
            let isNeeded = root.dualControl.contains(DualControl(action))
            do throws(Refusal) {
                try root.requireNoSecondPerson(for: action)
                #expect(!isNeeded)
            } catch {
                #expect(isNeeded && error.code == .approvalRequired)
            }
        }
    }

    @Test func theInstancesPoliciesAreNotAKeys() {
        let sets: [(inout PolicyValues) -> Void] = [
            { $0.dualControlEnabled = true }, { $0.accessEnabled = true }, { $0.createRoot = true }, { $0.createStandard = true },
            { $0.importRoot = true }, { $0.importStandard = true }, { $0.enforceToken = true }, { $0.metricsEnabled = true },
        ]
        for set in sets {
            var root = key()
            let refusal = #expect(throws: Refusal.self) { try root.patchPolicies(values(set)) }
            #expect(refusal?.code == .invalidValue)
        }
    }

    @Test func policiesAreStoredAndReadBack() throws {
        let directory = try TemporaryDirectory()
        let store = try Store(directory: directory.path, create: true)
        #expect(try store.withConnection { connection throws(StoreError) in try connection.policies() } == InstancePolicies())
        var before = InstancePolicies()
        let steps: [(inout PolicyValues) -> Void] = [
            { $0.rotationMonths = 12 }, { $0.dualControlEnabled = true }, { $0.rotationEnabled = false },
            { $0.enforceToken = true }, { $0.metricsEnabled = true }, { $0.dualControl = [.purge, .policy] },
            { $0.rotationMonths = 0 }, { $0.dualControl = [] }, { $0.accessEnabled = false },
        ]
        for (step, set) in steps.enumerated() {
            var after = try before.patched(values(set))
            after.revision = UInt64(step + 1)
            after.updated = UInt64(step + 1_000)
            after.updatedBy = "uid:\(step)"
            let (old, new) = (before, after)
            try store.withConnection { connection throws(StoreError) in try connection.update(new, from: old) }
            let again = try Store(directory: directory.path, create: false)
            #expect(try again.withConnection { connection throws(StoreError) in try connection.policies() } == after)
            before = after
        }
    }
}
