import ClavigerWire
import Testing

@testable import ClavigerCore

@Suite struct AuthoriserTests {
    enum Who: CaseIterable {
        case root, own, service, serviceBySupplement, unlock, both, other
    }

    static let authoriser = Authoriser(ownUser: 990, serviceGroup: 800, unlockGroup: 900)

    static func caller(_ who: Who) -> Caller {
        let (uid, gid, groups): (UInt32, UInt32, [UInt32]) =
            switch who {
            case .root: (0, 0, [])
            case .own: (990, 990, [])
            case .service: (1_000, 800, [])
            case .serviceBySupplement: (1_000, 1_000, [4, 5_000, 800, 799])
            case .unlock: (1_000, 1_000, [900])
            case .both: (1_000, 900, [800])
            case .other: (1_000, 990, [0, 799, 801, 899, 901])
            }
        return Caller(pid: 1, uid: uid, gid: gid, groups: groups, unit: "a.service", pidfdVerified: true)
    }

    /// The rule as a table: for each permission, who has it.
    static func holders(_ permission: Permission) -> Set<Who> {
        switch permission {
        case .observe, .wrap, .unwrap, .rewrap: [.root, .own, .service, .serviceBySupplement, .both]
        case .unlock: [.root, .own, .unlock, .both]
        case .readKeys, .readSecrets, .createKeys, .updateKeys, .rotateKeys, .disableKeys, .deleteKeys, .restoreKeys, .purgeKeys,
            .moveKeys, .registerResources, .readRings, .createRings, .deleteRings, .readPolicies, .managePolicies,
            .requestApproval, .approve, .readAccess, .manageAccess, .readAudit, .readToken:
            [.root, .own]
        }
    }

    @Test(arguments: Permission.allCases) func theTable(permission: Permission) {
        for who in Who.allCases {
            #expect(
                AuthoriserTests.authoriser.allows(permission, to: AuthoriserTests.caller(who))
                    == AuthoriserTests.holders(permission).contains(who), "\(permission) for \(who)")
        }
    }

    @Test(arguments: Permission.allCases) func withoutGroupsOnlyRootAndTheDaemonsUser(permission: Permission) {
        let authoriser = Authoriser(ownUser: 990, serviceGroup: nil, unlockGroup: nil)
        for who in Who.allCases {
            #expect(authoriser.allows(permission, to: AuthoriserTests.caller(who)) == (who == .root || who == .own))
        }
    }

    @Test func permissionsByName() {
        #expect(AuthoriserTests.authoriser.permissions(of: AuthoriserTests.caller(.other)).isEmpty)
        #expect(
            AuthoriserTests.authoriser.permissions(of: AuthoriserTests.caller(.both)) == [
                "observe", "wrap", "unwrap", "rewrap", "unlock",
            ])
        #expect(AuthoriserTests.authoriser.permissions(of: AuthoriserTests.caller(.root)) == Permission.allCases.map(\.rawValue))
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
}
