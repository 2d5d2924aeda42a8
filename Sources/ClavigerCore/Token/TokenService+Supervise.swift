import ClavigerWire
import Cryptoki
import Glibc
import Logging
import SecureMemory
import Synchronization

// The supervisor: one thread that gets a lost token back, and does what the daemon by itself wants of the token: new versions, and the
// destruction of objects.
extension TokenService {
    /// The supervisor's work; returns after `stopSupervising`. Run it on a thread of its own.
    package func supervise() {
        defer { hasEndedSupervising.store(true, ordering: .releasing) }
        var late = LateAnchor()
        while true {
            if supervision.withLock({ $0.isStopping }) { return }
            // All that it does can end in a module that hangs, even when no request is there to show it.
            busy.begin(.supervisor)
            defer { busy.end(.supervisor) }
            rotateDueKeys()
            let ordersDue = carryOutDueOrders()
            let watchDue = watch()
            let lookDue = look()
            signLate()
            let anchorDue = anchorLate(&late)
            if let due = supervision.withLock({ $0.due() }) {
                let now = Clock.monotonic()
                if now >= due {
                    supervision.withLock { $0.begin(now: now) }
                    // It waits for others, and then is timed by itself.
                    busy.end(.supervisor)
                    attach(presented: nil)
                    continue
                }
            }
            let due = supervision.withLock { $0.due() }
            busy.end(.supervisor)
            bell.wait(until: [due, ordersDue, watchDue, lookDue, anchorDue].compactMap { $0 }.min())
        }
    }

    /// What the supervisor knows of epochs that the token does not remember yet.
    private struct LateAnchor {
        /// The newest that it remembers.
        var remembered: UInt64 = 0
        /// CLOCK_MONOTONIC of when it was first seen to be behind that one; nil while it is not.
        var since: UInt64?
    }

    /// Has the token remember what nobody else has had it remember.
    ///
    /// A request does so itself when its change is done. To do it for each of its steps would keep it waiting, where the token is slow; so
    /// for a moment it is left to the request.
    ///
    /// - Returns: when to come again; nil when there is nothing left to remember.
    private func anchorLate(_ late: inout LateAnchor) -> UInt64? {
        let epoch = store.headEpoch
        let (isDue, remembered) = anchorState.withLock { ($0.isDue(epoch), $0.epoch) }
        guard isDue else {
            late.since = nil
            return nil
        }
        let now = Clock.monotonic()
        // Requests are at it as long as what is remembered goes on.
        let since = late.remembered == remembered ? late.since ?? now : now
        late = LateAnchor(remembered: remembered, since: since)
        guard now >= since + TokenService.anchorDelay else { return since + TokenService.anchorDelay }
        anchor()
        late.since = nil
        return nil
    }

    /// How long what may be a request's to have remembered is left to it, in nanoseconds: longer than nearly any change takes.
    private static let anchorDelay: UInt64 = 500_000_000

    /// Whether `supervise` has returned: it does not from a module that hangs.
    package var isUnsupervised: Bool { hasEndedSupervising.load(ordering: .acquiring) }

    /// Ends the supervisor's work after what it is doing.
    package func stopSupervising() {
        supervision.withLock { $0.isStopping = true }
        bell.ring()
    }

    /// Takes hold of the token for the first time; the supervisor goes on where this fails.
    package func start() {
        attach(presented: nil)
        started.store(true, ordering: .releasing)
    }

    /// Whether the first attempt is over, however it ended.
    package var hasStarted: Bool { started.load(ordering: .acquiring) }

    /// Gives the token back: logs out, ends the module. No request may be inside.
    package func stop() {
        guard gate.enterAlone(until: Clock.monotonic() + TokenService.stuckBound) else { return }
        defer { gate.leave() }
        // Under a new epoch, so that a copy of the database from before counts as old.
        if currentStatus.state.serves, (try? store.advance()) != nil {
            _ = manage { (session, _) throws(Never) in remember(store.headEpoch, &session) }
        }
        setStatus(.sealed, "stopping")
        detach()
        retained.withLock { $0 = nil }
    }

