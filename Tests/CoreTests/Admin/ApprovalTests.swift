import ClavigerWire
import Support
import Testing

@testable import ClavigerCore

private let other = TestInstance.other

private func request(
    _ action: ControlledAction, _ key: KeyID?, _ fill: (inout ApprovalRequest) -> Void = { _ in }
) -> ApprovalRequest {
    var message = ApprovalRequest(action: action, operation: TestInstance.operation(), key: key.map { .id($0) })
    fill(&message)
    return message
}

private func decide(_ id: ApprovalID) -> ApprovalDecideRequest {
    ApprovalDecideRequest(id: id, operation: TestInstance.operation())
}

private func change(_ key: KeyID) -> KeyChangeRequest {
    KeyChangeRequest(key: .id(key), operation: TestInstance.operation())
}

@Suite struct ApprovalTests {
    @Test func twoPersonsDeleteRestoreAndPurge() async {
        await #expect(processExitsWith: .success) {
            try told {
                try TestInstance.runAsAnother()
                let instance = try TestInstance()
                let key = try instance.makeKey("key") { $0.dualControl = .all }.id
                #expect(
                    instance.refusal(.keyDelete, KeyDeleteRequest(key: .id(key), operation: TestInstance.operation()))
                        == .approvalRequired)
                #expect(instance.refusal(.keyDisable, change(key)) == .approvalRequired)
                let dry: KeyDeleteReply = try instance.reply(
                    .keyDelete, KeyDeleteRequest(key: .id(key), operation: TestInstance.operation(), dryRun: true))
                #expect(dry.blocked?.contains("approval-required") == true)

                let asked: ApprovalRecord = try instance.reply(.approvalRequest, request(.delete, key) { $0.reason = "retired" })
                #expect(asked.state == .open && asked.key == key && asked.keyName == "key" && asked.reason == "retired")
                #expect(asked.requesterUID == 0 && asked.expires == instance.clock.now + 7 * 86_400_000 && !asked.force)
                #expect(try instance.show(key).pendingApproval == asked.id && instance.show(key).state == .active)
                #expect(instance.refusal(.approvalRequest, request(.delete, key)) == .alreadyExists)
                #expect(instance.refusal(.approvalRequest, request(.delete, key), as: other) == .alreadyExists)
                // Another action of the same key is another matter.
                instance.clock.advance(1)
                let second: ApprovalRecord = try instance.reply(.approvalRequest, request(.disable, key))

                #expect(instance.refusal(.approvalApprove, decide(asked.id)) == .approvalRequired)
                try instance.restart()
                #expect(try instance.show(key).pendingApproval == asked.id)
                let approval = decide(asked.id)
                let done: ApprovalRecord = try instance.reply(.approvalApprove, approval, as: other)
                #expect(done.state == .approved && done.approverUID == other.uid && done.decided == instance.clock.now)
                #expect(try instance.show(key).state == .destroyed && instance.show(key).deletedBy == other.label)
                #expect(try instance.reply(.approvalApprove, approval, as: other) == done)
                #expect(instance.refusal(.approvalApprove, decide(asked.id), as: other) == .notFound)
                // What a destroyed key cannot do, two persons cannot do either; the request stays open.
                #expect(instance.refusal(.approvalApprove, decide(second.id), as: other) == .keyDeleted)
                #expect(try instance.show(key).pendingApproval == second.id)
                let cancelled: ApprovalRecord = try instance.reply(.approvalCancel, decide(second.id))
                #expect(cancelled.state == .cancelled && cancelled.approverUID == 0)
                #expect(try instance.show(key).pendingApproval == nil)

                #expect(instance.refusal(.keyRestore, change(key)) == .tooEarly)
                let restore: ApprovalRecord = try instance.reply(.approvalRequest, request(.restore, key), as: other)
                // Asked for in time, approved too early.
                #expect(instance.refusal(.approvalApprove, decide(restore.id)) == .tooEarly)
                instance.clock.advance(30_000)
                #expect(instance.refusal(.keyRestore, change(key)) == .approvalRequired)
                let _: ApprovalRecord = try instance.reply(.approvalApprove, decide(restore.id))
                #expect(try instance.show(key).state == .active)

                let again: ApprovalRecord = try instance.reply(.approvalRequest, request(.delete, key))
                let _: ApprovalRecord = try instance.reply(.approvalApprove, decide(again.id), as: other)
                instance.clock.advance(4 * 3_600_000)
                #expect(instance.refusal(.keyPurge, change(key)) == .approvalRequired)
                let purge: ApprovalRecord = try instance.reply(.approvalRequest, request(.purge, key))
                let purged: ApprovalRecord = try instance.reply(.approvalApprove, decide(purge.id), as: other)
                #expect(purged.state == .approved && purged.key == key)
                #expect(instance.refusal(.keyShow, KeyShowRequest(key: .id(key))) == .denied)

                // What was decided stays on record; by default only what is open is listed.
                var list: ApprovalListReply = try instance.reply(.approvalList, ApprovalListRequest())
                #expect(list.approvals.isEmpty)
                var all: [ApprovalRecord] = []
                var message = ApprovalListRequest(limit: 2, all: true)
                repeat {
                    list = try instance.reply(.approvalList, message)
                    all += list.approvals
                    message.cursor = list.next
                } while message.cursor != nil
                #expect(
                    all.map(\.id)
                        == [asked, second, restore, again, purge].map(\.id).sorted { left, right in
                            let of = { (id: ApprovalID) in all.first { $0.id == id }?.created ?? 0 }
                            return (of(left), left) < (of(right), right)
                        })
                #expect(all.map(\.state).filter { $0 == .approved }.count == 4)
            }
        }
    }

    @Test func requestsExpireAndAreTakenBack() async {
        await #expect(processExitsWith: .success) {
            try told {
                try TestInstance.runAsAnother()
                let instance = try TestInstance()
                let key = try instance.makeKey("key") { $0.dualControl = [.delete, .disable] }.id
                let first: ApprovalRecord = try instance.reply(.approvalRequest, request(.delete, key))
                instance.clock.advance(first.expires - instance.clock.now - 1)
                #expect(try instance.show(key).pendingApproval == first.id)
                instance.clock.advance(1)
                #expect(try instance.show(key).pendingApproval == nil)
                #expect(instance.refusal(.approvalApprove, decide(first.id), as: other) == .approvalRequired)
                #expect(instance.refusal(.approvalCancel, decide(first.id)) == .approvalRequired)
                let all: ApprovalListReply = try instance.reply(.approvalList, ApprovalListRequest(all: true))
                #expect(all.approvals.map(\.state) == [.expired])
                let second: ApprovalRecord = try instance.reply(.approvalRequest, request(.delete, key))
                // Somebody else who could approve may cancel too.
                let _: ApprovalRecord = try instance.reply(.approvalCancel, decide(second.id), as: other)
                #expect(instance.refusal(.approvalApprove, decide(second.id), as: other) == .notFound)
                #expect(instance.refusal(.approvalApprove, decide(RandomSource.identifier()), as: other) == .notFound)
                // Dual control of deletion holds in every state but destroyed.
                let disable: ApprovalRecord = try instance.reply(.approvalRequest, request(.disable, key))
                let _: ApprovalRecord = try instance.reply(.approvalApprove, decide(disable.id), as: other)
                #expect(try instance.show(key).state == .suspended)
                #expect(instance.refusal(.approvalRequest, request(.disable, key)) == .keyState)
                let third: ApprovalRecord = try instance.reply(.approvalRequest, request(.delete, key))
                let _: ApprovalRecord = try instance.reply(.approvalApprove, decide(third.id), as: other)
                #expect(try instance.show(key).state == .destroyed)
            }
        }
    }

    @Test func whatIsAskedForMustMakeSense() async {
        await #expect(processExitsWith: .success) {
            try told {
                try TestInstance.runAsAnother()
                let instance = try TestInstance()
                let plain = try instance.makeKey("plain").id
                for action in ControlledAction.allCases {
                    #expect(instance.refusal(.approvalRequest, request(action, plain)) == .notDualControl)
                }
                #expect(instance.refusal(.approvalRequest, request(.policy, nil)) == .notDualControl)
                #expect(instance.refusal(.approvalRequest, request(.delete, nil)) == .missingField)
                #expect(instance.refusal(.approvalRequest, request(.delete, RandomSource.identifier())) == .denied)
                let key = try instance.makeKey("key") { $0.dualControl = .all }.id
                #expect(instance.refusal(.approvalRequest, request(.purge, key)) == .keyState)
                #expect(instance.refusal(.approvalRequest, request(.disable, key) { $0.force = true }) == .invalidValue)
                #expect(instance.refusal(.approvalRequest, request(.delete, key) { $0.body = [1] }) == .invalidValue)
                #expect(instance.refusal(.approvalRequest, request(.policy, key)) == .missingField)
                #expect(instance.refusal(.approvalRequest, request(.policy, key) { $0.body = [1, 2, 3] }) == .malformedBody)
            }
        }
    }

    /// Two persons who may do it are two persons on the day on which it is done.
    @Test func whoMayNotDoItAnyMoreIsNoSecondPerson() async {
        await #expect(processExitsWith: .success) {
            try told {
                let instance = try TestInstance()
                let key = try instance.makeKey("key") { $0.dualControl = .delete }.id
                let grant = AccessGrantRequest(
                    subject: "user:81001", operation: TestInstance.operation(), role: "Manager", scope: "instance")
                try instance.ask(.accessGrant, grant) { _ in }
                let manager = Caller(pid: 3, uid: 81_001, gid: 81_001, groups: [], unit: nil, pidfdVerified: true)
                let asked: ApprovalRecord = try instance.reply(.approvalRequest, request(.delete, key), as: manager)
                let revocation = AccessRevokeRequest(id: grant.operation, operation: TestInstance.operation())
                try instance.ask(.accessRevoke, revocation) { _ in }
                let approval = decide(asked.id)
                #expect(instance.refusal(.approvalApprove, approval) == .approvalRequired)
                #expect(instance.refusal(.approvalApprove, approval) == .approvalRequired, "a retry is told the same")
                #expect(try instance.show(key).state == .active && instance.show(key).pendingApproval == nil)
                let all: ApprovalListReply = try instance.reply(.approvalList, ApprovalListRequest(all: true))
                #expect(all.approvals.map(\.state) == [.cancelled])
                #expect(instance.refusal(.approvalApprove, decide(asked.id)) == .notFound)
            }
        }
    }

    /// Whoever has no part in a request learns nothing by its id, whatever has become of it.
    @Test func aRequestOfOthersIsOneThatDoesNotExist() async {
        await #expect(processExitsWith: .success) {
            try told {
                let instance = try TestInstance()
                let key = try instance.makeKey("key") { $0.dualControl = [.delete, .disable] }.id
                let _: RingRecord = try instance.reply(
                    .ringCreate, RingCreateRequest(id: "elsewhere", operation: TestInstance.operation()))
                // He may approve, but elsewhere.
                let stranger = try PromiseTests.person(81_001, "Manager", "ring:elsewhere", in: instance)
                let open: ApprovalRecord = try instance.reply(.approvalRequest, request(.delete, key))
                let cancelled: ApprovalRecord = try instance.reply(.approvalRequest, request(.disable, key))
                let _: ApprovalRecord = try instance.reply(.approvalCancel, decide(cancelled.id))
                for opcode in [Opcode.approvalApprove, .approvalCancel] {
                    let refusals = [open.id, cancelled.id, RandomSource.identifier()].map { id in
                        let refused = #expect(throws: Refusal.self) {
                            try instance.ask(opcode, decide(id), as: stranger) { _ in }
                        }
                        return refused.map { "\($0.code) \($0.message)".replacing("\(id)", with: "ID") }
                    }
                    #expect(Set(refusals).count == 1 && refusals[0]?.contains("notFound") == true, "\(refusals)")
                }
            }
        }
    }

    @Test func registeredResourcesCountUnlessForceWasAskedFor() async {
        await #expect(processExitsWith: .success) {
            try told {
                try TestInstance.runAsAnother()
                let instance = try TestInstance()
                let key = try instance.makeKey("key") { $0.dualControl = .delete }.id
                let _: RegistrationRecord = try instance.reply(
                    .registrationSet, RegistrationSetRequest(key: .id(key), operation: TestInstance.operation(), resource: "r"))
                let gentle: ApprovalRecord = try instance.reply(.approvalRequest, request(.delete, key))
                #expect(instance.refusal(.approvalApprove, decide(gentle.id), as: other) == .resourcesProtected)
                let _: ApprovalRecord = try instance.reply(.approvalCancel, decide(gentle.id))
                let forced: ApprovalRecord = try instance.reply(.approvalRequest, request(.delete, key) { $0.force = true })
                #expect(forced.force)
                let _: ApprovalRecord = try instance.reply(.approvalApprove, decide(forced.id), as: other)
                #expect(try instance.show(key).state == .destroyed)
            }
        }
    }

    @Test func twoPersonsChangePolicies() async {
        await #expect(processExitsWith: .success) {
            try told {
                try TestInstance.runAsAnother()
                let instance = try TestInstance()
                func body(_ set: (inout PolicyValues) -> Void) throws -> [UInt8] {
                    var values = PolicyValues()
                    set(&values)
                    return try KeyLedger.encoded(PolicySetRequest(operation: TestInstance.operation(), values: values))
                }
                // A key's.
                let key = try instance.makeKey("key") { $0.dualControl = .policy }.id
                #expect(
                    instance.refusal(.policySet, PolicySetRequest(key: .id(key), operation: TestInstance.operation()))
                        == .approvalRequired)
                let change = try body { $0.rotationMonths = 4 }
                let asked: ApprovalRecord = try instance.reply(.approvalRequest, request(.policy, key) { $0.body = change })
                #expect(asked.body != nil)
                let _: ApprovalRecord = try instance.reply(.approvalApprove, decide(asked.id), as: other)
                #expect(try instance.show(key).rotationMonths == 4)
                // The instance's.
                try instance.setPolicies { $0.dualControl = .policy }
                #expect(instance.refusal(.policySet, PolicySetRequest(operation: TestInstance.operation())) == .approvalRequired)
                let off = try body { $0.dualControlEnabled = false }
                let wanted: ApprovalRecord = try instance.reply(
                    .approvalRequest, request(.policy, nil) { $0.body = off }, as: other)
                #expect(wanted.key == nil)
                #expect(instance.refusal(.approvalApprove, decide(wanted.id), as: other) == .approvalRequired)
                let _: ApprovalRecord = try instance.reply(.approvalApprove, decide(wanted.id))
                let now: PolicyReply = try instance.reply(.policyShow, PolicyShowRequest())
                #expect(now.values.dualControlEnabled == false && now.values.dualControl == .policy)
                try instance.setPolicies { $0.metricsEnabled = true }
            }
        }
    }
}
