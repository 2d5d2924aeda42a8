import ClavigerWire
import Cryptoki
import Glibc
import Support
import Testing

@testable import ClavigerCore

/// The signed head: a database that was edited, replaced or put back is refused, whatever was done to it.
@Suite struct HeadTests {
    /// Has a worker do one request; what is refused is thrown.
    private static func send(_ instance: TestInstance, _ opcode: Opcode, _ message: some WireMessage) throws {
        let isDone = try instance.ask(opcode, message) { _ in true }
        #expect(isDone)
    }

    /// Edits the database as another program would.
    static func edit(_ instance: TestInstance, _ sql: String) throws {
        let connection = try SQLiteConnection(path: instance.configuration.stateDirectory + "/" + Store.fileName, create: false)
        try connection.execute(sql)
    }

    /// Copies the database, which nobody has open, to or from a place beside it.
    static func copy(_ instance: TestInstance, back: Bool) throws {
        let path = instance.configuration.stateDirectory + "/" + Store.fileName
        let (from, to) = back ? (path + ".old", path) : (path, path + ".old")
        for suffix in ["-wal", "-shm"] { unlink(path + suffix) }
        let bytes = try Files.read(from)
        try Files.replace(to, with: bytes.span.bytes, mode: 0o600)
    }

    static let edits = [
        "UPDATE key SET state = 1, name = 'other'", "UPDATE key SET ring = 'r2'", "DELETE FROM access_begun",
        "DELETE FROM access_grant WHERE role = 'Auditor'", "UPDATE access_grant SET user_number = 61001, user_name = NULL",
        "INSERT INTO access_role (name, summary, permissions, created_ms, created_by, created_uid, operation) VALUES ('X', '', 'wrap', 1, '', 0, x'')",
        "UPDATE key_version SET state = 1", "UPDATE head SET epoch = epoch + 1", "UPDATE head SET signature = x'00'",
        "UPDATE head SET signature = x''", "UPDATE head SET digest = zeroblob(32)", "DELETE FROM head",

        "UPDATE instance SET token_label = 'x'", "INSERT INTO ring (id, created_ms, created_by) VALUES ('mine', 1, '')",
        "CREATE TRIGGER t AFTER UPDATE ON key BEGIN DELETE FROM access_role; END", "CREATE TABLE more (a INTEGER)",
    ]

