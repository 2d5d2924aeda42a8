import ClavigerWire
import Synchronization
import Testing

@testable import ClavigerCore

/// Counts, from any thread.
final class Tally: Sendable {
    private let count = Atomic(0)
    func add() { count.add(1, ordering: .relaxed) }
    var value: Int { count.load(ordering: .relaxed) }
}

/// Grants against callers, questions and the clock.
@Suite struct AccessSnapshotTests {
    /// Names of accounts as a test wants them.
    struct Names: AccountNames {
        var users: [UInt32: String] = [1_000: "ann", 1_001: "bob"]
        var groups: [UInt32: String] = [50: "finance", 51: "sales"]
        func user(_ number: UInt32) -> String? { users[number] }
        func group(_ number: UInt32) -> String? { groups[number] }
    }

    static let payroll = KeyID(high: 1, low: 1)
    static let other = KeyID(high: 1, low: 2)
    static let ann = Subject.Account(number: 1_000, name: "ann")

    static func caller(
        _ uid: UInt32 = 1_000, gid: UInt32 = 1_000, groups: [UInt32] = [], unit: String? = nil, isForeign: Bool = false
    ) -> Caller {
        Caller(pid: 9, uid: uid, gid: gid, groups: groups, unit: unit, pidfdVerified: true, isForeign: isForeign)
    }

    static func grant(
        _ subject: Subject?, _ role: String, _ scope: Scope = .instance, expires: UInt64? = nil, condition: [String] = [],
        id: UInt64 = 1
    ) throws -> Grant {
        Grant(
            id: GrantID(high: 0, low: id), subject: try #require(subject), role: role, scope: scope, expires: expires,
            condition: condition.isEmpty ? [] : try Context.encode(condition), created: id, createdBy: "test")
    }

    static func allows(
        _ grants: [Grant], _ permission: Permission, _ target: AccessTarget, _ caller: Caller, now: UInt64 = 100,
        context: [String]? = nil, names: Names = Names(), roles: [Role] = []
    ) throws -> Bool {
        let snapshot = AccessSnapshot(epoch: 1, isVerified: true, grants: grants, customRoles: roles)
        let question = AccessSnapshot.Question(permission, on: target, context: try context.map { try Context.encode($0) })
        return snapshot.allows(question, to: caller, now: now, names)
    }

    static let keyTarget = AccessTarget.key(payroll, ring: "billing")

    @Test func everyPartOfASubjectMustHold() throws {
        let subject = Subject(user: Self.ann, group: Subject.Account(number: 50, name: "finance"), unit: "p.service")
        let grants = [try Self.grant(subject, "Unwrapper")]
        func may(_ caller: Caller) throws -> Bool { try Self.allows(grants, .unwrap, Self.keyTarget, caller) }
        #expect(try may(Self.caller(groups: [50], unit: "p.service")))
        #expect(try may(Self.caller(gid: 50, unit: "p.service")))
        #expect(try !may(Self.caller(groups: [51], unit: "p.service")))
        #expect(try !may(Self.caller(groups: [50], unit: "q.service")))
        #expect(try !may(Self.caller(groups: [50])))
        #expect(try !may(Self.caller(1_001, groups: [50], unit: "p.service")))
        #expect(Subject() == nil)
    }

