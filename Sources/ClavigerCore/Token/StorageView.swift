import Glibc

/// The object files of a token as they stood at one moment, by what changes when one is put back: how a daemon that misses objects
/// notices, without a call into the module, that there is something new to be found.
struct StorageView: Sendable {
    private struct Mark: Hashable {
        let path: String
        let inode: UInt64
        let size: Int64
        let changed: Int64
        let changedNanoseconds: Int64
    }

    private let marks: Set<Mark>

    private init(_ marks: Set<Mark>) { self.marks = marks }

    /// What stands in the directories now: nothing where they cannot be read, so that all that comes there later is new.
    init(_ files: TokenFiles) {
        var marks: Set<Mark> = []
        for path in (try? files.objects()) ?? [] {
            guard let status = Files.status(path) else { continue }
            marks.insert(
                Mark(
                    path: path, inode: UInt64(status.st_ino), size: Int64(status.st_size),
                    changed: Int64(status.st_ctim.tv_sec), changedNanoseconds: Int64(status.st_ctim.tv_nsec)))
        }
        self.marks = marks
    }

    /// What of this is still there: a file that goes and comes back unchanged is then one that came.
    func kept(in files: TokenFiles?) -> StorageView {
        guard let files else { return self }
        return StorageView(marks.intersection(StorageView(files).marks))
    }

    /// Whether there are files, or contents of files, that were not there at `older`. Data objects do not count: the daemon's memory of
    /// its database's epoch is one, and a new one after each change.
    func hasGained(since older: StorageView) -> Bool {
        marks.subtracting(older.marks).contains { !TokenFiles.isDataObject($0.path) }
    }
}
