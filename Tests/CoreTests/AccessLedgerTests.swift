import ClavigerWire
import Logging
import Synchronization
import Testing

@testable import ClavigerCore

/// Between a change of grants in the database and what requests are judged by nothing may be lost: what was acknowledged counts.
@Suite struct AccessLedgerTests {
    private static let stranger = Caller(pid: 1, uid: 61_001, gid: 61_001, groups: [], unit: nil, pidfdVerified: true)

    private static func operation(_ number: UInt64) -> OperationID { OperationID(high: 4, low: number) }

    private static func grant(_ number: UInt64, _ role: String, _ scope: String) -> AccessGrantRequest {
        AccessGrantRequest(subject: "user:61001", operation: operation(number), role: role, scope: scope)
    }

    private static func code(_ body: () throws -> Bool) -> RefusalCode? {
        do {
            #expect(try body())
            return nil
        } catch { return (error as? Refusal)?.code }
    }

    /// Has the roles unreadable while `body` runs: a change of grants is committed then, and what is to be published cannot be read.
    private static func whileUnreadable(_ instance: TestInstance, _ body: () throws -> Void) throws {
        let store = try instance.token.store
        try store.transaction { connection throws(StoreError) in
            _ = try connection.run(
                """
                INSERT INTO access_role (name, summary, permissions, created_ms, created_by, created_uid, operation)
                VALUES ('Broken', '', 'no-such-permission', 0, '', 0, x'00112233445566778899aabbccddeeff')
                """, [])
        }
        defer {
            try? store.transaction { connection throws(StoreError) in
                _ = try connection.run("DELETE FROM access_role WHERE name = 'Broken'", [])
            }
        }
        try body()
    }

    @Test func aChangeThatCouldNotBePublished() async {
        await #expect(processExitsWith: .success) { try AccessLedgerTests.unpublishedChild() }
    }

    private static func unpublishedChild() throws {
        let instance = try TestInstance()
        let authoriser = try instance.service.authoriser
        func ask(_ opcode: Opcode, _ message: some WireMessage) -> RefusalCode? {
            code { try instance.ask(opcode, message) { _ in true } }
        }
        func may(_ permission: Permission, _ ring: String) -> Bool {
            authoriser.view(of: stranger).allows(permission, on: .ring(ring))
        }
        #expect(ask(.ringCreate, RingCreateRequest(id: "ra", operation: operation(1))) == nil)
        #expect(ask(.accessGrant, grant(2, "Reader", "ring:rb")) == nil)
        #expect(ask(.accessGrant, grant(3, "Reader", "ring:ra")) == nil)
        let revoke = AccessRevokeRequest(id: operation(2), operation: operation(4))
        let delete = RingDeleteRequest(id: "ra", operation: operation(5))
        let give = grant(6, "Writer", "ring:rc")
        try whileUnreadable(instance) {
            // Not acknowledged, and nobody has what may be gone.
            #expect(ask(.accessRevoke, revoke) == .storeUnavailable)
            #expect(!may(.wrap, "rb"))
            #expect(ask(.ringDelete, delete) == .storeUnavailable)
            #expect(!may(.wrap, "ra"))
            #expect(ask(.accessGrant, give) == .storeUnavailable)
            #expect(!may(.createKeys, "rc"))
            // Nor is it when it is asked again.
            #expect(ask(.accessRevoke, revoke) == .storeUnavailable)
            #expect(ask(.ringDelete, delete) == .storeUnavailable)
            #expect(ask(.accessGrant, give) == .storeUnavailable)
        }
        #expect(ask(.accessGrant, give) == nil && may(.createKeys, "rc"))
        #expect(ask(.ringDelete, delete) == nil && ask(.accessRevoke, revoke) == nil)
        #expect(!may(.wrap, "ra") && !may(.wrap, "rb"))
    }

    /// Whoever acknowledges a revoke again has it published: here the snapshot still holds a grant that the database does not.
    @Test func aRepeatedRevokePublishes() async {
        await #expect(processExitsWith: .success) { try AccessLedgerTests.repeatedChild() }
    }

