import ClavigerWire
import Glibc
import Support
import Testing

@testable import ClavigerCore

/// What happens by itself, done by the thread that waits for its moment.
@Suite struct HousekeeperTests {
    /// The thread sleeps until something is due: it is woken by the change that makes it so, and by nothing else.
    @Test func theThreadDoesWhatIsDueWhenTheClockSaysSo() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            let service = try instance.service
            let token = try instance.token
            let threads = [Worker { service.housekeeper.run() }, Worker { token.supervise() }]
            let store = token.store
            func waitFor(_ what: String, _ condition: () throws -> Bool) throws {
                let deadline = Clock.monotonic() + 60_000_000_000
                while try !condition() {
                    guard Clock.monotonic() < deadline else { throw Refusal(.deadline, what) }
                    // A test's clock does not run by itself, and moving it wakes nobody.
                    instance.clock.advance(1)
                    service.ledger.alarm.ring()
                    usleep(2_000)
                }
            }
            let day: UInt64 = 86_400_000
            let end = instance.clock.now + day
            let key = try instance.create { $0.expires = end }.id
            instance.clock.set(end)
            try waitFor("expiry") { try store.key(key)?.state == .deactivated }
            try instance.delete(key)
            let files = try instance.objectFiles().count
            instance.clock.advance(30 * day + 1)
            try waitFor("wipe") { try store.key(key)?.isWiped == true }
            try waitFor("destruction") { try instance.objectFiles().count == files - 1 && store.destroyOrders().isEmpty }
            instance.clock.advance(60 * day)
            try waitFor("purge") { try store.keys().isEmpty }
            let rotated = try instance.create { $0.rotationMonths = 1 }.id
            instance.clock.advance(30 * day)
            // Not in the database alone: what is wrapped between its commit and its publication is the old version's.
            try waitFor("rotation") { service.snapshots.current.keys[rotated]?.current.number == 2 }
            // Uses are written within a minute, and what is counted last when it stops.
            _ = try instance.wrap([1], rotated)
            instance.clock.advance(60_000)
            try waitFor("uses") { try store.uses().contains { $0.key == rotated && $0.counts.wraps == 1 } }
            _ = try instance.wrap([1], rotated)
            service.housekeeper.stop()
            token.stopSupervising()
            for thread in threads { thread.join() }
            #expect(try store.uses().contains { $0.key == rotated && $0.counts.wraps == 2 })
        }
    }

    @Test func approvalsLeasesAndImportTokensEndAtTheirMoment() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            let key = try instance.create().id
            var message = RegistrationSetRequest(key: .id(key), operation: TestInstance.operation(), resource: "db")
            message.lease = 5_000
            try instance.ask(.registrationSet, message) { _ in }
            message.operation = TestInstance.operation()
            message.resource = "other"
            message.lease = 0
            try instance.ask(.registrationSet, message) { _ in }
            let now = instance.clock.now
            let store = try instance.token.store
            let pair = ObjectName(key: KeyID(high: 3, low: 3), version: 1, role: .importPair)
            try store.transaction { connection throws(StoreError) in
                try connection.write(
                    StoredApproval(
                        id: ApprovalID(high: 1, low: 1), action: .delete, key: key, body: [0], reason: "", requester: "",
                        requesterUID: 0, created: now, expires: now + 6_000))
                try connection.run(
                    "INSERT INTO import_token VALUES (?, 0, '', ?, 1, 0, x'', 1, 0)",
                    [.blob(KeyID(high: 3, low: 3).bytes), .integer(Int64(now + 7_000))])
            }
            func state() throws -> [Int64] {
                try store.withConnection { connection throws(StoreError) in
                    var found: [Int64] = []
                    for query in [
                        "SELECT count(*) FROM registration", "SELECT state FROM approval", "SELECT state FROM import_token",
                    ] {
                        try connection.run(query) { row throws(StoreError) in found.append(row.integer(0)) }
                    }
                    return found
                }
            }
            let expectations: [(UInt64, [Int64])] = [
                (4_999, [2, 0, 0]), (5_000, [1, 0, 0]), (5_999, [1, 0, 0]), (6_000, [1, 3, 0]), (6_999, [1, 3, 0]),
                (7_000, [1, 3, 1]),
            ]
            for (moment, expected) in expectations {
                instance.clock.set(now + moment)
                try instance.service.housekeeper.sweep()
                #expect(try state() == expected)
            }
            #expect(try instance.show(key).registrations == 1)
            #expect(try store.destroyOrders().map(\.objectID) == [pair.objectID])
        }
    }

    /// What happens by itself leaves its record as what is asked for does.
    @Test func expiryAndRotationByPolicyAreRecorded() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            let end = instance.clock.now + 1_000
            let key = try instance.create { $0.expires = end }.id
            let rotated = try instance.create { $0.rotationMonths = 1 }.id
            instance.clock.advance(31 * 86_400_000)
            try instance.keepHouse()
            #expect(try instance.show(key).state == .deactivated && instance.show(rotated).version == 2)
            let records = try instance.token.store.outbox().map { String(decoding: $0.body, as: UTF8.self) }
            func one(_ event: String, _ key: KeyID) -> String {
                let found = records.filter { $0.contains("\"event\":\"\(event)\"") && $0.contains("\"id\":\"\(key)\"") }
                #expect(found.count == 1, "\(event): \(records)")
                return found.first ?? ""
            }
            for record in [one("key-expire", key), one("key-rotate", rotated)] {
                #expect(record.contains("\"initiator\":{\"id\":\"claviger\"}"), "\(record)")
                #expect(record.contains("\"initialValue\"") && record.contains("\"newValue\""), "\(record)")
            }
            #expect(one("key-rotate", rotated).contains("policy"), "\(one("key-rotate", rotated))")
        }
    }

    @Test func theAlarmRingsForTheEarliestMoment() {
        let clock = TestClock()
        clock.set(1_000)
        let alarm = Alarm(time: clock.source)
        #expect(!alarm.isDue)
        alarm.set(for: 5_000)
        alarm.set(for: 3_000)
        alarm.set(for: 4_000)
        clock.set(2_999)
        #expect(!alarm.isDue)
        clock.set(3_000)
        #expect(alarm.isDue)
        // What is due is not waited for.
        alarm.wait()
        alarm.clear()
        #expect(!alarm.isDue)
        alarm.setSoon()
        clock.advance(Alarm.settling)
        #expect(alarm.isDue)
    }

    /// A token that is away keeps nothing here from happening, and a rotation that failed comes back on its own.
    @Test func withoutATokenAllButRotationsGoesOn() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            let end = instance.clock.now + 1_000
            let key = try instance.create { $0.expires = end }.id
            let rotated = try instance.create { $0.rotationMonths = 1 }.id
            let token = try instance.token
            token.declareLost("a test")
            // What needs no token does not wait for it.
            #expect(try instance.update(key) { $0.description = "lost" }.description == "lost")
            instance.clock.set(end)
            try instance.keepHouse()
            #expect(try instance.show(key).state == .deactivated)
            #expect(try token.store.key(key)?.state == .deactivated)
            #expect(try instance.delete(key).isDone)
            instance.clock.advance(30 * 86_400_000)
            try instance.keepHouse()
            #expect(try instance.show(rotated).version == 1)
            token.attach(presented: nil)
            // Tried again after a quarter of an hour, spread by a quarter of that.
            try instance.keepHouse()
            #expect(try instance.show(rotated).version == 1)
            instance.clock.advance(20 * 60_000)
            try instance.keepHouse()
            #expect(try instance.show(rotated).version == 2)
        }
    }
}
