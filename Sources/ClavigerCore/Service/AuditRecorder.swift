import ClavigerWire
import Glibc
import Logging
import Synchronization

/// Records what the service does: requests by their reply, changes through the outbox, and what the daemon meets by itself.
package final class AuditRecorder: Sendable {
    package let log: AuditLog
    /// Sends records to another place as well; nil when none is configured.
    package let collector: AuditCollector?
    private let store: Store
    private let token: TokenService
    private let accounts: AccountCache
    private let time: TimeSource
    private let logger: Logger
    private let settings: Mutex<Configuration.Audit>
    private let denials = DenialMerger()
    private let outbox: OutboxState
    // Records that neither the log nor the database takes now.
    private let stranded = Mutex<[Stranded]>([])
    private let seen = Mutex<Seen>(Seen())
    private let nonce = String(UInt32.random(in: .min ... .max), radix: 16)
    private let counter = Atomic<UInt64>(0)

    // Beside the recorder, since the log's anchor needs it and is made before.
    private final class OutboxState: Sendable {
        let state = Mutex(Outbox())
        // CLOCK_MONOTONIC of when the token was last told of a checkpoint.
        let told = Atomic<UInt64>(0)

        func withLock<R>(_ body: (inout sending Outbox) -> sending R) -> sending R { state.withLock(body) }
    }

    // How far the records in the outbox are on their way to the log.
    private struct Outbox {
        // On the disk, and not yet taken out of the outbox.
        var kept: Set<OperationID> = []
        // In the log, and perhaps not on the disk.
        var written: Set<OperationID> = []
        // The log failed meanwhile: which of them stand in it is to be looked up, or they would stand there twice.
        var isUnsure = false

        mutating func forgetWritten() {
            written = []
            isUnsure = true
        }
    }

    private struct Stranded {
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
        let directory = audit.directory ?? configuration.stateDirectory + "/audit"
        var settings = AuditLog.Settings(directory: directory)
        settings.segmentBytes = audit.segmentMebibytes << 20
        settings.segmentAge = UInt64(audit.segmentHours) * 3_600_000
        settings.checkpointRecords = UInt64(audit.checkpointRecords)
        settings.checkpointInterval = UInt64(audit.checkpointSeconds) * 1_000_000_000
        var surroundings = AuditLog.Surroundings(log: logger) { digest throws(SigningFailure) in try token.sign(digest) }
        surroundings.time = time
        let outbox = OutboxState()
        surroundings.anchor = { position in
            AuditRecorder.settle(position, outbox, store, logger)
            AuditRecorder.remember(outbox, token)
        }
        self.outbox = outbox
        let anchor = try? store.anchor()
        log = AuditLog(settings: settings, instance: token.instance.id, anchor: anchor, surroundings: surroundings)
        collector = audit.collector.map {
            AuditCollector(path: $0, directory: directory, place: configuration.stateDirectory + "/audit-collector", log: logger)
        }
        self.settings = Mutex(audit)
        self.store = store
        self.token = token
        self.accounts = accounts
        self.time = time
        self.logger = logger
        let auditLog = log
        store.auditPosition.withLock { $0 = { auditLog.position } }
    }

    /// Opens the log, puts into it what a crash left in the outbox, and records the start. Call it once the token has been held or
    /// found away, and before the first request.
    package func start() {
        // What nobody has verified yet is looked at when it has been.
        let isBelieved = store.isBelieved
        let waiting = isBelieved ? (try? store.outbox()) ?? [] : []
        let ids = Dictionary(waiting.map { ("\($0.id)", $0.id) }) { first, _ in first }
        let found = log.open(lookingFor: Set(ids.keys), after: waiting.map(\.after).min() ?? 0)
        outbox.withLock {
            $0.kept = Set(found.compactMap { ids[$0] })
            $0.isUnsure = !isBelieved
        }
        system(.start, data: [.init("version", Service.version), .init("pid", "\(getpid())")])
        tick()
    }

    /// Records the end, seals the log and anchors it. The token must still be held.
    func stop() {
        tick()
        for record in denials.all() { append(record) }
        system(.stop)
        _ = try? log.seal()
    }

    /// Takes up what a reload may change.
    func reload(_ configuration: Configuration) { settings.withLock { $0.context = configuration.audit.context } }

    /// How contexts are recorded.
    var contexts: AuditContexts.Form { settings.withLock { $0.context } }

    /// How records of key use are kept.
    var durability: Configuration.Audit.Durability { settings.withLock { $0.durability } }

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

    // MARK: requests

    /// What a request's records have in common.
    func trace(_ request: IncomingRequest) -> RequestTrace {
        let number = counter.add(1, ordering: .relaxed).newValue
        let caller = request.caller
        return RequestTrace(
            correlation: "\(nonce)-\(number)", request: request.header.requestID,
            initiator: AuditRecord.Initiator(caller: caller, name: accounts.user(caller.uid)))
    }

    /// Opcodes beside those that only look which work while nothing can be recorded: what takes away must not wait for a disk. Their
    /// records wait in the outbox.
    private static let unstoppable: Set<String> = ["key-disable", "access-revoke"]

    /// Why a request is refused although the caller may make it: nothing leaves without its record.
    func refusal(for opcode: Opcode) -> Refusal? {
        guard let failure = log.failure else { return nil }
        switch opcode.entry.permission {
        case .observe, .readToken, .readAudit, .unlock: return nil
        case .wrap, .unwrap, .rewrap, .readKeys, .readSecrets, .createKeys, .updateKeys, .rotateKeys, .disableKeys, .deleteKeys,
            .restoreKeys, .purgeKeys, .moveKeys, .registerResources, .readRings, .createRings, .deleteRings, .readPolicies,
            .managePolicies, .requestApproval, .approve, .readAccess, .manageAccess:
            guard !AuditRecorder.unstoppable.contains(opcode.entry.name) else { return nil }
            logger.debug("refused for want of a record", metadata: ["reason": "\(failure)"])
            return Refusal(.auditUnavailable, retryAfter: 1_000)
        }
    }

    /// Records a request, before its answer can leave.
    ///
    /// - Parameter hold: is offered the ticket of a record that is not on the disk yet; true when the answer waits for it elsewhere.
    /// - Returns: the refusal to answer with instead, where there is no recording it.
    func keep(
        _ request: RequestRecord, _ refusal: Refusal?, _ trace: RequestTrace, hold: (RecordTicket) -> Bool
    ) -> Refusal? {
        let entry = request.request.opcode.entry
        if refusal == nil, entry.permission == .observe { return nil }
        // The change's own record, which is durable already, says it all.
        if refusal == nil, trace.changes > 0 {
            drain()
            return nil
        }
        let durability = durability
        guard durability != .off || entry.isManagement else { return nil }
        var record = request.record(outcome: refusal, time: time.now(), trace: trace)
        // Known in the log and in the outbox by one name, should it have to go there: a flush that failed leaves it in the file.
        if entry.isManagement { record.id = RandomSource.identifier() }
        if let refusal, request.isBare, !isAdmitted(record, refusal) { return nil }
        do throws(AuditFailure) {
            let body = record.body(token.instance.id)
            // The thread that answers how the daemon is must not get stuck in the disk.
            if !entry.isManagement, durability == .fsync, entry.permission != .observe {
                let ticket = try log.add(body)
                if !hold(ticket) { try log.flush(ticket) }
            } else {
                try log.append(body, flushed: entry.isManagement)
            }
            return nil
        } catch {
            return keepAside(record, entry, refusal)
        }
    }

    /// Waits until the record is on the disk.
    ///
    /// - Returns: what to answer in place of a reply when it never will be.
    func secure(_ ticket: RecordTicket) -> Refusal? {
        do throws(AuditFailure) {
            try log.flush(ticket)
            return nil
        } catch {
            return Refusal(.auditUnavailable, retryAfter: 1_000)
        }
    }

    private func isAdmitted(_ record: AuditRecord, _ refusal: Refusal) -> Bool {
        guard let caller = record.initiator?.caller else { return true }
        let kind = DenialMerger.Kind(
            event: record.event, code: refusal.code, uid: caller.uid, gid: caller.gid, unit: caller.unit)
        return denials.admit(record, kind, now: Clock.monotonic())
    }

    // The log has failed just now, or this is one of the few requests that go on without it.
    private func keepAside(_ record: AuditRecord, _ entry: OpcodeEntry, _ refusal: Refusal?) -> Refusal? {
        // What was refused gives nothing away.
        guard refusal == nil else { return nil }
        guard entry.isManagement else { return Refusal(.auditUnavailable, retryAfter: 1_000) }
        outbox.withLock { $0.forgetWritten() }
        do throws(StoreError) {
            try store.leave(record)
            return nil
        } catch {
            switch entry.permission {
            case .observe, .readToken, .readAudit, .unlock:
                strand(record, error)
                return nil
            case .wrap, .unwrap, .rewrap, .readKeys, .readSecrets, .createKeys, .updateKeys, .rotateKeys, .disableKeys,
                .deleteKeys, .restoreKeys, .purgeKeys, .moveKeys, .registerResources, .readRings, .createRings, .deleteRings,
                .readPolicies, .managePolicies, .requestApproval, .approve, .readAccess, .manageAccess:
                return Refusal(.auditUnavailable, retryAfter: 1_000)
            }
        }
    }

    // MARK: the outbox

    /// How many records of changes are not in the log yet.
    var waiting: UInt32 {
        guard store.hasOutbox.load(ordering: .acquiring), let rows = try? store.outbox() else { return 0 }
        let known = outbox.withLock { $0.kept.union($0.written) }
        return UInt32(clamping: rows.count { !known.contains($0.id) })
    }

    /// Moves what waits in the outbox to the log, durably. What cannot be moved now waits on.
    func drain() {
        guard store.hasOutbox.load(ordering: .acquiring), log.failure == nil, store.isBelieved else { return }
        var moved: Set<OperationID>?
        outbox.withLock { outbox in
            do throws(StoreError) {
                // Before the look: what is left behind it sets the flag again.
                store.hasOutbox.store(false, ordering: .releasing)
                moved = try move(try store.outbox(), &outbox)
            } catch {
                logger.error("the audit outbox cannot be read", metadata: ["error": "\(error)"])
            }
        }
        if let moved, flush(moved) { return }
        store.hasOutbox.store(true, ordering: .releasing)
    }

    // The rows that are in the log now, durably or not; nil when it failed meanwhile.
    private func move(_ rows: [OutboxRow], _ outbox: inout Outbox) throws(StoreError) -> Set<OperationID>? {
        do throws(AuditFailure) {
            if outbox.isUnsure {
                let ids = Dictionary(rows.map { ("\($0.id)", $0.id) }) { first, _ in first }
                outbox.written.formUnion(
                    try log.find(Set(ids.keys), after: rows.map(\.after).min() ?? 0).compactMap { ids[$0] })
                outbox.isUnsure = false
            }
            for row in rows where !outbox.kept.contains(row.id) && !outbox.written.contains(row.id) {
                // Not at the disk: others wait for the outbox.
                try log.add(row.body)
                outbox.written.insert(row.id)
            }
            return outbox.written
        } catch {
            outbox.forgetWritten()
            return nil
        }
    }

    // Not under the outbox's lock: who is stuck in the disk must not keep others from what they do.
    private func flush(_ moved: Set<OperationID>) -> Bool {
        do throws(AuditFailure) {
            try log.flush()
            outbox.withLock { outbox in
                outbox.kept.formUnion(moved)
                outbox.written.subtract(moved)
            }
            return true
        } catch {
            outbox.withLock { $0.forgetWritten() }
            return false
        }
    }

    /// So many records that are in the log are forgotten by themselves; fewer wait for the next checkpoint, whose signature serves both.
    private static let forgotten = 64

    private func forget() {
        guard token.currentStatus.state.serves, outbox.withLock({ $0.kept.count >= AuditRecorder.forgotten }) else { return }
        AuditRecorder.settle(nil, outbox, store, logger)
    }

    // Notes in the database how far the log is, and takes out of it what the log has.
    private static func settle(_ position: AuditPosition?, _ outbox: OutboxState, _ store: Store, _ logger: Logger) {
        outbox.withLock { outbox in
            do throws(StoreError) {
                try store.settle(position, forgetting: Array(outbox.kept))
                outbox.kept = []
            } catch {
                logger.warning("the audit log is not anchored in the database", metadata: ["error": "\(error)"])
            }
        }
    }

    /// How often the token is told at most, in nanoseconds. Objects on a token are made of memory that wears.
    private static let memory: UInt64 = 10_000_000_000

    // Who puts back an older database, with an older anchor, is found out by the token's memory.
    private static func remember(_ outbox: OutboxState, _ token: TokenService) {
        let now = Clock.monotonic()
        let last = outbox.told.load(ordering: .relaxed)
        guard last == 0 || now >= last + memory, token.currentStatus.state.serves else { return }
        outbox.told.store(now, ordering: .relaxed)
        token.anchor()
    }

    // MARK: what the daemon meets by itself

    /// Records something that no caller asked for.
    package func system(_ event: AuditEvent.System, reason: String? = nil, data: [AuditRecord.Field] = []) {
        append(.system(event, time: time.now(), reason: reason, data))
    }

    private func append(_ record: AuditRecord) {
        var record = record
        if record.id == nil { record.id = RandomSource.identifier() }
        do throws(AuditFailure) {
            try log.append(record.body(token.instance.id), flushed: true)
        } catch {
            outbox.withLock { $0.forgetWritten() }
            do throws(StoreError) { try store.leave(record) } catch { strand(record, error) }
        }
    }

    /// The most records that wait in memory for a log: what daemons meet by themselves, and what works without a log.
    private static let mostStranded = 1_000

    private func strand(_ record: AuditRecord, _ error: StoreError) {
        let isKept = stranded.withLock { stranded in
            guard stranded.count < AuditRecorder.mostStranded else { return false }
            stranded.append(Stranded(record: record, after: log.position.sequence))
            return true
        }
        let level: Logger.Level = isKept ? .warning : .error
        logger.log(
            level: level, isKept ? "a record waits in memory for the audit log" : "an event cannot be recorded",
            metadata: ["event": "\(record.event)", "error": "\(error)"])
    }

    /// What is done now and then: by the thread that tends the log.
    package func tick() {
        watchToken()
        drain()
        forget()
        guard log.failure == nil else { return }
        takeStranded()
        for record in denials.due(now: Clock.monotonic()) { append(record) }
    }

    private func takeStranded() {
        let late = stranded.withLock { stranded in
            defer { stranded = [] }
            return stranded
        }
        guard !late.isEmpty else { return }
        do throws(AuditFailure) {
            // A flush that failed may have left it in the file.
            let ids = Set(late.compactMap { $0.record.id.map { "\($0)" } })
            let found = try log.find(ids, after: late.map(\.after).min() ?? 0)
            for item in late where !found.contains(item.record.id.map { "\($0)" } ?? "") { append(item.record) }
        } catch {
            stranded.withLock { $0 = late + $0 }
        }
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
