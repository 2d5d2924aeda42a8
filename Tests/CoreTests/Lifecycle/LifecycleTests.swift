import ClavigerWire
import Support
import Testing

@testable import ClavigerCore

/// The lives of keys, through the service and on a real token, by a clock that the test moves.
@Suite struct LifecycleTests {
    @Test func aKeyIsDisabledEnabledDeletedRestoredAndPurged() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            let key = try instance.create().id
            let envelope = try instance.wrap([1, 2, 3], key)
            let files = try instance.objectFiles()

            #expect(try instance.change(.keyDisable, key).state == .suspended)
            #expect(try code { try instance.wrap([1], key) } == .keyState)
            #expect(try code { try instance.unwrap(envelope) } == .keyState)
            instance.clock.advance(29_999)
            #expect(try code { try instance.change(.keyEnable, key) } == .tooEarly)
            instance.clock.advance(1)
            #expect(try instance.change(.keyEnable, key).state == .active)
            #expect(try instance.unwrap(envelope).plaintext == [1, 2, 3])

            // What is deleted comes back as it was: suspended here.
            _ = try instance.change(.keyDisable, key)
            let deletion = try instance.delete(key)
            #expect(deletion.isDone && deletion.state == .destroyed && deletion.versions == 1)
            #expect(deletion.wraps == 1 && deletion.unwraps == 1 && deletion.lastUsed == instance.clock.now)
            #expect(deletion.restorableUntil == instance.clock.now + 30 * 86_400_000)
            #expect(deletion.purgeFrom == instance.clock.now + 4 * 3_600_000)
            #expect(try code { try instance.unwrap(envelope) } == .keyDeleted)
            #expect(try code { try instance.delete(key) } == .keyDeleted)
            instance.clock.advance(29_999)
            #expect(try code { try instance.change(.keyRestore, key) } == .tooEarly)
            instance.clock.advance(1)
            #expect(try instance.change(.keyRestore, key).state == .suspended)
            #expect(try instance.change(.keyEnable, key).state == .active)
            #expect(try instance.unwrap(envelope).plaintext == [1, 2, 3])

