import CLinux
import ClavigerCore
import Glibc

/// A listening Unix stream socket: bound here, or taken over from the service manager.
package final class Listener: Sendable {
    /// The mode of the socket: owner and group may connect.
    package static let mode: mode_t = 0o660
    /// The mode of a socket that only the owner and root may connect to.
    package static let ownerMode: mode_t = 0o600

    let descriptor: Int32
    /// Whether management requests come in here.
    package let isAdmin: Bool
    private let bound: Bound?

    /// The file that was made, so that no other's is unlinked at the end.
    private struct Bound {
        let path: String
        let device: dev_t
        let inode: ino_t
    }

    /// Takes over a listening descriptor, and leaves its file to who made it.
    package init(adopting descriptor: Int32, isAdmin: Bool = false) {
        self.descriptor = descriptor
        self.isAdmin = isAdmin
        bound = nil
        Listener.setNonBlocking(descriptor)
    }

    /// Binds the configured socket. A socket file that nobody listens on is replaced.
    package convenience init(_ socket: Configuration.Socket) throws(ListenerError) {
        try self.init(path: socket.path, group: socket.group, backlog: socket.backlog)
    }

    /// Binds the socket for management; nil when none is configured. Only its owner and root may connect, or a group if one is named.
    package static func admin(_ socket: Configuration.Socket) throws(ListenerError) -> Listener? {
        guard let path = socket.adminPath else { return nil }
        return try Listener(path: path, group: socket.adminGroup, backlog: socket.backlog, isAdmin: true)
    }

    /// Binds `path` with ``mode`` and, when given, the group; for management with 0600 when no group is given. Nobody can connect before
    /// both are set.
    package init(path: String, group: Configuration.GroupName?, backlog: Int, isAdmin: Bool = false) throws(ListenerError) {
        self.isAdmin = isAdmin
        let groupID = try group.map { name throws(ListenerError) in try Listener.number(of: name) }
        try Listener.clear(path)
        let descriptor = linux_unix_stream_socket()
        guard descriptor >= 0 else { throw .system(call: "socket", path: path, code: errno) }
        do throws(ListenerError) {
            bound = try Listener.bind(
                descriptor, path, groupID, backlog, mode: isAdmin && group == nil ? Listener.ownerMode : Listener.mode)
        } catch {
            Glibc.close(descriptor)
            throw error
        }
        self.descriptor = descriptor
        Listener.setNonBlocking(descriptor)
    }

    deinit { Glibc.close(descriptor) }

    /// Removes the socket's file, if it was made here and is still the same.
    func unlinkFile() {
        guard let bound else { return }
        var status = stat()
        guard lstat(bound.path, &status) == 0, status.st_dev == bound.device, status.st_ino == bound.inode else { return }
        unlink(bound.path)
    }

    private static func bind(
        _ descriptor: Int32, _ path: String, _ group: gid_t?, _ backlog: Int, mode: mode_t
    ) throws(ListenerError) -> Bound {
        // bind(2) makes the file with the mode of the socket's own inode, so there is no moment at which others could open it; the
        // umask belongs to the whole process and is left alone.
        guard fchmod(descriptor, 0o600) == 0 else { throw .system(call: "fchmod", path: path, code: errno) }
        guard linux_unix_bind(descriptor, path) == 0 else { throw error("bind", path) }
        do throws(ListenerError) {
            if let group, lchown(path, uid_t.max, group) != 0 { throw .system(call: "chown", path: path, code: errno) }
            guard chmod(path, mode) == 0 else { throw .system(call: "chmod", path: path, code: errno) }
            var status = stat()
            guard lstat(path, &status) == 0 else { throw .system(call: "stat", path: path, code: errno) }
            // Before this, connecting is refused.
            guard listen(descriptor, Int32(backlog)) == 0 else { throw .system(call: "listen", path: path, code: errno) }
            return Bound(path: path, device: status.st_dev, inode: status.st_ino)
        } catch {
            unlink(path)
            throw error
        }
    }

    /// Makes sure that nothing is at `path`: a socket that nobody listens on is removed, anything else is left and refused.
    private static func clear(_ path: String) throws(ListenerError) {
        let maximum = Int(linux_unix_path_maximum())
        guard path.utf8.count <= maximum else { throw .pathTooLong(path: path, maximum: maximum) }
        var status = stat()
        guard lstat(path, &status) == 0 else {
            if errno == ENOENT { return }
            throw error("stat", path)
        }
        guard status.st_mode & S_IFMT == S_IFSOCK else { throw .notASocket(path: path) }
        let probe = linux_unix_stream_socket()
        guard probe >= 0 else { throw .system(call: "socket", path: path, code: errno) }
        defer { Glibc.close(probe) }
        // A full backlog must not make the probe wait; it answers EAGAIN, and somebody listens then.
        setNonBlocking(probe)
        if linux_unix_connect(probe, path) == 0 { throw .alreadyServed(path: path) }
        switch errno {
        case ECONNREFUSED:
            guard unlink(path) == 0 || errno == ENOENT else { throw .system(call: "unlink", path: path, code: errno) }
        case ENOENT: break
        case EAGAIN: throw .alreadyServed(path: path)
        default: throw .system(call: "connect", path: path, code: errno)
        }
    }

    private static func error(_ call: String, _ path: String) -> ListenerError {
        switch errno {
        case ENOENT, ENOTDIR: .noDirectory(path: path)
        case EADDRINUSE: .alreadyServed(path: path)
        default: .system(call: call, path: path, code: errno)
        }
    }

    private static func number(of group: Configuration.GroupName) throws(ListenerError) -> gid_t {
        switch group {
        case .number(let number): return number
        case .name(let name):
            var entry = Glibc.group()
            var found: UnsafeMutablePointer<Glibc.group>?
            // Members are listed in the same buffer: room for thousands.
            let code = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 1 << 18) { buffer in
                getgrnam_r(name, &entry, buffer.baseAddress!, buffer.count, &found)
            }
            guard code == 0, found != nil else { throw .unknownGroup(name) }
            return entry.gr_gid
        }
    }

    private static func setNonBlocking(_ descriptor: Int32) {
        let flags = fcntl(descriptor, F_GETFL)
        if flags >= 0 { _ = fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) }
    }
}
