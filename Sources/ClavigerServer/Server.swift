import ClavigerCore
import Glibc
import Logging
import Synchronization

/// The daemon's server: takes connections, reads requests, has the service do them, sends the answers.
///
/// It never looks into a body, and every request passes ``RequestHandler``. Threads: one that accepts, one that keeps time, one that sends
/// what waited for its record and nobody else has sent, one worker for each token session, and one reserved worker that never enters the token. All buffers for requests and replies are locked memory
/// mapped by ``init``, so a server that starts does not run out of it later.
package final class Server: Sendable {
    /// What ``stop(drainTime:)`` left undone.
    package struct StopOutcome: Sendable, Equatable {
        /// Requests that were taken and not answered.
        package let unanswered: Int
        /// Threads that did not come back from the token; the process must end to be rid of them.
        package let stuckThreads: Int
    }

    /// The server's figures.
    package let figures: ServerCounters
    /// How much locked memory the server has, and for how many workers.
    package let plan: MemoryPlan
    let core: ServerCore
    let crew: Crew
    private let listeners: [Listener]
    private let acceptor: Acceptor
    private let watchdog: Watchdog
    private let threads = Mutex(Threads())

    private struct Threads {
        var acceptor: ServerThread?
        var watchdog: ServerThread?
        var sender: ServerThread?
    }

    /// A server that is not started.
    ///
    /// - Parameters:
    ///   - listeners: the sockets to serve; they end with the server.
    ///   - tokenSessions: how many workers the token allows when the configuration does not say; nil for as many as cores.
    ///   - figures: to be given when the handler shows them.
    ///   - fatal: called on a thread of the server when it cannot go on: workers are stuck in the token and no spare one is left.
    ///     The process is to end with a status that has it restarted.
    /// - Throws: `lockedMemory` when the buffers do not fit RLIMIT_MEMLOCK; nothing is mapped then.
    package convenience init(
        configuration: Configuration, handler: any RequestHandler, listeners: [Listener], tokenSessions: Int? = nil,
        figures: ServerCounters = ServerCounters(), logger: Logger, fatal: @escaping @Sendable (String) -> Void
    ) throws(ServerError) {
        try self.init(
            configuration: configuration, handler: handler, listeners: listeners, tokenSessions: tokenSessions,
            figures: figures, logger: logger, tuning: Tuning(), fatal: fatal)
    }

    /// What only tests change.
    struct Tuning: Sendable {
        var workerStuckBound = ServerLimits.workerStuckBound
        var poolChunks: Int?
        var callerMemory = ServerLimits.callerMemory
        var identify: @Sendable (Int32) throws(PeerIdentityError) -> Caller = { descriptor throws(PeerIdentityError) in
            try PeerIdentity.caller(of: descriptor)
        }
    }

    init(
        configuration: Configuration, handler: any RequestHandler, listeners: [Listener], tokenSessions: Int?,
        figures: ServerCounters, logger: Logger, tuning: Tuning, fatal: @escaping @Sendable (String) -> Void
    ) throws(ServerError) {
        let cores = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
        plan = try MemoryPlan.make(
            workers: configuration.workers.count, automatic: min(cores, tokenSessions ?? cores), allowed: MemoryPlan.allowance())
        self.figures = figures
        self.listeners = listeners
        core = try ServerCore(
            pool: LockedPool(chunkCount: tuning.poolChunks ?? plan.poolChunks), workers: plan.workers,
            held: HeldAnswers(handler: handler), settings: ServerSettings(configuration), counters: figures, logger: logger,
            callers: CallerTable(memory: tuning.callerMemory))
        crew = try Crew(core: core, handler: handler, workers: plan.workers)
        acceptor = try Acceptor(core: core, listeners: listeners, identify: tuning.identify)
        watchdog = Watchdog(core: core, crew: crew, handler: handler, stuckBound: tuning.workerStuckBound, fatal: fatal)
        figures.workerCount.store(plan.workers, ordering: .relaxed)
    }

    /// Starts all threads; from then on requests are served.
    package func start() throws(ServerError) {
        try crew.start()
        let watchdog = watchdog
        let acceptor = acceptor
        let held = core.held
        let sender = try ServerThread(name: "clv-sender") { held.run() }
        let timekeeper = try ServerThread(name: "clv-watchdog") { watchdog.run() }
        let receptionist = try ServerThread(name: "clv-accept") { acceptor.run() }
        threads.withLock { $0 = Threads(acceptor: receptionist, watchdog: timekeeper, sender: sender) }
    }

    /// Sends some of the answers whose records are on the disk now, for who has just flushed it: nobody has to be woken for them.
    package func sendSettled() { core.held.flushed() }

    /// Takes over what can change while the server runs: deadlines, timeouts, queue and number of connections.
    package func reload(_ configuration: Configuration) { core.settings.apply(configuration) }

    /// Stops: accepts and reads nothing more, finishes what was taken, sends the answers, ends the threads.
    ///
    /// - Parameter drainTime: how long requests in flight and unread answers are waited for. Connections then left are cut.
    package func stop(drainTime: Duration) -> StopOutcome {
        let deadline = MonotonicClock.now() + drainTime.nanoseconds
        let running = threads.withLock { threads in
            defer { threads = Threads() }
            return threads
        }
        acceptor.end()
        running.acceptor?.join()
        for listener in listeners { listener.unlinkFile() }
        for connection in core.table.all { connection.endInput() }
        while !core.table.isEmpty || figures.inFlight > 0, MonotonicClock.now() < deadline { Pause.short() }
        for connection in core.table.all { connection.drop("the server stops") }
        core.endAll()
        running.watchdog?.join()
        // Threads that are not stuck are done at once.
        var stuck = crew.join(until: max(deadline, MonotonicClock.now() + ServerLimits.joinTime))
        core.held.end()
        if running.sender?.join(until: max(deadline, MonotonicClock.now() + ServerLimits.joinTime)) == false { stuck += 1 }
        return StopOutcome(unanswered: figures.inFlight, stuckThreads: stuck)
    }
}
