import ClavigerWire
import Cryptoki
import Glibc
import Logging
import SecureMemory
import Synchronization

/// The token as the daemon uses it: logged in once, bound to the instance, watched, and got back when it goes away.
///
/// Requests use it inside `enter` and `leave`; they may run together. Whatever changes login, sessions or handles runs alone; an
/// object is destroyed when those who may have held its handle have left.
package final class TokenService: Sendable {
    /// The module and slot of the present generation.
    package struct Live: Sendable {
        let module: Module
        let slot: SlotID
        /// What the token does not do as others do.
        let quirks: TokenQuirks
        /// The sessions that the workers may open.
        let budget: SessionBudget
        /// The suites that the token carries, best first: tried after the login.
        var suites: [Suite] = []
        /// Rises with every initialisation of the module; handles and sessions of another one are void.
        let generation: UInt64
        /// The instance's canary, once it has been proven.
        var canary: Canary?
        /// The private key of the instance's signing pair, once it has been found.
        var signingKey: ObjectHandle?
        /// The instance's HMAC key, once it has been found.
        var mac: ObjectHandle?
        /// The instance's keys for secrets at rest, ascending by version; the last one seals.
        var vaults: [Vault] = []
    }

    /// The object that tells a lost token from a faulty key.
    struct Canary: Sendable {
        let name: ObjectName
        let handles: SuiteHandles
        let answer: KnownAnswer
    }

    /// What the daemon can do now, and why not more.
    package struct Status: Sendable, Equatable {
        package var state: DaemonState
        package var reason: String
    }

    // What the one lock covers: the session in which objects are created, found, read back and destroyed, which also keeps the
    // login alive.
    struct Management: ~Copyable {
        var anchor: Session?
        var scratch: CipherScratch
        var isInitialized = false
        var storageLock: HolderLock?
        /// What was not found; nil when nothing is missed.
        var missing: Missing?
    }

    let configuration: Configuration
    let store: Store
    let log: Logger
    let instance: InstanceRecord
    let uri: TokenURI
    let module: Module
    let files: TokenFiles?
    let factory: ObjectFactory
    let snapshots: SnapshotBox
    let time: TimeSource
    let ledger: KeyLedger
    let gate = SharedGate()
    let management: Mutex<Management>
    let retained = Mutex<RetainedPIN?>(nil)
    let live = Mutex<Live?>(nil)
    /// The pairs of open import tokens in the present generation.
    let importPairs = Mutex<[ImportTokenID: ImportPair]>([:])
    /// How often each version of the vault has sealed; counted on through every generation.
    let vaultCounters = Mutex<[UInt32: WrapCounter]>([:])
    let probes = Mutex(ProbeHistory())
    let signer = Mutex(SigningSession())
    // Kept when the token goes: it is needed most where the token is not.
    let verifyingKey = Mutex<SigningPublicKey?>(nil)
    private let status: Mutex<Status>
    let quarantined = Atomic<Int>(0)
    /// Attempts to take hold of the token, one after another, in which a key of the instance gave an error.
    let unproven = Atomic<Int>(0)
    /// The key versions without an object that the log has named.
    let namedMissing = Mutex<Set<ObjectName>>([])
    let bell = Bell()
    /// What speaks against the database; nil while nothing does.
    let doubts = Mutex<String?>(nil)
    /// Who has the database believed as it is, while the binding that does so is under way.
    let accepting = Mutex<Caller?>(nil)
    let anchorState = Mutex(AnchorState())
    /// Why the newest head of the database has no signature; nil while it has one.
    let unsigned = Mutex<String?>(nil)
    /// What publishes grants once the database is verified.
    let accessLedger = Mutex<AccessLedger?>(nil)
    let whenStuck: @Sendable (String) -> Void
    let moduleProbe: ModuleProbe?
    let counters = TokenCounters()
    /// What was reported of damaged files last.
    let lastDamage = Mutex(DamageReport(files: [], missing: 0))
    let turnedAway = TurnedAway()
    let stateLines = Mutex(LogBudget())
    let refusalLines = Mutex(LogBudget())
    let started = Atomic(false)
    let busy = BusyStamps()
    let hasEndedSupervising = Atomic(false)

    /// How long a re-initialisation waits for requests that are inside the module, in nanoseconds: far beyond what a working token
    /// takes for a batch.
    static let stuckBound: UInt64 = 30_000_000_000
    /// How long a step of the supervisor's, a login or a signature may take before the daemon's health is red, in nanoseconds: beyond what
    /// the slowest call, the making of an RSA pair, takes on most tokens.
    static let slowBound: UInt64 = 8_000_000_000
    /// How long a re-initialisation waits for requests while the token serves, in nanoseconds: newcomers wait behind it.
    static let attachPatience: UInt64 = 1_000_000_000
    let supervision = Mutex(Supervision())
    /// Objects made since the module was initialised after which it is initialised anew: a module was measured to keep about 250 bytes for
    /// each one of a session, and four times that for one of the token, until C_Finalize; 16 MiB in all.
    package static let recycleBound = 65_536

    /// Why the token service could not even be set up: each a matter for the operator, before anything was touched.
    package enum SetUpError: Error, Sendable, CustomStringConvertible {
        case store(StoreError)
        case noInstance
        case module(CryptokiError)
        case noModule
        case lock(HolderLock.Failure)
        case memory(SecureMemoryError)

        package var description: String {
            switch self {
            case .store(let error): error.description
            case .noInstance: "no instance has been set up (or its set-up was cut off): run 'claviger token init'"
            case .module(let error): error.description
            case .noModule: "no PKCS#11 module is named: set module.path, or module-path in token.uri"
            case .lock(let failure): failure.description
            case .memory: "memory for secrets cannot be locked: raise RLIMIT_MEMLOCK (ulimit -l, LimitMEMLOCK=)"
            }
        }
    }

    /// Loads what does not need the token to answer: the instance's record, the module, the lock on the token's storage.
    ///
    /// - Parameters:
    ///   - time: where dates come from.
    ///   - probe: tried before each initialisation of a module that keeps its objects in files; nil for none.
    ///   - whenStuck: called when a call into the module does not return and so nothing can be re-initialised; the process is to end
    ///     with a status that has it restarted.
    package init(
        configuration: Configuration, store: Store, snapshots: SnapshotBox, log: Logger, time: TimeSource = .system,
        probe: ModuleProbe? = nil, whenStuck: @escaping @Sendable (String) -> Void
    ) throws(SetUpError) {
        let uri = try mapping(SetUpError.module) { () throws(CryptokiError) in try TokenURI(configuration.token.uri) }
        guard let path = configuration.module.path ?? uri.modulePath else { throw .noModule }
        let module = try mapping(SetUpError.module) { () throws(CryptokiError) in try Module(path: path) }
        let record = try mapping(SetUpError.store) { () throws(StoreError) in try store.instance() }
        guard let record, record.isComplete else { throw .noInstance }
        var files: TokenFiles?
        var lock: HolderLock?
        let scratch = try mapping(SetUpError.memory) { () throws(SecureMemoryError) in try CipherScratch() }
        if let storage = configuration.module.storagePath {
            if configuration.module.storageFormat != nil {
                files = TokenFiles(storage: storage, stateDirectory: configuration.stateDirectory)
            }
            lock = try mapping(SetUpError.lock) { () throws(HolderLock.Failure) in
                try HolderLock(path: storage + "/" + TokenService.storageLockName, holder: "clavigerd")
            }
        }
        management = Mutex(Management(anchor: nil, scratch: scratch, storageLock: lock))
        self.whenStuck = whenStuck
        moduleProbe = probe
        self.configuration = configuration
        self.store = store
        self.snapshots = snapshots
        self.time = time
        ledger = KeyLedger(store: store, snapshots: snapshots, time: time, log: log)
        self.log = log
        self.uri = uri
        self.module = module
        self.files = files
        instance = record
        factory = ObjectFactory(instance: record.id, files: files, quirks: configuration.quirks)
        status = Mutex(Status(state: .sealed, reason: "starting"))
    }

    /// How many objects of ours no record speaks of.
    var quarantinedCount: Int { quarantined.load(ordering: .relaxed) }

    /// The lock's name in a token's storage directory: there is one holder of a token.
    package static let storageLockName = ".claviger.lock"
    /// The lock's name in the state directory: daemon and CLI never work on it together.
    package static let stateLockName = "claviger.lock"

    /// What is wrong with the module and token that a configuration names, found without touching either; nil when nothing is.
    package static func problem(with configuration: Configuration) -> String? {
        do throws(CryptokiError) {
            let uri = try TokenURI(configuration.token.uri)
            guard let path = configuration.module.path ?? uri.modulePath else { return SetUpError.noModule.description }
            return access(path, R_OK) == 0 ? nil : "module.path: there is no module at \(path)"
        } catch {
            return "token.uri: \(error)"
        }
    }

    /// What the daemon can do now.
    package var currentStatus: Status {
        let status = status.withLock { $0 }
        guard status.state.serves, let reason = unsigned.withLock({ $0 }) else { return status }
        let text = "changes of the database are not signed, and would not be believed after a restart: \(reason)"
        return Status(state: .degraded, reason: status.reason.isEmpty ? text : "\(status.reason); \(text)")
    }

    func setStatus(_ state: DaemonState, _ reason: String) {
        status.withLock { $0 = Status(state: state, reason: reason) }
    }

    /// The refusal for what needs the token while it does not serve; nil while it does.
    package var refusal: Refusal? {
        let status = currentStatus
        switch status.state {
        case .ready, .degraded: return nil
        case .lost: return Refusal(.tokenUnavailable, retryAfter: 1_000)
        case .needsOperator: return Refusal(.needsOperator)
        case .sealed: return Refusal(.sealed)
        }
    }

    /// What a caller is told to wait when the token has no session for the worker, in milliseconds.
    static let sessionRetry: UInt32 = 100

    /// Begins a request's use of the token: session, handles and snapshot belong together until `leave`.
    ///
    /// - Throws: the refusal for the present state; then there is nothing to leave.
    package func enter(_ worker: TokenSession) throws(Refusal) -> Snapshot {
        if let refusal { throw refusal }
        gate.enterShared(isInside: worker.depth > 0)
        worker.depth += 1
        do throws(Refusal) {
            if let refusal { throw refusal }
            guard let live = live.withLock({ $0 }) else { throw Refusal(.tokenUnavailable, retryAfter: 1_000) }
            do throws(CryptokiError) {
                try worker.prepare(live)
            } catch {
                // The token has no session left for this worker; that is no reason to take those of the others away.
                if error.returnValue == .sessionCount {
                    worker.lacksSession = true
                    throw Refusal(.busy, retryAfter: TokenService.sessionRetry)
                }
                declareLost("a session cannot be opened: \(error)")
                throw Refusal(.tokenUnavailable, retryAfter: 1_000)
            }
            return snapshots.current
        } catch {
            leave(worker)
            throw error
        }
    }

    /// Ends what `enter` began.
    package func leave(_ worker: TokenSession) {
        worker.depth -= 1
        gate.leave()
        if ObjectTally.count >= TokenService.recycleBound { wantRecycle() }
    }

    /// Turns new requests back and has the supervisor get the token again.
    func declareLost(_ reason: String) {
        let isNews = status.withLock { status in
            guard status.state.serves else { return false }
            status = Status(state: .lost, reason: reason)
            return true
        }
        if isNews {
            counters.lost.add(1, ordering: .relaxed)
            logState(.error, "token lost", ["reason": "\(reason)"])
        }
        supervision.withLock { $0.lost(now: Clock.monotonic()) }
        bell.ring()
    }

    /// Runs `body` with the management session: creating, finding, reading back and destroying happen here only, one at a time.
    /// Call it inside `enter`.
    func manage<R: Sendable, E: Error>(
        _ body: (inout Session, inout CipherScratch) throws(E) -> R
    ) throws(E) -> R? {
        let outcome: Result<R, E>? = management.withLock { management in
            guard management.anchor != nil else { return nil }
            // While something is missed, files that the daemon makes must not pass for files that came back.
            if management.missing != nil { noteGains(&management) }
            defer { if management.missing != nil { passOwnFiles(&management) } }
            do throws(E) {
                return .success(try body(&management.anchor!, &management.scratch))
            } catch {
                return .failure(error)
            }
        }
        return try outcome?.get()
    }
}
