import ClavigerWire
import Cryptoki
import Logging
import SecureMemory
import Synchronization

// Getting hold of the token: initialise, choose the slot, log in once, bind. Always alone: no request is inside.
extension TokenService {
    /// Takes hold of the token, or says why not; never throws, and leaves the outcome in the status.
    ///
    /// - Parameter presented: the PIN that an operator presents; nil to use the one that succeeded before or the configured source.
    /// - Returns: false when a PIN is presented and the token is held already: then nothing was done.
    @discardableResult
    package func attach(presented: consuming SecretBytes?) -> Bool {
        // While it serves, the others are not to wait long for the sake of one key; a token that is lost serves nobody.
        let isServing = currentStatus.state.serves
        let patience = isServing ? TokenService.attachPatience : TokenService.stuckBound
        guard gate.enterAlone(until: Clock.monotonic() + patience) else {
            if isServing {
                supervision.withLock { $0.postpone(now: Clock.monotonic()) }
                bell.ring()
                return true
            }
            // Nothing can be re-initialised under a thread that is inside, and no thread can be taken out.
            whenStuck("a call into the token's module has not returned for \(TokenService.stuckBound / 1_000_000_000) s")
            return true
        }
        busy.begin(.attach)
        defer {
            busy.end(.attach)
            gate.leave()
        }
        // Two operators at once, or an operator and the supervisor: the second must not take away what the first has got.
        if presented != nil && currentStatus.state.serves { return false }
        detach()
        // Before the module reads them: what comes while it does counts as new.
        let view = files.map { StorageView($0) }
        setMissing(nil)
        let outcome = tryAttach(presented)
        switch outcome {
        case nil:
            let faulty = snapshots.current.keys.values.reduce(0) { $0 + $1.faultyVersions }
            if faulty > 0 {
                let more = damage().map { "; \($0)" } ?? ""
                setStatus(.degraded, "\(faulty) key versions cannot be used: see 'claviger key versions'\(more)")
            } else {
                setStatus(.ready, "")
            }
            counters.attached.add(1, ordering: .relaxed)
            supervision.withLock { $0.attached(missing: faulty, now: Clock.monotonic()) }
            if faulty > 0 { setMissing(Missing(view: view.map { $0.kept(in: files) }, ids: missingIDs())) }
            // Binding leaves some of many.
            wantOrders()
            turnedAway.flush()
            logState(.notice, "token ready", ["generation": "\(snapshots.current.generation)", "unusable": "\(faulty)"])
        case .some(let failure):
            // Nobody is served, so nobody needs to be logged in. What the token says of itself can still be asked.
            management.withLock { management in
                if let anchor = management.anchor.take() { try? anchor.close() }
            }
            counters.failed.add(1, ordering: .relaxed)
            setStatus(failure.state, failure.description)
            // Another token, or one without our keys, may be one that is being put back.
            if failure.state == .needsOperator, let view { setMissing(Missing(view: view.kept(in: files))) }
            // What time may mend is tried again, whoever tried first; what needs somebody waits for them.
            let isNews = supervision.withLock { $0.failed(failure.retry, now: Clock.monotonic()) }
            if isNews {
                logState(.error, "token not ready", ["state": "\(failure.state.name)", "reason": "\(failure)"])
            }
            bell.ring()
        }
        return true
    }

    /// Writes a line about the token's state, of which a token that comes and goes makes many.
    func logState(_ level: Logger.Level, _ message: Logger.Message, _ metadata: Logger.Metadata) {
        guard let suppressed = stateLines.withLock({ $0.take(now: Clock.monotonic()) }) else { return }
        let more: Logger.Metadata = suppressed > 0 ? ["left-out": "\(suppressed)"] : [:]
        log.log(level: level, message, metadata: metadata.merging(more) { old, _ in old })
    }

    /// Why the module must be taken for stuck in a call that is no request's, if it must; asked now and then by who can end the process.
    package var stuckReason: String? {
        guard busy.longest >= TokenService.stuckBound else { return nil }
        return
            "the token's module has not come back from a call of the daemon's own for \(TokenService.stuckBound / 1_000_000_000) s"
    }

