import ClavigerWire
import Cryptoki
import Glibc
import SecureMemory
import Support
import Synchronization
import Testing

@testable import ClavigerCore

/// The token service on real SoftHSM tokens, each in a child process of its own: the module and its login belong to the process.
@Suite struct TokenServiceTests {
    @Test func keysAreCreatedRotatedAndFoundAgain() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            #expect(try instance.status == TokenService.Status(state: .ready, reason: ""))
            let key = try instance.perform(TestInstance.change(1, .keyCreate, .create(TestInstance.key("first"))))
            // A retry is answered as the first time; another request under the same id is not.
            #expect(try instance.perform(TestInstance.change(1, .keyCreate, .create(TestInstance.key("first")))) == key)
            var other = TestInstance.change(1, .keyCreate, .create(TestInstance.key("first")))
            other.digest = [99]
            #expect(throws: Refusal(.operationConflict)) { try instance.perform(other) }
            let old = try instance.wrap([1, 2, 3], key.id)
            #expect(try instance.perform(TestInstance.change(2, .keyRotate, .rotate(key.id, .emergency("test")))).version == 2)
            let new = try instance.wrap([4], key.id)
            try instance.restart()
            #expect(try instance.status.state == .ready)
            #expect(try instance.unwrap(old) == TestInstance.Unwrapped(plaintext: [1, 2, 3], fresh: nil, isStale: true))
            #expect(try instance.unwrap(new) == TestInstance.Unwrapped(plaintext: [4], fresh: nil, isStale: false))
            // A restart begins at what was reserved.
            let versions = try #require(try instance.token.snapshots.current.keys[key.id]).versions
            #expect(versions.map(\.counter.reserved) == [WrapBudget.block, WrapBudget.block])
            _ = try instance.wrap([5], key.id)
            #expect(try instance.token.store.versions().map(\.wrapsReserved) == [WrapBudget.block, 2 * WrapBudget.block])
            #expect(try instance.token.quarantinedCount == 0)
        }
    }

    /// Killed after the object was made: adopted, once and exactly as ordered, also when another creation left an empty file.
    @Test func anObjectThatACrashLeftIsAdopted() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            let change = TestInstance.change(1, .keyCreate, .create(TestInstance.key("adopted")))
            let key = RandomSource.identifier() as KeyID
            try instance.leaveIntent(change, key: key, name: "adopted", version: 1)
            try instance.makeObject(ObjectName(key: key, version: 1, role: .cipher))
            let home = Files.parent(of: try #require(instance.objectFiles().first))
            try instance.restart { try overwrite(home + "/00000000-0000-0000-0000-000000000000.object", []) }
            #expect(try instance.status.state == .ready)
            #expect(try instance.token.snapshots.current.keys[key]?.name == "adopted")
            #expect(try instance.unwrap(instance.wrap([1], key)).plaintext == [1])
            // The client that asks again is answered as if nothing had happened.
            #expect(try instance.perform(change).id == key)
            #expect(try instance.token.store.openIntents().isEmpty)
        }
    }

    @Test func anIntentWithoutAnObjectHasFailed() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            let change = TestInstance.change(1, .keyCreate, .create(TestInstance.key("again")))
            let key = RandomSource.identifier() as KeyID
            try instance.leaveIntent(change, key: key, name: "again", version: 1)
            try instance.restart()
            #expect(try instance.status.state == .ready)
            #expect(try instance.token.store.intent(change.operation)?.state == .failed)
            #expect(try instance.token.snapshots.current.keys.isEmpty)
            // Begun again, it makes a key of another id.
            let made = try instance.perform(change)
            #expect(made.name == "again" && made.id != key)
        }
    }

    /// Two rotations were asked for, the first cut off: its version is the second one's now. This once made the daemon take its
    /// database for damaged at every start.
    @Test func aRotationThatWasOvertakenIsNotCompleted() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            let key = try instance.perform(TestInstance.change(1, .keyCreate, .create(TestInstance.key("key")))).id
            let first = TestInstance.change(2, .keyRotate, .rotate(key, .emergency("test")))
            try instance.leaveIntent(first, key: key, version: 2)
            #expect(try instance.perform(TestInstance.change(3, .keyRotate, .rotate(key, .emergency("test")))).version == 2)
            let envelope = try instance.wrap([1], key)
            // In the same run, whoever asks for the first again gets a version of its own.
            let again = TestInstance.change(4, .keyRotate, .rotate(key, .emergency("test")))
            try instance.leaveIntent(again, key: key, version: 2)
            #expect(try instance.perform(again).version == 3)
            try instance.restart()
            #expect(try instance.status == TokenService.Status(state: .ready, reason: ""))
            #expect(try instance.token.store.intent(first.operation)?.state == .failed)
            #expect(try instance.unwrap(envelope).plaintext == [1])
            #expect(try instance.token.quarantinedCount == 0)
            #expect(try instance.perform(first).version == 4)
        }
    }

    @Test func a6_whatNoRecordSpeaksOfIsQuarantinedAndNotDestroyed() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            let key = try instance.perform(TestInstance.change(1, .keyCreate, .create(TestInstance.key("key")))).id
            let envelope = try instance.wrap([1], key)
            // One of no key at all, and a second one of a version that has its object.
            try instance.makeObject(ObjectName(key: RandomSource.identifier(), version: 1, role: .cipher))
            try instance.makeObject(ObjectName(key: key, version: 1, role: .cipher))
            let files = try instance.objectFiles()
            try instance.restart()
            #expect(try instance.status.state == .ready)
            #expect(try instance.token.quarantinedCount == 2)
            #expect(
                Set(try instance.token.store.quarantined().map(\.reason)) == ["no record speaks of it", "its known answer fails"])
            #expect(try instance.unwrap(envelope).plaintext == [1])
            #expect(try instance.objectFiles() == files)
        }
    }

    @Test func c16_aTokenWithoutTheCanaryIsNotServed() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            let canary = ObjectName(instance: try instance.token.instance.id, version: 1, role: .canary)
            _ = try instance.token.manage { (session, _) throws(CryptokiError) in
                for object in try session.findObjects(matching: [.id(canary.objectID)], limit: 2) {
                    try session.destroyObject(object)
                }
            }
            let files = try instance.objectFiles()
            try instance.restart()
            #expect(try instance.status.state == .needsOperator)
            #expect(throws: Refusal.self) {
                try instance.perform(TestInstance.change(1, .keyCreate, .create(TestInstance.key("key"))))
            }
            #expect(try instance.objectFiles() == files)
        }
    }

    /// One key's object is away: the others work, and it is found when it is back, without a restart.
    @Test func aVersionThatIsNotFoundIsLookedForAgain() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            let well = try instance.perform(TestInstance.change(1, .keyCreate, .create(TestInstance.key("well")))).id
            let before = try instance.objectFiles()
            let ill = try instance.perform(TestInstance.change(2, .keyCreate, .create(TestInstance.key("ill")))).id
            let file = try #require(try instance.objectFiles().subtracting(before).first)
            let envelope = try instance.wrap([1], ill)
            try instance.restart { try #require(rename(file, file + ".away") == 0) }
            #expect(try instance.status.state == .degraded)
            #expect(try instance.unwrap(instance.wrap([2], well)).plaintext == [2])
            try #require(rename(file + ".away", file) == 0)
            #expect(try instance.token.supervision.withLock { $0.due() } == nil)
            let refusal = #expect(throws: Refusal.self) { try instance.unwrap(envelope) }
            #expect(refusal?.code == .keyUnavailable)
            #expect(try instance.token.supervision.withLock { $0.due() } != nil)
            try instance.token.attach(presented: nil)
            #expect(try instance.status.state == .ready)
            #expect(try instance.unwrap(envelope).plaintext == [1])
        }
    }

    // MARK: the PIN

    @Test func aRefusedPINIsTriedOnceAndThenWaitsForAnOperator() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            let file = instance.store.directory + "/pin"
            let state = instance.configuration.stateDirectory
            try instance.restart { try Files.replace(file, with: Array("wrong-pin-of-the-tests".utf8).span.bytes, mode: 0o400) }
            #expect(try instance.status.state == .needsOperator)
            let marker = try #require(try LoginMarker.read(state))
            #expect(marker.result == .refused && marker.source.name == file)
            // Neither this process nor a restarted one tries it again: the marker would be written anew.
            let written = try #require(Files.status(LoginMarker.path(state))).st_ino
            try instance.token.attach(presented: nil)
            try instance.restart()
            #expect(try instance.status.state == .needsOperator)
            #expect(try #require(Files.status(LoginMarker.path(state))).st_ino == written, "tried again")
            try instance.token.unlock(TestInstance.secret(TestInstance.pin))
            #expect(try instance.status == TokenService.Status(state: .ready, reason: ""))
            #expect(try LoginMarker.read(state)?.result == .accepted)
            // A changed file is a new source, which is tried.
            try Files.replace(file, with: Array((TestInstance.pin + "\n").utf8).span.bytes, mode: 0o400)
            // From then on the file's is tried again.
            try instance.restart()
            #expect(try instance.status.state == .ready)
            #expect(try LoginMarker.read(state)?.source.name == file)
        }
    }

    /// An outage while an operator unlocks must cost neither the PIN that was known nor the return by itself.
    @Test func unlockingInAnOutageLosesNothing() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance(pinFile: false)
            #expect(try instance.status.state == .sealed)
            let wrong = #expect(throws: Refusal.self) { try instance.token.unlock(TestInstance.secret("a-wrong-pin-here")) }
            #expect(wrong?.code == .pinRefused)
            try instance.token.unlock(TestInstance.secret(TestInstance.pin))
            #expect(try instance.status.state == .ready)
            // A second operator takes nothing away from the first.
            #expect(throws: Refusal(.alreadyUnlocked)) { try instance.token.unlock(TestInstance.secret("whatever-it-is-here")) }
            #expect(try instance.status.state == .ready)
            let key = try instance.perform(TestInstance.change(1, .keyCreate, .create(TestInstance.key("key")))).id
            let envelope = try instance.wrap([1], key)

            try #require(rename(instance.store.tokens, instance.store.tokens + ".away") == 0)
            let lost = #expect(throws: Refusal.self) { try instance.unwrap(envelope) }
            #expect(lost?.code == .tokenUnavailable)
            #expect(try instance.status.state == .lost)
            try instance.token.supervision.withLock { $0.begin(now: 0) }
            let refusal = #expect(throws: Refusal.self) { try instance.token.unlock(TestInstance.secret("a-wrong-pin-here")) }
            #expect(refusal?.code == .tokenUnavailable)
            // Whoever tried last, the supervisor goes on.
            #expect(try instance.token.supervision.withLock { $0.due() } != nil)
            try #require(rename(instance.store.tokens + ".away", instance.store.tokens) == 0)
            try instance.token.attach(presented: nil)
            #expect(try instance.status == TokenService.Status(state: .ready, reason: ""))
            #expect(try instance.unwrap(envelope).plaintext == [1])
        }
    }

    @Test func aTokenFileThatAKilledLoginEmptiedIsPutBack() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            let key = try instance.perform(TestInstance.change(1, .keyCreate, .create(TestInstance.key("key")))).id
            let envelope = try instance.wrap([1], key)
            let home = Files.parent(of: try #require(instance.objectFiles().first))
            try instance.restart { try overwrite(home + "/token.object", []) }
            #expect(try instance.status.state == .ready)
            #expect(try instance.unwrap(envelope).plaintext == [1])
        }
    }

    // MARK: limits

    @Test func b2_anUnwrapThatCannotRefreshStillUnwraps() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            let key = try instance.perform(TestInstance.change(1, .keyCreate, .create(TestInstance.key("key")))).id
            let envelope = try instance.wrap([1, 2], key)
            _ = try instance.perform(TestInstance.change(2, .keyRotate, .rotate(key, .emergency("test"))))
            let refreshed = try instance.unwrap(envelope, refresh: true)
            #expect(refreshed.plaintext == [1, 2])
            #expect(try instance.unwrap(#require(refreshed.fresh)).plaintext == [1, 2])
            // The newest version has wrapped as often as it may.
            try instance.token.store.reserveWraps(key, 2, upTo: WrapBudget.limit)
            try instance.restart()
            #expect(throws: Refusal(.wrapLimit)) { try instance.wrap([1], key) }
            #expect(
                try instance.unwrap(envelope, refresh: true)
                    == TestInstance.Unwrapped(plaintext: [1, 2], fresh: nil, isStale: true))
        }
    }

    @Test func b2_aVersionNearItsLimitIsRotatedByTheSupervisor() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            let key = try instance.perform(TestInstance.change(1, .keyCreate, .create(TestInstance.key("key")))).id
            try instance.token.store.reserveWraps(key, 1, upTo: WrapBudget.rotateAt)
            try instance.restart()
            let token = try instance.token
            _ = try instance.wrap([1], key)
            #expect(token.supervision.withLock { $0.rotations } == [key: .wrapLimit])
            // The supervisor's loop: it rotates before it looks whether to stop again.
            let thread = Worker { token.supervise() }
            let deadline = Clock.monotonic() + 60_000_000_000
            while token.snapshots.current.keys[key]?.current.number == 1, Clock.monotonic() < deadline { sched_yield() }
            token.stopSupervising()
            thread.join()
            #expect(token.snapshots.current.keys[key]?.current.number == 2)
            #expect(token.snapshots.current.keys[key]?.version(1)?.counter.reserved == WrapBudget.rotateAt + WrapBudget.block)
            #expect(try instance.unwrap(instance.wrap([1], key)).plaintext == [1])
        }
    }
}

/// A thread that is waited for.
final class Worker {
    private var thread = pthread_t()

    private final class Body: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    init(_ body: @escaping @Sendable () -> Void) {
        let box = Unmanaged.passRetained(Body(body))
        let start: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { argument in
            if let argument { Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run() }
            return nil
        }
        pthread_create(&thread, nil, start, box.toOpaque())
    }

    func join() { pthread_join(thread, nil) }
}
