import ClavigerWire
import Glibc
import Logging
import SecureMemory
import Synchronization

/// The service: what requests mean. Every opcode passes its one choke point, `ServiceWorker.handle`: authorise, act, record.
package final class Service: RequestHandler {
    package let token: TokenService
    let snapshots: SnapshotBox
    let store: Store
    let ledger: KeyLedger
    package let housekeeper: Housekeeper
    /// Where dates come from.
    let time: TimeSource
    let log: Logger
    let started = Clock.monotonic()
    package let authoriser: Authoriser
    let access: AccessLedger
    let fence = AnswerFence()
    let requests = RequestCounts()
    /// The socket for management, when there is one of its own.
    let adminPath: String?
    /// Records what is done; nil where nothing is served to anybody else.
    package let audit: AuditRecorder?
    private let figuresBox = Mutex<(any ServerFigures)?>(nil)

    /// The daemon's version.
    package static let version = "0.1.0"

    /// Sets the service up without touching the token.
    ///
    /// - Parameters:
    ///   - records: whether an audit log is kept.
    ///   - time: where dates come from; a test's clock stands still until it is moved.
    ///   - probe: as for `TokenService`.
    ///   - whenStuck: likewise.
    package init(
        configuration: Configuration, log: Logger, records: Bool = true, time: TimeSource = .system,
        probe: ModuleProbe? = nil, whenStuck: @escaping @Sendable (String) -> Void
    ) throws(TokenService.SetUpError) {
        let store = try mapping(TokenService.SetUpError.store) { () throws(StoreError) in
            try Store(directory: configuration.stateDirectory, create: false)
        }
        let snapshots = SnapshotBox()
        token = try TokenService(
            configuration: configuration, store: store, snapshots: snapshots, log: log, time: time, probe: probe,
            whenStuck: whenStuck)
        ledger = token.ledger
        housekeeper = Housekeeper(token: token)
        self.time = time
        self.store = store
        self.snapshots = snapshots
        self.log = log
        authoriser = Authoriser(
            ownUser: geteuid(), unlockGroup: configuration.unlock.group.flatMap { GroupLookup.number($0) }, time: time)
        let ledger = AccessLedger(store: store, authoriser: authoriser, log: log)
        access = ledger
        let authoriser = authoriser
        store.hooks.withLock { $0.admission = { authoriser.mayStill($0, in: snapshots.current) } }
        let token = token
        store.hooks.withLock {
            // Nothing counts until the next binding has verified what is there; it begins at once.
            $0.whenForeign = { [weak token] in
                authoriser.box.publish(isVerified: false, grants: [], customRoles: [])
                token?.declareLost(StoreError.changedOutside.description)
            }
        }
        adminPath = configuration.socket.adminPath
        token.accessLedger.withLock { $0 = ledger }
        audit =
            records
            ? AuditRecorder(
                configuration: configuration, store: store, token: token, accounts: authoriser.accounts, time: time, log: log)
            : nil
    }

    /// Ends the audit log, with a seal if the token is there, and gives the token back. No request may be inside.
    package func stop() {
        audit?.stop()
        token.stop()
    }

    /// The figures of the server, for the status reply; known once it runs.
    package var figures: (any ServerFigures)? {
        get { figuresBox.withLock { $0 } }
        set { figuresBox.withLock { $0 = newValue } }
    }

    /// Takes up what a reload may change.
    package func reload(_ configuration: Configuration) {
        audit?.reload(configuration)
    }

    /// Waits until no answer can leave any more that rests on what was there before the last change. Every change of keys, policies and
    /// grants is acknowledged after this.
    func settle() { fence.settle() }

    package func makeWorker(entersToken: Bool) -> any RequestWorker {
        ServiceWorker(service: self)
    }

    package var heldAnswers: AnswerFence.Held { fence.held }

    package func secure(_ ticket: RecordTicket, of opcode: Opcode?) -> Refusal? {
        let refusal = audit?.secure(ticket)
        if let opcode { requests.count(opcode, refusal?.code) }
        return refusal
    }

    package func isSettled(_ ticket: RecordTicket) -> Bool { audit?.log.isSettled(ticket) ?? true }

    package func settle(_ ticket: RecordTicket) { _ = audit?.secure(ticket) }

    package func abandoned(_ request: IncomingRequest) { audit?.abandoned(request) }

    /// Locked memory that each worker takes beside the server's own.
    package static let lockedBytesPerWorker = TokenSession.lockedBytes

    /// The daemon's state for health and status.
    package var health: HealthReply {
        var status = token.currentStatus
        // What the token service cannot see: threads that do not come back from it.
        if let figures, figures.stuck > 0, status.state.serves {
            let isAll = figures.stuck >= figures.workers
            status.state = isAll ? .lost : .degraded
            let reason = "\(figures.stuck) of \(figures.workers) workers are stuck in the token's module"
            status.reason = isAll ? reason + "; the daemon restarts itself when that goes on" : reason
        }
        if status.state.serves, let reason = token.slowReason { status = .init(state: .lost, reason: reason) }
        if let audit { status = audit.status(status) }
        // The limit counts scalars, of which one character can hold many.
        let reason = status.reason.unicodeScalars.prefix(Limits.maximumMessage)
        return HealthReply(state: status.state, reason: String(String.UnicodeScalarView(reason)))
    }
}
