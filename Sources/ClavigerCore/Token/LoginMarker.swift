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

    /// Whether it is a source of the configuration's, which is there at every start, and not somebody who presents a PIN.
    package var isConfigured: Bool { name.hasPrefix("/") || name.hasPrefix(PINSourceIdentity.credentialPrefix) }

    /// What a credential's name begins with.
    static let credentialPrefix = "credential:"

    /// The identity of a file as it is now.
    package init(file path: String) throws(FileError) {
        guard let status = Files.status(path) else { throw FileError("read", path, errno) }
        self.init(
            name: path, inode: UInt64(status.st_ino),
            modified: Int64(status.st_mtim.tv_sec) * 1_000_000_000 + Int64(status.st_mtim.tv_nsec))
    }
}

extension PINSourceIdentity {
    /// One line: inode, time and name.
    var text: String { "\(inode) \(modified) \(name)" }

    /// Reads what `text` wrote.
    init?(text: String) {
        let parts = text.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 3, let inode = UInt64(parts[0]), let modified = Int64(parts[1]) else { return nil }
        self.init(name: String(parts[2]), inode: inode, modified: modified)
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
        /// The token gave an error that says nothing: a wrong PIN may be behind it.
        case unclear
    }

    /// Where the PIN came from.
    package var source: PINSourceIdentity
    /// How it ended.
    package var result: Result
    /// Attempts with this source, since the last verdict, that may have counted against it.
    package var attempts: Int
    /// The configured source whose PIN the token took last: what is unclear about it later is not the PIN.
    package var accepted: PINSourceIdentity?
    /// Configured sources whose PIN the token refused, as they were then; the newest last.
    package var refused: [PINSourceIdentity] = []

    package init(
        source: PINSourceIdentity, result: Result, attempts: Int, accepted: PINSourceIdentity? = nil,
        refused: [PINSourceIdentity] = []
    ) {
        self.source = source
        self.result = result
        self.attempts = attempts
        self.accepted = accepted
        self.refused = refused
    }

    /// Attempts without a verdict that one source gets: the first, and one more after a kill in mid-login or an answer that says nothing.
    package static let maximumPending = 2
    /// Refused sources that are remembered: more than somebody tries out in files of one name and another.
    package static let maximumRefused = 16

    /// The marker after the attempt.
    package func judged(_ result: Result) -> LoginMarker {
        var marker = self
        marker.result = result
        switch result {
        case .accepted:
            if source.isConfigured { marker.accepted = source }
            marker.refused.removeAll { $0 == source }
        case .refused:
            if accepted == source { marker.accepted = nil }
            guard source.isConfigured, !refused.contains(source) else { break }
            marker.refused = (refused + [source]).suffix(LoginMarker.maximumRefused)
        case .unjudged: marker.attempts = max(0, attempts - 1)
        case .pending, .unclear, .locked: break
        }
        return marker
    }

    /// The marker's file in a state directory.
    package static func path(_ stateDirectory: String) -> String { stateDirectory + "/login-marker" }

    private static let fields = ["source", "inode", "modified", "attempts", "result"]
    private static let acceptedField = "accepted"
    private static let refusedField = "refused"

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
        // Five lines, and one for each source that is remembered.
        let memories = parts.dropLast().dropFirst(fields.count)
        let remembered = memories.compactMap { $0.count == 2 ? PINSourceIdentity(text: $0[1]) : nil }
        let accepted = memories.first?.first == acceptedField ? remembered.first : nil
        let refused = remembered.dropFirst(accepted == nil ? 0 : 1)
        guard parts.dropLast().prefix(fields.count).map(\.first) == fields, parts.last == [""],
            remembered.count == memories.count, refused.count <= maximumRefused,
            memories.dropFirst(accepted == nil ? 0 : 1).allSatisfy({ $0.first == refusedField }), let inode = UInt64(lines[1]),
            let modified = Int64(lines[2]), let attempts = Int(lines[3]), attempts >= 0, let result = Result(rawValue: lines[4])
        else { throw FileError("is not a login marker; remove it after you have made sure that the PIN is right", path, 0) }
        return LoginMarker(
            source: PINSourceIdentity(name: lines[0], inode: inode, modified: modified), result: result, attempts: attempts,
            accepted: accepted, refused: Array(refused))
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
        let memories =
            (accepted.map { ["\(LoginMarker.acceptedField)=\($0.text)\n"] } ?? [])
            + refused.map { "\(LoginMarker.refusedField)=\($0.text)\n" }
        try Files.replace(LoginMarker.path(stateDirectory), with: Array((text + memories.joined()).utf8).span.bytes)
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
        var marker = LoginMarker(
            source: source, result: .pending, attempts: 1, accepted: previous?.accepted, refused: previous?.refused ?? [])
        guard !byOperator, let previous else { return .attempt(marker) }
        if previous.refused.contains(source) {
            return .refuse("the token refused the PIN from \(source.name) before: correct it there, or run 'claviger unlock'")
        }
        let isSame = previous.source == source
        switch previous.result {
        case .accepted: return .attempt(marker)
        case .locked:
            // Not even for a changed source: a token may have locked the PIN without a flag that says so.
            return .refuse("the token has locked the user PIN: reset it with the SO PIN, then run 'claviger unlock'")
        case .refused:
            if isSame {
                return .refuse(
                    "the token refused the PIN from \(source.name) before: correct it there, or run 'claviger unlock'")
            }
            // Somebody who presents PINs has not got it right, and the token has counted: it is for them to go on.
            if warnings.countLow && !previous.source.isConfigured {
                return .refuse("the token refused the PIN that was given last, and reports failed logins: run 'claviger unlock'")
            }
            // Somebody has changed the source, which is the token's count of failed logins answered; the final try was excluded above.
            return .attempt(marker)
        case .unjudged, .unclear:
            // A token may give any code for a wrong PIN; its count of failed logins then says more than the code.
            if isSame && warnings.countLow {
                return .refuse(
                    "the last login with the PIN from \(source.name) failed, and the token reports failed ones: run 'claviger unlock'"
                )
            }
            guard isSame, previous.accepted != source else { return .attempt(marker) }
            guard previous.attempts < maximumPending else {
                return .refuse(
                    "logins with the PIN from \(source.name) failed \(maximumPending) times, and the token did not say why: run "
                        + "'claviger unlock'")
            }
        case .pending:
            if warnings.countLow {
                return .refuse("a login was cut off and the token reports failed ones: run 'claviger unlock'")
            }
            guard isSame else { return .attempt(marker) }
            guard previous.attempts < maximumPending else {
                return .refuse("logins with the PIN from \(source.name) were cut off twice: run 'claviger unlock'")
            }
        }
        marker.attempts = previous.attempts + 1
        return .attempt(marker)
    }

    /// What `next` decides.
    package enum Decision: Equatable, Sendable {
        case attempt(LoginMarker)
        case refuse(String)
    }
}
