import ClavigerWire
import Glibc
import Testing

@testable import ClavigerCore

@Suite struct StoreTests {
    static let key = KeyID(high: 1, low: 2)
    static let answer = KnownAnswer(ciphertext: [1, 2, 3], digest: [4, 5])

    static func intent(
        _ operation: UInt64, opcode: Opcode = .keyCreate, version: UInt32 = 1, created: UInt64 = 1_000
    ) -> Intent {
        Intent(
            operation: OperationID(high: 9, low: operation), uid: .max, opcode: opcode, bodyDigest: [1, 2, 3], key: key,
            name: "a 'name'; --", version: version, suite: .aesGCM, created: created, state: .open, reply: [])
    }

    static func stored(_ version: UInt32) -> (StoredKey, StoredVersion) {
        (
            StoredKey(id: key, name: "a", state: .active, created: 5, version: version),
            StoredVersion(
                key: key, version: version, suite: .aesGCM, created: 6, knownAnswer: answer, wrapsReserved: WrapBudget.block)
        )
    }

    /// Makes a database file by hand.
    private func makeDatabase(_ directory: TemporaryDirectory, _ sql: String) throws {
        try SQLiteConnection(path: directory.file(Store.fileName), create: true).execute(sql)
    }

    private func refusal(_ directory: String, create: Bool = true) -> StoreError? {
        do throws(StoreError) {
            _ = try Store(directory: directory, create: create)
            return nil
        } catch {
            return error
        }
    }

    @Test func aMissingDatabaseIsMadeOnlyWhenAskedFor() throws {
        let directory = try TemporaryDirectory()
        #expect(refusal(directory.path, create: false) == .missing(path: directory.file("claviger.db")))
        #expect(try Files.list(directory.path).isEmpty)
        #expect(refusal(directory.path) == nil)
        #expect(try #require(Files.status(directory.file("claviger.db"))).st_mode & 0o777 == 0o600)
        #expect(refusal(directory.path, create: false) == nil)
    }

    @Test func whatIsWrittenIsThereAfterReopening() throws {
        let directory = try TemporaryDirectory()
        let instance = InstanceRecord(
            id: InstanceID(high: 3, low: 4), created: 7, tokenLabel: "l", tokenManufacturer: "m", tokenModel: "o",
            tokenSerial: "s\"'", isComplete: false)
        let canary = InstanceKeyRecord(role: .canary, version: 1, suite: .aesGCM, created: 8, knownAnswer: StoreTests.answer)
        let (key, version) = StoreTests.stored(1)
        let intent = StoreTests.intent(1)
        do {
            let store = try Store(directory: directory.path, create: true)
            #expect(try store.instance() == nil)
            try store.insertInstance(instance)
            try store.insertInstanceKey(canary)
            try store.begin(intent, forgetBefore: 0)
            try store.commit(intent, key: key, from: nil, version: version, reply: [7, 7], note: nil)
            #expect(throws: StoreError.self) { try store.insertInstance(instance) }
        }
        let store = try Store(directory: directory.path, create: false)
        #expect(try store.instance() == instance)
        try store.completeInstance()
        #expect(try store.instance()?.isComplete == true)
        #expect(try store.instanceKeys() == [canary])
        #expect(try store.keys() == [key])
        #expect(try store.key(key.id) == key)
        #expect(try store.key(KeyID(high: 0, low: 0)) == nil)
        #expect(try store.versions() == [version])
        var done = intent
        done.state = .done
        done.reply = [7, 7]
        #expect(try store.intent(intent.operation) == done)
    }

    /// A key that was deleted before deletions had dates of their own gets those that the settings gave it.
    @Test func deletionsOfAnOlderSchemaGetTheirDates() throws {
        let directory = try TemporaryDirectory()
        let known = try #require(Migrations.steps.firstIndex(of: Migrations.deletions))
        let key = { (id: String, deleted: String) in
            "INSERT INTO key (id, name, state, created_ms, version, deleted_ms) VALUES (\(id), 'k', 5, 1, 1, \(deleted));"
        }
        try makeDatabase(
            directory,
            Migrations.steps[..<known].joined()
                + "PRAGMA application_id = \(Migrations.applicationID); PRAGMA user_version = \(known);"
                + "INSERT INTO setting VALUES ('auto-purge', 8000000, 1, '');"
                + key("x'00000000000000000000000000000001'", "5000") + key("x'00000000000000000000000000000002'", "NULL"))
        let store = try Store(directory: directory.path, create: false)
        let deleted = try #require(try store.key(KeyID(high: 0, low: 1)))
        #expect(deleted.restorableUntil == 5_000 + 2_592_000_000 && deleted.purgeableFrom == 5_000 + 14_400_000)
        #expect(deleted.purgedFrom == 5_000 + 8_000_000_000)
        let other = try #require(try store.key(KeyID(high: 0, low: 2)))
        #expect(other.restorableUntil == nil && other.purgeableFrom == nil && other.purgedFrom == nil)
    }

