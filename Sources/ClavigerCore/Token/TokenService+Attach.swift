import ClavigerWire
import Cryptoki
import Logging
import SecureMemory

// Getting hold of the token: initialise, choose the slot, log in once, bind. Always alone: no request is inside.
extension TokenService {
    /// Takes hold of the token, or says why not; never throws, and leaves the outcome in the status.
    ///
    /// - Parameter presented: the PIN that an operator presents; nil to use the one that succeeded before or the configured source.
    package func attach(presented: consuming SecretBytes?) {
        gate.enterAlone()
        defer { gate.leave() }
        let outcome = tryAttach(presented)
        switch outcome {
        case nil:
            let faulty = snapshots.current.keys.values.reduce(0) { $0 + $1.versions.count { $0.handle == nil } }
            if faulty > 0 {
                setStatus(.degraded, "\(faulty) key versions cannot be used: see 'claviger key versions'")
            } else {
                setStatus(.ready, "")
            }
            supervision.withLock { $0.attached() }
            log.notice("token ready", metadata: ["generation": "\(snapshots.current.generation)", "unusable": "\(faulty)"])
        case .some(let failure):
            setStatus(failure.state, failure.description)
            if supervision.withLock({ $0.failed(now: Clock.monotonic()) }) {
                log.error("token not ready", metadata: ["state": "\(failure.state.name)", "reason": "\(failure)"])
            }
        }
    }

    private func tryAttach(_ presented: consuming SecretBytes?) -> TokenFailure? {
        detach()
        do throws(TokenFailure) {
            let (slot, info) = try initialize()
            let generation = snapshots.current.generation + 1
            live.withLock { $0 = Live(module: module, slot: slot, generation: generation) }
            try login(slot: slot, info: info, presented: presented)
            try bind(generation: generation)
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
        do throws(FileError) {
            for path in try files?.restore() ?? [] {
                log.warning("token file was empty or damaged and has been restored from its copy", metadata: ["path": "\(path)"])
            }
        } catch {
            throw .needsOperator("the token's files cannot be examined: \(error)")
        }
        do throws(CryptokiError) {
            do throws(CryptokiError) {
                try module.initialize(reserved: configuration.module.initializeArguments)
            } catch {
                guard error.returnValue == .cryptokiAlreadyInitialized else { throw error }
            }
            management.withLock { $0.isInitialized = true }
            let slot = try uri.select(in: module)
            let info = try module.tokenInfo(slot)
            guard info.flags.contains(.initialized) else {
                throw TokenFailure.needsOperator("the token is not initialised: run 'claviger token init'")
            }
            guard info.serial == instance.tokenSerial else {
                throw TokenFailure.needsOperator(
                    "this is another token: serial \(info.serial), but instance \(instance.id) is bound to \(instance.tokenSerial)"
                )
            }
            return (slot, info)
        } catch let error as CryptokiError {
            throw .lost(error.description)
        } catch let error as TokenFailure {
            throw error
        } catch {
            throw .lost("\(error)")
        }
    }

    private func login(slot: SlotID, info: TokenInfo, presented: consuming SecretBytes?) throws(TokenFailure) {
        let warnings = LoginMarker.TokenWarnings(
            countLow: info.flags.contains(.userPINCountLow), finalTry: info.flags.contains(.userPINFinalTry),
            locked: info.flags.contains(.userPINLocked))
        let previous: LoginMarker?
        do throws(FileError) {
            previous = try LoginMarker.read(configuration.stateDirectory)
        } catch {
            throw .needsOperator(error.description)
        }
        let pin: SecretBytes
        let source: PINSourceIdentity
        let byOperator: Bool
        if let given = presented {
            (pin, source, byOperator) = (given, PINSourceIdentity(name: "unlock"), true)
        } else if let known = retained.withLock({ $0.take() }) {
            // It succeeded before, so only the token's own warnings stand against it.
            (source, byOperator) = (known.source, true)
            pin = try copy(known.pin)
        } else {
            guard let configured = configuration.token.pin else {
                throw .sealed("waiting for the PIN: run 'claviger unlock'")
            }
            byOperator = false
            do throws(FileError) {
                let identity = try PINReader.identity(configured)
                // Decided before the PIN is read: one that may not be tried is not even taken into memory.
                if case .refuse(let why) = LoginMarker.next(
                    after: previous, source: identity, byOperator: false, warnings: warnings)
                {
                    throw FileError(why, identity.name, -1)
                }
                let read = try PINReader.read(configured)
                source = read.source
                pin = try copyFile(read.pin, read.source.name)
            } catch {
                throw .needsOperator(error.code == -1 ? error.action : error.description)
            }
        }
        switch LoginMarker.next(after: previous, source: source, byOperator: byOperator, warnings: warnings) {
        case .refuse(let why): throw .needsOperator(why)
        case .attempt(let marker): try attempt(marker, pin: pin, slot: slot)
        }
        retained.withLock { $0 = RetainedPIN(pin: pin, source: source) }
    }

    private func copy(_ pin: borrowing SecretBytes) throws(TokenFailure) -> SecretBytes {
        do throws(SecureMemoryError) {
            return try pin.prefix(pin.count)
        } catch {
            throw .needsOperator("memory for the PIN cannot be locked: raise RLIMIT_MEMLOCK")
        }
    }

    private func copyFile(_ pin: borrowing SecretBytes, _ path: String) throws(FileError) -> SecretBytes {
        do throws(SecureMemoryError) { return try pin.prefix(pin.count) } catch { throw FileError("lock memory for", path, 12) }
    }

    /// The one C_Login of this initialisation, between two durable writes of the marker.
    private func attempt(_ marker: LoginMarker, pin: borrowing SecretBytes, slot: SlotID) throws(TokenFailure) {
        var marker = marker
        let directory = configuration.stateDirectory
        do throws(FileError) {
            try files?.copy()
            try marker.write(directory)
        } catch {
            throw .needsOperator("no login without its marker and a copy of the token's files: \(error)")
        }
        var failure: CryptokiError?
        do throws(CryptokiError) {
            var anchor = try module.openSession(slot, readWrite: true)
            do throws(CryptokiError) {
                try anchor.login(.user, pin: pin.bytes)
            } catch {
                if error.returnValue != .userAlreadyLoggedIn { failure = error }
            }
            let opened = anchor
            management.withLock { $0.anchor = opened }
        } catch {
            failure = error
        }
        marker.result =
            switch failure?.returnValue {
            case nil: failure == nil ? .accepted : .unjudged
            case .pinIncorrect?, .pinInvalid?, .pinLengthRange?, .pinExpired?: .refused
            case .pinLocked?: .locked
            case .some: .unjudged
            }
        do throws(FileError) {
            try marker.write(directory)
            if marker.result == .accepted { try files?.copy() }
        } catch {
            throw .needsOperator("the login's result cannot be written down: \(error)")
        }
        switch marker.result {
        case .accepted: return
        case .refused:
            throw .needsOperator(
                "the token refused the PIN from \(marker.source.name); it is not tried again until it changes or 'claviger unlock' is run")
        case .locked: throw .needsOperator("the token has locked the user PIN: reset it with the SO PIN")
        case .unjudged, .pending:
            throw .lost("the login failed: \(failure?.description ?? "no answer")")
        }
    }
}
