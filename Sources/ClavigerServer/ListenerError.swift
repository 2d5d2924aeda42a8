/// Why a socket cannot be listened on.
package enum ListenerError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The path has more bytes than a socket's address holds.
    case pathTooLong(path: String, maximum: Int)
    /// The directory of the path does not exist.
    case noDirectory(path: String)
    /// Something else than a socket is at the path.
    case notASocket(path: String)
    /// A process listens there already.
    case alreadyServed(path: String)
    /// There is no group of this name.
    case unknownGroup(String)
    /// A system call failed; `code` is errno.
    case system(call: String, path: String, code: Int32)

    /// The reason for people, in one line, and what to do.
    package var description: String {
        switch self {
        case .pathTooLong(let path, let maximum):
            "socket path '\(path)' has \(path.utf8.count) bytes and may have \(maximum): choose a shorter socket.path"
        case .noDirectory(let path): "the directory of socket path '\(path)' does not exist: create it"
        case .notASocket(let path): "'\(path)' exists and is no socket: move it away or choose another socket.path"
        case .alreadyServed(let path): "another process serves '\(path)': stop it or choose another socket.path"
        case .unknownGroup(let name): "there is no group '\(name)': create it or change socket.group"
        case .system(let call, let path, let code): "cannot listen on '\(path)': \(call): \(errorText(code))"
        }
    }
}
