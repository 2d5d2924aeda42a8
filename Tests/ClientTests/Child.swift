import CLinux
import Glibc

/// A program run for a test.
struct Child: ~Copyable {
    /// What became of it.
    struct Result {
        let status: Int32
        let output: [UInt8]
        let errors: String

        var text: String { String(decoding: output, as: UTF8.self) }
    }

    private let process: pid_t
    private let output: Int32
    private let errors: Int32

    /// Runs a program to its end. `input` must fit a pipe.
    static func run(
        _ arguments: [String], input: [UInt8]? = nil, environment: [String] = []
    ) throws -> Result {
        var pipe: [Int32] = [-1, -1]
        if let input {
            pipe = try makePipe()
            guard write(pipe[1], input, input.count) == input.count else { throw TestFailure("pipe: \(errno)") }
            close(pipe[1])
        }
        let child = try Child(arguments, input: pipe[0], environment: environment)
        if input != nil { close(pipe[0]) }
        return child.finish()
    }

    /// Starts a program. Its stdin is `input`, or empty; stdout and stderr are pipes, or the terminal whose path is given, which
    /// then is its stdin, and the controlling terminal of a session of its own.
    init(_ arguments: [String], input: Int32 = -1, terminal: String? = nil, environment: [String] = []) throws {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        let out = try makePipe()
        let err = try makePipe()
        if let terminal {
            // POSIX_SPAWN_SETSID, which Swift's Glibc module leaves out.
            posix_spawnattr_setflags(&attributes, 0x80)
            posix_spawn_file_actions_addopen(&actions, 0, terminal, O_RDWR, 0)
            posix_spawn_file_actions_adddup2(&actions, 0, 1)
        } else if input >= 0 {
            posix_spawn_file_actions_adddup2(&actions, input, 0)
            posix_spawn_file_actions_adddup2(&actions, out[1], 1)
        } else {
            posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
            posix_spawn_file_actions_adddup2(&actions, out[1], 1)
        }
        posix_spawn_file_actions_adddup2(&actions, err[1], 2)
        _ = linux_spawn_close_from(&actions, 3)
        var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        // A sanitizer's settings are for the programs under test as well.
        let sanitizer = getenv("ASAN_OPTIONS").map { ["ASAN_OPTIONS=" + String(cString: $0)] } ?? []
        var envp: [UnsafeMutablePointer<CChar>?] =
            (["PATH=/usr/bin:/bin"] + sanitizer + environment).map { strdup($0) } + [nil]
        defer { for pointer in argv + envp { free(pointer) } }
        var process: pid_t = 0
        let code = posix_spawn(&process, arguments[0], &actions, &attributes, &argv, &envp)
        close(out[1])
        close(err[1])
        guard code == 0 else { throw TestFailure("spawn \(arguments[0]): \(code)") }
        self.process = process
        output = out[0]
        errors = err[0]
    }

    /// The next line of its output.
    func line() -> String {
        var line: [UInt8] = []
        var byte: UInt8 = 0
        while read(output, &byte, 1) == 1, byte != 10 { line.append(byte) }
        return String(decoding: line, as: UTF8.self)
    }

    /// Waits for its end.
    consuming func finish() -> Result {
        // Messages are far shorter than a pipe is long: reading one after the other cannot block the writer.
        let output = readToEnd(self.output)
        let errors = readToEnd(self.errors)
        close(self.output)
        close(self.errors)
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
        let exited = status & 0x7f == 0
        return Result(
            status: exited ? status >> 8 & 0xff : -(status & 0x7f), output: output,
            errors: String(decoding: errors, as: UTF8.self))
    }
}

private func makePipe() throws -> [Int32] {
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else { throw TestFailure("pipe: \(errno)") }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    return ends
}

/// A pseudo-terminal, seen from the side of the person before it.
struct Terminal: ~Copyable {
    let path: String
    private let file: Int32
    // Kept open, so that the terminal lives on between two programs.
    private let far: Int32

    init() throws {
        var far: Int32 = -1
        var near: Int32 = -1
        var name = [CChar](repeating: 0, count: 64)
        guard openpty(&near, &far, &name, nil, nil) == 0 else { throw TestFailure("no pseudo-terminal: \(errno)") }
        _ = fcntl(near, F_SETFD, FD_CLOEXEC)
        _ = fcntl(far, F_SETFD, FD_CLOEXEC)
        file = near
        self.far = far
        path = String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit {
        close(file)
        close(far)
    }

    func type(_ keys: String) { _ = write(file, keys, keys.utf8.count) }

    /// What it shows until `words` appear.
    func show(until words: String) -> String {
        var shown: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 4_096)
        while true {
            // The bound only catches hangs.
            var ready = pollfd(fd: file, events: Int16(POLLIN), revents: 0)
            guard poll(&ready, 1, 60_000) > 0 else { return String(decoding: shown, as: UTF8.self) }
            let count = read(file, &part, part.count)
            guard count > 0 else { return String(decoding: shown, as: UTF8.self) }
            shown += part[..<count]
            let text = String(decoding: shown, as: UTF8.self)
            if text.contains(words) { return text }
        }
    }
}

/// The built `claviger`, beside the test's own executable.
func clavigerPath() throws -> String {
    var buffer = [CChar](repeating: 0, count: 4_096)
    let count = readlink("/proc/self/exe", &buffer, buffer.count)
    let own = String(decoding: buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    // Swift Testing may run the tests from a helper of the toolchain; then the bundle is named among the arguments.
    for candidate in [own] + CommandLine.arguments {
        guard let slash = candidate.lastIndex(of: "/") else { continue }
        let path = candidate[..<slash] + "/claviger"
        if access(String(path), X_OK) == 0 { return String(path) }
    }
    throw TestFailure("claviger is not beside \(own)")
}
