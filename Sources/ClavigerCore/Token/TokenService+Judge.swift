import ClavigerWire
import Cryptoki
import Logging
import SecureMemory
import Synchronization

/// The results of recent probes.
struct ProbeHistory {
    /// What a probe found out.
    enum Finding: Sendable {
        /// The version's known answer opens: the key is well.
        case keyWorks
        /// It does not, but the canary answers: this version's object is faulty.
        case keyFaulty
        /// Nothing answers.
        case tokenLost
    }

    struct Probe: Sendable {
        var began: UInt64
        var finding: Finding
    }

    /// The last probe of each version in this token generation.
    var probes: [ObjectName: Probe] = [:]
    /// The versions that have been reported as faulty in this generation: once each, however many requests find them so.
    var reported: Set<ObjectName> = []
    var generation: UInt64 = 0
}

// Bad ciphertext, bad key or bad device? The same CKR can mean each of them, so the token is asked something whose answer is known.
extension TokenService {
    /// Runs one use of a key version, once more on a new session when the old one turns out to be dead, and turns what fails then
    /// into the refusal that the caller gets. Call it inside `enter`.
    func retrying(
        _ key: KeyEntry, _ version: VersionEntry, _ worker: TokenSession, whileOpening: Bool,
        _ body: (inout Session, inout CipherScratch) throws(CryptokiError) -> Void
    ) throws(Refusal) {
        // Once the token is known to be lost, the rest of a batch must not wait for it item by item.
        if let refusal { throw refusal }
        var failure: CryptokiError
        do throws(CryptokiError) {
            guard try worker.use(body) != nil else { throw .failed(.openSession, .sessionHandleInvalid) }
            return
        } catch {
            failure = error
        }
        if failure.returnValue == .sessionHandleInvalid || failure.returnValue == .sessionClosed,
            let live = live.withLock({ $0 })
        {
            do throws(CryptokiError) {
                try worker.reopen(live)
                guard try worker.use(body) != nil else { throw failure }
                return
            } catch {
                failure = error
            }
        }
        let refusal = judge(
            failure, key: key, version: version, failedAt: Clock.monotonic(), whileOpening: whileOpening, worker: worker)
        // An error of the device that has passed says nothing of the envelope.
        guard refusal.code == .decryptionFailed, failure.meansDevice else { throw refusal }
        do throws(CryptokiError) {
            guard try worker.use(body) != nil else { throw failure }
        } catch {
            if !error.meansDevice { throw refusal }
            throw Refusal(.tokenUnavailable, retryAfter: 1_000)
        }
    }

    /// Turns a failed use of a key version into the refusal that the caller gets. Call it inside `enter`.
    ///
    /// - Parameters:
    ///   - failedAt: when the failure was seen; a probe begun later settles it.
    ///   - whileOpening: whether an envelope was being opened, so that the caller's bytes may be to blame.
    func judge(
        _ error: CryptokiError, key: KeyEntry, version: VersionEntry, failedAt: UInt64, whileOpening: Bool,
        worker: TokenSession
    ) -> Refusal {
        if whileOpening && error.meansBadCiphertext { return Refusal(.decryptionFailed) }
        switch probe(key: key, version: version, failedAt: failedAt, worker: worker) {
        case .keyWorks:
            if whileOpening { return Refusal(.decryptionFailed) }
            if let suppressed = refusalLines.withLock({ $0.take(now: Clock.monotonic()) }) {
                log.error(
                    "the token refused to work with a key that works",
                    metadata: ["key": "\(key.id)", "error": "\(error)", "left-out": "\(suppressed)"])
            }
            return Refusal(.tokenUnavailable, retryAfter: 1_000)
        case .keyFaulty:
            let name = ObjectName(key: key.id, version: version.number, role: .cipher)
            if probes.withLock({ $0.reported.insert(name).inserted }) {
                log.error(
                    "key version does not answer as it should",
                    metadata: ["key": "\(key.id)", "version": "\(version.number)", "error": "\(error)"])
            }
            wantRefind()
            return Refusal(.keyUnavailable, retryAfter: 5_000)
        case .tokenLost:
            declareLost(error.description)
            return Refusal(.tokenUnavailable, retryAfter: 1_000)
        }
    }

    private func probe(key: KeyEntry, version: VersionEntry, failedAt: UInt64, worker: TokenSession) -> ProbeHistory.Finding {
        let name = ObjectName(key: key.id, version: version.number, role: .cipher)
        // Probing under the lock is what makes the others wait for this probe instead of starting their own.
        return probes.withLock { history in
            if history.generation != worker.generation { history = ProbeHistory(generation: worker.generation) }
            if let recent = history.probes[name], recent.began > failedAt { return recent.finding }
            let began = Clock.monotonic()
            counters.probed.add(1, ordering: .relaxed)
            let finding = find(name, version, worker)
            history.probes[name] = ProbeHistory.Probe(began: began, finding: finding)
            return finding
        }
    }

    private func find(_ name: ObjectName, _ version: VersionEntry, _ worker: TokenSession) -> ProbeHistory.Finding {
        if let handles = version.handles, answers(name, version.knownAnswer, handles, worker) { return .keyWorks }
        guard let canary = live.withLock({ $0?.canary }), answers(canary.name, canary.answer, canary.handles, worker) else {
            return .tokenLost
        }
        return .keyFaulty
    }

    private func answers(
        _ name: ObjectName, _ answer: KnownAnswer, _ handles: SuiteHandles, _ worker: TokenSession
    ) -> Bool {
        let outcome: Bool? = worker.use { session, scratch in
            (try? KnownAnswerProof.holds(answer, for: name, handles, session: &session, scratch: &scratch)) ?? false
        }
        return outcome ?? false
    }
}
