import ClavigerWire
import Glibc
import Synchronization

/// A private Claviger for a test: a SoftHSM token made for it, a configuration, and the real daemon on a real socket.
///
/// Everything lies in one directory with a short name (a socket's path has 107 bytes at most) that goes with the value; daemons and
/// directories that a crashed or killed test process leaves are removed by a guard process.
///
/// ```swift
/// let daemon = try DaemonHarness.running()
/// let made = try daemon.claviger("key", "create", "payroll", "--json")
/// daemon.kill()
/// try daemon.start()
/// ```
///
/// A value is used by one test; its functions block. Several values never disturb each other.
public final class DaemonHarness: Sendable {
    /// What differs from an everyday instance.
    public struct Settings: Sendable {
        /// Whether the PIN comes from `pinFile`; otherwise the daemon starts sealed.
        public var hasPINFile = true
        /// Lines for the table `[module]`.
        public var module: [String] = []
        /// Which kind of token it is; only SoftHSM's come initialised.
        public var family = TokenFamily.softHSM
        /// The path of the module; nil for SoftHSM's.
        public var modulePath: String?
        /// The value of `token.uri`.
        public var uri = "pkcs11:token=claviger"
        /// The socket's path; nil for the usual one.
        public var socket: String?
        /// Lines for the table `[socket]`.
        public var socketLines: [String] = []
        /// The rest of the file: further tables.
        public var tables: [String] = []
        /// Whether other users may pass through the directory, to reach the socket.
        public var isOpen = false

        /// An everyday instance.
        public init() {}
    }

    /// The directory that holds everything.
    public let directory: String
    /// The socket's path.
    public let socket: String

    /// The daemon's configuration.
    public var configuration: String { directory + "/claviger.toml" }
    /// SoftHSM's configuration.
    public var softHSM: String { directory + "/softhsm2.conf" }
    /// The configured PIN file.
    public var pinFile: String { directory + "/pin" }
    /// The SO PIN, where `token init` wrote it.
    public var securityOfficerPINFile: String { directory + "/so-pin" }
    /// The daemon's state directory.
    public var state: String { directory + "/state" }
    /// The record of the last login attempt.
    public var loginMarker: String { state + "/login-marker" }
    /// SoftHSM's tokens, a directory each.
    public var tokens: String { directory + "/tokens" }
    /// Where all daemons of this harness log.
    public var logFile: String { directory + "/log" }

    private let process = Mutex<Child?>(nil)
    private let family: TokenFamily

    /// How long anything may take before it counts as hung. Never waited for otherwise.
    public static let patience = Duration.seconds(300)

