import Glibc

/// Standard output.
enum StandardOutput {
    /// Whether a person sees what is written.
    static var isTerminal: Bool { isatty(STDOUT_FILENO) == 1 }

    /// Writes a line. One that cannot be written fails the command: the result that it carries may be the only copy.
    static func print(_ line: String) throws(CommandFailure) { try write(Array((line + "\n").utf8).span.bytes) }

    /// Writes bytes.
    static func write(_ bytes: RawSpan) throws(CommandFailure) {
        guard writeAll(STDOUT_FILENO, bytes) else {
            throw .failed("cannot write to stdout: \(systemError(errno))", "check where it leads")
        }
    }
}

/// Standard error.
enum StandardError {
    /// Whether a person sees what is written.
    static var isTerminal: Bool { isatty(STDERR_FILENO) == 1 }

    /// Writes what is no line, or not yet.
    static func write(_ text: String) { _ = writeAll(STDERR_FILENO, Array(text.utf8).span.bytes) }

    /// Writes a line.
    static func print(_ line: String) { _ = writeAll(STDERR_FILENO, Array((line + "\n").utf8).span.bytes) }

    /// Writes a line for people, which says something beside the result.
    static func note(_ line: String) { print("claviger: note: \(Text.safe(line))") }
}

/// Writes all bytes; false, with errno, when the kernel takes no more.
func writeAll(_ file: Int32, _ bytes: RawSpan) -> Bool {
    bytes.withUnsafeBytes { buffer in
        var written = 0
        while written < buffer.count {
            let count = write(file, buffer.baseAddress.map { $0 + written }, buffer.count - written)
            if count > 0 { written += count } else if count < 0, errno != EINTR { return false }
        }
        return true
    }
}

/// The system's words for an errno.
func systemError(_ code: Int32) -> String {
    var buffer = [CChar](repeating: 0, count: 256)
    guard strerror_r(code, &buffer, buffer.count) == 0 else { return "error \(code)" }
    return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
