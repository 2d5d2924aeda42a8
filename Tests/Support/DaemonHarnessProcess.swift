import CLinux
import Glibc
import Synchronization

/// What went wrong with a harness itself, rather than with what it tests.
public struct HarnessError: Error, CustomStringConvertible {
    /// In words.
    public let description: String

    /// An error of these words.
    public init(_ description: String) { self.description = description }
}

/// How a program ended, and what it wrote.
public struct Finished: Sendable {
    /// The exit status; 128 and the number when a signal ended it.
    public var status: Int32
    /// Standard output.
    public var output: [UInt8]
    /// Standard error.
    public var error: [UInt8]

    /// Standard output as text.
    public var text: String { String(decoding: output, as: UTF8.self) }
    /// Standard error as text.
    public var errorText: String { String(decoding: error, as: UTF8.self) }
}

/// POSIX_SPAWN_SETSID of <spawn.h>, which Swift's Glibc module leaves out.
private let newSession: Int16 = 0x80

/// Where the built programs are.
public enum Programs {
    /// The directory of clavigerd and claviger: SwiftPM puts them beside the test's executable.
    public static let directory = Result { () throws -> String in
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &buffer, buffer.count - 1)
        let executable = String(decoding: buffer.prefix(max(0, count)).map(UInt8.init(bitPattern:)), as: UTF8.self)
        // The runner may be the toolchain's own, which loads the tests as a library: the bundle's path then tells.
        for candidate in [executable] + CommandLine.arguments {
            guard let slash = candidate.lastIndex(of: "/") else { continue }
            let directory = String(candidate[..<slash])
            if access(directory + "/clavigerd", X_OK) == 0, access(directory + "/claviger", X_OK) == 0 { return directory }
        }
        throw HarnessError("no clavigerd and claviger beside the test's executable")
    }

    /// The path of one of them.
    public static func path(_ name: String) throws -> String { try directory.get() + "/" + name }
}

/// A process that was started, ended at the latest when its harness goes.
public final class Child: Sendable {
    /// Its process id. Good until the child has been waited for.
    public let pid: pid_t
    private let status = Mutex<Int32?>(nil)

    private init(_ pid: pid_t) { self.pid = pid }

