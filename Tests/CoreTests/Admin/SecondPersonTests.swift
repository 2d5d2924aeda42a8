import ClavigerWire
import Support
import Testing

@testable import ClavigerCore

private func change(_ key: KeyID) -> KeyChangeRequest { KeyChangeRequest(key: .id(key), operation: TestInstance.operation()) }

private func request(_ action: ControlledAction, _ key: KeyID) -> ApprovalRequest {
    ApprovalRequest(action: action, operation: TestInstance.operation(), key: .id(key))
}

/// What two persons guard, one person cannot get by another way.
@Suite struct SecondPersonTests {
    @Test func noWayRoundASecondPerson() async {
        await #expect(processExitsWith: .success) {
            try told {
                try TestInstance.runAsAnother()
                let instance = try TestInstance()
                let key = try instance.makeKey("guarded") { $0.dualControl = [.purge] }.id
                // A version is a piece of the key.
                let _: KeyRecord = try instance.reply(
                    .keyRotate, KeyRotateRequest(key: .id(key), operation: TestInstance.operation()))
                let _: VersionRecord = try instance.reply(
                    .versionRetire, VersionRetireRequest(key: .id(key), operation: TestInstance.operation(), version: 1))
                instance.clock.advance(4 * 3_600_000)
                #expect(
                    instance.refusal(
                        .versionDestroy, VersionDestroyRequest(key: .id(key), operation: TestInstance.operation(), version: 1))
                        == .approvalRequired)
                // The policy is not taken off alone; more of it may be put on.
                let off = #expect(throws: Refusal.self) { try instance.setPolicies(key) { $0.dualControl = [] } }
                #expect(off?.code == .approvalRequired)
                _ = try instance.setPolicies(key) { $0.dualControl = [.purge, .restore] }
                // The time that is left to a deleted key is not shortened alone.
                let _: KeyDeleteReply = try instance.reply(
                    .keyDelete, KeyDeleteRequest(key: .id(key), operation: TestInstance.operation()))
                for setting in [InstanceSetting.purgeDelay, .restoreWindow, .autoPurge] {
                    let shorter = #expect(throws: Refusal.self) {
                        try instance.setSetting(setting, setting.entry.range.lowerBound)
                    }
                    #expect(shorter?.code == .approvalRequired || shorter?.code == .invalidValue, "\(setting)")
                }
                _ = try instance.setSetting(.autoPurge, 91 * 86_400)
                // What is asked about one deletion is not for the next.
                instance.clock.advance(4 * 3_600_000)
                let purge: ApprovalRecord = try instance.reply(.approvalRequest, request(.purge, key))
                let restore: ApprovalRecord = try instance.reply(.approvalRequest, request(.restore, key))
                let _: ApprovalRecord = try instance.reply(
                    .approvalApprove, ApprovalDecideRequest(id: restore.id, operation: TestInstance.operation()),
                    as: TestInstance.other)
                #expect(try instance.show(key).state == .active && instance.show(key).pendingApproval == nil)
                let _: KeyDeleteReply = try instance.reply(
                    .keyDelete, KeyDeleteRequest(key: .id(key), operation: TestInstance.operation()))
                instance.clock.advance(4 * 3_600_000)
                #expect(
                    instance.refusal(
                        .approvalApprove, ApprovalDecideRequest(id: purge.id, operation: TestInstance.operation()),
                        as: TestInstance.other) == .notFound)
                #expect(try instance.show(key).state == .destroyed)
            }
        }
    }

    /// What a second person has to see disabled, one person stops neither by its versions nor by its date.
    @Test func disablingByAnotherNameNeedsASecondPersonToo() async {
        await #expect(processExitsWith: .success) {
            try told {
                let instance = try TestInstance()
                let key = try instance.makeKey("guarded") { $0.dualControl = .disable }.id
                let envelope = try instance.wrap([1], key)
                try instance.rotate(key)
                #expect(try code { try instance.retire(key, 1) } == .approvalRequired)
                #expect(try instance.unwrap(envelope).plaintext == [1])
                let window = InstanceSetting.approvalWindow.entry.standard * 1_000
                let end = instance.clock.now + window
                for date in [instance.clock.now + 1, end - 1] {
                    #expect(try code { try instance.update(key) { $0.expires = date } } == .approvalRequired)
                }
                // In time to be noticed and taken back; and a date that is near already may be put off.
                #expect(try instance.update(key) { $0.expires = end }.expires == end)
                instance.clock.advance(window - 10)
                #expect(try code { try instance.update(key) { $0.expires = end - 1 } } == .approvalRequired)
                #expect(try instance.update(key) { $0.expires = end + 1 }.state == .active)
                #expect(try instance.update(key) { $0.name = "renamed" }.name == "renamed")
                #expect(try instance.update(key) { $0.expires = 0 }.expires == nil)
            }
        }
    }

    @Test func aVersionThatResourcesNeedStays() async {
        await #expect(processExitsWith: .success) {
            try told {
                let instance = try TestInstance()
                let key = try instance.makeKey("used").id
                for (resource, retention) in [("kept", true), ("loose", false)] {
                    var message = RegistrationSetRequest(
                        key: .id(key), operation: TestInstance.operation(), resource: resource)
                    message.retention = retention
                    let _: RegistrationRecord = try instance.reply(.registrationSet, message)
                }
                let _: KeyRecord = try instance.reply(
                    .keyRotate, KeyRotateRequest(key: .id(key), operation: TestInstance.operation()))
                let _: VersionRecord = try instance.reply(
                    .versionRetire, VersionRetireRequest(key: .id(key), operation: TestInstance.operation(), version: 1))
                instance.clock.advance(4 * 3_600_000)
                let destroy = { VersionDestroyRequest(key: .id(key), operation: TestInstance.operation(), version: 1) }
                // Made anew under the newest version, as its owner says.
                func renew(_ resource: String) throws {
                    var message = RegistrationSetRequest(
                        key: .id(key), operation: TestInstance.operation(), resource: resource)
                    message.version = 2
                    let _: RegistrationRecord = try instance.reply(.registrationSet, message)
                }
                #expect(instance.refusal(.versionDestroy, destroy()) == .retention)
                try renew("kept")
                #expect(instance.refusal(.versionDestroy, destroy()) == .resourcesProtected)
                try renew("loose")
                _ = try instance.census(key)
                let done: VersionRecord = try instance.reply(.versionDestroy, destroy())
                #expect(done.state == .destroyed)
            }
        }
    }
}
