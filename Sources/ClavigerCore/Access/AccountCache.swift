import Glibc
import Synchronization

/// Today's names of accounts, asked of the system's databases and remembered for a moment.
///
/// A lookup may go to a directory server; so that no request waits for one that was just made, an answer counts for two seconds. That
/// is how late a renamed or re-created account may be noticed.
package final class AccountCache: AccountNames {
    private struct Answer {
        let name: String?
        let until: UInt64
    }

    private struct Answers {
        var users: [UInt32: Answer] = [:]
        var groups: [UInt32: Answer] = [:]

        // No key path chooses one: resolving it takes longer than the look.
        subscript(kind: Kind) -> [UInt32: Answer] {
            get {
                switch kind {
                case .user: users
                case .group: groups
                }
            }
            _modify {
                switch kind {
                case .user: yield &users
                case .group: yield &groups
                }
            }
        }
    }

    /// How long an answer counts, in nanoseconds.
    private let memory: UInt64
    /// Answers remembered at most: more accounts than grants ever name.
    static let maximum = 10_000

    private let answers = Mutex(Answers())
    private let lookUp: @Sendable (Kind, UInt32) throws(LookupFailure) -> String?

    /// The account database did not answer: whether the number has a name is not known.
    package struct LookupFailure: Error {
        package init() {}
    }

    /// What an account is called that could not be looked up and never was: no account has this name, so no grant holds.
    static let unknown = ""

    /// What is looked up.
    package enum Kind: Sendable { case user, group }

    /// A cache over the system's databases, or over `lookUp`.
    package init(
        memory: UInt64 = 2_000_000_000,
        lookUp: @escaping @Sendable (Kind, UInt32) throws(LookupFailure) -> String? = { (kind, number) throws(LookupFailure) in
            try AccountLookup.nameNow(kind, number)
        }
    ) {
        self.memory = memory
        self.lookUp = lookUp
    }

    package func user(_ number: UInt32) -> String? { name(.user, number) }

    /// The name that was last heard of, however long ago, for who must not wait for the account database; nil when there was none.
    package func lastHeard(ofUser number: UInt32) -> String? { answers.withLock { $0[.user][number]?.name } }

    package func group(_ number: UInt32) -> String? { name(.group, number) }

    private func name(_ kind: Kind, _ number: UInt32) -> String? {
        let now = Clock.monotonic()
        let known = answers.withLock { $0[kind][number] }
        if let known, known.until > now { return known.name }
        // Outside the lock: two that ask at once both look.
        let name: String?
        do throws(LookupFailure) { name = try lookUp(kind, number) } catch {
            // A directory server that is away re-creates no account: what it said last counts on.
            name = known.map { $0.name } ?? AccountCache.unknown
        }
        answers.withLock { answers in
            if answers[kind].count >= AccountCache.maximum { answers[kind] = [:] }
            answers[kind][number] = Answer(name: name, until: now + memory)
        }
        return name
    }
}

/// The system's account databases (passwd, group).
package enum AccountLookup {
    /// The name of a user or group; nil when the number has none, or when nobody can tell.
    package static func name(_ kind: AccountCache.Kind, _ number: UInt32) -> String? {
        do throws(AccountCache.LookupFailure) { return try nameNow(kind, number) } catch { return nil }
    }

    /// The name of a user or group; nil when the number has none.
    package static func nameNow(
        _ kind: AccountCache.Kind, _ number: UInt32
    ) throws(AccountCache.LookupFailure) -> String? {
        let (code, name) = lookUp(kind, number)
        // getpwnam(3): these mean that there is no such entry, as 0 does.
        switch code {
        case 0, ENOENT, ESRCH, EBADF, EPERM: return name
        case _: throw AccountCache.LookupFailure()
        }
    }

    private static func lookUp(_ kind: AccountCache.Kind, _ number: UInt32) -> (Int32, String?) {
        switch kind {
        case .user:
            codedEntry { buffer, size in
                var entry = passwd()
                var found: UnsafeMutablePointer<passwd>?
                let code = getpwuid_r(number, &entry, buffer, size, &found)
                return (code, found == nil ? nil : entry.pw_name.map { String(cString: $0) })
            }
        case .group:
            codedEntry { buffer, size in
                var entry = Glibc.group()
                var found: UnsafeMutablePointer<Glibc.group>?
                let code = getgrgid_r(number, &entry, buffer, size, &found)
                return (code, found == nil ? nil : entry.gr_name.map { String(cString: $0) })
            }
        }
    }

    /// The number and main group of the user of this name.
    package static func user(named name: String) -> (uid: UInt32, gid: UInt32)? {
        entry { buffer, size in
            var entry = passwd()
            var found: UnsafeMutablePointer<passwd>?
            let code = getpwnam_r(name, &entry, buffer, size, &found)
            return (code, found == nil ? nil : (entry.pw_uid, entry.pw_gid))
        }
    }

    /// The number of the group of this name.
    package static func group(named name: String) -> UInt32? {
        entry { buffer, size in
            var entry = Glibc.group()
            var found: UnsafeMutablePointer<Glibc.group>?
            let code = getgrnam_r(name, &entry, buffer, size, &found)
            return (code, found == nil ? nil : entry.gr_gid)
        }
    }

    /// The groups that a user is in, as a login would set them.
    package static func groups(of name: String, _ main: UInt32) -> [UInt32] {
        var count: Int32 = 0
        getgrouplist(name, main, nil, &count)
        guard count > 0 else { return [] }
        var groups = [gid_t](repeating: 0, count: Int(count))
        guard getgrouplist(name, main, &groups, &count) >= 0 else { return [] }
        return groups.prefix(Int(count)).map { $0 }
    }

    // Grows until the entry fits: a group's members stand in it.
    private static func entry<R>(_ body: (UnsafeMutablePointer<CChar>, Int) -> (Int32, R?)) -> R? { codedEntry(body).1 }

    private static func codedEntry<R>(_ body: (UnsafeMutablePointer<CChar>, Int) -> (Int32, R?)) -> (Int32, R?) {
        var size = 1_024
        while size <= 1 << 20 {
            let (code, result) = withUnsafeTemporaryAllocation(of: CChar.self, capacity: size) { buffer in
                buffer.baseAddress.map { body($0, size) } ?? (ENOMEM, nil)
            }
            if code != ERANGE { return (code, result) }
            size *= 4
        }
        return (ERANGE, nil)
    }
}