    /// What there is to say of a call that is no request's and takes longer than it should; nil when there is none.
    var slowReason: String? {
        let time = busy.longest
        guard time >= TokenService.slowBound else { return nil }
        return
            "a call of the daemon's own into the token's module has not come back for \(time / 1_000_000_000) s; the daemon restarts "
            + "itself after \(TokenService.stuckBound / 1_000_000_000) s"
    }

    private func tryAttach(_ presented: consuming SecretBytes?) -> TokenFailure? {
        do throws(TokenFailure) {
            let (slot, info) = try initialize()
            let generation = snapshots.current.generation + 1
            let listed = try mapping({ (error: CryptokiError) in TokenFailure.lost(error.description) }) {
                () throws(CryptokiError) in try module.mechanisms(slot)
            }
            let quirks = configuration.quirks
            live.withLock {
                $0 = Live(
                    module: module, slot: slot, quirks: quirks, budget: SessionBudget(limit: quirks.sessionLimit),
                    generation: generation)
            }
            try login(slot: slot, info: info, presented: presented)
            try examine(listed)
            try bind(generation: generation)
            reportDamagedFiles()
            return nil
        } catch {
            return error
        }
    }

    /// Ends all use of the module, as far as it lets us.
    package func detach() {
        live.withLock { $0 = nil }
        management.withLock { management in
            guard management.isInitialized else { return }
            if let anchor = management.anchor.take() { anchor.forget() }
            try? module.finalize()
            management.isInitialized = false
        }
    }

    private func initialize() throws(TokenFailure) -> (SlotID, TokenInfo) {
        let restored = try mapping({ (error: FileError) in TokenFailure(error, "the token's files cannot be examined") }) {
            () throws(FileError) -> [String] in try files?.restore() ?? []
        }
        counters.restored.add(UInt64(restored.count), ordering: .relaxed)
        for path in restored {
            log.warning("token file was empty or damaged and has been restored from its copy", metadata: ["path": "\(path)"])
        }
        if files != nil, let complaint = moduleProbe?.complaint() {
            throw .lost(
                "the token's module \(complaint); \(damage() ?? "no file of its storage is damaged in a way that shows")")
        }
        let (slot, info) = try mapping({ (error: CryptokiError) in TokenFailure.lost(error.description) }) {
            () throws(CryptokiError) -> (SlotID, TokenInfo) in
            do throws(CryptokiError) {
                try module.initialize(reserved: configuration.module.initializeArguments)
            } catch {
                guard error.returnValue == .cryptokiAlreadyInitialized else { throw error }
            }
            management.withLock { $0.isInitialized = true }
            let slot = try uri.select(in: module)
            return (slot, try module.tokenInfo(slot))
        }
        guard info.flags.contains(.initialized) else {
            throw .notOurs("the token is not initialised: run 'claviger token init'")
        }
        guard info.serial == instance.tokenSerial else {
            throw .notOurs(
                "this is another token: serial \(info.serial), but instance \(instance.id) is bound to \(instance.tokenSerial)")
        }
        return (slot, info)
    }

    private func login(slot: SlotID, info: TokenInfo, presented: consuming SecretBytes?) throws(TokenFailure) {
        let warnings = LoginMarker.TokenWarnings(
            countLow: info.flags.contains(.userPINCountLow), finalTry: info.flags.contains(.userPINFinalTry),
            locked: info.flags.contains(.userPINLocked))
        let previous = try mapping({ (error: FileError) in TokenFailure(error) }) {
            () throws(FileError) -> LoginMarker? in try LoginMarker.read(configuration.stateDirectory)
        }
        let candidate = try choosePIN(presented, previous: previous, warnings: warnings)
        let verdict: Verdict =
            switch LoginMarker.next(
                after: previous, source: candidate.source, byOperator: candidate.isKnownGood, warnings: warnings)
            {
            case .refuse(let why): .unjudged(.needsOperator(why))
            case .attempt(let marker): attempt(marker, pin: candidate.pin, slot: slot)
            }
        // A noncopyable value leaves its variable only by being consumed whole: through an Optional, into the lock.
        switch verdict {
        case .accepted:
            if !candidate.source.isConfigured { forgiveSource(holding: candidate.pin) }
            var succeeded: RetainedPIN? = candidate.known()
            retained.withLock { $0 = succeeded.take() }
        case .refused(let failure): throw failure
        case .unjudged(let failure):
            // Nothing was said against a PIN that succeeded before: an outage in mid-login must not cost it.
            if candidate.hasSucceeded {
                var kept: RetainedPIN? = candidate
                retained.withLock { $0 = kept.take() }
            }
            throw failure
        }
    }

