import ClavigerWire
import Cryptoki
import Logging
import SecureMemory
import Synchronization

// Secrets at rest: sealed when a standard key is created or rotated, opened when it is read.
extension TokenService {
    /// Takes hold of a version of the vault that has proven to be itself.
    func takeVault(_ record: InstanceKeyRecord, _ name: ObjectName, _ handles: SuiteHandles) {
        let counter = vaultCounters.withLock { counters in
            let counter = counters[record.version] ?? WrapCounter(reserved: record.wrapsReserved)
            counters[record.version] = counter
            return counter
        }
        let vault = Vault(
            instance: instance.id, name: name, handles: handles, answer: record.knownAnswer, counter: counter)
        live.withLock { live in
            live?.vaults.removeAll { $0.name.version >= record.version }
            live?.vaults.append(vault)
        }
    }

    /// Seals a secret under the newest version of the vault.
    ///
    /// - Parameter secret: in locked memory.
    func seal(
        _ secret: UnsafeRawBufferPointer, _ place: Vault.Place, _ session: inout Session, _ scratch: inout CipherScratch
    ) throws(Refusal) -> (sealed: [UInt8], suite: Suite) {
        guard let vault = live.withLock({ $0?.vaults.last }) else { throw Refusal(.tokenUnavailable, retryAfter: 1_000) }
        guard
            (0..<Vault.parts(secret.count)).allSatisfy({ part in
                vault.handles.suite.allows(
                    plaintextLength: min(Vault.partLength, secret.count - part * Vault.partLength))
            })
        else {
            throw Refusal(.invalidValue, "the vault's suite, \(vault.handles.suite.name), does not take a secret of this length")
        }
        for _ in 0..<Vault.parts(secret.count) {
            _ = try vault.counter.take { (reserved) throws(Refusal) in
                try mapping(ledger.refuse) { () throws(StoreError) in
                    try store.reserveWraps(vault.name.role, vault.name.version, upTo: reserved)
                }
            }
        }
        do throws(CryptokiError) {
            return (
                try vault.seal(secret, place, session: &session, scratch: &scratch), vault.handles.suite
            )
        } catch {
            log.error("a secret was not sealed", metadata: ["key": "\(place.key)", "error": "\(error)"])
            if error.meansLost { declareLost(error.description) }
            throw Refusal(.tokenUnavailable, retryAfter: 1_000)
        }
    }

    /// Opens a secret into locked memory. Call it inside `enter`.
    ///
    /// - Parameter output: room for `Limits.maximumPayload` bytes.
    /// - Returns: the secret's length.
    /// - Throws: `decryptionFailed` when what is stored does not open under a vault that works: the database was altered.
    func open(
        _ sealed: [UInt8], _ place: Vault.Place, _ worker: TokenSession, into output: UnsafeMutableRawBufferPointer
    ) throws(Refusal) -> Int {
        guard let version = Vault.version(of: sealed),
            let vault = live.withLock({ $0?.vaults.first { $0.name.version == version } })
        else { throw damaged(place) }
        var failure: OpenFailure?
        do throws(Vault.Failure) {
            if let count = try attempt(vault, sealed, place, worker, output) { return count }
            failure = .token(.failed(.openSession, .sessionHandleInvalid))
        } catch {
            switch error {
            case .malformed: throw damaged(place)
            case .open(let cause): failure = cause
            }
        }
        // Once more on a new session, when the old one turns out to be dead.
        if case .token(let cause)? = failure, cause.meansDeadSession, let live = live.withLock({ $0 }),
            (try? worker.reopen(live)) != nil
        {
            if let count = try? attempt(vault, sealed, place, worker, output) { return count }
        }
        wipe(output)
        throw judge(vault, place, worker, failure)
    }

    private func attempt(
        _ vault: Vault, _ sealed: [UInt8], _ place: Vault.Place, _ worker: TokenSession,
        _ output: UnsafeMutableRawBufferPointer
    ) throws(Vault.Failure) -> Int? {
        try worker.use { (session, scratch) throws(Vault.Failure) in
            try vault.open(sealed, place, session: &session, scratch: &scratch, into: output)
        }
    }

    /// Bad row, bad key or bad device? What the token says does not tell, so it is asked something whose answer is known.
    private func judge(
        _ vault: Vault, _ place: Vault.Place, _ worker: TokenSession, _ failure: OpenFailure?
    ) -> Refusal {
        func answers(_ name: ObjectName, _ answer: KnownAnswer, _ handles: SuiteHandles) -> Bool {
            let outcome: Bool? = worker.use { session, scratch in
                (try? KnownAnswerProof.holds(answer, for: name, handles, session: &session, scratch: &scratch)) ?? false
            }
            return outcome ?? false
        }
        if answers(vault.name, vault.answer, vault.handles) { return damaged(place) }
        let reason = failure.map { "\($0)" } ?? "no session"
        guard let canary = live.withLock({ $0?.canary }), answers(canary.name, canary.answer, canary.handles) else {
            declareLost(reason)
            return Refusal(.tokenUnavailable, retryAfter: 1_000)
        }
        log.error("the vault does not answer as it should", metadata: ["error": "\(reason)"])
        wantRefind()
        return Refusal(.keyUnavailable, retryAfter: 5_000)
    }

    private func damaged(_ place: Vault.Place) -> Refusal {
        log.critical(
            "a stored secret does not open: the database was altered",
            metadata: ["key": "\(place.key)", "version": "\(place.version)"])
        return Refusal(
            .decryptionFailed,
            "what is stored of version \(place.version) of key \(place.key) does not open: the database was altered")
    }
}