    private static func repeatedChild() throws {
        let instance = try TestInstance()
        let box = try instance.service.authoriser.box
        #expect(try instance.ask(.accessGrant, grant(1, "Reader", "instance")) { _ in true })
        let before = box.current
        let revoke = AccessRevokeRequest(id: operation(1), operation: operation(2))
        #expect(try instance.ask(.accessRevoke, revoke) { _ in true })
        let after = box.current
        box.publish(isVerified: true, grants: before.grants, customRoles: [])
        #expect(try instance.ask(.accessRevoke, revoke) { _ in true })
        #expect(box.current.saysTheSame(as: after))
        // So has who deletes a role again; it is not recorded as deleted twice.
        let role = RoleCreateRequest(name: "Clerk", operation: operation(3), permissions: ["wrap"])
        #expect(try instance.ask(.roleCreate, role) { _ in true })
        let withRole = box.current
        let deletion = RoleDeleteRequest(name: "Clerk")
        #expect(try instance.ask(.roleDelete, deletion) { _ in true })
        box.publish(isVerified: true, grants: withRole.grants, customRoles: withRole.roles.values.filter { !$0.isBuiltIn })
        #expect(box.current.roles["Clerk"] != nil)
        #expect(code { try instance.ask(.roleDelete, deletion) { _ in true } } == .notFound)
        #expect(box.current.roles["Clerk"] == nil)
        let records = try instance.token.store.outbox().map { String(decoding: $0.body, as: UTF8.self) }
        #expect(records.count { $0.contains("\"event\":\"role-delete\"") } == 1)
        // Where nothing counts, a change of grants does not make anything count.
        box.publish(isVerified: false, grants: [], customRoles: [])
        box.refresh(grants: before.grants, customRoles: [])
        #expect(!box.current.isVerified && box.current.grants.isEmpty)
    }

    /// Units whose names are given anew to others.
    @Test func unitsThatDoNotLast() throws {
        for unit in [
            "session-1.scope", "session-c12.scope", "user@1000.service", "run-u7.service", "run-u0.scope", "run-12.service",
            "run-r0d1e2f3a4b5c6d7e8f90a1b2c3d4e5f6.scope", "run-p812-i4031.service",
        ] {
            let subject = try AccessText.subject("unit:\(unit)")
            #expect(
                AccessLedgerTests.code {
                    try AccessText.requireLasting(subject); return true
                } == .invalidValue, "\(unit)")
        }
        for unit in [
            "session-1.service", "payroll.service", "user.service", "getty@tty1.service", "init.scope", "run.service",
            "run-backups.service", "run-r2d2.service", "run-u7-reports.service",
        ] {
            let subject = try AccessText.subject("unit:\(unit)")
            #expect(
                AccessLedgerTests.code {
                    try AccessText.requireLasting(subject); return true
                } == nil, "\(unit)")
        }
    }

    /// A grant that nobody can meet is no administrator, whatever it was pinned to: lists and the rule of the last one say what decides.
    @Test func theLastAdministratorIsOneWhoCanComeIn() throws {
        let directory = try TemporaryDirectory()
        let store = try Store(directory: directory.path, create: true)
        let names = Mutex<[UInt32: String]>([1: "ann"])
        let fails = Mutex(false)
        let authoriser = Authoriser(
            ownUser: 990, unlockGroup: nil,
            accounts: AccountCache(memory: 0) { (_, number) throws(AccountCache.LookupFailure) in
                if fails.withLock({ $0 }) { throw AccountCache.LookupFailure() }
                return names.withLock { $0[number] }
            })
        let ledger = AccessLedger(
            store: store, authoriser: authoriser, log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        try ledger.load()
        func give(_ id: UInt64, _ user: UInt32, _ name: String?) throws {
            let subject = try #require(Subject(user: Subject.Account(number: user, name: name)))
            _ = try ledger.grant(
                Grant(
                    id: GrantID(high: 0, low: id), subject: subject, role: "Administrator", scope: .instance, created: id,
                    createdBy: "test"), by: TestInstance.root)
        }
        func revoke(_ id: UInt64) -> RefusalCode? {
            AccessLedgerTests.code {
                _ = try ledger.revoke(GrantID(high: 0, low: id), operation: OperationID(high: 1, low: id), by: TestInstance.root)
                return true
            }
        }
        func trouble(_ id: UInt64) throws -> String? {
            let snapshot = authoriser.box.current
            let grant = try #require(snapshot.grants.first { $0.id == GrantID(high: 0, low: id) })
            return grant.record(now: 100, authoriser.accounts, roles: snapshot.roles).trouble
        }
        try give(1, 1, "ann")
        try give(2, 2, nil)
        #expect(try trouble(1) == nil && trouble(2) == nil)
        // Somebody got the number: then that grant is nobody's, and ann is the last one.
        names.withLock { $0[2] = "bob" }
        #expect(try trouble(2)?.contains("user 2 had no name when this was granted and is 'bob' today") == true)
        #expect(revoke(1) == .lastAdministrator)
        names.withLock { $0[2] = nil }
        #expect(try trouble(2) == nil)
        // A group without a name is no better.
        try give(3, 3, "carol")
        names.withLock { $0[3] = "carol" }
        #expect(try trouble(3) == nil)
        // While nobody can tell who is who, what was known counts on; of whom nothing was ever known, nobody is the last one for sure.
        fails.withLock { $0 = true }
        try give(4, 4, "dave")
        #expect(try trouble(4)?.contains("does not tell") == true)
        #expect(revoke(1) == nil && revoke(2) == nil)
        #expect(revoke(3) == .lastAdministrator, "dave may be nobody")
        fails.withLock { $0 = false }
        names.withLock { $0[4] = "dave" }
        #expect(revoke(3) == nil && revoke(4) == .lastAdministrator)
    }
}
