import Glibc

/// One thing wrong in a configuration file.
package struct ConfigurationProblem: Sendable, Equatable, CustomStringConvertible {
    /// The file as it was named.
    package let file: String
    /// The line, from 1; nil where no line is to blame, such as for a missing key.
    package let line: Int?
    /// What is wrong and, where one is known, what to write instead. Never a value that could be a secret.
    package let message: String

    /// A problem of `file` at `line`.
    package init(file: String, line: Int?, message: String) {
        self.file = file
        self.line = line
        self.message = message
    }

    /// `file:line: message`, or `file: message` without a line.
    package var description: String {
        guard let line else { return "\(file): \(message)" }
        return "\(file):\(line): \(message)"
    }
}

/// Why a configuration could not be used.
package enum ConfigurationError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The file does not exist.
    case missing(path: String)
    /// The file could not be opened or read; `code` is errno.
    case unreadable(path: String, code: Int32)
    /// The path names a directory, a pipe or another thing that is not a regular file.
    case notAFile(path: String)
    /// Someone else than root and the daemon's user owns the file, or its group or everybody may write it. It names the module
    /// that the daemon loads, so whoever writes it runs code as the daemon.
    case writableByOthers(path: String)
    /// The file is larger than ``ConfigurationLimits/fileBytes``.
    case tooLarge(path: String)
    /// The file was read and is wrong: every problem of it, from top to bottom.
    case invalid([ConfigurationProblem])
    /// There is no token profile of this name in any of the places.
    case noProfile(name: String, places: [String])
    /// An environment variable of the module could not be set; `code` is errno.
    case environment(name: String, code: Int32)

    /// The reason for people: one line, or one line a problem.
    package var description: String {
        switch self {
        case .missing(let path): "\(path): no such file; write one (see hsm-config/claviger.toml) or name another with --config"
        case .unreadable(let path, let code): "\(path): cannot be read: \(String(cString: strerror(code)))"
        case .notAFile(let path): "\(path): not a regular file"
        case .writableByOthers(let path):
            "\(path): must belong to root or the daemon's user and be writable by its owner alone (chmod go-w): it names code to load"
        case .tooLarge(let path): "\(path): larger than \(ConfigurationLimits.fileBytes) bytes"
        case .invalid(let problems): problems.map(\.description).joined(separator: "\n")
        case .noProfile(let name, let places): "there is no token profile '\(name)': looked for \(places.joined(separator: ", "))"
        case .environment(let name, let code): "module.environment.\(name): cannot be set: \(String(cString: strerror(code)))"
        }
    }
}
