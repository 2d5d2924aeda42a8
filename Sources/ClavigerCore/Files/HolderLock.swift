import Glibc

/// An exclusive lock on a file, held for as long as the value lives: there is one holder of a token and of a state directory.
///
/// The kernel lets go of it when the process ends, however it ends. The file names its holder for who comes second.
package struct HolderLock: ~Copyable {
    private let file: Int32
    /// The lock file.
    package let path: String

    /// Why the lock could not be had.
    package enum Failure: Error, Equatable, Sendable, CustomStringConvertible {
        /// Somebody else holds it; `holder` is how the holder named itself.
        case held(path: String, holder: String)
        /// The file cannot be made or locked.
        case file(FileError)

        package var description: String {
            switch self {
            case .held(let path, let holder): "\(path) is held by \(holder): stop it first"
            case .file(let error): error.description
            }
        }
    }

    /// Takes the lock at once or not at all.
    ///
    /// - Parameter holder: how to name this process, such as "clavigerd".
    package init(path: String, holder: String) throws(Failure) {
        // The directory may belong to another user than the one who runs this: a link planted there must not name the file that is
        // emptied below, and a pipe must not make us wait.
        let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0o600)
        guard file >= 0 else { throw .file(FileError("open", path, errno)) }
        guard flock(file, LOCK_EX | LOCK_NB) == 0 else {
            let code = errno
            let name = HolderLock.holder(file)
            close(file)
            guard code == EWOULDBLOCK else { throw .file(FileError("lock", path, code)) }
            throw .held(path: path, holder: name)
        }
        // What stands in the file is only a help for people; the lock itself does not depend on it.
        let text = Array("\(holder) (process \(getpid()))\n".utf8)
        ftruncate(file, 0)
        _ = pwrite(file, text, text.count, 0)
        self.file = file
        self.path = path
    }

    deinit { close(file) }

    private static func holder(_ file: Int32) -> String {
        var bytes = [UInt8](repeating: 0, count: 128)
        let count = pread(file, &bytes, bytes.count, 0)
        let text = String(decoding: bytes.prefix(max(0, count)).prefix { $0 != 10 }, as: UTF8.self)
        return text.isEmpty ? "another process" : text
    }
}
