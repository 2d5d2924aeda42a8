import ClavigerWire
import Glibc
import Logging
import Synchronization

/// Records what the service does: requests by their reply, changes through the outbox, and what the daemon meets by itself.
package final class AuditRecorder: Sendable {
    package let log: AuditLog
    /// Sends records to another place as well; nil when none is configured.
    package let collector: AuditCollector?
    let store: Store
    let token: TokenService
    let accounts: AccountCache
    let time: TimeSource
    let logger: Logger
    /// How records of key use are kept.
    let durability: Configuration.Audit.Durability
    // An index into `forms`: asked with every request, so without a lock.
    private let contextForm: Atomic<Int>
    let denials = DenialMerger()
    let outbox: AuditOutbox
    // Records that neither the log nor the database takes now.
    let stranded = Mutex<[Stranded]>([])
    private let seen = Mutex<Seen>(Seen())
    let nonce = String(UInt32.random(in: .min ... .max), radix: 16)
    let counter = Atomic<UInt64>(0)
    // Records of refusals that are on their way to the disk: nobody is given another answer when they do not get there.
    let underWay = Mutex<[(ticket: RecordTicket, record: AuditRecord)]>([])

    // Beside the recorder, since the log's anchor needs it and is made before.
    final class Told: Sendable {
        // CLOCK_MONOTONIC of when the token was last told of a checkpoint.
        let at = Atomic<UInt64>(0)
    }

    struct Stranded {
        var record: AuditRecord
        // The log's newest record then: it can only stand behind it.
        var after: UInt64
    }

    // What was last recorded of the token.
    private struct Seen {
        var serves = false
        var generation: UInt64 = 0
        var reason = ""
        var hasKeyFile = false
    }

    init(
        configuration: Configuration, store: Store, token: TokenService, accounts: AccountCache, time: TimeSource,
        log logger: Logger
    ) {
        let audit = configuration.audit
        let directory = configuration.auditDirectory
        var settings = AuditLog.Settings(directory: directory)
        settings.segmentBytes = audit.segmentMebibytes << 20
        settings.segmentAge = UInt64(audit.segmentHours) * 3_600_000
        settings.checkpointRecords = UInt64(audit.checkpointRecords)
        settings.checkpointInterval = UInt64(audit.checkpointSeconds) * 1_000_000_000
        var surroundings = AuditLog.Surroundings(log: logger) { digest throws(SigningFailure) in try token.sign(digest) }
        surroundings.time = time
        surroundings.epoch = { store.believedEpoch }
        let outbox = AuditOutbox(store: store, log: logger)
        let told = Told()
        surroundings.anchor = { position in
            outbox.settle(position)
            AuditRecorder.remember(told, token)
        }
        self.outbox = outbox
        let anchor = try? store.anchor()
        let auditLog = AuditLog(settings: settings, instance: token.instance.id, anchor: anchor, surroundings: surroundings)
        log = auditLog
        collector = audit.collector.map {
            AuditCollector(
                path: $0, directory: directory, place: configuration.stateDirectory + "/audit-collector", log: logger,
                bound: auditLog.bound)
        }
        durability = audit.durability
        contextForm = Atomic(AuditRecorder.index(of: audit.context))
        self.store = store
        self.token = token
        self.accounts = accounts
        self.time = time
        self.logger = logger
        store.hooks.withLock { $0.auditPosition = { auditLog.position } }
    }

    /// Opens the log, puts into it what a crash left in the outbox, and records the start. Call it once the token has been held or
    /// found away, and before the first request.
    package func start() {
        outbox.open(log)
        if !store.keepRoom() { logger.warning("there is no room on the disk to be kept for the database") }
        system(.start, data: [.init("version", Service.version), .init("pid", "\(getpid())")])
        tick()
    }

    /// Records the end, seals the log and anchors it. The token must still be held.
    func stop() {
        tick()
        for record in denials.all() { append(record) }
        system(.stop)
        _ = try? log.seal()
        leaveWaiting()
    }

    /// Takes up what a reload may change.
    func reload(_ configuration: Configuration) {
        contextForm.store(AuditRecorder.index(of: configuration.audit.context), ordering: .relaxed)
    }

    /// How contexts are recorded.
    var contexts: AuditContexts.Form { AuditRecorder.forms[contextForm.load(ordering: .relaxed)] }

    private static let forms = AuditContexts.Form.allCases
    private static func index(of form: AuditContexts.Form) -> Int { forms.firstIndex(of: form) ?? 0 }

    /// The state of the daemon, whose token is in this state: without a log no key is used.
    func status(_ token: TokenService.Status) -> TokenService.Status {
        guard token.state.serves else { return token }
        if let failure = log.failure {
            return TokenService.Status(
                state: .needsOperator, reason: "the audit log cannot be written, so keys are not used: \(failure)")
        }
        let concern: String?
        if durability == .off {
            concern = "the use of keys is not recorded: audit.durability is \"off\""
        } else {
            concern = log.warning.map { "the audit log was not as it was left: \($0)" }
        }
        guard let concern else { return token }
        let reason = token.reason.isEmpty ? concern : "\(token.reason); \(concern)"
        return TokenService.Status(state: .degraded, reason: reason)
    }

    // MARK: what the daemon meets by itself

    /// Records something that no caller asked for.
    package func system(_ event: AuditEvent.System, reason: String? = nil, data: [AuditRecord.Field] = []) {
        append(.system(event, time: time.now(), reason: reason, data))
    }

    func append(_ record: AuditRecord) {
        var record = record
        if record.id == nil { record.id = RandomSource.identifier() }
        var ticket: RecordTicket?
        do throws(AuditFailure) {
            let added = try log.add(record.body(token.instance.id), flushed: true)
            ticket = added
            try log.secure(added)
        } catch {
            do throws(StoreError) {
                try outbox.leave(record, ticket)
            } catch {
                strand(record, ticket, error)
            }
        }
    }

    /// What is done now and then: by the thread that tends the log.
    package func tick() {
        watchToken()
        drain()
        forget()
        seeThrough()
        guard log.failure == nil else { return }
        takeStranded()
        for record in denials.due(now: Clock.monotonic()) { append(record) }
    }

    private func watchToken() {
        let status = token.currentStatus
        let generation = token.snapshots.current.generation
        let event: (AuditEvent.System, String)? = seen.withLock { seen in
            defer { (seen.serves, seen.generation, seen.reason) = (status.state.serves, generation, status.reason) }
            if status.state.serves, !seen.serves || seen.generation != generation { return (.tokenReady, status.reason) }
            if !status.state.serves, seen.serves { return (.tokenLost, "\(status.state.name): \(status.reason)") }
            return nil
        }
        if let (event, reason) = event {
            system(event, reason: reason.isEmpty ? nil : reason, data: [.init("generation", "\(generation)")])
        }
        if status.state.serves { keepKeyFile() }
    }

    /// The public key's name in the log's directory: a convenience; who trusts nobody compares it with a copy kept elsewhere.
    package static let keyFileName = "key.pem"

    private func keepKeyFile() {
        guard let key = token.signingPublicKey, !seen.withLock({ $0.hasKeyFile }) else { return }
        let path = log.settings.directory + "/" + AuditRecorder.keyFileName
        let text = Array(key.pem.utf8)
        do throws(FileError) {
            if (try? Files.read(path)) != text { try Files.replace(path, with: text.span.bytes, mode: 0o644) }
            seen.withLock { $0.hasKeyFile = true }
        } catch {
            logger.warning("the audit log's public key is not beside it", metadata: ["error": "\(error)"])
        }
    }
}
