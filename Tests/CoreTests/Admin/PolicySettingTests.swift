import ClavigerWire
import Support
import Testing

@testable import ClavigerCore

@Suite struct PolicySettingTests {
    @Test func policiesSeedNewKeysOnly() async {
        await #expect(processExitsWith: .success) {
            try told {
                let instance = try TestInstance()
                let old = try instance.makeKey("old")
                let before: PolicyReply = try instance.reply(.policyShow, PolicyShowRequest())
                #expect(before.revision == 0 && before.values.rotationEnabled == false && before.values.createRoot == true)
                let set = try instance.setPolicies {
                    $0.rotationMonths = 2
                    $0.dualControl = .purge
                }
                #expect(set.revision == 1 && set.updatedBy == "uid:0" && set.updated == instance.clock.now)
                #expect(set.values.rotationEnabled == true && set.values.dualControlEnabled == true)
                #expect(try instance.show(old.id) == old)
                let new = try instance.makeKey("new")
                #expect(new.rotationMonths == 2 && new.isRotationEnabled && new.dualControl == .purge)
                #expect(new.nextRotation == new.created + 2 * RotationMonths.month)
                let own = try instance.makeKey("own") { $0.rotationMonths = 0 }
                #expect(own.rotationMonths == 0 && !own.isRotationEnabled && own.dualControl == .purge && own.nextRotation == nil)
                let free = try instance.makeKey("free") { $0.withoutPolicies = true }
                #expect(free.rotationMonths == 0 && free.dualControl == [])
                // Only what is given changes; what stands stays, and is there after a restart.
                let off = try instance.setPolicies { $0.rotationEnabled = false }
                #expect(off.values.rotationMonths == 2 && off.values.dualControl == .purge && off.revision == 2)
                try instance.restart()
                #expect(try instance.reply(.policyShow, PolicyShowRequest()) == off)
                #expect(try instance.show(new.id) == new)
                let stale = PolicySetRequest(operation: TestInstance.operation(), revision: 1)
                #expect(instance.refusal(.policySet, stale) == .revisionConflict)
                // A change that changes nothing leaves the revision alone.
                #expect(try instance.setPolicies { $0.rotationEnabled = false } == off)
            }
        }
    }

    @Test func aKeysPoliciesAreItsOwn() async {
        await #expect(processExitsWith: .success) {
            try told {
                let instance = try TestInstance()
                let key = try instance.makeKey("key")
                for (months, isGood) in [(UInt32(1), true), (12, true)] {
                    let set = try instance.setPolicies(key.id) { $0.rotationMonths = months }
                    #expect(isGood && set.values.rotationMonths == months && set.values.rotationEnabled == true)
                }
                let shown: PolicyReply = try instance.reply(.policyShow, PolicyShowRequest(key: .id(key.id)))
                #expect(shown.key == key.id && shown.values.dualControl == [] && shown.values.createRoot == nil)
                let record = try instance.show(key.id)
                #expect(record.revision == shown.revision && record.nextRotation == key.created + 12 * RotationMonths.month)
                let stale = PolicySetRequest(key: .id(key.id), operation: TestInstance.operation(), revision: shown.revision - 1)
                #expect(instance.refusal(.policySet, stale) == .revisionConflict)
                var values = PolicyValues()
                values.createRoot = true
                #expect(
                    instance.refusal(
                        .policySet, PolicySetRequest(key: .id(key.id), operation: TestInstance.operation(), values: values))
                        == .invalidValue)
                // In the states 1 to 3 policies can be set, afterwards no more.
                try instance.change(.keyDisable, key.id)
                #expect(try instance.show(key.id).nextRotation == nil)
                try instance.setPolicies(key.id) { $0.rotationMonths = 3 }
                try instance.delete(key.id)
                #expect(
                    instance.refusal(.policySet, PolicySetRequest(key: .id(key.id), operation: TestInstance.operation()))
                        == .keyDeleted
                )
                let last: PolicyReply = try instance.reply(.policyShow, PolicyShowRequest(key: .id(key.id)))
                #expect(last.values.rotationMonths == 3)
            }
        }
    }

    @Test func theInstanceSaysWhichKeysMayBeMade() async {
        await #expect(processExitsWith: .success) {
            try told {
                let instance = try TestInstance()
                try instance.setPolicies { $0.createRoot = false }
                #expect(
                    instance.refusal(.keyCreate, KeyCreateRequest(name: "k1", operation: TestInstance.operation())) == .policyVeto
                )
                try instance.setPolicies { $0.accessEnabled = false }
                try instance.makeKey("k1")
                #expect(try instance.setPolicies { $0.accessEnabled = true }.values.createRoot == false)
                #expect(
                    instance.refusal(.keyCreate, KeyCreateRequest(name: "k2", operation: TestInstance.operation())) == .policyVeto
                )
            }
        }
    }

    /// Every setting at the ends of its range and one past them.
    @Test func settingsKeepTheirRanges() async {
        await #expect(processExitsWith: .success) {
            try told {
                let instance = try TestInstance()
                func refusal(_ setting: InstanceSetting, _ value: UInt64) -> RefusalCode? {
                    instance.refusal(
                        .settingsSet, SettingSetRequest(name: setting.name, operation: TestInstance.operation(), value: value))
                }
                // So that the windows' lower ends can be tried one by one.
                try instance.setSetting(.restoreWindow, 1)
                for setting in InstanceSetting.allCases {
                    let range = setting.entry.range
                    if range.lowerBound > 0 { #expect(refusal(setting, range.lowerBound - 1) == .invalidValue) }
                    #expect(refusal(setting, range.upperBound + 1) == .invalidValue)
                    #expect(refusal(setting, .max) == .invalidValue)
                    for value in [range.lowerBound, setting.entry.standard, range.upperBound] where setting != .restoreWindow {
                        let record = try instance.setSetting(setting, value)
                        #expect(
                            record.value == value && record.defaultValue == setting.entry.standard && record.updatedBy == "uid:0")
                        #expect(record.least == range.lowerBound && record.most == range.upperBound)
                        #expect(record.unit == (setting.entry.unit == .seconds ? "s" : ""))
                    }
                }
                // The restore window never exceeds the time to the purge.
                try instance.setSetting(.autoPurge, 100)
                try instance.setSetting(.restoreWindow, 100)
                #expect(refusal(.restoreWindow, 101) == .invalidValue)
                #expect(refusal(.autoPurge, 99) == .invalidValue)
                #expect(
                    instance.refusal(
                        .settingsSet, SettingSetRequest(name: "colour", operation: TestInstance.operation(), value: 1))
                        == .notFound)
                let before: SettingsReply = try instance.reply(.settingsShow, EmptyMessage())
                #expect(before.settings.map(\.name) == InstanceSetting.allCases.map(\.name))
                #expect(before.settings.first { $0.name == "restore-window" }?.value == 100)
                try instance.restart()
                #expect(try instance.reply(.settingsShow, EmptyMessage()) == before)
            }
        }
    }

    @Test func aSettingIsInForceWithTheNextRequest() async {
        await #expect(processExitsWith: .success) {
            try told {
                let instance = try TestInstance()
                let key = try instance.makeKey("key").id
                try instance.change(.keyDisable, key)
                #expect(
                    instance.refusal(.keyEnable, KeyChangeRequest(key: .id(key), operation: TestInstance.operation()))
                        == .tooEarly)
                try instance.setSetting(.enableDelay, 0)
                try instance.change(.keyEnable, key)
            }
        }
    }
}