    /// An account is pinned by number and name: whoever has the number or the name alone inherits nothing.
    @Test func accountsMadeAnewInheritNothing() throws {
        let grants = [
            try Self.grant(Subject(user: Self.ann), "Unwrapper"),
            try Self.grant(Subject(group: Subject.Account(number: 50, name: "finance")), "Wrapper", id: 2),
        ]
        let member = Self.caller(groups: [50])
        #expect(try Self.allows(grants, .unwrap, Self.keyTarget, member))
        #expect(try Self.allows(grants, .wrap, Self.keyTarget, member))
        for (users, groups) in [([1_000: "eve"], [50: "guests"]), ([:], [:])] as [([UInt32: String], [UInt32: String])] {
            let names = Names(users: users, groups: groups)
            #expect(try !Self.allows(grants, .unwrap, Self.keyTarget, member, names: names))
            #expect(try !Self.allows(grants, .wrap, Self.keyTarget, member, names: names))
        }
        let reborn = Names(users: [2_000: "ann"])
        #expect(try !Self.allows(grants, .unwrap, Self.keyTarget, Self.caller(2_000), names: reborn))
        // A number that had no name must have none today either: who gets an account of that number later is somebody else.
        let nameless = [try Self.grant(Subject(user: Subject.Account(number: 61_001, name: nil)), "Unwrapper")]
        #expect(try Self.allows(nameless, .unwrap, Self.keyTarget, Self.caller(61_001), names: Names(users: [:])))
        #expect(
            try !Self.allows(nameless, .unwrap, Self.keyTarget, Self.caller(61_001), names: Names(users: [61_001: "new"])))
        let group = [try Self.grant(Subject(group: Subject.Account(number: 50, name: nil)), "Wrapper")]
        #expect(try Self.allows(group, .wrap, Self.keyTarget, member, names: Names(users: [:], groups: [:])))
        #expect(try !Self.allows(group, .wrap, Self.keyTarget, member, names: Names(users: [:], groups: [50: "finance"])))
    }

    /// While the account database does not answer, what it said last counts; what it never said matches nothing, not even a number
    /// without a name.
    @Test func anAccountDatabaseThatFails() throws {
        let fails = Atomic(false)
        let asked = Atomic(0)
        let cache = AccountCache(memory: 0) { (_, number) throws(AccountCache.LookupFailure) in
            asked.add(1, ordering: .relaxed)
            if fails.load(ordering: .relaxed) { throw AccountCache.LookupFailure() }
            return number == 1_000 ? "ann" : nil
        }
        #expect(cache.user(1_000) == "ann" && cache.user(1_001) == nil)
        fails.store(true, ordering: .relaxed)
        #expect(cache.user(1_000) == "ann" && cache.user(1_001) == nil)
        let nameless = Subject(user: Subject.Account(number: 1_002, name: nil))
        #expect(nameless?.miss(Self.caller(1_002), cache) == .unknownName)
        #expect(asked.load(ordering: .relaxed) == 5)
    }

    @Test func callersOfOtherNamespacesMatchNothing() throws {
        let grants = [
            try Self.grant(Subject(user: Self.ann), "Manager"), try Self.grant(Subject(unit: "p.service"), "Manager", id: 2),
            try Self.grant(Subject(group: Subject.Account(number: 50, name: "finance")), "Manager", id: 3),
        ]
        let foreign = Self.caller(groups: [50], unit: "p.service", isForeign: true)
        for permission in Permission.allCases { #expect(try !Self.allows(grants, permission, .anything, foreign)) }
    }

    @Test func scopes() throws {
        let user = Subject(user: Self.ann)
        let targets: [AccessTarget] = [
            .anything, .instance, .ring("billing"), .ring("default"), Self.keyTarget, .key(Self.payroll, ring: "default"),
            .key(Self.other, ring: "billing"),
        ]
        let expected: [(Scope, [Bool])] = [
            (.instance, [true, true, true, true, true, true, true]),
            (.ring("billing"), [true, false, true, false, true, false, true]),
            (.key(Self.payroll), [true, false, false, false, true, true, false]),
        ]
        for (scope, row) in expected {
            let grants = [try Self.grant(user, "Manager", scope)]
            for (target, allowed) in zip(targets, row) {
                #expect(try Self.allows(grants, .readKeys, target, Self.caller()) == allowed, "\(scope) \(target)")
            }
        }
    }

    @Test func expiryIsExact() throws {
        let grants = [try Self.grant(Subject(user: Self.ann), "Reader", expires: 1_000)]
        #expect(try Self.allows(grants, .wrap, Self.keyTarget, Self.caller(), now: 999))
        #expect(try !Self.allows(grants, .wrap, Self.keyTarget, Self.caller(), now: 1_000))
    }

    /// A condition compares whole strings from the first on, and gives nothing that has no context.
    @Test func conditionsOnTheContext() throws {
        let grants = [try Self.grant(Subject(user: Self.ann), "Manager", condition: ["tenant=7", "db"])]
        func may(_ context: [String]?, _ permission: Permission = .unwrap) throws -> Bool {
            try Self.allows(grants, permission, Self.keyTarget, Self.caller(), context: context)
        }
        #expect(try may(["tenant=7", "db"]) && may(["tenant=7", "db", "table"]) && may(nil))
        for wrong in [
            [], ["tenant=7"], ["tenant=70", "db"], ["tenant=7", "dbx"], ["db", "tenant=7"], ["tenant=7db"],
            ["", "tenant=7", "db"],
        ] {
            #expect(try !may(wrong), "\(wrong)")
        }
        for permission in Permission.allCases {
            #expect(try may(nil, permission) == [.wrap, .unwrap, .rewrap].contains(permission), "\(permission)")
        }
    }

    /// The first four roles of Key Protect each include the one before; single-purpose roles hold what their name says.
    @Test func builtInRoles() throws {
        let roles = Dictionary(uniqueKeysWithValues: Role.builtIn.map { ($0.name, $0.permissions) })
        let chain = try ["Reader", "ReaderPlus", "Writer", "Manager"].map { try #require(roles[$0]) }
        for (less, more) in zip(chain, chain.dropFirst()) { #expect(less.isStrictSubset(of: more)) }
        let expected: [String: [Permission]] = [
            "KeyPurge": [.purgeKeys], "Wrapper": [.wrap], "Unwrapper": [.unwrap], "Operator": [.readToken],
            "Administrator": [.readAccess, .manageAccess],
            "Auditor": [.readKeys, .readRings, .readPolicies, .readAccess, .readAudit, .readToken],
        ]
        for (name, permissions) in expected { #expect(roles[name]?.permissions == permissions, "\(name)") }
        // Purging, reading secrets and granting come with no role by the way.
        for (name, set) in roles {
            #expect(set.holds(.purgeKeys) == (name == "KeyPurge") && set.holds(.manageAccess) == (name == "Administrator"))
            #expect(!set.holds(.unlock))
        }
        let uses: PermissionSet = [
            PermissionSet(.wrap), PermissionSet(.unwrap), PermissionSet(.rewrap), PermissionSet(.readSecrets),
        ]
        for name in ["Auditor", "Operator", "Administrator", "KeyPurge"] {
            #expect(roles[name].map { $0.isDisjoint(with: uses) } == true, "\(name) uses no key")
        }
        let first = Role.all.compactMap { roles[$0] }.reduce(into: PermissionSet()) { $0.formUnion($1) }
        #expect(first.permissions == Permission.allCases.filter(\.canBeGranted))
    }

    /// The index by unit, user and group finds what a search through all grants finds.
    @Test(arguments: 0..<8) func indexAgreesWithSearch(round: Int) throws {
        var random = SeededGenerator(seed: 77 + UInt64(round))
        let names = Names(users: [0: "u0", 1: "u1", 2: "x"], groups: [0: "g0", 1: "g1", 2: "y"])
        let roles = ["Wrapper", "Unwrapper", "Reader", "Auditor", "Gone"]
        let contexts: [[String]] = [[], ["a"], ["a", "b"]]
        func account(_ letter: String) -> Subject.Account? {
            guard Bool.random(using: &random) else { return nil }
            let number = UInt32.random(in: 0...2, using: &random)
            return Subject.Account(number: number, name: Bool.random(using: &random) ? "\(letter)\(number)" : nil)
        }
        var grants: [Grant] = []
        for id in 0..<60 {
            let unit = Bool.random(using: &random) ? "s\(Int.random(in: 0...1, using: &random)).service" : nil
            guard let subject = Subject(user: account("u"), group: account("g"), unit: unit) else { continue }
            let scope: Scope =
                [.instance, .ring("r0"), .ring("r1"), .key(Self.payroll), .key(Self.other)].randomElement(using: &random)
                ?? .instance
            grants.append(
                try Self.grant(
                    subject, roles.randomElement(using: &random) ?? "", scope,
                    expires: Bool.random(using: &random) ? UInt64.random(in: 0...200, using: &random) : nil,
                    condition: contexts.randomElement(using: &random) ?? [], id: UInt64(id)))
        }
        let snapshot = AccessSnapshot(epoch: 1, isVerified: true, grants: grants, customRoles: [])
        for _ in 0..<400 {
            let caller = Self.caller(
                UInt32.random(in: 0...3, using: &random), gid: UInt32.random(in: 0...3, using: &random),
                groups: (0..<Int.random(in: 0...3, using: &random)).map { _ in UInt32.random(in: 0...3, using: &random) },
                unit: Bool.random(using: &random) ? "s\(Int.random(in: 0...1, using: &random)).service" : nil,
                isForeign: Int.random(in: 0...9, using: &random) == 0)
            let target: AccessTarget =
                [.anything, .instance, .ring("r0"), .key(Self.payroll, ring: "r0"), .key(Self.other, ring: "r1")].randomElement(
                    using: &random)
                ?? .instance
            let question = AccessSnapshot.Question(
                Permission.allCases.randomElement(using: &random) ?? .wrap, on: target,
                context: try contexts.randomElement(using: &random).map { try Context.encode($0) })
            let searched = grants.contains { snapshot.misses($0, question, caller, 100, names) == nil }
            #expect(snapshot.allows(question, to: caller, now: 100, names) == searched)
        }
    }
}
