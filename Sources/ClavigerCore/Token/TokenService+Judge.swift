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

/// What a key version is used for, as far as an error of the token means different things.
enum CipherUse: Sendable {
    /// An envelope is made.
    case sealing
    /// An envelope is opened, and the token says whether it is one: the caller's bytes may be to blame.
    case opening
    /// An envelope is opened whose MAC fits, so that we have made it.
    case openingBehindMAC
}

// Bad ciphertext, bad key or bad device? The same CKR can mean each of them, so the token is asked something whose answer is known.
extension TokenService {
    /// Runs one use of a key version, once more on a new session when the old one turns out to be dead, and turns what fails then
    /// into the refusal that the caller gets. Call it inside `enter`.
    func retrying(
        _ key: KeyEntry, _ version: VersionEntry, _ worker: TokenSession, _ use: CipherUse,
        _ body: (inout Session, inout CipherScratch) throws(CryptokiError) -> Void
    ) throws(Refusal) {
        try retrying(key, worker, blaming: { (version, use) }, body)
    }

    /// As the other, for a use of more than one version.
    ///
    /// - Parameter blaming: asked after a failure: the version that it is about, and what that was used for.
    func retrying(
        _ key: KeyEntry, _ worker: TokenSession, blaming: () -> (VersionEntry, CipherUse),
        _ body: (inout Session, inout CipherScratch) throws(CryptokiError) -> Void
    ) throws(Refusal) {
        // Once the token is known to be lost, the rest of a batch must not wait for it item by item.
        if let refusal { throw refusal }
        let failure: CryptokiError
        do throws(CryptokiError) {
            return try worker.useReopening(live.withLock { $0 }, body)
        } catch {
            failure = error
        }
        let (version, use) = blaming()
        let refusal = judge(failure, key: key, version: version, failedAt: Clock.monotonic(), use: use, worker: worker)
        // An error of the device that has passed says nothing of the envelope, and behind a MAC that fits every error may have passed.
        guard refusal.code == .decryptionFailed, failure.meansDevice || use == .openingBehindMAC else { throw refusal }
        do throws(CryptokiError) {
            guard try worker.use(body) != nil else { throw failure }
        } catch {
            if error.meansDevice { throw Refusal(.tokenUnavailable, retryAfter: 1_000) }
            guard use == .openingBehindMAC else { throw refusal }
            // Whatever it failed at now, only an opening that failed on a key that works is final.
            let (version, use) = blaming()
            if use == .openingBehindMAC {
                report("an envelope whose MAC fits does not open, nor did it when tried again", error, key)
                throw refusal
            }
            throw judge(error, key: key, version: version, failedAt: Clock.monotonic(), use: use, worker: worker)
        }
    }

    /// Turns a failed use of a key version into the refusal that the caller gets. Call it inside `enter`.
    ///
    /// - Parameters:
    ///   - failedAt: when the failure was seen; a probe begun later settles it.
    ///   - use: what the version was used for.
    func judge(
        _ error: CryptokiError, key: KeyEntry, version: VersionEntry, failedAt: UInt64, use: CipherUse, worker: TokenSession
    ) -> Refusal {
        if use == .opening && error.meansBadCiphertext { return Refusal(.decryptionFailed) }
        switch probe(key: key, version: version, failedAt: failedAt, worker: worker) {
        case .keyWorks:
            switch use {
            case .opening, .openingBehindMAC: return Refusal(.decryptionFailed)
            case .sealing:
                report("the token refused to work with a key that works", error, key)
                return Refusal(.tokenUnavailable, retryAfter: 1_000)
            }
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

    private func report(_ what: Logger.Message, _ error: CryptokiError, _ key: KeyEntry) {
        guard let suppressed = refusalLines.withLock({ $0.take(now: Clock.monotonic()) }) else { return }
        log.error(what, metadata: ["key": "\(key.id)", "error": "\(error)", "left-out": "\(suppressed)"])
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
