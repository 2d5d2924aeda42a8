import Glibc

/// Writing of log lines to standard error: each line in one write(2), so that lines of several threads never mix.
package enum LogLine {
    /// Severities as journald reads them from a line's beginning, `<N>` (sd-daemon(3)).
    package enum Priority: Int, Sendable {
        case error = 3
        case warning = 4
        case notice = 5
        case info = 6
        case debug = 7
    }

    // Only the journal understands prefixes; a person at a terminal does not want them.
    private static let hasJournal = getenv("JOURNAL_STREAM") != nil

    /// Writes one line; line breaks within become spaces.
    package static func write(_ priority: Priority, _ text: String) {
        var line: [UInt8] = []
        line.reserveCapacity(text.utf8.count + 5)
        if hasJournal { line += "<\(priority.rawValue)>".utf8 }
        for byte in text.utf8 { line.append(byte < 0x20 || byte == 0x7f ? 0x20 : byte) }
        line.append(UInt8(ascii: "\n"))
        // A log that cannot be written must not stop the daemon.
        line.withUnsafeBytes { _ = Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }

    /// A value as it stands after `name=`: quoted when it needs to be.
    package static func quoted(_ value: String) -> String {
        let isPlain =
            !value.isEmpty && value.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7f && $0 != 0x22 && $0 != 0x5c && $0 != 0x3d }
        guard !isPlain else { return value }
        var text = "\""
        for character in value.unicodeScalars {
            if character == "\"" || character == "\\" { text.append("\\") }
            text.unicodeScalars.append(character)
        }
        return text + "\""
    }
}