    /// Starts a program in a session of its own, without this process's own settings of Claviger and SoftHSM.
    ///
    /// - Parameters:
    ///   - input: a file, `/dev/null` when nil.
    ///   - output: a file, made or appended to.
    ///   - appends: whether the output files keep what is in them.
    ///   - environment: `NAME=value`; others are inherited.
    public static func spawn(
        _ program: String, _ arguments: [String], input: String? = nil, output: String, error: String, appends: Bool = false,
        environment: [String] = []
    ) throws -> Child {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        let mode = O_WRONLY | O_CREAT | (appends ? O_APPEND : O_TRUNC) | O_NOCTTY
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, input ?? "/dev/null", O_RDONLY | O_NOCTTY, 0)
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output, mode, 0o600)
        if error == output {
            posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO)
        } else {
            posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, error, mode, 0o600)
        }
        withUnsafeMutableBytes(of: &actions) { _ = linux_spawn_close_from($0.baseAddress, 3) }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // As a shell starts it: nothing blocked, nothing ignored, and no terminal's interrupt.
        var none = sigset_t()
        var all = sigset_t()
        sigemptyset(&none)
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETSIGMASK) | Int16(POSIX_SPAWN_SETSIGDEF) | newSession)
        var argv: [UnsafeMutablePointer<CChar>?] = ([program] + arguments).map { strdup($0) } + [nil]
        var envp: [UnsafeMutablePointer<CChar>?] = inherited(environment).map { strdup($0) } + [nil]
        defer { for pointer in argv + envp { free(pointer) } }
        var pid: pid_t = 0
        let code = posix_spawn(&pid, program, &actions, &attributes, &argv, &envp)
        guard code == 0 else { throw HarnessError("cannot start \(program): \(systemText(code))") }
        HarnessGuard.shared.tell("pid \(pid)")
        return Child(pid)
    }

    /// Runs a program to its end.
    public static func run(
        _ program: String, _ arguments: [String], directory: String, input: [UInt8] = [], environment: [String] = []
    ) throws -> Finished {
        let base = directory + "/run-\(UInt32.random(in: 0 ... .max))"
        defer { for suffix in [".in", ".out", ".err"] { unlink(base + suffix) } }
        try writeFile(base + ".in", input)
        let child = try spawn(
            program, arguments, input: base + ".in", output: base + ".out", error: base + ".err", environment: environment)
        let status = try child.wait(DaemonHarness.patience)
        return Finished(status: status, output: try readFile(base + ".out"), error: try readFile(base + ".err"))
    }

    // What decides about Claviger, SoftHSM and systemd in this process is nothing to the children.
    private static func inherited(_ more: [String]) -> [String] {
        let dropped = ["CLAVIGER_", "SOFTHSM2_CONF=", "NOTIFY_SOCKET=", "LISTEN_", "CREDENTIALS_DIRECTORY=", "JOURNAL_STREAM="]
        var variables: [String] = []
        var next = environ
        while let entry = next.pointee {
            let text = String(cString: entry)
            let isOverridden = more.contains { text.hasPrefix($0.prefix { $0 != "=" } + "=") }
            if !isOverridden, !dropped.contains(where: { text.hasPrefix($0) }) { variables.append(text) }
            next += 1
        }
        return variables + more
    }

    /// How it ended, if it has.
    public func statusIfEnded() -> Int32? { status.withLock { reap(&$0, WNOHANG) } }

    /// Waits for its end.
    ///
    /// - Throws: when it takes longer than `patience`; it is killed then.
    public func wait(_ patience: Duration) throws -> Int32 {
        guard waitQuietly(patience) else {
            end(SIGKILL)
            throw HarnessError("process \(pid) did not end within \(patience)")
        }
        return status.withLock { reap(&$0, 0) } ?? -1
    }

    /// Sends a signal. Nothing happens once it has been waited for.
    public func signal(_ number: Int32) {
        status.withLock { if $0 == nil { _ = Glibc.kill(pid, number) } }
    }

    /// Sends a signal and waits for the end; kills it when it takes too long.
    @discardableResult
    public func end(_ number: Int32) -> Int32 {
        signal(number)
        if !waitQuietly(DaemonHarness.patience) { signal(SIGKILL) }
        return status.withLock { reap(&$0, 0) } ?? -1
    }

    private func waitQuietly(_ patience: Duration) -> Bool {
        guard status.withLock({ $0 }) == nil else { return true }
        let handle = linux_pidfd_open(pid)
        guard handle >= 0 else { return errno == ESRCH }
        defer { close(handle) }
        var waited = pollfd(fd: handle, events: Int16(POLLIN), revents: 0)
        let milliseconds = Int32(clamping: patience.components.seconds * 1_000)
        while true {
            let ready = poll(&waited, 1, milliseconds)
            if ready >= 0 || errno != EINTR { return ready > 0 }
        }
    }

    private func reap(_ status: inout Int32?, _ options: Int32) -> Int32? {
        if status == nil {
            var raw: Int32 = 0
            var got: pid_t
            repeat { got = waitpid(pid, &raw, options) } while got < 0 && errno == EINTR
            guard got == pid else { return got < 0 ? -1 : nil }
            // <sys/wait.h>: the low seven bits are the signal, the next byte the exit status.
            status = raw & 0x7f == 0 ? raw >> 8 & 0xff : 128 + (raw & 0x7f)
            HarnessGuard.shared.tell("gone \(pid)")
        }
        return status
    }
}

/// A process that outlives this one by a moment, whatever becomes of it, and removes what it leaves: daemons and directories.
final class HarnessGuard: Sendable {
    static let shared = HarnessGuard()
    private let pipe: Mutex<Int32>

    private static let script = """
        pids=' ' dirs=''
        while read -r verb what; do
            case $verb in
            pid) pids="$pids$what " ;;
            gone) case $pids in *" $what "*) pids="${pids%% $what *} ${pids#* $what }" ;; esac ;;
            dir) dirs="$dirs $what" ;;
            esac
        done
        for pid in $pids; do kill -KILL "$pid"; done
        for dir in $dirs; do rm -rf "$dir" || rm -rf "$dir"; done
        """

    private init() {
        var ends: [Int32] = [-1, -1]
        guard Glibc.pipe(&ends) == 0 else {
            pipe = Mutex(-1)
            return
        }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawn_file_actions_adddup2(&actions, ends[0], STDIN_FILENO)
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0)
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0)
        withUnsafeMutableBytes(of: &actions) { _ = linux_spawn_close_from($0.baseAddress, 3) }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        posix_spawnattr_setflags(&attributes, newSession)
        let arguments: [String] = ["sh", "-c", HarnessGuard.script]
        var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        var pid: pid_t = 0
        let code = posix_spawn(&pid, "/bin/sh", &actions, &attributes, &argv, environ)
        for pointer in argv { free(pointer) }
        posix_spawn_file_actions_destroy(&actions)
        posix_spawnattr_destroy(&attributes)
        close(ends[0])
        pipe = Mutex(code == 0 ? ends[1] : -1)
    }

    func tell(_ line: String) {
        let bytes = Array((line + "\n").utf8)
        pipe.withLock { _ = write($0, bytes, bytes.count) }
    }
}