    /// A configured source that was refused and holds the PIN that the token has just taken is good again.
    private func forgiveSource(holding pin: borrowing SecretBytes) {
        guard let configured = configuration.token.pin else { return }
        let directory = configuration.stateDirectory
        do throws(FileError) {
            guard var marker = try LoginMarker.read(directory), !marker.refused.isEmpty else { return }
            let found = try PINReader.read(configured)
            guard marker.refused.contains(found.source), constantTimeEqual(found.pin.bytes, pin.bytes) else { return }
            let source = found.source
            marker.refused.removeAll { $0 == source }
            try marker.write(directory)
        } catch {
            log.notice("the configured PIN was not compared with the one that was given", metadata: ["error": "\(error)"])
        }
    }

    /// What the token made of a PIN.
    private enum Verdict {
        case accepted
        case refused(TokenFailure)
        case unjudged(TokenFailure)
    }

    /// The PIN to try: the one presented, the one that succeeded before, or that of the configured source.
    private func choosePIN(
        _ presented: consuming SecretBytes?, previous: LoginMarker?, warnings: LoginMarker.TokenWarnings
    ) throws(TokenFailure) -> RetainedPIN {
        if let given = presented.take() {
            return RetainedPIN(pin: given, source: .byOperator, isKnownGood: true, hasSucceeded: false)
        }
        // It succeeded before, so only the token's own warnings stand against it.
        if let known = retained.withLock({ $0.take() }) { return known }
        guard let configured = configuration.token.pin else { throw .sealed("waiting for the PIN: run 'claviger unlock'") }
        guard PINReader.isThere(configured) else {
            throw .sealed("there is no PIN at \(PINReader.name(configured)): put it there and restart, or run 'claviger unlock'")
        }
        let asOperatorMatter = { (error: FileError) in TokenFailure(error) }
        let identity = try mapping(asOperatorMatter) { () throws(FileError) in try PINReader.identity(configured) }
        // Decided before the PIN is read: one that may not be tried is not even taken into memory.
        if case .refuse(let why) = LoginMarker.next(
            after: previous, source: identity, byOperator: false, warnings: warnings)
        {
            throw .needsOperator(why)
        }
        return try mapping(asOperatorMatter) { () throws(FileError) in try PINReader.read(configured) }
    }

    /// Opens the management session and logs in with it.
    private func attempt(_ marker: LoginMarker, pin: borrowing SecretBytes, slot: SlotID) -> Verdict {
        let attempt: Result<MarkedLogin.Outcome, TokenFailure> = management.withLock { management in
            do throws(CryptokiError) {
                management.anchor = try module.openSession(slot, readWrite: true)
            } catch {
                return .failure(.lost("a session cannot be opened: \(error)"))
            }
            do throws(FileError) {
                return .success(
                    try MarkedLogin.perform(
                        marker, pin: pin, session: &management.anchor!, stateDirectory: configuration.stateDirectory, files: files
                    ))
            } catch {
                return .failure(TokenFailure(error, "no login without its marker and a copy of the token's files"))
            }
        }
        switch attempt {
        case .failure(let failure): return .unjudged(failure)
        case .success(let outcome): return judge(outcome, marker.source)
        }
    }

    private func judge(_ outcome: MarkedLogin.Outcome, _ source: PINSourceIdentity) -> Verdict {
        switch outcome.result {
        case .accepted:
            guard let unwritten = outcome.unwritten else { return .accepted }
            return .unjudged(TokenFailure(unwritten, "the login's result cannot be written down"))
        case .refused:
            guard source.name != PINSourceIdentity.byOperator.name else {
                return .refused(
                    .needsOperator("the token refused the PIN that was given: run 'claviger unlock' with the right one"))
            }
            let advice = "it is not tried again until that changes or 'claviger unlock' is run"
            return .refused(.needsOperator("the token refused the PIN from \(source.name); \(advice)"))
        case .locked: return .refused(.needsOperator("the token has locked the user PIN: reset it with the SO PIN"))
        case .unjudged, .unclear, .pending:
            return .unjudged(.lost("the login failed: \(outcome.failure?.description ?? "no answer")"))
        }
    }
}
