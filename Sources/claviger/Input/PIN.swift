import ClavigerClient
import Glibc

/// How a PIN gets into this process: never by arguments or environment, which other processes can see.
enum PIN {
    /// Asks for it on the terminal, without echo.
    static func prompt(_ words: String) throws(CommandFailure) -> SecretBytes {
        let terminal = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY)
        guard terminal >= 0, isatty(STDIN_FILENO) == 1 else {
            if terminal >= 0 { close(terminal) }
            throw .usage("there is no terminal to ask for the PIN on", "use --pin-file FILE or --pin-stdin")
        }
        defer { close(terminal) }
        var before = termios()
        guard tcgetattr(terminal, &before) == 0 else { throw .failed("cannot control the terminal: \(systemError(errno))") }
        // Without signals and line editing by the kernel, no key can end the program while the echo is off.
        var quiet = before
        quiet.c_lflag &= ~tcflag_t(ECHO | ICANON | ISIG)
        let handlers = Interruptions()
        defer { handlers.restore() }
        guard tcsetattr(terminal, TCSAFLUSH, &quiet) == 0 else {
            throw .failed("cannot control the terminal: \(systemError(errno))")
        }
        defer { tcsetattr(terminal, TCSAFLUSH, &before) }
        _ = writeAll(terminal, Array(words.utf8).span.bytes)
        defer { _ = writeAll(terminal, Array("\n".utf8).span.bytes) }
        var line = try lockedMemory(Limits.maximumPIN + 1)
        let count = line.withUnsafeMutableBytes { readLine(terminal, $0) }
        guard let count else { throw .failed("no PIN was given", "nothing was sent; run the command again") }
        return try checked(line, count)
    }

    /// Reads it from a file that only its owner, the caller or root, can read.
    static func file(_ path: String) throws(CommandFailure) -> SecretBytes {
        let file = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)
        guard file >= 0 else { throw .failed("cannot read \(path): \(systemError(errno))", "check its name and rights") }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw .failed("\(path) is not a regular file", "give a file that holds the PIN")
        }
        guard status.st_uid == geteuid() || status.st_uid == 0 else {
            throw .failed("\(path) belongs to uid \(status.st_uid)", "a PIN file must be yours or root's")
        }
        guard [0o400, 0o600].contains(status.st_mode & 0o7777) else {
            throw .failed("\(path) can be read by others", "chmod 0400 \(path)")
        }
        return try read(file, path)
    }

    /// Reads it from a systemd credential of this process.
    static func credential(_ name: String) throws(CommandFailure) -> SecretBytes {
        guard let directory = getenv("CREDENTIALS_DIRECTORY"), !name.contains("/"), !name.isEmpty else {
            throw .failed(
                "no credential '\(name)' was passed",
                "run it by systemd, as in: systemd-run -P -p LoadCredential=\(name):FILE ...")
        }
        let path = String(cString: directory) + "/" + name
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw .failed("cannot read \(path): \(systemError(errno))") }
        defer { close(file) }
        return try read(file, path)
    }

    /// Reads it from stdin.
    static func standardInput() throws(CommandFailure) -> SecretBytes { try read(STDIN_FILENO, "stdin") }

    private static func read(_ file: Int32, _ name: String) throws(CommandFailure) -> SecretBytes {
        // Room for the longest PIN, its newline, and one byte that shows there is more.
        var buffer = try lockedMemory(Limits.maximumPIN + 2)
        let count = buffer.withUnsafeMutableBytes { bytes -> Int? in
            var count = 0
            while count < bytes.count {
                let received = Glibc.read(file, bytes.baseAddress.map { $0 + count }, bytes.count - count)
                if received == 0 { break }
                if received > 0 { count += received } else if errno != EINTR { return nil }
            }
            return count
        }
        guard let count else { throw .failed("cannot read \(name): \(systemError(errno))") }
        let endsLine = count > 0 && buffer.withUnsafeBytes { $0[count - 1] == UInt8(ascii: "\n") }
        return try checked(buffer, endsLine ? count - 1 : count)
    }

    private static func checked(_ buffer: borrowing SecretBytes, _ count: Int) throws(CommandFailure) -> SecretBytes {
        guard count > 0 else { throw .failed("the PIN is empty", "nothing was sent; give the token's user PIN") }
        guard count <= Limits.maximumPIN else {
            throw .failed("the PIN is longer than \(Limits.maximumPIN) bytes", "nothing was sent; give the token's user PIN")
        }
        do throws(SecureMemoryError) {
            return try buffer.prefix(count)
        } catch {
            throw CommandFailure(.secureMemory(error), key: nil)
        }
    }

    /// Reads keys until Enter. Backspace and Ctrl-U edit; nil for Ctrl-C, Ctrl-D on an empty line, or the terminal's end. What
    /// does not fit is counted by the last byte, so that too long a PIN is refused instead of cut.
    private static func readLine(_ terminal: Int32, _ line: UnsafeMutableRawBufferPointer) -> Int? {
        var count = 0
        while true {
            var key: UInt8 = 0
            let received = Glibc.read(terminal, &key, 1)
            // A signal from outside ends the prompt: see `Interruptions`.
            guard received == 1 else { return nil }
            switch key {
            case 10, 13: return count
            case 3: return nil
            case 4: if count == 0 { return nil }
            case 8, 127: if count > 0 { count -= 1 }
            case 21: count = 0
            default:
                if count < line.count {
                    line[count] = key
                    count += 1
                }
            }
        }
    }
}

/// Signals that would end the process while the terminal's echo is off interrupt the reading instead, so that it is put back first.
private struct Interruptions {
    private static let signals = [SIGHUP, SIGINT, SIGTERM]
    private var before: [sigaction] = []

    init() {
        for signal in Interruptions.signals {
            var old = sigaction()
            var ours = sigaction()
            // Without SA_RESTART read(2) returns EINTR.
            ours.__sigaction_handler.sa_handler = { _ in }
            sigaction(signal, &ours, &old)
            before.append(old)
        }
    }

    func restore() {
        for (signal, old) in zip(Interruptions.signals, before) {
            var old = old
            sigaction(signal, &old, nil)
        }
    }
}