    @Test(arguments: HeadTests.edits) func anEditIsNoticed(sql: String) async {
        await #expect(processExitsWith: .success) { [sql = sql as String] in
            try HeadTests.anEditIsNoticedChild(sql)
        }
    }

    private static func anEditIsNoticedChild(_ sql: String) throws {
        let instance = try TestInstance()
        _ = try instance.perform(TestInstance.change(1, .keyCreate, .create(TestInstance.key("key"))))
        try instance.restart()
        #expect(try instance.status.state == .ready)
        try instance.restart { try HeadTests.edit(instance, sql) }
        let status = try instance.status
        #expect(status.state == .needsOperator && status.reason.contains("accept-rollback"), "\(sql): \(status)")
        // Nothing of it counts, not even for root.
        #expect(throws: Refusal.self) { try HeadTests.send(instance, .accessList, AccessListRequest()) }
        try HeadTests.send(instance, .acceptRollback, EmptyMessage())
        #expect(try instance.status.state == .ready, "\(sql)")
        try instance.restart()
        #expect(try instance.status.state == .ready, "\(sql)")
    }

    /// What no signature covers may change: counters are raised while keys are used, without the token.
    @Test func countersAreOutside() async {
        await #expect(processExitsWith: .success) {
            try HeadTests.countersAreOutsideChild()
        }
    }

    private static func countersAreOutsideChild() throws {
        let instance = try TestInstance()
        _ = try instance.perform(TestInstance.change(1, .keyCreate, .create(TestInstance.key("key"))))
        try instance.restart {
            try HeadTests.edit(instance, "UPDATE key_version SET wraps_reserved = wraps_reserved + 65536")
        }
        #expect(try instance.status.state == .ready)
    }

    /// A whole older database, genuine in itself, is refused once anything happened since: even a mere restart.
    @Test func anOlderDatabaseIsRefused() async {
        await #expect(processExitsWith: .success) {
            try HeadTests.anOlderDatabaseIsRefusedChild()
        }
    }

    private static func anOlderDatabaseIsRefusedChild() throws {
        let instance = try TestInstance()
        try instance.restart { try HeadTests.copy(instance, back: false) }
        #expect(try instance.status.state == .ready)
        try instance.restart { try HeadTests.copy(instance, back: true) }
        let status = try instance.status
        #expect(status.state == .needsOperator && status.reason.contains("older than the token remembers"), "\(status)")
        #expect(throws: Refusal.self) {
            try instance.perform(TestInstance.change(1, .keyCreate, .create(TestInstance.key("key"))))
        }
        try HeadTests.send(instance, .acceptRollback, EmptyMessage())
        #expect(try instance.status.state == .ready)
        #expect(throws: Refusal.self) { try HeadTests.send(instance, .acceptRollback, EmptyMessage()) }
        try instance.restart()
        #expect(try instance.status.state == .ready)
    }

    /// The token remembers one epoch at a time, that of the newest head.
    @Test func theTokenRemembersTheNewest() async {
        await #expect(processExitsWith: .success) {
            try HeadTests.theTokenRemembersTheNewestChild()
        }
    }

    private static func anchors(_ instance: TestInstance) throws -> [UInt64] {
        let token = try instance.token
        let id = token.instance.id
        let found = try token.manage { (session, _) throws(CryptokiError) -> [EpochAnchor] in
            try EpochAnchor.find(id, &session)
        }
        return try #require(found).map(\.epoch)
    }

    private static func theTokenRemembersTheNewestChild() throws {
        let instance = try TestInstance()
        #expect(try HeadTests.anchors(instance) == [instance.token.store.headEpoch])
        try HeadTests.send(
            instance, .accessGrant,
            AccessGrantRequest(
                subject: "unit:a.service", operation: OperationID(high: 5, low: 5), role: "Reader", scope: "instance"))
        #expect(try HeadTests.anchors(instance) == [instance.token.store.headEpoch])
        #expect(try instance.token.isAnchored)
        // Left by a crash between making the new one and removing the old.
        let id = try instance.token.instance.id
        _ = try instance.token.manage { (session, _) throws(CryptokiError) in
            try EpochAnchor.make(1, id, &session)
        }
        try instance.restart()
        #expect(try instance.status.state == .ready)
        #expect(try HeadTests.anchors(instance) == [instance.token.store.headEpoch])
        // Its file is told whole from cut off, like a key's.
        let keys = try instance.objectFiles()
        let files = try #require(instance.token.files)
        let file = try #require(try files.objects().subtracting(keys).first)
        let whole = try Files.read(file)
        #expect(TokenFiles.parses(whole))
        for count in 0..<whole.count {
            #expect(!TokenFiles.parses(Array(whole.prefix(count))), "\(count) of \(whole.count) bytes")
        }
    }

    /// A change made while the token is away counts at once and is signed when it is back; lost between, it takes an operator.
    @Test func changesWithoutTheToken() async {
        await #expect(processExitsWith: .success) {
            try HeadTests.changesWithoutTheTokenChild()
        }
    }

    private static func grantAway(_ instance: TestInstance, _ id: UInt64) throws {
        try instance.token.declareLost("test")
        try instance.token.detach()
        try HeadTests.send(
            instance, .accessGrant,
            AccessGrantRequest(
                subject: "unit:a.service", operation: OperationID(high: 5, low: id), role: "Reader", scope: "instance"))
        #expect(try instance.token.store.head()?.signature.isEmpty == true)
    }

    private static func changesWithoutTheTokenChild() throws {
        let instance = try TestInstance()
        try HeadTests.grantAway(instance, 1)
        try instance.token.attach(presented: nil)
        #expect(try instance.status.state == .ready)
        #expect(try instance.token.store.head()?.signature.isEmpty == false)
        try HeadTests.grantAway(instance, 2)
        try instance.restart()
        let status = try instance.status
        #expect(status.state == .needsOperator && status.reason.contains("while the token was away"), "\(status)")
    }

    /// A row that another program writes while the daemon runs is neither believed nor signed, at the next change or the next look.
    @Test(arguments: [true, false]) func anEditWhileItRuns(byChange: Bool) async {
        await #expect(processExitsWith: .success) { [byChange = byChange as Bool] in
            try HeadTests.anEditWhileItRunsChild(byChange)
        }
    }

    private static let forged = """
        INSERT INTO access_grant (id, user_number, role, scope, condition, created_ms, created_by, created_uid)
        VALUES (x'00112233445566778899aabbccddeeff', 61009, 'Manager', 0, x'', 1, '', 0)
        """

    private static func anEditWhileItRunsChild(_ byChange: Bool) throws {
        let instance = try TestInstance()
        let stranger = Caller(pid: 1, uid: 61_009, gid: 61_009, groups: [], unit: nil, pidfdVerified: true)
        func grant(_ number: UInt64) throws {
            try HeadTests.send(
                instance, .accessGrant,
                AccessGrantRequest(
                    subject: "unit:a.service", operation: OperationID(high: 5, low: number), role: "Reader", scope: "instance"))
        }
        try grant(1)
        let epoch = try instance.token.store.headEpoch
        try HeadTests.edit(instance, forged)
        if byChange {
            #expect(throws: Refusal.self) { try grant(2) }
        } else {
            #expect(throws: Refusal.self) { try HeadTests.send(instance, .ringList, PageRequest()) }
        }
        #expect(try instance.token.store.headEpoch == epoch)
        #expect(throws: Refusal.self) { try instance.ask(.keyList, KeyListRequest(), as: stranger) { _ in true } }
        // The next binding finds it too, whoever it is that begins it.
        try instance.token.attach(presented: nil)
        let status = try instance.status
        #expect(status.state == .needsOperator && status.reason.contains("somebody else than the daemon"), "\(status)")
        #expect(throws: Refusal.self) { try grant(3) }
        #expect(throws: Refusal.self) { try instance.ask(.keyList, KeyListRequest(), as: stranger) { _ in true } }
        #expect(throws: (any Error).self) {
            try instance.token.store.transaction { c throws(StoreError) in
                try c.execute("DELETE FROM ring; INSERT INTO ring (id, created_ms, created_by) VALUES ('x', 1, '')")
            }
        }
        try HeadTests.edit(instance, "DELETE FROM access_grant WHERE user_number = 61009")
        try instance.token.attach(presented: nil)
        #expect(try instance.status.state == .ready)
        try grant(4)
    }

    /// Who takes the token's memory away does not make an older database believed: its signature says that there was one.
    @Test func aLostAnchorIsNoticed() async {
        await #expect(processExitsWith: .success) { try HeadTests.aLostAnchorIsNoticedChild() }
    }

    private static func aLostAnchorIsNoticedChild() throws {
        let instance = try TestInstance()
        // As it is after its very first start, and as it is later.
        for round in UInt64(0)..<2 {
            try instance.restart { try HeadTests.copy(instance, back: false) }
            try HeadTests.send(
                instance, .accessGrant,
                AccessGrantRequest(
                    subject: "unit:a.service", operation: OperationID(high: 5, low: round), role: "Reader", scope: "instance"))
            let files = try #require(try instance.token.files)
            let keys = try instance.objectFiles()
            // Nothing remembers now that this is the older one of two.
            try instance.restart {
                for file in try files.objects().subtracting(keys) { unlink(file) }
                try HeadTests.copy(instance, back: true)
            }
            let status = try instance.status
            #expect(status.state == .needsOperator && status.reason.contains("lost its memory"), "\(status)")
            try HeadTests.send(instance, .acceptRollback, EmptyMessage())
            #expect(try instance.status.state == .ready)
            try instance.restart()
            #expect(try instance.status.state == .ready)
        }
    }

    /// Without a memory on the token a database is not believed for having no signature at all.
    @Test func noSignatureIsNoWayIn() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            _ = try instance.perform(TestInstance.change(1, .keyCreate, .create(TestInstance.key("key"))))
            let files = try #require(try instance.token.files)
            let keys = try instance.objectFiles()
            try instance.restart {
                for file in try files.objects().subtracting(keys) { unlink(file) }
                try HeadTests.edit(instance, "DELETE FROM head")
            }
            let status = try instance.status
            #expect(status.state == .needsOperator && status.reason.contains("has no signature"), "\(status)")
        }
    }

    /// A public object, which some tokens let anybody make, says nothing; neither does an epoch from beyond all counting.
    @Test func aForgedAnchorSaysNothing() async {
        await #expect(processExitsWith: .success) { try HeadTests.aForgedAnchorChild() }
    }

    private static func aForgedAnchorChild() throws {
        let instance = try TestInstance()
        let id = try instance.token.instance.id
        for (isPrivate, epoch) in [(false, UInt64(1) << 40), (false, .max), (true, .max), (true, Head.maximumEpoch)] {
            _ = try instance.token.manage { (session, _) throws(CryptokiError) in
                try session.createObject([
                    .objectClass(.data), .bool(.token, true), .bool(.private, isPrivate), .label(EpochAnchor.label(id)),
                    .text(.application, "claviger"), .bytes(.value, EpochAnchor.value(epoch, id)), .bool(.modifiable, false),
                ])
            }
            // A stop would clear it away.
            try instance.token.attach(presented: nil)
            #expect(try instance.status.state == .ready)
        }
        // Likewise in the database, where it is refused and can be accepted by order.
        try instance.restart { try HeadTests.edit(instance, "UPDATE head SET epoch = -1") }
        #expect(try instance.status.state == .needsOperator)
        try HeadTests.send(instance, .acceptRollback, EmptyMessage())
        #expect(try instance.status.state == .ready)
        try instance.restart()
        #expect(try instance.status.state == .ready)
    }
}