    @Test func aNewerSchemaIsRefusedAndLeftAlone() throws {
        let directory = try TemporaryDirectory()
        _ = try Store(directory: directory.path, create: true)
        let known = Migrations.steps.count
        try makeDatabase(directory, "PRAGMA user_version = \(known + 1); CREATE TABLE of_the_future (x)")
        let before = try Files.read(directory.file(Store.fileName))
        for create in [true, false] {
            #expect(
                refusal(directory.path, create: create)
                    == .newer(path: directory.file(Store.fileName), found: known + 1, known: known))
        }
        #expect(try Files.read(directory.file(Store.fileName)) == before)
    }

    @Test(arguments: [
        "PRAGMA application_id = 7; CREATE TABLE theirs (x)", "CREATE TABLE theirs (x)",
        "PRAGMA user_version = 1; CREATE TABLE theirs (x)",
        "PRAGMA application_id = \(Migrations.applicationID); PRAGMA user_version = -1",
        "PRAGMA user_version = 1",
    ])
    func anotherProgramsDatabaseIsRefusedAndLeftAlone(sql: String) throws {
        let directory = try TemporaryDirectory()
        try makeDatabase(directory, sql)
        let before = try Files.read(directory.file(Store.fileName))
        for create in [true, false] {
            guard case .unreadable? = refusal(directory.path, create: create) else {
                Issue.record("opened, create \(create)")
                return
            }
        }
        #expect(try Files.read(directory.file(Store.fileName)) == before)
    }

    @Test func whatIsNoDatabaseIsRefusedAndLeftAlone() throws {
        let directory = try TemporaryDirectory()
        var random = SeededGenerator(seed: 5)
        let content = random.bytes(8_192)
        try overwrite(directory.file(Store.fileName), content)
        for create in [true, false] {
            guard case .unreadable? = refusal(directory.path, create: create) else {
                Issue.record("opened, create \(create)")
                return
            }
        }
        #expect(try Files.read(directory.file(Store.fileName)) == content)
    }

    @Test func aDirectoryThatCannotBeWrittenIsAnErrorThatNamesIt() {
        // Nobody, not even root, makes files below /proc.
        guard case .unreadable(let path, let reason)? = refusal("/proc") else {
            Issue.record("made a database in /proc")
            return
        }
        #expect(path == "/proc/claviger.db" && !reason.isEmpty)
    }

    /// A run that was killed between making the file and making the schema.
    @Test func anEmptyFileIsTakenUpByWhoMayCreate() throws {
        let directory = try TemporaryDirectory()
        try overwrite(directory.file(Store.fileName), [])
        guard case .unreadable? = refusal(directory.path, create: false) else {
            Issue.record("an empty file passed for a database")
            return
        }
        #expect(refusal(directory.path) == nil)
        #expect(refusal(directory.path, create: false) == nil)
    }

    // MARK: intents

    @Test func anIntentFailsAndIsBegunAgain() throws {
        let directory = try TemporaryDirectory()
        let store = try Store(directory: directory.path, create: true)
        let first = StoreTests.intent(1)
        try store.begin(first, forgetBefore: 0)
        #expect(try store.intent(first.operation) == first)
        #expect(try store.openIntents() == [first])
        try store.fail(first.operation)
        #expect(try store.intent(first.operation)?.state == .failed)
        #expect(try store.openIntents().isEmpty)
        var again = first
        again.key = KeyID(high: 5, low: 5)
        again.created = 2_000
        try store.begin(again, forgetBefore: 0)
        #expect(try store.openIntents() == [again])
        #expect(try store.intent(OperationID(high: 0, low: 0)) == nil)
    }

    @Test func openIntentsComeOldestFirstAndAreNeverForgotten() throws {
        let directory = try TemporaryDirectory()
        let store = try Store(directory: directory.path, create: true)
        for (operation, created) in [(1, 300), (2, 100), (3, 200)] as [(UInt64, UInt64)] {
            try store.begin(StoreTests.intent(operation, created: created), forgetBefore: 0)
        }
        #expect(try store.openIntents().map(\.created) == [100, 200, 300])
        try store.fail(OperationID(high: 9, low: 2))
        try store.begin(StoreTests.intent(4, created: 900), forgetBefore: 250)
        #expect(try store.intent(OperationID(high: 9, low: 2)) == nil)
        #expect(try store.openIntents().map(\.created) == [200, 300, 900])
    }

    @Test func onlyTheNextVersionIsCommitted() throws {
        let directory = try TemporaryDirectory()
        let store = try Store(directory: directory.path, create: true)
        func commit(_ operation: UInt64, _ number: UInt32) throws {
            let intent = StoreTests.intent(operation, opcode: number == 1 ? .keyCreate : .keyRotate, version: number)
            try store.begin(intent, forgetBefore: 0)
            let (key, version) = StoreTests.stored(number)
            var before: StoredKey?
            if number > 1 {
                before = try store.key(key.id) ?? StoreTests.stored(number - 1).0
            }
            try store.commit(intent, key: key, from: before, version: version, reply: [UInt8(operation)], note: nil)
        }
        #expect(throws: StoreError.self) { try commit(1, 2) }
        try commit(2, 1)
        #expect(throws: StoreError.self) { try commit(3, 1) }
        try commit(4, 2)
        // The second of two rotations that both mean to make version 2, and one that leaves a version out.
        #expect(throws: StoreError.self) { try commit(5, 2) }
        #expect(throws: StoreError.self) { try commit(6, 4) }
        // What failed has left nothing: no version, no answer, and its intent open for whoever settles it.
        #expect(try store.keys().map(\.version) == [2])
        #expect(try store.versions().map(\.version) == [1, 2])
        for operation in [1, 3, 5, 6] as [UInt64] {
            let intent = try store.intent(OperationID(high: 9, low: operation))
            #expect(intent?.state == .open && intent?.reply == [])
        }
        try commit(7, 3)
    }

    @Test func reservationsOnlyRise() throws {
        let directory = try TemporaryDirectory()
        let store = try Store(directory: directory.path, create: true)
        let intent = StoreTests.intent(1)
        try store.begin(intent, forgetBefore: 0)
        let (key, version) = StoreTests.stored(1)
        try store.commit(intent, key: key, from: nil, version: version, reply: [], note: nil)
        for (asked, expected) in [(1 << 31, 1 << 31), (5, 1 << 31), (1 << 32, 1 << 32)] as [(UInt64, UInt64)] {
            try store.reserveWraps(key.id, 1, upTo: asked)
            #expect(try Store(directory: directory.path, create: false).versions()[0].wrapsReserved == expected)
        }
        #expect(throws: StoreError.self) { try store.reserveWraps(key.id, 2, upTo: 1) }
        #expect(throws: StoreError.self) { try store.reserveWraps(KeyID(high: 0, low: 0), 1, upTo: 1) }
    }

    /// Durable before use: at every moment the database holds at least what has been taken.
    @Test func theDatabaseIsNeverBehindTheCounter() throws {
        let directory = try TemporaryDirectory()
        let store = try Store(directory: directory.path, create: true)
        let intent = StoreTests.intent(1)
        try store.begin(intent, forgetBefore: 0)
        let (key, version) = StoreTests.stored(1)
        try store.commit(intent, key: key, from: nil, version: version, reply: [], note: nil)
        try store.reserveWraps(key.id, 1, upTo: WrapBudget.rotateAt - WrapBudget.block)
        let other = try Store(directory: directory.path, create: false)
        var used = try other.versions()[0].wrapsReserved
        let counter = WrapCounter(reserved: used)
        var firstAsked: UInt64?
        for _ in 0..<Int(WrapBudget.block) + 2 {
            let isDue = try counter.take { (reserved) throws(Refusal) in
                do throws(StoreError) { try store.reserveWraps(key.id, 1, upTo: reserved) } catch {
                    throw Refusal(.storeUnavailable)
                }
            }
            used += 1
            if isDue && firstAsked == nil { firstAsked = used }
            // Reading the other connection's view is slow, so look where it matters: around the blocks' borders.
            if used % WrapBudget.block < 3 { #expect(try other.versions()[0].wrapsReserved >= used) }
        }
        #expect(firstAsked == WrapBudget.rotateAt + 1)
    }

    @Test func theQuarantineRemembersWhenItFirstSaw() throws {
        let directory = try TemporaryDirectory()
        let store = try Store(directory: directory.path, create: true)
        let a = QuarantineRecord(objectID: [1], label: "a", reason: "r")
        let b = QuarantineRecord(objectID: [2], label: "b", reason: "r")
        try store.setQuarantine([b], now: 10)
        try store.setQuarantine([a, b], now: 20)
        #expect(try store.quarantined() == [b, a])
        try store.setQuarantine([a], now: 30)
        #expect(try store.quarantined() == [a])
        try store.setQuarantine([], now: 40)
        #expect(try store.quarantined().isEmpty)
    }

    @Test func rowsThatNoVersionWritesAreErrorsAndNotTraps() throws {
        let directory = try TemporaryDirectory()
        let store = try Store(directory: directory.path, create: true)
        let intent = StoreTests.intent(1, created: .max)
        try store.begin(intent, forgetBefore: .max)
        #expect(try store.openIntents() == [intent])
        let (key, version) = StoreTests.stored(1)
        var strange = key
        strange.created = .max
        strange.updated = .max
        try store.commit(intent, key: strange, from: nil, version: version, reply: [], note: nil)
        #expect(try store.keys() == [strange])
        try makeDatabase(directory, "UPDATE key_version SET suite = 9; UPDATE intent SET opcode = 0")
        #expect(throws: StoreError.self) { try store.versions() }
        #expect(throws: StoreError.self) { try store.intent(intent.operation) }
        try makeDatabase(directory, "UPDATE key SET state = 200")
        #expect(throws: StoreError.self) { try store.keys() }
    }
}
