import ClavigerWire
import Support
import Testing

@testable import ClavigerCore

/// Whether who asked for an approval may still do it, where that cannot be seen: nothing is done, and nothing is ended.
@Suite struct StandingTests {
    /// In a group that the account database does not list him in, as a unit's `SupplementaryGroups=` gives it.
    private static let uid: UInt32 = 81_001
    private static let group: UInt32 = 81_500
    private static let member = Caller(pid: 3, uid: uid, gid: uid, groups: [group], unit: nil, pidfdVerified: true)

    private static func ask(_ key: KeyID) -> ApprovalRequest {
        ApprovalRequest(action: .delete, operation: TestInstance.operation(), key: .id(key))
    }

    private static func decide(_ id: ApprovalID) -> ApprovalDecideRequest {
        ApprovalDecideRequest(id: id, operation: TestInstance.operation())
    }

    private static func grant(_ instance: TestInstance, _ subject: String, _ role: String = "Manager") throws -> OperationID {
        let request = AccessGrantRequest(subject: subject, operation: TestInstance.operation(), role: role, scope: "instance")
        try instance.ask(.accessGrant, request) { _ in }
        return request.operation
    }

    private static func revoke(_ instance: TestInstance, _ grant: OperationID) throws {
        try instance.ask(.accessRevoke, AccessRevokeRequest(id: grant, operation: TestInstance.operation())) { _ in }
    }

    @Test func aGroupThatCannotBeLookedUp() async {
        await #expect(processExitsWith: .success) { try told { try StandingTests.groupChild() } }
    }

    private static func groupChild() throws {
        let instance = try TestInstance()
        let key = try instance.makeKey("key") { $0.dualControl = .delete }.id
        let byGroup = try grant(instance, "group:\(group)")
        // It would wait for an approval that nobody could give: he is told at once.
        let refused = #expect(throws: Refusal.self) { try instance.ask(.approvalRequest, ask(key), as: member) { _ in } }
        #expect(refused?.code == .approvalRequired && refused?.message.contains("granted to your user or unit") == true)

        let byUser = try grant(instance, "user:\(uid)")
        let asked: ApprovalRecord = try instance.reply(.approvalRequest, ask(key), as: member)
        try revoke(instance, byUser)
        // He may still, by his group; but that cannot be seen.
        for _ in 0..<2 {
            let refused = #expect(throws: Refusal.self) { try instance.ask(.approvalApprove, decide(asked.id)) { _ in } }
            #expect(refused?.code == .approvalRequired && refused?.message.contains("stays open") == true)
        }
        #expect(try instance.show(key).pendingApproval == asked.id && instance.show(key).state == .active)
        // Seen again, it is approved.
        let again = try grant(instance, "user:\(uid)")
        let done: ApprovalRecord = try instance.reply(.approvalApprove, decide(asked.id))
        #expect(try done.state == .approved && instance.show(key).state == .destroyed)

        // And what no grant can give any more is over, whatever the account database says.
        let second = try instance.makeKey("second") { $0.dualControl = .delete }.id
        let late: ApprovalRecord = try instance.reply(.approvalRequest, ask(second), as: member)
        try revoke(instance, again)
        try revoke(instance, byGroup)
        #expect(instance.refusal(.approvalApprove, decide(late.id)) == .approvalRequired)
        #expect(try instance.show(second).pendingApproval == nil && instance.show(second).state == .active)
    }

    /// Whoever got the number of an account that is gone is not who asked, and not who registered.
    @Test func anAccountMadeAnewInheritsNoRequest() async {
        await #expect(processExitsWith: .success) { try told { try StandingTests.namesChild() } }
    }

    private static func namesChild() throws {
        let instance = try TestInstance()
        let key = try instance.makeKey("key") { $0.dualControl = .delete }.id
        let role = RoleCreateRequest(
            name: "Asker", operation: TestInstance.operation(),
            permissions: ["request-approval", "delete-keys", "register-resources"])
        try instance.ask(.roleCreate, role) { _ in }
        _ = try grant(instance, "user:\(uid)", "Asker")
        let asked: ApprovalRecord = try instance.reply(.approvalRequest, ask(key), as: member)
        let set = RegistrationSetRequest(key: .id(key), operation: TestInstance.operation(), resource: "r")
        let _: RegistrationRecord = try instance.reply(.registrationSet, set, as: member)
        let store = try instance.token.store
        let written = try store.withConnection { connection throws(StoreError) in
            (try connection.approval(asked.id)?.requesterName, try connection.registration(key, "r")?.ownerName)
        }
        #expect(written.0 == PinnedName.none && written.1 == PinnedName.none)
        func call(_ name: String) throws {
            try store.transaction { connection throws(StoreError) in
                _ = try connection.run("UPDATE approval SET requester_name = \(name)", [])
                _ = try connection.run("UPDATE registration SET owner_name = \(name)", [])
            }
        }
        func release() -> RegistrationReleaseRequest {
            RegistrationReleaseRequest(key: .id(key), operation: TestInstance.operation(), resource: "r")
        }
        func renew() -> RegistrationSetRequest {
            RegistrationSetRequest(key: .id(key), operation: TestInstance.operation(), resource: "r")
        }
        // As if the number had been somebody's when both were made.
        try call("'somebody'")
        #expect(instance.refusal(.approvalCancel, decide(asked.id), as: member) == .notFound)
        #expect(instance.refusal(.approvalApprove, decide(asked.id)) == .approvalRequired)
        #expect(try instance.show(key).pendingApproval == asked.id)
        #expect(instance.refusal(.registrationRelease, release(), as: member) == .denied)
        #expect(instance.refusal(.registrationSet, renew(), as: member) == .denied)
        // Of rows from before names were kept the number alone is known.
        try call("NULL")
        let _: RegistrationRecord = try instance.reply(.registrationSet, renew(), as: member)
        let _: EmptyMessage = try instance.reply(.registrationRelease, release(), as: member)
        let cancelled: ApprovalRecord = try instance.reply(.approvalCancel, decide(asked.id), as: member)
        #expect(cancelled.state == .cancelled)
        // User 0 clears away what is left behind.
        let _: RegistrationRecord = try instance.reply(.registrationSet, renew(), as: member)
        try call("'somebody'")
        let _: EmptyMessage = try instance.reply(.registrationRelease, release())
    }

    @Test func names() {
        let names: [PinnedName] = [.none, .name("ann"), .name("bob")]
        for (index, name) in names.enumerated() {
            #expect(PinnedName(stored: name.stored) == name)
            for (other, today) in names.enumerated() { #expect(name.isSame(as: today) == (index == other)) }
            // What cannot be told is neither; what was not written down is not held against anybody.
            #expect(name.isSame(as: .unknown) == nil && PinnedName.unknown.isSame(as: name) == true)
        }
        #expect(PinnedName(stored: nil) == .unknown && PinnedName.unknown.stored == nil)
        let cache = AccountCache { (_, number) throws(AccountCache.LookupFailure) in
            if number == 3 { throw AccountCache.LookupFailure() }
            return number == 1 ? "ann" : nil
        }
        #expect(PinnedName(1, cache) == .name("ann") && PinnedName(2, cache) == .none && PinnedName(3, cache) == .unknown)
    }
}
