import CLinux
import ClavigerCore
import ClavigerServer
import ClavigerWire
import Glibc
import Logging

/// The daemon's life: set up, serve, reload, stop.
final class Daemon {
    /// How long requests in flight are waited for when the daemon stops.
    private static let drainTime = Duration.seconds(10)
    /// How long the whole end may take, in seconds: longer than requests and the token are waited for, and less than a service manager
    /// waits (TimeoutStopSec= of the unit).
    private static let endTime: UInt32 = 25
    /// The exit status that says "restart me": EX_SOFTWARE of sysexits.h.
    private static let restartStatus: Int32 = 70
    /// Microseconds between two looks whether the first attempt to take hold of the token is over: short beside the attempt.
    private static let startPause: UInt32 = 500
    /// FileDescriptorName= of a socket unit for management.
    private static let adminSocketName = "claviger-admin"
    /// How often the state is told to the service manager when it has changed.
    private static let statusInterval = Duration.seconds(1)

    private var configuration: Configuration
    private let path: String
    private let log: Logger
    private var told = ""

    init(configuration: Configuration, path: String) {
        self.configuration = configuration
        self.path = path
        LineLogHandler.setLevel(configuration.log.level.level)
        LoggingSystem.bootstrap { _ in LineLogHandler() }
        log = Logger(label: "claviger")
    }

    /// Why the daemon could not start.
    private struct Failure: Error { let reason: String }

    func run() -> Int32 {
        // Blocked before the first thread, so that only this one takes them, by sigtimedwait.
        var signals = sigset_t()
        sigemptyset(&signals)
        for signal in [SIGTERM, SIGINT, SIGHUP] { sigaddset(&signals, signal) }
        pthread_sigmask(SIG_BLOCK, &signals, nil)
        do throws(Failure) {
            return try serve(&signals)
        } catch {
            log.error("cannot start: \(error.reason)")
            return 1
        }
    }

    private func serve(_ signals: inout sigset_t) throws(Failure) -> Int32 {
        let manager = try explain { () throws(ServiceManagerError) in try ServiceManager.takeFromEnvironment() }
        try explain { () throws(PeerIdentityError) in try PeerIdentity.verifyIdentityUserNamespace() }
        if !ProcessFiles.areVisible {
            log.warning(
                "/proc hides other users' processes (hidepid, ProtectProc): no caller's unit is known, no grant to one counts")
        }
        let lock = try explain { () throws(HolderLock.Failure) in
            try HolderLock(path: configuration.stateDirectory + "/" + TokenService.stateLockName, holder: "clavigerd")
        }
        if let group = configuration.socket.group, GroupLookup.number(group) == nil {
            throw Failure(reason: "socket.group: there is no such group")
        }
        if let group = configuration.socket.adminGroup, GroupLookup.number(group) == nil {
            throw Failure(reason: "socket.admin-group: there is no such group")
        }
        let probe = ModuleProbe(program: "/proc/self/exe", arguments: ["clavigerd", "--probe-module", "--config", path])
        let service = try explain { () throws(TokenService.SetUpError) in
            try Service(configuration: configuration, log: log, probe: probe, whenStuck: Daemon.restart)
        }
        let listeners = try makeListeners(manager)
        let figures = ServerCounters()
        service.figures = figures
        let server = try explain { () throws(ServerError) in
            try Server(
                configuration: configuration, handler: service, listeners: listeners, figures: figures, logger: log,
                fatal: Daemon.restart)
        }
        let token = service.token
        // Not on this thread: a module that never comes back from a login must not keep it from noticing.
        let supervisor = try explain { () throws(ServerError) in
            try ServerThread(name: "clv-supervisor") {
                token.start()
                token.supervise()
            }
        }
        while !token.hasStarted {
            if let reason = token.stuckReason { Daemon.restart(reason) }
            usleep(Daemon.startPause)
        }
        service.audit?.start()
        let keeper = service.housekeeper
        let housekeeper = try explain { () throws(ServerError) in
            try ServerThread(name: "clv-keeper") { keeper.run() }
        }
        let archivists = try service.audit.map { (audit) throws(Failure) in
            try explain { () throws(ServerError) in
                (
                    tender: try ServerThread(name: "clv-audit") { audit.log.tend(audit.tick) },
                    flusher: try ServerThread(name: "clv-flush") { audit.log.serveFlushes { server.sendSettled() } }
                )
            }
        }
        if let collector = service.audit?.collector {
            _ = try explain { () throws(ServerError) in try ServerThread(name: "clv-collector") { collector.run() } }
        }
        try explain { () throws(ServerError) in try server.start() }
        log.notice("serving", metadata: ["socket": "\(configuration.socket.path)", "version": "\(Service.version)"])
        tell(manager, .ready)
        attend(manager, service, server, &signals)
        log.notice("stopping")
        tell(manager, .stopping)
        boundEnd()
        let outcome = server.stop(drainTime: Daemon.drainTime)
        // Before anything that may be stuck.
        service.audit?.leaveWaiting()
        service.token.stopSupervising()
        keeper.stop()
        housekeeper.join()
        guard outcome.stuckThreads == 0 else {
            log.error("threads are stuck in the token's module", metadata: ["threads": "\(outcome.stuckThreads)"])
            // Its destructors could wait for them; nothing that must be durable is left to be written.
            _exit(Daemon.restartStatus)
        }
        guard join(supervisor, token) else {
            log.error("the supervisor is stuck in the token's module")
            _exit(Daemon.restartStatus)
        }
        service.audit?.collector?.stop()
        service.audit?.log.stopTending()
        archivists?.tender.join()
        // What is recorded here waits for the flusher, which may be stuck in the disk.
        service.stop()
        service.audit?.log.stopFlushing()
        archivists?.flusher.join()
        _ = consume lock
        log.notice("stopped", metadata: ["unanswered": "\(outcome.unanswered)"])
        return 0
    }

