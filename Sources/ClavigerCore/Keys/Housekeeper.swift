import ClavigerWire
import Logging
import Synchronization

/// Does what becomes due by itself: one thread that sleeps until the next moment at which there is something to do.
///
/// It works on the database alone, so that a token that hangs holds up nothing here; what needs the token it hands to the supervisor.
/// Each thing done is a change like any other, looked at again while nothing else changes.
package final class Housekeeper: Sendable {
    private let ledger: KeyLedger
    private let token: TokenService
    private let log: Logger
    private let isStopping = Atomic(false)
    private let setbacks = Mutex(Setbacks())

    init(token: TokenService) {
        self.token = token
        ledger = token.ledger
        log = token.log
    }

    /// How long uses are counted in memory before they are written, in milliseconds: what a crash can cost the census.
    static let useInterval: UInt64 = 60_000

    /// The work; returns after `stop`. Run it on a thread of its own.
    package func run() {
        while !isStopping.load(ordering: .acquiring) {
            if ledger.alarm.isDue { sweep() }
            ledger.alarm.wait()
        }
        writeUses()
    }

    /// Ends the work after what it is doing; uses counted until then are written.
    package func stop() {
        isStopping.store(true, ordering: .releasing)
        ledger.alarm.ring()
    }

    /// Does everything that is due now, and sets the alarm for what comes next.
    package func sweep() {
        ledger.alarm.clear()
        let snapshot = ledger.snapshots.current
        // Before the database has been proven to be the token's nothing of it is touched.
        guard snapshot.generation > 0 else { return }
        let now = ledger.time.now()
        for key in snapshot.keys.values where key.nextDue(snapshot.settings).map({ $0 <= now }) ?? false {
            attend(to: key.id)
        }
        rotateByPolicy(ledger.snapshots.current, now)
        endByTime()
        writeUses()
        setAlarm()
    }

    /// Does what is due about one key, one step after the other.
    private func attend(to id: KeyID) {
        for step in [KeyAction.expire, .wipe, .purgeByTime] {
            attempt(step.rawValue) { () throws(Refusal) in
                try ledger.changeByItself { (snapshot, now) throws(Refusal) in
                    snapshot.keys[id]?.due(step, at: now, snapshot.settings)
                }
            }
        }
    }

    /// Hands the keys whose rotation is due to the supervisor. A rotation that fails is tried again later, each key at its own time.
    private func rotateByPolicy(_ snapshot: Snapshot, _ now: UInt64) {
        for key in snapshot.keys.values {
            guard let due = key.nextRotation(at: now), due <= now, setbacks.withLock({ $0.mayTry(key.id, at: now) }) else {
                continue
            }
            setbacks.withLock { $0.note(key.id, at: now) }
            token.wantRotation(of: key.id, because: .policy)
        }
        setbacks.withLock { $0.forget { id in snapshot.keys[id]?.nextRotation(at: now).map { $0 > now } ?? true } }
    }

    /// Approvals that nobody decided in time, leases that have ended, import tokens that have expired.
    private func endByTime() {
        for ending in TimedEnding.allCases {
            attempt(ending.rawValue) { () throws(Refusal) in
                var isMore = true
                while isMore {
                    isMore = try ledger.changeByItself { (_, now) throws(Refusal) in try ending.next(ledger, at: now) }
                }
            }
        }
        token.wantOrders()
    }

    private func writeUses() {
        let snapshot = ledger.snapshots.current
        var taken: [(StoredUse, VersionUse)] = []
        for key in snapshot.keys.values {
            for version in key.versions {
                guard let counts = version.use.takeForWriting() else { continue }
                taken.append((StoredUse(key: key.id, version: version.number, counts: counts), version.use))
            }
        }
        guard !taken.isEmpty else { return }
        do throws(StoreError) { try ledger.store.setUses(taken.map(\.0)) } catch {
            for (_, use) in taken { use.putBack() }
            log.error("uses of key versions not written", metadata: ["error": "\(error)"])
            ledger.alarm.set(for: ledger.time.now() + Housekeeper.useInterval)
        }
    }

    private func setAlarm() {
        let snapshot = ledger.snapshots.current
        let now = ledger.time.now()
        var next: UInt64?
        for key in snapshot.keys.values {
            next = earliest(next, key.nextDue(snapshot.settings))
            guard let rotation = key.nextRotation(at: now) else { continue }
            next = earliest(next, setbacks.withLock { $0.next(key.id) } ?? rotation)
        }
        attempt("look ahead") { () throws(Refusal) in
            for ending in TimedEnding.allCases { next = earliest(next, try ending.nextMoment(ledger)) }
        }
        // What failed just now is still due: it is tried again after a pause.
        if let next { ledger.alarm.set(for: max(next, now + Housekeeper.pause)) }
    }

    /// How long after a sweep the next comes at the earliest, in milliseconds, when something could not be done.
    static let pause: UInt64 = 1_000

    private func attempt(_ what: String, _ body: () throws(Refusal) -> Void) {
        do throws(Refusal) { try body() } catch {
            log.error("what was due could not be done", metadata: ["what": "\(what)", "error": "\(error)"])
        }
    }

    private func earliest(_ one: UInt64?, _ other: UInt64?) -> UInt64? {
        guard let one, let other else { return one ?? other }
        return min(one, other)
    }
}

/// When keys whose rotation by policy failed are tried again.
private struct Setbacks {
    private var tries: [KeyID: (count: UInt64, next: UInt64)] = [:]

    /// After the first failure a quarter of an hour, doubling up to six hours: all within a day, which a policy leaves.
    private static let first: UInt64 = 15 * 60_000
    private static let longest: UInt64 = 6 * 3_600_000

    func mayTry(_ key: KeyID, at now: UInt64) -> Bool { tries[key].map { $0.next <= now } ?? true }

    func next(_ key: KeyID) -> UInt64? { tries[key]?.next }

    /// Notes a try, which counts as failed until the key is no longer due. Keys are spread by their ids, so that a thousand that failed
    /// together do not come back together.
    mutating func note(_ key: KeyID, at now: UInt64) {
        let count = tries[key]?.count ?? 0
        let wait = min(Setbacks.first << min(count, 8), Setbacks.longest)
        tries[key] = (count + 1, now + wait + key.low % (wait / 4))
    }

    mutating func forget(where isDone: (KeyID) -> Bool) { tries = tries.filter { !isDone($0.key) } }
}
