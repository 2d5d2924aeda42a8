import CLinux
import Glibc

/// A connected, non-blocking stream socket, closed when the last reference goes: a descriptor that others may still name is never
/// closed under them, since its number would soon be somebody else's.
final class UnixSocket: Sendable {
    let file: Int32

    /// Connects to `path`. Never blocks: a Unix socket's connect either succeeds or fails at once.
    init(connecting path: String) throws(ClientError) {
        let file = linux_unix_stream_socket()
        guard file >= 0 else { throw .resources(code: errno) }
        // A zero byte would end the path early and reach another socket than the one named.
        guard !path.utf8.contains(0) else {
            close(file)
            throw .unreachable(path: path, code: EINVAL)
        }
        guard fcntl(file, F_SETFL, O_NONBLOCK) == 0, linux_unix_connect(file, path) == 0 else {
            let code = errno
            close(file)
            throw .unreachable(path: path, code: code)
        }
        self.file = file
    }

    deinit { close(file) }

    /// What became of one transfer.
    enum Transfer {
        case moved(Int)
        case wouldBlock
        case failed(Int32)
    }

    func send(_ bytes: UnsafeRawBufferPointer) -> Transfer {
        while true {
            let sent = Glibc.send(file, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
            if sent >= 0 { return .moved(sent) }
            if errno == EINTR { continue }
            return errno == EAGAIN ? .wouldBlock : .failed(errno)
        }
    }

    /// Receives at most what `buffer` takes; `moved(0)` is the end of the stream.
    func receive(_ buffer: UnsafeMutableRawBufferPointer) -> Transfer {
        while true {
            let received = recv(file, buffer.baseAddress, buffer.count, 0)
            if received >= 0 { return .moved(received) }
            if errno == EINTR { continue }
            return errno == EAGAIN ? .wouldBlock : .failed(errno)
        }
    }

    /// Ends the stream in both directions; whoever polls it wakes.
    func shutDown() { _ = shutdown(file, Int32(SHUT_RDWR)) }

    /// The user who listens, as the kernel recorded it at listen(2); nil when it does not say.
    var peerUser: UInt32? {
        var process: Int32 = 0
        var user: UInt32 = 0
        var group: UInt32 = 0
        return linux_peer_credentials(file, &process, &user, &group) == 0 ? user : nil
    }
}

/// An eventfd: wakes a thread that polls.
final class WakeUp: Sendable {
    let file: Int32

    init() throws(ClientError) {
        file = eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK))
        guard file >= 0 else { throw .resources(code: errno) }
    }

    deinit { close(file) }

    func raise() {
        var one: UInt64 = 1
        _ = write(file, &one, 8)
    }

    func clear() {
        var count: UInt64 = 0
        _ = read(file, &count, 8)
    }
}
