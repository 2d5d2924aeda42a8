import ClavigerWire
import Testing

@testable import ClavigerCore

/// `whoami` and `access explain` against what is allowed in use: every operation, every role, every scope.
///
/// What must be allowed is written down here a second time, so that all three cannot be wrong together.
@Suite struct HonestyTests {
    private static let uid: UInt32 = 61_001
    private static let caller = Caller(pid: 1, uid: uid, gid: uid, groups: [], unit: nil, pidfdVerified: true)
    private static let key = KeyID(high: 1, low: 1)
    private static let other = KeyID(high: 1, low: 2)

    private static let scopes: [Scope] = [.instance, .ring("ra"), .key(key)]

    /// What the daemon may ask for when the operation comes: the key in the ring `ra`, another in `rb`, these rings, the instance.
    private static func targets(_ opcode: Opcode) -> [AccessTarget] {
        if opcode.entry.isInstanceWide { return [.instance] }
        let rings: [AccessTarget] = [.ring("ra"), .ring("rb")]
        switch opcode.entry.permission.reach {
        case .everyone, .operators, .instance: return [.instance]
        case .ring: return [.instance] + rings
        case .key: return [.instance, .key(key, ring: "ra"), .key(other, ring: "rb")] + rings
        }
    }

    /// Whether a grant of a role that has the permission gives it.
    private static func isInside(_ scope: Scope, _ target: AccessTarget) -> Bool {
        switch (scope, target) {
        case (.instance, _): true
        case (.ring, .ring("ra")), (.ring, .key(key, _)), (.key, .key(key, _)): true
        case _: false
        }
    }

    @Test func everyRoleEveryScopeEveryOperation() throws {
        let subject = try #require(Subject(user: Subject.Account(number: Self.uid, name: nil)))
        // Each permission alone too: custom roles may hold what no role that comes along does.
        let custom = Permission.allCases.filter(\.canBeGranted).map {
            Role(name: "only-\($0.rawValue)", summary: "", permissions: PermissionSet($0))
        }
        var asked = 0
        for role in Role.builtIn + custom {
            for scope in Self.scopes {
                let authoriser = Authoriser(ownUser: 990, unlockGroup: nil, accounts: AccountCache { _, _ in nil })
                let grant = Grant(
                    id: GrantID(high: 0, low: 1), subject: subject, role: role.name, scope: scope, created: 0, createdBy: "test")
                authoriser.box.publish(isVerified: true, grants: [grant], customRoles: custom)
                let view = authoriser.view(of: Self.caller)
                var useful: Set<Permission> = [.observe]
                for opcode in Opcode.allCases {
                    let permission = opcode.entry.permission
                    for target in Self.targets(opcode) {
                        let expected =
                            permission == .observe || role.permissions.holds(permission) && Self.isInside(scope, target)
                        let place = "\(opcode), \(role.name) on \(scope), \(target)"
                        #expect(view.allows(permission, on: target) == expected, "\(place)")
                        let explanation = Explanation(
                            subject: subject, caller: Self.caller, snapshot: view.snapshot,
                            question: AccessSnapshot.Question(permission, on: target), authoriser: authoriser)
                        #expect(explanation.reply.isAllowed == expected, "explain: \(place)")
                        if expected { useful.insert(permission) }
                        asked += 1
                    }
                    // Without a target the question is whether it is of any use at all.
                    let anything = AccessSnapshot.Question(permission, on: .anything)
                    let explanation = Explanation(
                        subject: subject, caller: Self.caller, snapshot: view.snapshot, question: anything, authoriser: authoriser
                    )
                    switch permission.reach {
                    case .key, .ring: #expect(explanation.reply.isAllowed == view.allows(permission), "\(opcode)")
                    case .everyone, .instance, .operators: break
                    }
                }
                // A permission that some operation would be allowed for, and no other, is told. Those that an operation needs only besides
                // count by the same rule.
                for permission in Permission.allCases where Opcode.allCases.contains(where: { $0.entry.permission == permission })
                {
                    #expect(
                        view.permissions.contains(permission) == useful.contains(permission),
                        "whoami: \(permission), \(role.name) on \(scope)")
                }
            }
        }
        #expect(asked > 10_000)
    }
}
