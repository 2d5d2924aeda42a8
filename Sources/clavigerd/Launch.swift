import CLinux
import ClavigerCore
import Cryptoki
import Glibc
import Logging

/// From the command line to a running daemon.
enum Launch {
    static let usage = """
        Usage: clavigerd [--config FILE] [--check-config]

        Keeps root keys in a PKCS#11 token and wraps and unwraps data keys for local services.

          --config FILE    the configuration (default: \(Configuration.defaultPath))
          --check-config   check the configuration, say what is wrong with it, and end
          --version        say the version and end
          --help           say this and end

        It stays in the foreground, logs to standard error, tells systemd when it is ready, reloads on SIGHUP and stops on
        SIGTERM after finishing the requests in flight. Exit status: 0 stopped, 1 could not start, 2 wrong usage, 70 must be
        restarted.

        """

    static func run(_ arguments: [String]) -> Int32 {
        var path = Configuration.defaultPath
        var checksOnly = false
        // The daemon starts itself so, to see what the module does to a process; of no use to people.
        var probesOnly = false
        var rest = arguments.dropFirst()
        while let argument = rest.popFirst() {
            switch argument {
            case "--config":
                guard let value = rest.popFirst() else { return misuse("--config needs a file") }
                path = value
            case "--check-config": checksOnly = true
            case "--probe-module": probesOnly = true
            case "--version":
                say("clavigerd \(Service.version)\n", to: STDOUT_FILENO)
                return 0
            case "--help", "-h":
                say(usage, to: STDOUT_FILENO)
                return 0
            case _ where argument.hasPrefix("--config="): path = String(argument.dropFirst("--config=".count))
            case _: return misuse("there is no argument '\(argument)'")
            }
        }
        silenceCrashReports(arguments)
        // It would be called "exe" in ps and top otherwise, after the path that it was started anew by.
        _ = linux_set_thread_name("clavigerd")
        harden()
        let configuration: Configuration
        do throws(ConfigurationError) {
            configuration = try Configuration.load(path: path)
            // Before the first thread: the module reads its environment whenever it likes.
            try configuration.applyEnvironment()
        } catch {
            say("clavigerd: \(error)\n", to: STDERR_FILENO)
            return 1
        }
        if checksOnly { return check(configuration, path) }
        if probesOnly { return probe(configuration) }
        return Daemon(configuration: configuration, path: path).run()
    }

    /// Initialises the module and asks for its tokens, without a login: a damaged store shows there.
    private static func probe(_ configuration: Configuration) -> Int32 {
        do throws(CryptokiError) {
            let uri = try TokenURI(configuration.token.uri)
            guard let module = configuration.module.path ?? uri.modulePath else { return ModuleProbe.refusedStatus }
            let loaded = try Module(path: module)
            try loaded.initialize(reserved: configuration.module.initializeArguments)
            for slot in try loaded.slots(withToken: true) { _ = try loaded.tokenInfo(slot) }
            try loaded.finalize()
            return 0
        } catch {
            return ModuleProbe.refusedStatus
        }
    }

    private static func check(_ configuration: Configuration, _ path: String) -> Int32 {
        var problems: [String] = []
        for (key, group) in [
            ("socket.group", configuration.socket.group), ("socket.admin-group", configuration.socket.adminGroup),
            ("unlock.group", configuration.unlock.group),
        ] {
            if let group, GroupLookup.number(group) == nil { problems.append("\(key): there is no such group") }
        }
        if let problem = TokenService.problem(with: configuration) { problems.append(problem) }
        for problem in problems { say("clavigerd: \(path): \(problem)\n", to: STDERR_FILENO) }
        if problems.isEmpty { say("\(path): the configuration is sound\n", to: STDOUT_FILENO) }
        return problems.isEmpty ? 0 : 1
    }

    /// Starts this program anew without the runtime's crash reports, which would print registers and the memory that they point to.
    /// The runtime reads its setting once, before main, so it must stand in the environment. Same process, so sockets passed and
    /// the service manager's idea of us stay.
    private static func silenceCrashReports(_ arguments: [String]) {
        let name = "SWIFT_BACKTRACE"
        guard getenv(name) == nil else { return }
        setenv(name, "enable=no", 1)
        var words: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) }
        words.append(nil)
        execv("/proc/self/exe", words)
        // Only a failure comes back; the daemon is safe enough without: it is not dumpable, and its secrets are in locked memory.
        for word in words { free(word) }
    }

    /// No core dump, no tracing by the same user, no file for others, no death by a closed socket.
    private static func harden() {
        umask(0o077)
        _ = linux_set_undumpable()
        var none = rlimit(rlim_cur: 0, rlim_max: 0)
        setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &none)
        signal(SIGPIPE, SIG_IGN)
    }

    private static func misuse(_ what: String) -> Int32 {
        say("clavigerd: \(what)\n\n\(usage)", to: STDERR_FILENO)
        return 2
    }

    private static func say(_ text: String, to file: Int32) {
        let bytes = Array(text.utf8)
        _ = write(file, bytes, bytes.count)
    }
}
