import ClavigerWire
import Cryptoki
import Glibc
import Support
import Synchronization
import Testing

@testable import ClavigerCore

/// Objects go by committed orders only, when nobody holds their handles, and whatever happens in between.
@Suite struct DestroyOrderTests {
    @Test func whatARestartFindsOrderedIsDestroyedAndNothingElse() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            let kept = try instance.create("kept").id
            let key = try instance.create("gone").id
            try instance.rotate(key)
            // An object that nobody ordered to be destroyed and no record speaks of.
            try instance.makeObject(ObjectName(key: KeyID(high: 1, low: 2), version: 1, role: .cipher))
            let files = try instance.objectFiles().count
            try instance.delete(key)
            instance.clock.advance(4 * 3_600_000)
            try instance.purge(key)
            #expect(try instance.token.store.destroyOrders().count == 2)
            // Killed before the supervisor comes to it.
            try instance.restart()
            #expect(try instance.objectFiles().count == files - 2)
            #expect(try instance.token.store.destroyOrders().isEmpty)
            #expect(try instance.token.quarantinedCount == 1)
            #expect(try instance.unwrap(instance.wrap([5], kept)).plaintext == [5])
        }
    }

    /// However many there are, nobody waits long for the start: it destroys a few, and the rest goes while the token serves.
    @Test func ofManyOrdersMostWaitUntilTheTokenServes() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            let kept = try instance.create("kept").id
            let files = try instance.objectFiles().count
            let key = try instance.create("gone").id
            let versions = TokenService.ordersWhileBinding + 3
            for _ in 1..<versions { try instance.rotate(key) }
            try instance.delete(key)
            instance.clock.advance(4 * 3_600_000)
            try instance.purge(key)
            #expect(try instance.token.store.destroyOrders().count == versions)
            try instance.restart()
            #expect(try instance.objectFiles().count == files + 3)
            #expect(try instance.token.store.destroyOrders().count == 3)
            // What is ordered is nothing that nobody knows of.
            #expect(try instance.token.quarantinedCount == 0 && instance.status.state == .ready)
            // It is the supervisor's at once.
            #expect(try instance.token.supervision.withLock { $0.ordersDue } != nil)
            try instance.keepHouse()
            #expect(try instance.objectFiles().count == files)
            #expect(try instance.token.store.destroyOrders().isEmpty)
            #expect(try instance.unwrap(instance.wrap([5], kept)).plaintext == [5])
        }
    }

    @Test func anOrderAgainstWhatIsInUseIsNotCarriedOut() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            let key = try instance.create().id
            let names = [
                ObjectName(key: key, version: 1, role: .cipher),
                ObjectName(instance: try instance.token.instance.id, version: 1, role: .canary),
            ]
            try instance.token.store.transaction { connection throws(StoreError) in
                for name in names { try connection.insert(DestroyOrder(name, ordered: 1, reason: "a mistake")) }
            }
            let files = try instance.objectFiles()
            try instance.keepHouse()
            #expect(try instance.objectFiles() == files)
            try instance.restart()
            #expect(try instance.objectFiles() == files && instance.status.state == .ready)
            #expect(try instance.token.store.destroyOrders().count == 2)
            #expect(try instance.unwrap(instance.wrap([5], key)).plaintext == [5])
        }
    }

    /// A rotation that was cut off, of a key that was disabled before the restart: what it made goes, the version stays free.
    @Test func aRotationThatCameTooLateLeavesNothing() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            let key = try instance.create().id
            let change = TestInstance.change(1, .keyRotate, .rotate(key, .emergency("late")))
            try instance.leaveIntent(change, key: key, version: 2)
            try instance.makeObject(ObjectName(key: key, version: 2, role: .cipher))
            let files = try instance.objectFiles().count
            try instance.change(.keyDisable, key)
            try instance.restart()
            #expect(try instance.show(key).version == 1 && instance.show(key).state == .suspended)
            try instance.keepHouse()
            #expect(try instance.objectFiles().count == files - 1)
            #expect(try instance.token.store.destroyOrders().isEmpty && instance.token.store.openIntents().isEmpty)
            instance.clock.advance(30_000)
            try instance.change(.keyEnable, key)
            #expect(try instance.perform(change).version == 2)
            #expect(try instance.unwrap(instance.wrap([5], key)).plaintext == [5])
            try instance.restart()
            #expect(try instance.token.quarantinedCount == 0)
        }
    }

    /// A rotation that was cut off, of a key that was purged before it was settled.
    @Test func aPurgeTakesAnOpenRotationWithIt() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            let key = try instance.create().id
            let change = TestInstance.change(1, .keyRotate, .rotate(key, .emergency("late")))
            try instance.leaveIntent(change, key: key, version: 2)
            try instance.makeObject(ObjectName(key: key, version: 2, role: .cipher))
            let files = try instance.objectFiles().count
            try instance.delete(key)
            instance.clock.advance(4 * 3_600_000)
            try instance.purge(key)
            try instance.keepHouse()
            #expect(try instance.objectFiles().count == files - 2)
            #expect(try instance.token.store.openIntents().isEmpty)
            #expect(try code { try instance.perform(change) } == .denied)
            try instance.restart()
            #expect(try instance.token.quarantinedCount == 0 && instance.token.store.keys().isEmpty)
        }
    }

    /// A create that was cut off is taken up with everything that was asked for, unless its alias has gone to another key meanwhile.
    @Test func aCreateThatWasCutOffKeepsWhatWasAskedFor() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            var wanted = TestInstance.key("wanted")
            wanted.description = "what for"
            wanted.tags = ["b", "a"]
            wanted.aliases = ["alias"]
            wanted.createdBy = "uid:0"
            wanted.expires = instance.clock.now + 1_000_000
            wanted.rotationMonths = 3
            wanted.isRotationEnabled = true
            wanted.dualControl = [.delete, .purge]
            for (operation, id) in [(1, wanted.id), (2, RandomSource.identifier())] as [(UInt64, KeyID)] {
                var key = wanted
                key.id = id
                let change = TestInstance.change(operation, .keyCreate, .create(key))
                try instance.leaveIntent(
                    change, key: id, name: "wanted", version: 1, details: KeyLedger.encoded(IntentDetails.record(of: key)))
                try instance.makeObject(ObjectName(key: id, version: 1, role: .cipher))
                // The second is younger, and comes after the first has taken the alias.
                instance.clock.advance(1)
            }
            let files = try instance.objectFiles().count
            try instance.restart()
            var expected = wanted
            expected.created = instance.clock.now - 2
            expected.updated = expected.created
            #expect(try instance.token.store.keys() == [expected])
            #expect(try instance.unwrap(instance.wrap([5], wanted.id)).plaintext == [5])
            try instance.keepHouse()
            #expect(try instance.objectFiles().count == files - 1)
            try instance.restart()
            #expect(try instance.token.quarantinedCount == 0)
        }
    }

    /// Keys are purged and versions destroyed while others use theirs: nobody is ever told that a key is faulty or the token lost.
    @Test func destroyingDisturbsNobody() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            let token = try instance.token
            let used = try instance.create("used").id
            let envelope = try instance.wrap([1, 2, 3], used)
            let files = try instance.objectFiles()
            let stop = Atomic(false)
            let done = Atomic(0)
            let failures = Mutex<[String]>([])
            let service = try instance.service
            // An envelope of the version that is about to go: who uses it is refused as the table says, or served, and nothing else.
            let passing = Mutex<[UInt8]>([])
            let expected: [RefusalCode?] = [nil, .versionState, .keyDeleted, .denied]
            let threads = (0..<2).map { _ in
                Worker {
                    while !stop.load(ordering: .acquiring) {
                        do {
                            defer { done.add(1, ordering: .relaxed) }
                            guard try TestInstance.unwrap(envelope, service).plaintext == [1, 2, 3] else {
                                throw Refusal(.internalError)
                            }
                            let envelope = passing.withLock { $0 }
                            guard !envelope.isEmpty else { continue }
                            for outcome in try TestInstance.outcomes(ofUnwrapping: envelope, service)
                            where !expected.contains(outcome) { throw Refusal(outcome ?? .internalError) }
                        } catch let error as Refusal where error.code == .busy {
                            // The passing key changed four times during one request, on a machine that has much to do: ask again.
                        } catch { failures.withLock { $0.append("\(error)") } }
                    }
                }
            }
            for _ in 0..<10 {
                let key = try instance.create("passing").id
                let envelope = try instance.wrap([4], key)
                passing.withLock { $0 = envelope }
                try instance.rotate(key)
                try instance.retire(key, 1)
                instance.clock.advance(4 * 3_600_000)
                _ = try instance.census(key)
                try instance.destroy(key, 1)
                while !token.carryOutOrders() { sched_yield() }
                let other = try instance.wrap([4], key)
                passing.withLock { $0 = other }
                try instance.delete(key)
                instance.clock.advance(4 * 3_600_000)
                try instance.purge(key)
                // Others are given time to be inside with old handles.
                let seen = done.load(ordering: .relaxed)
                while done.load(ordering: .relaxed) < seen + 4 { sched_yield() }
                while !token.carryOutOrders() { sched_yield() }
            }
            stop.store(true, ordering: .releasing)
            for thread in threads { thread.join() }
            #expect(failures.withLock { $0 } == [])
            #expect(try token.store.destroyOrders().isEmpty && instance.status.state == .ready)
            #expect(try instance.objectFiles() == files)
        }
    }
}
