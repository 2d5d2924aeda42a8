import CLinux
import Glibc

/// A process that initialises the module before this one does. Some modules end the process when they meet a damaged file in their
/// store (one calls exit() for a wrong length), or never come back: what happens to the probe does not happen to the daemon.
package struct ModuleProbe: Sendable {
    /// The program, and its arguments with the name first. It is to initialise the module, list the slots and end with status 0, or
    /// with `refusedStatus` when the module said what was wrong.
    let program: String
    let arguments: [String]

    /// The exit status of a probe to which the module gave an error: it answers, so the daemon can ask it itself.
    package static let refusedStatus: Int32 = 3
    /// How long the probe may take, in milliseconds: twenty times what a file-based token takes with ten thousand
    /// objects (measured: 0.85 s).
    private static let bound: Int32 = 20_000

    /// A probe that runs this program.
    package init(program: String, arguments: [String]) {
        self.program = program
        self.arguments = arguments
    }

    /// Runs the probe.
    ///
    /// - Returns: what the module does to a process, in words; nil when it can be initialised. A probe that cannot be started says
    ///   nothing of the module, and counts as passed.
    func complaint() -> String? {
        guard let pid = spawn() else { return nil }
        let handle = linux_pidfd_open(pid)
        defer { if handle >= 0 { close(handle) } }
        var isOver = handle < 0
        var waited = pollfd(fd: handle, events: Int16(POLLIN), revents: 0)
        while !isOver {
            let ready = poll(&waited, 1, ModuleProbe.bound)
            if ready < 0 && errno == EINTR { continue }
            isOver = ready > 0
            break
        }
        if !isOver { kill(pid, SIGKILL) }
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
        guard isOver else { return "does not come back from being initialised within \(ModuleProbe.bound / 1_000) s" }
        // <sys/wait.h>: the low seven bits are the signal, the next byte the exit status.
        let signal = status & 0x7f
        let code = status >> 8 & 0xff
        if signal != 0 { return "crashes the process that initialises it (signal \(signal))" }
        return code == 0 || code == ModuleProbe.refusedStatus
            ? nil : "ends the process that initialises it (exit status \(code))"
    }

    private func spawn() -> pid_t? {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO)
        withUnsafeMutableBytes(of: &actions) { _ = linux_spawn_close_from($0.baseAddress, 3) }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        var words: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        var pid: pid_t = 0
        return posix_spawn(&pid, program, &actions, &attributes, &words, environ) == 0 ? pid : nil
    }
}