    /// Makes the directory and the configuration files.
    ///
    /// - Parameter initialised: whether a token and an instance are there, copied from one that is made once a process; otherwise
    ///   the directory is as `token init` finds it.
    public init(_ settings: Settings = Settings(), initialised: Bool = true) throws {
        let parent = getenv("TMPDIR").map { String(cString: $0) }.flatMap { $0.utf8.count < 40 ? $0 : nil } ?? "/tmp"
        var template = Array("\(parent)/clvt.XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw HarnessError("mkdtemp: \(systemText(errno))") }
        directory = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
        socket = settings.socket ?? directory + "/s"
        family = settings.family
        HarnessGuard.shared.tell("dir \(directory)")
        if settings.isOpen { chmod(directory, 0o711) }
        if initialised {
            try DaemonHarness.template.get().copyInstance(to: directory)
        } else {
            try makeDirectory(state)
            try makeDirectory(tokens)
            if case .nss = settings.family { try makeDirectory(directory + "/nss") }
        }
        try writeFile(softHSM, "directories.tokendir = \(tokens)\nobjectstore.backend = file\nlog.level = ERROR\n")
        try configure(settings)
    }

    deinit {
        kill()
        removeTree(directory)
    }

    /// A harness whose daemon runs and serves.
    public static func running(_ settings: Settings = Settings()) throws -> DaemonHarness {
        let harness = try DaemonHarness(settings)
        try harness.start()
        return harness
    }

    /// Writes the daemon's configuration. A running daemon keeps the old one.
    public func configure(_ settings: Settings) throws {
        var lines = ["state-directory = \"\(state)\""]
        switch settings.family {
        case .softHSM:
            let module = try settings.modulePath ?? SoftToken.modulePath()
            lines += [
                "[module]", "path = \"\(module)\"", "environment.SOFTHSM2_CONF = \"\(softHSM)\"",
                "storage-path = \"\(tokens)\"", "storage-format = \"attribute-files\"", "software-token = true",
            ]
        case .nss, .openCryptoki: lines += settings.family.moduleLines(directory)
        }
        lines += settings.module + ["[token]", "uri = \"\(settings.uri)\""]
        if settings.hasPINFile { lines.append("pin-file = \"\(pinFile)\"") }
        lines += ["[socket]", "path = \"\(socket)\""] + settings.socketLines + settings.tables
        try writeFile(configuration, lines.joined(separator: "\n") + "\n")
    }

    // MARK: the daemon

    /// The daemon's process id; nil when none was started or it has been waited for.
    public var pid: pid_t? { process.withLock { $0?.pid } }

    /// Starts the daemon and waits until it answers; its token may still be unusable. Parameters as for `launch`.
    public func start(through wrapper: [String] = [], environment: [String] = []) throws {
        try launch(through: wrapper, environment: environment)
        try waitUntilAnswering()
    }

    /// Starts the daemon and returns at once.
    ///
    /// - Parameters:
    ///   - wrapper: a program and its arguments, which runs the command line that follows them, as the same process.
    ///   - environment: `NAME=value`, beside what is inherited.
    public func launch(through wrapper: [String] = [], environment: [String] = []) throws {
        let line = wrapper + family.command + [try Programs.path("clavigerd"), "--config", configuration]
        let child = try Child.spawn(
            line[0], Array(line.dropFirst()), output: logFile, error: logFile, appends: true, environment: environment)
        process.withLock { $0 = child }
    }

    /// Waits until a launched daemon answers.
    ///
    /// - Throws: when it ends instead; the error holds its log.
    public func waitUntilAnswering() throws {
        let clock = ContinuousClock()
        let limit = clock.now + DaemonHarness.patience
        while clock.now < limit {
            // The first try at a socket that is not there yet, or that a killed daemon left behind, fails at once.
            if let peer = try? WirePeer(socket), (try? peer.ask(.ping, id: 1))?.refusal == nil,
                (try? peer.ask(.ping, id: 2)) != nil
            {
                return
            }
            if let status = process.withLock({ $0?.statusIfEnded() }) {
                process.withLock { $0 = nil }
                throw HarnessError("the daemon ended with status \(status) while starting:\n\(log)")
            }
            pause(milliseconds: 2)
        }
        throw HarnessError("the daemon does not answer:\n\(log)")
    }

    /// Starts the daemon and expects it to end by itself.
    public func startAndFail() throws -> Finished {
        try Child.run(try Programs.path("clavigerd"), ["--config", configuration], directory: directory)
    }

    /// Kills the daemon as a crash would, and waits until it is gone.
    public func kill() {
        process.withLock { child in
            guard let running = child.take() else { return }
            running.end(SIGKILL)
        }
    }

    /// Stops the daemon by SIGTERM.
    ///
    /// - Returns: its exit status; 128 and the number when a signal ended it, nil when none runs.
    @discardableResult
    public func stop() -> Int32? {
        process.withLock { child in child.take()?.end(SIGTERM) }
    }

    /// Stops the daemon cleanly and starts it again.
    public func restart() throws {
        stop()
        try start()
    }

    /// Waits until the daemon has ended by itself; its status.
    public func waitForEnd() throws -> Int32 {
        try process.withLock { child in
            guard let running = child.take() else { throw HarnessError("no daemon runs") }
            return try running.wait(DaemonHarness.patience)
        }
    }

    /// Everything that the daemons have logged so far.
    public var log: String { (try? readFile(logFile)).map { String(decoding: $0, as: UTF8.self) } ?? "" }

    // MARK: the command line

    /// Runs `claviger` with these arguments and waits for its end.
    ///
    /// It finds socket and configuration in its environment, as a user's shell would give them.
    public func claviger(_ arguments: String..., input: [UInt8] = []) throws -> Finished {
        try claviger(arguments, input: input)
    }

    /// Runs `claviger` as the other form does.
    public func claviger(_ arguments: [String], input: [UInt8] = []) throws -> Finished {
        let command = family.command + [try Programs.path("claviger")] + arguments
        return try Child.run(
            command[0], Array(command.dropFirst()), directory: directory, input: input, environment: environment)
    }

    /// Runs a line of shell with `claviger` on the path, in this directory.
    public func shell(_ line: String) throws -> Finished {
        let path = try Programs.directory.get() + ":/usr/bin:/bin"
        return try Child.run(
            "/bin/sh", ["-c", "cd '\(directory)' && \(line)"], directory: directory, environment: environment + ["PATH=\(path)"])
    }

    /// The variables that a user of this instance has.
    public var environment: [String] { ["CLAVIGER_SOCKET=\(socket)", "CLAVIGER_CONFIG=\(configuration)"] }

    /// Runs `claviger token init` as quickstart does.
    ///
    /// - Parameter more: further variables, `NAME=value`.
    public func initialise(environment more: [String] = []) throws -> Finished {
        try Child.run(
            try Programs.path("claviger"), ["token", "init", "--so-pin-out", securityOfficerPINFile, "--json"],
            directory: directory, environment: environment + more)
    }

    // MARK: the template

    // One instance a process is made the slow way; others are copies of it, which nobody runs.
    private static let template = Result { () throws -> DaemonHarness in
        let harness = try DaemonHarness(initialised: false)
        let made = try harness.initialise()
        guard made.status == 0 else { throw HarnessError("claviger token init failed: \(made.errorText)") }
        return harness
    }

    private func copyInstance(to target: String) throws {
        let copied = try Child.run(
            "/bin/cp", ["-a", state, tokens, pinFile, securityOfficerPINFile, target], directory: target)
        guard copied.status == 0 else { throw HarnessError("cp: \(copied.errorText)") }
    }
}
