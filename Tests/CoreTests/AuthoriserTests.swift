import ClavigerWire
import Testing

@testable import ClavigerCore

/// What no grant gives or takes: who may unlock, and what whoever may connect may ask.
@Suite struct AuthoriserTests {
    enum Who: CaseIterable {
        case root, own, unlock, unlockBySupplement, foreignRoot, foreignUnlock, other
    }

    static func authoriser() -> Authoriser {
        Authoriser(ownUser: 990, unlockGroup: 900, accounts: AccountCache { _, _ in nil })
    }

    static func caller(_ who: Who) -> Caller {
        let (uid, gid, groups, isForeign): (UInt32, UInt32, [UInt32], Bool) =
            switch who {
            case .root: (0, 0, [], false)
            case .own: (990, 990, [], false)
            case .unlock: (1_000, 900, [], false)
            case .unlockBySupplement: (1_000, 1_000, [4, 5_000, 900, 899], false)
            case .foreignRoot: (0, 0, [], true)
            case .foreignUnlock: (1_000, 900, [900], true)
            case .other: (1_000, 990, [0, 799, 801, 899, 901], false)
            }
        return Caller(
            pid: 1, uid: uid, gid: gid, groups: groups, unit: "a.service", pidfdVerified: true, isForeign: isForeign)
    }

    @Test(arguments: Permission.allCases) func withoutGrants(permission: Permission) {
        let authoriser = AuthoriserTests.authoriser()
        for who in Who.allCases {
            let expected: Bool =
                switch permission.reach {
                case .everyone: true
                case .operators: [.root, .own, .unlock, .unlockBySupplement].contains(who)
                case .key, .ring, .instance: false
                }
            #expect(authoriser.allows(permission, to: AuthoriserTests.caller(who)) == expected, "\(permission) for \(who)")
        }
    }

    /// Not even every role for everybody makes anybody an operator.
    @Test func noGrantGivesUnlock() throws {
        let authoriser = AuthoriserTests.authoriser()
        let subject = try #require(Subject(user: Subject.Account(number: 1_000, name: nil)))
        let grants = Role.builtIn.enumerated().map { index, role in
            Grant(
                id: GrantID(high: 1, low: UInt64(index)), subject: subject, role: role.name, scope: .instance, created: 0,
                createdBy: "")
        }
        let all = Role(name: "All", summary: "", permissions: PermissionSet(Permission.allCases))
        let last = Grant(id: GrantID(high: 2, low: 0), subject: subject, role: "All", scope: .instance, created: 0, createdBy: "")
        authoriser.box.publish(isVerified: true, grants: grants + [last], customRoles: [all])
        let caller = AuthoriserTests.caller(.other)
        for permission in Permission.allCases { #expect(authoriser.allows(permission, to: caller) == (permission != .unlock)) }
        #expect(authoriser.view(of: caller).permissions == Permission.allCases.filter { $0 != .unlock })
    }

    @Test func withoutAnUnlockGroupOnlyRootAndTheDaemonsUser() {
        let authoriser = Authoriser(ownUser: 990, unlockGroup: nil)
        for who in Who.allCases {
            #expect(authoriser.mayUnlock(AuthoriserTests.caller(who)) == (who == .root || who == .own))
        }
    }

    /// Membership against a plain search, for sorted and unsorted, long and short lists.
    @Test func membership() {
        var random = SeededGenerator(seed: 11)
        for count in [0, 1, 2, 3, 10, 500] {
            let groups = (0..<count).map { _ in UInt32.random(in: 0...600, using: &random) }
            let caller = Caller(pid: 1, uid: 1, gid: 700, groups: groups, unit: nil, pidfdVerified: true)
            for group in UInt32(0)...701 { #expect(caller.isMember(of: group) == (groups.contains(group) || group == 700)) }
        }
    }

    /// Answers are remembered for a moment, and each kind of account has its own.
    @Test func accountNames() {
        let asked = Tally()
        let cache = AccountCache(memory: 3_600_000_000_000) { kind, number in
            asked.add()
            return number == 7 ? "\(kind)7" : nil
        }
        for _ in 0..<3 { #expect(cache.user(7) == "user7" && cache.group(7) == "group7" && cache.user(8) == nil) }
        #expect(asked.value == 3)
        // Who must not wait asks nobody.
        #expect(cache.lastHeard(ofUser: 7) == "user7" && cache.lastHeard(ofUser: 8) == nil && cache.lastHeard(ofUser: 9) == nil)
        #expect(asked.value == 3)
        #expect(AccountLookup.name(.user, 0) == "root" && AccountLookup.user(named: "root")?.uid == 0)
        #expect(AccountLookup.group(named: "root") == 0 && AccountLookup.name(.group, 4_000_000_000) == nil)
    }
}
