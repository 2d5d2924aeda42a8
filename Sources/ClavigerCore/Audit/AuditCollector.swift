import CLinux
import Glibc
import Synchronization

/// Sends every record to a Unix socket as well, such as a log collector's: datagrams where it takes such, else a stream of lines.
///
/// It reads the log's files and so holds up nothing: a collector that stalls lags behind, and gets all that it missed when it is back.
/// What was there before the daemon started is not sent again.
package final class AuditCollector: Sendable {
    /// How far it came.
    package struct State: Sendable, Equatable {
        /// The newest record that was sent.
        package var sent: UInt64 = 0
        /// Why nothing is sent now.
        package var failure: String?
    }

    package let path: String
    private let directory: String
    private let shared: Mutex<State>
    private let isStopping = Atomic(false)
    private let bell = Bell()

    /// How often new records are looked for, in nanoseconds.
    private static let pause: UInt64 = 100_000_000

    init(path: String, directory: String) {
        self.path = path
        self.directory = directory
        shared = Mutex(State())
    }

    package var state: State { shared.withLock { $0 } }

    /// Sends until `stop`. Run it on a thread of its own, which may be left behind: it only reads.
    package func run() {
        var follower: AuditFollower?
        var socket: Int32 = -1
        defer { if socket >= 0 { close(socket) } }
        while !isStopping.load(ordering: .relaxed) {
            do throws(FileError) {
                if follower == nil { follower = try AuditFollower(directory) }
                try follower?.next { line in self.send(line, &socket) }
            } catch {
                fail("\(error)")
            }
            bell.wait(until: Clock.monotonic() + AuditCollector.pause)
        }
    }

    /// Ends the sending.
    package func stop() {
        isStopping.store(true, ordering: .relaxed)
        bell.ring()
    }

    private func send(_ line: UnsafeRawBufferPointer, _ socket: inout Int32) -> Bool {
        if socket < 0 { socket = connect() }
        guard socket >= 0 else { return false }
        var bytes = Array(line)
        bytes.append(0x0a)
        var place = 0
        while place < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.send(
                    socket, $0.baseAddress.map { $0 + place }, $0.count - place,
                    Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
            }
            if count > 0 {
                place += count
                continue
            }
            if errno == EINTR { continue }
            if errno == EAGAIN || errno == ENOBUFS {
                fail("it takes no more for now")
                // A line that was begun must be ended, or the next would run into it.
                guard place > 0, waitForRoom(socket) else { return false }
                continue
            }
            fail("send: \(String(cString: strerror(errno)))")
            close(socket)
            socket = -1
            return false
        }
        let sequence = AuditLine.parts(line)?.sequence
        shared.withLock { state in
            state.failure = nil
            if let sequence { state.sent = sequence }
        }
        return true
    }

    private func waitForRoom(_ socket: Int32) -> Bool {
        while !isStopping.load(ordering: .relaxed) {
            var poll = pollfd(fd: socket, events: Int16(POLLOUT), revents: 0)
            if Glibc.poll(&poll, 1, 100) > 0 { return true }
        }
        return false
    }

    private func connect() -> Int32 {
        for make in [linux_unix_datagram_socket, linux_unix_stream_socket] {
            let socket = make()
            guard socket >= 0 else { continue }
            if linux_unix_connect(socket, path) == 0 { return socket }
            let code = errno
            close(socket)
            // The other kind of socket is listening there.
            guard code == EPROTOTYPE else {
                fail("connect: \(String(cString: strerror(code)))")
                return -1
            }
        }
        fail("connect: neither a datagram nor a stream socket")
        return -1
    }

    private func fail(_ reason: String) { shared.withLock { $0.failure = reason } }
}