    /// Presents a PIN that an operator gave.
    ///
    /// - Throws: `alreadyUnlocked`, `pinRefused`, or what keeps the token from serving now.
    func unlock(_ pin: consuming SecretBytes) throws(Refusal) {
        guard !currentStatus.state.serves else { throw Refusal(.alreadyUnlocked) }
        // A PIN retained from before stays until this one has succeeded: the token may not even answer now.
        guard attach(presented: pin) else { throw Refusal(.alreadyUnlocked) }
        let status = currentStatus
        guard !status.state.serves else { return }
        let judged = try? LoginMarker.read(configuration.stateDirectory)
        switch judged?.result {
        case .refused?, .locked?: throw Refusal(.pinRefused, status.reason)
        case .accepted?, .unjudged?, .unclear?, .pending?, nil:
            switch status.state {
            case .lost: throw Refusal(.tokenUnavailable, status.reason, retryAfter: 1_000)
            case .needsOperator, .sealed, .ready, .degraded: throw Refusal(.needsOperator, status.reason)
            }
        }
    }

    /// Has the token taken hold of again, because a key version has no usable object: it may be there the next time.
    func wantRefind() {
        guard supervision.withLock({ $0.wantRefind(now: Clock.monotonic()) }) else { return }
        bell.ring()
    }

    /// Has the module initialised anew, between requests, so that it gives back the memory that it keeps for objects of the past.
    func wantRecycle() {
        guard supervision.withLock({ $0.wantRecycle(now: Clock.monotonic()) }) else { return }
        counters.recycled.add(1, ordering: .relaxed)
        log.info("the module is initialised anew for the memory that it keeps", metadata: ["objects": "\(ObjectTally.count)"])
        bell.ring()
    }

    /// Notes that a key is to get a new version.
    func wantRotation(of key: KeyID, because reason: RotationReason = .wrapLimit) {
        let isNews = supervision.withLock { $0.rotations.updateValue(reason, forKey: key) == nil }
        guard isNews else { return }
        if reason == .wrapLimit {
            log.warning("key version nears its wrap limit and will be rotated", metadata: ["key": "\(key)"])
        }
        bell.ring()
    }

    /// Notes that the newest version of an imported key nears its wrap limit: only whoever has the material can give it another.
    func warnOfWrapLimit(of key: KeyEntry) {
        let number = key.current.number
        let isNews = supervision.withLock { $0.nearLimit.updateValue(number, forKey: key.id) != number }
        guard isNews else { return }
        log.warning(
            "version of an imported key nears its wrap limit: rotate it with new material, or wrapping ends",
            metadata: ["key": "\(key.id)", "version": "\(number)", "limit": "\(WrapBudget.limit)"])
    }

    /// Rotates the keys that are to be. What fails is asked for again by whoever found it due.
    func rotateDueKeys() {
        let due = supervision.withLock { supervision in
            defer { supervision.rotations = [:] }
            return supervision.rotations
        }
        for (key, reason) in due {
            gate.enterShared()
            busy.step(.supervisor)
            defer { gate.leave() }
            guard currentStatus.state.serves, let entry = snapshots.current.keys[key], isDue(entry, reason) else { continue }
            let change = Change(
                operation: RandomSource.identifier(), caller: nil, opcode: .keyRotate, body: key.bytes,
                target: .rotate(key, reason))
            do throws(Refusal) {
                let record = try perform(change)
                log.notice(
                    "event=key-rotate outcome=success reason=\(reason.text)",
                    metadata: ["key": "\(key)", "version": "\(record.version)"])
            } catch {
                log.error(
                    "rotation failed; it will be tried again",
                    metadata: ["key": "\(key)", "reason": "\(reason.text)", "error": "\(error)"])
            }
        }
        if !due.isEmpty { anchor() }
    }

    /// Whether a rotation is still due: somebody may have rotated the key meanwhile.
    private func isDue(_ key: KeyEntry, _ reason: RotationReason) -> Bool {
        switch reason {
        case .wrapLimit: key.current.counter.reserved > WrapBudget.rotateAt
        case .policy:
            key.nextRotation(at: time.now()).map { $0 <= time.now() } ?? false
        case .wish, .emergency: true
        }
    }

    /// What the token says of itself. Call it inside or outside `enter`: the gate is taken here.
    func describe() throws(Refusal) -> TokenStatusReply {
        gate.enterShared()
        defer { gate.leave() }
        guard let live = live.withLock({ $0 }) else { throw Refusal(.tokenUnavailable, currentStatus.reason) }
        let isLoggedIn = management.withLock { $0.anchor != nil }
        return try mapping({ (error: CryptokiError) in Refusal(.tokenUnavailable, error.description, retryAfter: 1_000) }) {
            () throws(CryptokiError) in
            try TokenDescription.describe(module: live.module, slot: live.slot, isLoggedIn: isLoggedIn)
        }
    }
}