    /// Ends the daemon in any case, though a disk that hangs may keep a thread for ever.
    private func boundEnd() {
        let log = log
        do throws(ServerError) {
            let thread = try ServerThread(name: "clv-end") {
                sleep(Daemon.endTime)
                log.error("the daemon cannot end: a thread is stuck, in a disk perhaps")
                _exit(Daemon.restartStatus)
            }
            thread.abandon()
        } catch {
            log.warning("nothing bounds the daemon's end", metadata: ["error": "\(error)"])
        }
    }

    /// Waits for the supervisor's end, unless it hangs in the module: false then.
    private func join(_ supervisor: ServerThread, _ token: TokenService) -> Bool {
        let clock = ContinuousClock()
        let limit = clock.now + Daemon.drainTime
        while !token.isUnsupervised {
            guard clock.now < limit else { return false }
            usleep(Daemon.startPause)
        }
        supervisor.join()
        return true
    }

    /// Waits for signals; feeds the watchdog and tells the state in between.
    private func attend(_ manager: ServiceManager, _ service: Service, _ server: Server, _ signals: inout sigset_t) {
        let pause = min(manager.watchdogInterval ?? Daemon.statusInterval, Daemon.statusInterval)
        while true {
            var wait = timespec(
                tv_sec: Int(pause.components.seconds), tv_nsec: Int(pause.components.attoseconds / 1_000_000_000))
            switch sigtimedwait(&signals, nil, &wait) {
            case SIGTERM, SIGINT: return
            case SIGHUP: reload(manager, service, server)
            case _: break
            }
            if manager.watchdogInterval != nil { tell(manager, .watchdog) }
            if let reason = service.token.stuckReason { Daemon.restart(reason) }
            let status = service.health
            let line = status.reason.isEmpty ? status.state.name : "\(status.state.name): \(status.reason)"
            if line != told {
                told = line
                tell(manager, .status(line))
            }
        }
    }

    private func reload(_ manager: ServiceManager, _ service: Service, _ server: Server) {
        tell(manager, .reloading)
        defer { tell(manager, .ready) }
        do throws(ConfigurationError) {
            let fresh = try Configuration.load(path: path)
            let difference = fresh.reloadDifference(from: configuration)
            configuration = configuration.reloaded(with: fresh)
            server.reload(configuration)
            service.reload(configuration)
            LineLogHandler.setLevel(configuration.log.level.level)
            service.audit?.reloaded(difference)
            log.notice(
                "configuration reloaded",
                metadata: [
                    "effective": "\(difference.effective.joined(separator: ","))",
                    "needs-restart": "\(difference.needsRestart.joined(separator: ","))",
                ])
        } catch {
            service.audit?.notReloaded(error)
            log.error("configuration not reloaded; the old one stays", metadata: ["error": "\(error)"])
        }
    }

    private func makeListeners(_ manager: ServiceManager) throws(Failure) -> [Listener] {
        var listeners = manager.sockets.map { Listener(adopting: $0.descriptor, isAdmin: $0.name == Daemon.adminSocketName) }
        if listeners.contains(where: \.isAdmin) { try requireAdminPath() }
        if !manager.sockets.contains(where: { $0.name != Daemon.adminSocketName }) {
            listeners.append(try explain { () throws(ListenerError) in try Listener(configuration.socket) })
        }
        if !listeners.contains(where: \.isAdmin),
            let admin = try explain({ () throws(ListenerError) in try Listener.admin(configuration.socket) })
        {
            listeners.append(admin)
        }
        return listeners
    }

    /// Requires that an admin socket from systemd is the configured one, since the other socket refuses management only where one is, and
    /// that not everybody may connect: that is systemd's default.
    private func requireAdminPath() throws(Failure) {
        let name = Daemon.adminSocketName
        guard let path = configuration.socket.adminPath else {
            throw Failure(
                reason: "systemd passes a socket named \(name), but socket.admin-path is not set: set it to that socket's path")
        }
        var status = stat()
        guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK else {
            throw Failure(reason: "systemd passes a socket named \(name), but socket.admin-path, \(path), is no socket")
        }
        guard status.st_mode & 0o007 == 0 else {
            throw Failure(reason: "everybody may connect to \(path): set SocketMode=0600, or 0660 with SocketGroup=, in its unit")
        }
    }

    private func tell(_ manager: ServiceManager, _ state: ServiceState) {
        do throws(ServiceManagerError) { try manager.notify(state) } catch {
            log.warning("\(error)")
        }
    }

    private func explain<R: ~Copyable, E: Error>(_ body: () throws(E) -> R) throws(Failure) -> R {
        do throws(E) { return try body() } catch { throw Failure(reason: "\(error)") }
    }

    /// Ends the process for a restart. Called on a thread of the server.
    @Sendable private static func restart(_ reason: String) {
        LogLine.write(.error, "must be restarted: \(reason)")
        _exit(restartStatus)
    }
}