            try instance.delete(key)
            instance.clock.advance(4 * 3_600_000 - 1)
            #expect(try code { try instance.purge(key) } == .tooEarly)
            instance.clock.advance(1)
            let operation = TestInstance.operation()
            try instance.purge(key, operation: operation)
            #expect(try code { try instance.show(key) } == .denied)
            #expect(try code { try instance.unwrap(envelope) } == .denied)
            // The same answer to a retry, though the key is gone.
            try instance.purge(key, operation: operation)
            #expect(try instance.objectFiles() == files)
            try instance.keepHouse()
            #expect(try instance.objectFiles().count == files.count - 1)
            #expect(try instance.token.store.destroyOrders().isEmpty)
            try instance.restart()
            #expect(try instance.status.state == .ready && instance.token.quarantinedCount == 0)
        }
    }

    @Test func aRestoredKeyHasItsVersionsAndALaterOneCannotBe() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            let key = try instance.create().id
            let old = try instance.wrap([1], key)
            try instance.rotate(key)
            let new = try instance.wrap([2], key)
            try instance.delete(key)
            instance.clock.advance(30 * 86_400_000)
            try instance.keepHouse()
            #expect(try instance.change(.keyRestore, key).version == 2)
            #expect(try instance.unwrap(old).plaintext == [1] && instance.unwrap(new).plaintext == [2])

            let files = try instance.objectFiles()
            try instance.delete(key)
            instance.clock.advance(30 * 86_400_000 + 1)
            #expect(try code { try instance.change(.keyRestore, key) } == .restoreExpired)
            #expect(try instance.show(key).isWiped == false)
            try instance.keepHouse()
            let wiped = try instance.show(key)
            #expect(wiped.isWiped && wiped.state == .destroyed && wiped.name == "key" && !wiped.isRestoreAllowed)
            #expect(try instance.objectFiles().count == files.count - 2)
            #expect(try code { try instance.change(.keyRestore, key) } == .restoreExpired)
            // A longer window does not bring material back.
            try instance.restart()
            #expect(try instance.status == TokenService.Status(state: .ready, reason: ""))
            #expect(try instance.show(key) == wiped)

            instance.clock.advance(60 * 86_400_000 - 2)
            try instance.keepHouse()
            #expect(try instance.show(key).isWiped)
            instance.clock.advance(1)
            try instance.keepHouse()
            #expect(try code { try instance.show(key) } == .denied)
            #expect(try instance.token.store.keys().isEmpty && instance.token.store.versions().isEmpty)
        }
    }

    @Test func expiryIsExactAndBecomesDurable() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            let end = instance.clock.now + 10_000
            let key = try instance.create { $0.expires = end }.id
            let envelope = try instance.wrap([7], key)
            instance.clock.set(end - 1)
            _ = try instance.wrap([8], key)
            instance.clock.set(end)
            #expect(try code { try instance.wrap([8], key) } == .keyState)
            #expect(try instance.unwrap(envelope).plaintext == [7])
            #expect(try instance.show(key).state == .deactivated)
            #expect(try code { try instance.change(.keyDisable, key) } == .keyState)
            #expect(try instance.token.store.key(key)?.state == .active)
            let revision = try instance.show(key).revision
            try instance.keepHouse()
            #expect(try instance.token.store.key(key)?.state == .deactivated)
            #expect(try instance.show(key).revision == revision.map { $0 + 1 })
            // Rotation leaves it expired, and rewrap goes to the newest version all the same.
            #expect(try instance.rotate(key, reason: nil).state == .deactivated)
            #expect(try instance.unwrap(instance.rewrap(envelope)).plaintext == [7])
            // A later date makes it active again, an earlier one is refused.
            #expect(try code { try instance.update(key) { $0.expires = end } } == .invalidValue)
            #expect(try instance.update(key) { $0.expires = end + 1 }.state == .active)
            instance.clock.set(end + 1)
            #expect(try instance.show(key).state == .deactivated)
            #expect(try instance.update(key) { $0.expires = 0 }.state == .active)
            #expect(try instance.show(key).expires == nil)
        }
    }

    @Test func updatesAreComparedAndSet() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            let key = try instance.create()
            let revision = try #require(key.revision)
            let changed = try instance.update(key.id) {
                $0.revision = revision
                $0.name = "other"
                $0.description = "what it is for"
                $0.tags = ["b", "a", ""]
            }
            #expect(changed.name == "other" && changed.description == "what it is for" && changed.tags == ["b", "a", ""])
            #expect(changed.revision == revision + 1)
            #expect(
                try code {
                    try instance.update(key.id) {
                        $0.revision = revision
                        $0.name = "third"
                    }
                } == .revisionConflict)
            #expect(try instance.update(key.id) { $0.description = "" }.description == nil)
            #expect(try instance.show(key.id).name == "other")
            #expect(try instance.service.snapshots.current.resolve(.name("other")).id == key.id)
            #expect(throws: Refusal.self) { try instance.service.snapshots.current.resolve(.name("key")) }
            let before = try instance.stored()
            try instance.restart()
            #expect(try instance.stored() == before)
        }
    }

    @Test func aRetriedChangeIsAnsweredAsTheFirstTime() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            let key = try instance.create().id
            let operation = TestInstance.operation()
            let first = try instance.change(.keyDisable, key, operation: operation)
            instance.clock.advance(30_000)
            _ = try instance.change(.keyEnable, key)
            #expect(try instance.change(.keyDisable, key, operation: operation) == first)
            #expect(try instance.show(key).state == .active)
            #expect(try code { try instance.change(.keyEnable, key, operation: operation) } == .operationConflict)
            try instance.restart()
            #expect(try instance.change(.keyDisable, key, operation: operation) == first)
            // After a day it is forgotten, and the change is made anew.
            instance.clock.advance(86_400_000 - 30_000)
            _ = try instance.update(key) { $0.name = "later" }
            #expect(try instance.change(.keyDisable, key, operation: operation) == first)
            #expect(try instance.show(key).state == .active)
            instance.clock.advance(1)
            _ = try instance.update(key) { $0.name = "later still" }
            #expect(try instance.change(.keyDisable, key, operation: operation).name == "later still")
            #expect(try instance.show(key).state == .suspended)
        }
    }

    @Test func rotationsByPolicyComeOnTheirDay() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            let month: UInt64 = 30 * 86_400_000
            let key = try instance.create { $0.rotationMonths = 2 }
            #expect(key.nextRotation == key.created + 2 * month && key.isRotationEnabled)
            let other = try instance.create("other").id
            instance.clock.set(key.created + 2 * month - 1)
            try instance.keepHouse()
            #expect(try instance.show(key.id).version == 1)
            instance.clock.advance(1)
            // Suspended on its day: it is not rotated, and catches up when it is enabled.
            _ = try instance.change(.keyDisable, key.id)
            try instance.keepHouse()
            #expect(try instance.show(key.id).version == 1)
            instance.clock.advance(30_000)
            _ = try instance.change(.keyEnable, key.id)
            try instance.keepHouse()
            #expect(try instance.show(key.id).version == 2)
            #expect(try instance.versions(key.id)[0].reason == "policy")
            #expect(try instance.show(key.id).nextRotation == instance.clock.now + 2 * month)
            try instance.keepHouse()
            #expect(try instance.show(key.id).version == 2 && instance.show(other).version == 1)
            // A rotation by hand sets the clock back.
            instance.clock.advance(month)
            try instance.rotate(key.id, reason: nil)
            instance.clock.advance(month)
            try instance.keepHouse()
            #expect(try instance.show(key.id).version == 3)
        }
    }

    @Test func rotationsKeepTheirDistance() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            let key = try instance.create().id
            try instance.rotate(key, reason: nil)
            instance.clock.advance(3_599_999)
            #expect(try code { try instance.rotate(key, reason: nil) } == .rotationTooSoon)
            #expect(try instance.rotate(key, reason: "leaked on a laptop").version == 3)
            #expect(try instance.versions(key).map { $0.reason ?? "" } == ["leaked on a laptop", "", ""])
            instance.clock.advance(3_600_000)
            #expect(try instance.rotate(key, reason: nil).version == 4)
        }
    }
}
