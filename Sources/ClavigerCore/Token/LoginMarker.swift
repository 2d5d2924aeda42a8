import Glibc

/// What identifies a PIN source without saying anything of the PIN.
package struct PINSourceIdentity: Equatable, Sendable {
    /// A file's path, `credential:NAME`, or `unlock`.
    package var name: String
    /// The file's inode, 0 where there is none to speak of.
    package var inode: UInt64
    /// The file's modification time in nanoseconds, likewise.
    package var modified: Int64

    package init(name: String, inode: UInt64 = 0, modified: Int64 = 0) {
        self.name = name
        self.inode = inode
        self.modified = modified
    }

    /// The PIN that somebody presents by `claviger unlock`.
    package static let byOperator = PINSourceIdentity(name: "unlock")

    /// The identity of a file as it is now.
    package init(file path: String) throws(FileError) {
        guard let status = Files.status(path) else { throw FileError("read", path, errno) }
        self.init(
            name: path, inode: UInt64(status.st_ino),
            modified: Int64(status.st_mtim.tv_sec) * 1_000_000_000 + Int64(status.st_mtim.tv_nsec))
    }
}

/// The record of the last login attempt, written before C_Login and completed after it, both durably: so that neither this process
/// nor a restarted one presents a refused PIN again.
package struct LoginMarker: Equatable, Sendable {
    /// How an attempt ended.
    package enum Result: String, Sendable {
        /// Not known: the process was killed in between.
        case pending
        /// The token took the PIN.
        case accepted
        /// The token refused the PIN.
        case refused
        /// The token has locked the PIN.
        case locked
        /// The token failed for another reason; the PIN was not judged.
        case unjudged
    }

    /// Where the PIN came from.
    package var source: PINSourceIdentity
    /// How it ended.
    package var result: Result
    /// Attempts with this source since the last result.
    package var attempts: Int

    /// Attempts without a result that one source gets: the first, and one more after a kill in mid-login.
    package static let maximumPending = 2

    /// The marker's file in a state directory.
    package static func path(_ stateDirectory: String) -> String { stateDirectory + "/login-marker" }

    private static let fields = ["source", "inode", "modified", "attempts", "result"]

    /// Reads the marker; nil when there is none.
    ///
    /// - Throws: also when it cannot be understood: then nobody knows whether the PIN may be tried.
    package static func read(_ stateDirectory: String) throws(FileError) -> LoginMarker? {
        let path = path(stateDirectory)
        let content: [UInt8]
        do throws(FileError) {
            content = try Files.read(path)
        } catch {
            // Only a file that is not there says that nothing was tried; one that cannot be read says nothing.
            guard error.code == ENOENT else { throw error }
            return nil
        }
        let text = String(decoding: content, as: UTF8.self)
        let parts = text.split(separator: "\n", omittingEmptySubsequences: false).map {
            $0.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        }
        let lines = parts.dropLast().compactMap(\.last)
        guard parts.dropLast().map(\.first) == fields, parts.last == [""], let inode = UInt64(lines[1]),
            let modified = Int64(lines[2]), let attempts = Int(lines[3]), attempts >= 0, let result = Result(rawValue: lines[4])
        else { throw FileError("is not a login marker; remove it after you have made sure that the PIN is right", path, 0) }
        return LoginMarker(
            source: PINSourceIdentity(name: lines[0], inode: inode, modified: modified), result: result, attempts: attempts)
    }

    /// Writes the marker durably.
    package func write(_ stateDirectory: String) throws(FileError) {
        let text = """
            source=\(source.name)
            inode=\(source.inode)
            modified=\(source.modified)
            attempts=\(attempts)
            result=\(result.rawValue)

            """
        try Files.replace(LoginMarker.path(stateDirectory), with: Array(text.utf8).span.bytes)
    }

    /// Whether the token's own counters forbid an attempt that nobody asked for.
    package struct TokenWarnings: Equatable, Sendable {
        package var countLow: Bool
        package var finalTry: Bool
        package var locked: Bool

        package init(countLow: Bool, finalTry: Bool, locked: Bool) {
            self.countLow = countLow
            self.finalTry = finalTry
            self.locked = locked
        }
    }

    /// Decides whether `source` may be tried, and with which count.
    ///
    /// - Parameters:
    ///   - previous: the marker found.
    ///   - byOperator: whether somebody presents the PIN now (`claviger unlock`), who may try again what failed before.
    /// - Returns: the marker to write before the attempt, or why there may be none, for the operator.
    package static func next(
        after previous: LoginMarker?, source: PINSourceIdentity, byOperator: Bool, warnings: TokenWarnings
    ) -> Decision {
        if warnings.locked { return .refuse("the token has locked the user PIN: reset it with the SO PIN") }
        if warnings.finalTry {
            return .refuse("one more wrong PIN would lock the token: log in once with the vendor's own tool first")
        }
        if byOperator { return .attempt(LoginMarker(source: source, result: .pending, attempts: 1)) }
        guard let previous else { return .attempt(LoginMarker(source: source, result: .pending, attempts: 1)) }
        let isSame = previous.source == source
        switch previous.result {
        case .accepted:
            return .attempt(LoginMarker(source: source, result: .pending, attempts: 1))
        case .unjudged:
            // A token may give any code for a wrong PIN; its count of failed logins then says more than the code.
            if isSame && warnings.countLow {
                return .refuse(
                    "the last login with the PIN from \(source.name) failed, and the token reports failed ones: run 'claviger unlock'"
                )
            }
            return .attempt(LoginMarker(source: source, result: .pending, attempts: 1))
        case .locked:
            // Not even for a changed source: a token may have locked the PIN without a flag that says so.
            return .refuse("the token has locked the user PIN: reset it with the SO PIN, then run 'claviger unlock'")
        case .refused:
            if isSame {
                return .refuse(
                    "the token refused the PIN from \(source.name) before: correct it there, or run 'claviger unlock'")
            }
            // Somebody has changed the source, which is the token's count of failed logins answered; the final try was excluded above.
            return .attempt(LoginMarker(source: source, result: .pending, attempts: 1))
        case .pending:
            if warnings.countLow {
                return .refuse("a login was cut off and the token reports failed ones: run 'claviger unlock'")
            }
            guard isSame else { return .attempt(LoginMarker(source: source, result: .pending, attempts: 1)) }
            guard previous.attempts < maximumPending else {
                return .refuse("logins with the PIN from \(source.name) were cut off twice: run 'claviger unlock'")
            }
            return .attempt(LoginMarker(source: source, result: .pending, attempts: previous.attempts + 1))
        }
    }

    /// What `next` decides.
    package enum Decision: Equatable, Sendable {
        case attempt(LoginMarker)
        case refuse(String)
    }
}
