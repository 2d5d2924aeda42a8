import ArgumentParser
import ClavigerClient
import Glibc

/// What commands take that destroy something.
struct ConfirmationOption: ParsableArguments {
    @Flag(help: "Do not ask whether to do it; required where nobody can be asked.")
    var yes = false

    /// Whether somebody has to be asked first.
    var asks: Bool { !yes }

    /// Asks on the terminal, unless `--yes` was given.
    ///
    /// - Parameter question: what would be done, and what cannot be taken back of it; made safe for terminals.
    /// - Throws: when the answer is not yes, or when there is nobody to ask.
    func confirm(_ question: () throws(CommandFailure) -> String) throws(CommandFailure) {
        guard asks else { return }
        let terminal = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY)
        guard terminal >= 0, isatty(STDIN_FILENO) == 1 else {
            if terminal >= 0 { close(terminal) }
            throw .usage("this destroys something, and there is no terminal to ask on", "repeat it with --yes if you mean it")
        }
        defer { close(terminal) }
        let words = try question() + "\nType yes to do it: "
        guard writeAll(terminal, Array(words.utf8).span.bytes), Confirmation.answer(terminal) == "yes" else {
            throw .failed("nothing was done", "type yes to do it, or give --yes")
        }
    }
}

private enum Confirmation {
    /// The longest answer that is looked at.
    private static let maximum = 64

    static func answer(_ terminal: Int32) -> String {
        var line: [UInt8] = []
        var byte: UInt8 = 0
        while line.count < maximum, read(terminal, &byte, 1) == 1, byte != UInt8(ascii: "\n") { line.append(byte) }
        return String(decoding: line, as: UTF8.self)
    }
}
