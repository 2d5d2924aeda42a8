import Glibc

/// Whom a PIN may be told.
enum ServerTrust {
    /// The user that the daemon's unit runs as.
    static let daemonUser = "claviger"

    /// Checks that the process that listens runs as root, as the daemon's user or as the caller.
    ///
    /// - Parameter user: who listens, nil when the kernel does not say.
    static func check(_ user: UInt32?, path: String) throws(ClientError) {
        guard let user else { throw .serverNotTrusted(path: path, uid: UInt32.max) }
        guard user == 0 || user == geteuid() || user == userID(daemonUser) else {
            throw .serverNotTrusted(path: path, uid: user)
        }
    }

    private static func userID(_ name: String) -> UInt32? {
        var entry = passwd()
        var found: UnsafeMutablePointer<passwd>?
        var storage = [CChar](repeating: 0, count: 16 << 10)
        guard getpwnam_r(name, &entry, &storage, storage.count, &found) == 0, found != nil else { return nil }
        return entry.pw_uid
    }
}
