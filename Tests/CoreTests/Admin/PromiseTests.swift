import ClavigerWire
import Support
import Synchronization
import Testing

@testable import ClavigerCore

/// What was promised about material that is to end holds, and it ends by nobody who may not end it.
@Suite struct PromiseTests {
    /// A user without an account, with this role on the whole instance.
    @discardableResult
    static func person(_ uid: UInt32, _ role: String, _ scope: String = "instance", in instance: TestInstance) throws -> Caller {
        let grant = AccessGrantRequest(subject: "user:\(uid)", operation: TestInstance.operation(), role: role, scope: scope)
        try instance.ask(.accessGrant, grant) { _ in }
        return Caller(pid: 3, uid: uid, gid: uid, groups: [], unit: nil, pidfdVerified: true)
    }

    @Test func settingsChangeNothingForWhatIsDeletedAlready() async {
        await #expect(processExitsWith: .success) {
            try told {
                let instance = try TestInstance()
                let key = try instance.makeKey("key").id
                let envelope = try instance.wrap([1], key)
                let deletion = try instance.delete(key)
                let before = try instance.show(key)
                for (setting, value) in [(InstanceSetting.restoreWindow, UInt64(1)), (.autoPurge, 1), (.purgeDelay, 1)] {
                    try instance.setSetting(setting, value)
                }
                #expect(try instance.show(key) == before && before.restorableUntil == deletion.restorableUntil)
                try instance.restart()
                #expect(try instance.show(key) == before)
                instance.clock.advance(4 * 3_600_000 - 1)
                try instance.keepHouse()
                #expect(try !instance.show(key).isWiped)
                #expect(try code { try instance.purge(key) } == .tooEarly)
                instance.clock.set(deletion.restorableUntil)
                try instance.keepHouse()
                try instance.change(.keyRestore, key)
                #expect(try instance.unwrap(envelope).plaintext == [1])
                // What is deleted now goes by the settings of now, and later ones do not bring it back.
                try instance.delete(key)
                try instance.setSetting(.autoPurge, 90 * 86_400)
                try instance.setSetting(.restoreWindow, 30 * 86_400)
                instance.clock.advance(1_001)
                try instance.keepHouse()
                #expect(try code { try instance.show(key) } == .denied)
            }
        }
    }

    @Test func endingMaterialSoonerTakesTheRightToPurge() async {
        await #expect(processExitsWith: .success) {
            try told {
                let instance = try TestInstance()
                let manager = try PromiseTests.person(81_001, "Manager", in: instance)
                func set(_ setting: InstanceSetting, _ value: UInt64) -> SettingSetRequest {
                    SettingSetRequest(name: setting.name, operation: TestInstance.operation(), value: value)
                }
                for setting in InstanceSetting.allCases {
                    let standard = setting.entry.standard
                    if setting.endsMaterial {
                        #expect(instance.refusal(.settingsSet, set(setting, standard - 1), as: manager) == .denied, "\(setting)")
                    } else {
                        let _: SettingRecord = try instance.reply(.settingsSet, set(setting, standard - 1), as: manager)
                    }
                }
                let _: SettingRecord = try instance.reply(.settingsSet, set(.autoPurge, 91 * 86_400), as: manager)
                // A key that nobody may purge alone, in whatever state: it could be deleted next.
                let key = try instance.makeKey("guarded") { $0.dualControl = .purge }.id
                for isDisabled in [false, true] {
                    if isDisabled { try instance.change(.keyDisable, key) }
                    #expect(instance.refusal(.settingsSet, set(.autoPurge, 90 * 86_400)) == .approvalRequired)
                    #expect(instance.refusal(.settingsSet, set(.purgeDelay, 0)) == .approvalRequired)
                    try instance.delete(key)
                    instance.clock.advance(30_000)
                    #expect(instance.refusal(.settingsSet, set(.restoreWindow, 1)) == .approvalRequired)
                    try instance.change(.keyRestore, key)
                }
            }
        }
    }

    @Test func aVersionIsDestroyedByWhoMayPurgeAndHasLookedAtItsUses() async {
        await #expect(processExitsWith: .success) {
            try told {
                let instance = try TestInstance()
                let manager = try PromiseTests.person(81_001, "Manager", in: instance)
                let key = try instance.makeKey("key").id
                try instance.rotate(key)
                // Before it was retired it could be used still.
                _ = try instance.census(key)
                try instance.retire(key, 1)
                instance.clock.advance(4 * 3_600_000)
                let destroy = { VersionDestroyRequest(key: .id(key), operation: TestInstance.operation(), version: 1) }
                #expect(instance.refusal(.versionDestroy, destroy(), as: manager) == .denied)
                let refused = #expect(throws: Refusal.self) { try instance.destroy(key, 1) }
                #expect(refused?.code == .versionState && refused?.message.contains("claviger key census \(key)") == true)
                _ = try instance.census(key)
                // Used again in between.
                try instance.retire(key, 1, undo: true)
                instance.clock.advance(1)
                try instance.retire(key, 1)
                instance.clock.advance(4 * 3_600_000)
                #expect(instance.refusal(.versionDestroy, destroy()) == .versionState)
                _ = try instance.census(key)
                try instance.restart()
                #expect(instance.refusal(.versionDestroy, destroy()) == .versionState)
                _ = try instance.census(key)
                #expect(try instance.destroy(key, 1).state == .destroyed)
            }
        }
    }

    @Test func aRegistrationIsRenewedWhateverTheKeysState() async {
        await #expect(processExitsWith: .success) {
            try told {
                let instance = try TestInstance()
                for isExpired in [false, true] {
                    let end = instance.clock.now + 100_000
                    let key = try instance.makeKey("key") { if isExpired { $0.expires = end } }.id
                    func set(_ resource: String, version: UInt32? = nil) -> RegistrationSetRequest {
                        var message = RegistrationSetRequest(
                            key: .id(key), operation: TestInstance.operation(), resource: resource)
                        message.lease = 200_000
                        message.retention = true
                        message.version = version
                        return message
                    }
                    let _: RegistrationRecord = try instance.reply(.registrationSet, set("volume"))
                    if isExpired { instance.clock.set(end) } else { try instance.change(.keyDisable, key) }
                    if isExpired { try instance.rotate(key) }
                    instance.clock.advance(90_000)
                    let renewed: RegistrationRecord = try instance.reply(
                        .registrationSet, set("volume", version: isExpired ? 2 : nil))
                    #expect(renewed.leaseEnds == instance.clock.now + 200_000 && renewed.version == (isExpired ? 2 : 1))
                    #expect(instance.refusal(.registrationSet, set("another")) == .keyState)
                    instance.clock.advance(199_999)
                    try instance.keepHouse()
                    #expect(try code { try instance.delete(key, force: true) } == .retention)
                    // One that has ended is a new one.
                    instance.clock.advance(1)
                    #expect(instance.refusal(.registrationSet, set("volume")) == .keyState)
                }
            }
        }
    }

    @Test func whatExpiresWhileItIsDeletedComesBackExpired() async {
        await #expect(processExitsWith: .success) {
            try told {
                let instance = try TestInstance()
                let end = instance.clock.now + 60_000
                let key = try instance.makeKey("key") { $0.expires = end }.id
                let envelope = try instance.wrap([1], key)
                try instance.delete(key)
                instance.clock.set(end)
                #expect(try instance.show(key).isRestoreAllowed)
                #expect(try instance.change(.keyRestore, key).state == .deactivated)
                #expect(try instance.token.store.key(key)?.state == .deactivated)
                #expect(try instance.unwrap(envelope).plaintext == [1] && code { try instance.wrap([1], key) } == .keyState)
                // It was deactivated before; and what was suspended stays so.
                try instance.delete(key)
                instance.clock.advance(30_000)
                #expect(try instance.change(.keyRestore, key).state == .deactivated)
                let later = instance.clock.now + 60_000
                let other = try instance.makeKey("other") { $0.expires = later }.id
                try instance.change(.keyDisable, other)
                try instance.delete(other)
                instance.clock.set(later)
                #expect(try instance.change(.keyRestore, other).state == .suspended)
                #expect(try code { try instance.change(.keyEnable, other) } == .keyExpired)
            }
        }
    }

    @Test func anImportedKeyGetsNoMaterialOfTheDaemons() async {
        await #expect(processExitsWith: .success) {
            try told {
                let instance = try TestInstance()
                let material = [UInt8](repeating: 7, count: 32)
                let key = try instance.create(material, kind: .root).id
                try instance.token.store.reserveWraps(key, 1, upTo: WrapBudget.rotateAt)
                try instance.restart()
                _ = try instance.wrap([1], key)
                #expect(try instance.token.supervision.withLock { $0.rotations.isEmpty && $0.nearLimit == [key: 1] })
                try instance.keepHouse()
                #expect(try instance.show(key).version == 1)
                // Nor when something asks for it all the same.
                let change = TestInstance.change(9, .keyRotate, .rotate(key, .wrapLimit))
                #expect(try code { try instance.perform(change) } == .payloadRequired)
                try instance.token.store.reserveWraps(key, 1, upTo: WrapBudget.limit)
                try instance.restart()
                let refused = #expect(throws: Refusal.self) { try instance.wrap([1], key) }
                #expect(refused?.code == .wrapLimit && refused?.message.contains("with new material") == true)
                #expect(try instance.rotate(key, to: [UInt8](repeating: 8, count: 32)).version == 2)
                _ = try instance.wrap([1], key)
            }
        }
    }
}
