import CLinux
import Glibc

/// Room on the disk that is the database's before it needs it: what takes rights away must work on a full disk too.
///
/// Blocks are taken behind the ends of its files, whose lengths stay as SQLite knows them.
final class StoreRoom {
    /// What the write-ahead log grows to before SQLite begins it anew: 1,000 pages (SQLITE_DEFAULT_WAL_AUTOCHECKPOINT) of 4 KiB with
    /// their headers, and the pages of one transaction more.
    static let logBytes: Int64 = 5 << 20
    /// By how much the database itself can grow: some hundreds of keys, or thousands of records that wait for the audit log.
    static let databaseBytes: Int64 = 1 << 20

    private let path: String
    // Closing any descriptor of the database would end SQLite's locks on it (fcntl(2)): it stays open until SQLite's are closed.
    private var database: Int32 = -1

    init(path: String) { self.path = path }

    deinit { if database >= 0 { close(database) } }

    /// Takes what room is not taken yet.
    ///
    /// - Returns: false when there is none; true where the file system cannot promise any.
    func keep() -> Bool {
        // Every change is written to the log first.
        let isKept = [keepLog(), keepDatabase()]
        return isKept.allSatisfy(\.self)
    }

    private func keepLog() -> Bool {
        // It has no such locks: in WAL mode they are on a third file.
        let log = open(path + "-wal", O_WRONLY | O_CLOEXEC | O_NOFOLLOW)
        guard log >= 0 else { return errno == ENOENT }
        defer { close(log) }
        return take(log, StoreRoom.logBytes)
    }

    private func keepDatabase() -> Bool {
        if database < 0 { database = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW) }
        var status = stat()
        guard database >= 0, fstat(database, &status) == 0 else { return false }
        return take(database, Int64(status.st_size) + StoreRoom.databaseBytes)
    }

    private func take(_ file: Int32, _ bytes: Int64) -> Bool {
        while linux_fallocate_keeping_size(file, 0, bytes) != 0 {
            guard errno == EINTR else { return errno == EOPNOTSUPP }
        }
        return true
    }
}
