import CLinux
import Glibc
import Logging
import SecureMemory
import Synchronization

/// Sends every record to a Unix socket as well, such as a log collector's: datagrams where it takes such, else a stream of lines.
///
/// It reads the log's files and so holds up nothing: a collector that stalls lags behind, and gets all that it missed when it is back.
/// How far it came is kept in a file, so that the next start goes on from there: after a crash the records of the last second may come
/// twice, with the same numbers, and none is left out. Without that file it begins with the newest segment.
package final class AuditCollector: Sendable {
    /// How far it came.
    package struct State: Sendable, Equatable {
        /// The newest record that was sent.
        package var sent: UInt64 = 0
        /// Why nothing is sent now.
        package var failure: String?
        /// Records that no datagram can hold: they are left out.
        package var skipped: UInt64 = 0
        // Where `sent` is in the log, and what of it the file says.
        fileprivate var position: AuditPosition?
        fileprivate var saved: AuditPosition?

        /// What the operator is to know; nil when there is nothing.
        package var concern: String? {
            failure ?? (skipped > 0 ? "\(skipped) records are longer than a datagram may be, and were left out" : nil)
        }
    }

    package let path: String
    private let directory: String
    private let place: String
    private let sendBuffer: Int32
    private let bound: @Sendable (AuditSegment, FileIdentity) -> UInt64?
    private let log: Logger
    private let shared: Mutex<State>
    private let isStopping = Atomic(false)
    private let bell = Bell()

    /// How often new records are looked for, in nanoseconds.
    private static let pause: UInt64 = 100_000_000
    /// How often the place is saved at most, in nanoseconds: what a crash makes come twice.
    private static let saveInterval: UInt64 = 1_000_000_000
    /// Room for the longest record in one datagram, as far as the kernel grants it.
    static let defaultSendBuffer = Int32(2 * AuditLine.maximum)

    /// - Parameters:
    ///   - path: the collector's socket.
    ///   - directory: the log's.
    ///   - place: the file that says how far it came.
    ///   - sendBuffer: bytes of the socket's buffer, which bound a datagram.
    ///   - bound: which of what is found in the directory is the log's (see `AuditFollower.Bound`).
    init(
        path: String, directory: String, place: String, log: Logger, sendBuffer: Int32 = AuditCollector.defaultSendBuffer,
        bound: @escaping @Sendable (AuditSegment, FileIdentity) -> UInt64?
    ) {
        self.path = path
        self.directory = directory
        self.place = place
        self.sendBuffer = sendBuffer
        self.bound = bound
        self.log = log
        var state = State()
        state.position = AuditCollector.read(place)
        state.saved = state.position
        state.sent = state.position?.sequence ?? 0
        shared = Mutex(state)
    }

    package var state: State { shared.withLock { $0 } }

    /// Sends until `stop`. Run it on a thread of its own, which may be left behind: it only reads.
    package func run() {
        var follower: AuditFollower?
        var socket: Int32 = -1
        var saveTime: UInt64 = 0
        defer { if socket >= 0 { close(socket) } }
        while !isStopping.load(ordering: .relaxed) {
            do throws(FileError) {
                if follower == nil { follower = try follow() }
                var isDue = false
                repeat {
                    // What was missed may be long: the place is saved on the way.
                    try follower?.next { line in
                        isDue = Clock.monotonic() >= saveTime
                        return !isDue && self.send(line, &socket)
                    }
                    if Clock.monotonic() >= saveTime {
                        try save()
                        saveTime = Clock.monotonic() + AuditCollector.saveInterval
                    }
                } while isDue && !isStopping.load(ordering: .relaxed)
            } catch {
                fail("\(error)")
                // What it stands in may never be the log's again: the next look finds its place anew.
                follower = nil
            }
            bell.wait(until: Clock.monotonic() + AuditCollector.pause)
        }
    }

    /// Ends the sending.
    package func stop() {
        isStopping.store(true, ordering: .relaxed)
        bell.ring()
        do throws(FileError) { try save() } catch {
            log.warning("where the audit collector is to go on is not kept", metadata: ["error": "\(error)"])
        }
    }

    private func follow() throws(FileError) -> AuditFollower {
        guard let position = shared.withLock({ $0.position }) else {
            return try AuditFollower(directory, skipping: false, bound: bound)
        }
        return try AuditFollower(directory, after: position, bound: bound)
    }

    private func save() throws(FileError) {
        try shared.withLock { (state) throws(FileError) in
            guard let position = state.position, position != state.saved else { return }
            var text: [UInt8] = []
            JSONText.append(position.sequence, to: &text)
            text.append(UInt8(ascii: " "))
            JSONText.appendHash(position.hash, to: &text)
            text.append(UInt8(ascii: "\n"))
            try Files.replace(place, with: text.span.bytes)
            state.saved = position
        }
    }

    private static func read(_ path: String) -> AuditPosition? {
        guard let bytes = try? Files.read(path) else { return nil }
        let words = String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isWhitespace)
        guard words.count == 2, let sequence = UInt64(words[0]),
            let hash = AuditLine.bytes(hex: String(words[1]), count: SHA256.byteCount).flatMap({ AuditHash($0) })
        else { return nil }
        return AuditPosition(sequence: sequence, hash: hash)
    }

    private func took(_ line: UnsafeRawBufferPointer, isSkipped: Bool = false) {
        let position = AuditLine.parts(line).map { AuditPosition(sequence: $0.sequence, hash: AuditHash(of: line)) }
        shared.withLock { state in
            state.failure = nil
            if isSkipped { state.skipped += 1 }
            guard let position else { return }
            (state.position, state.sent) = (position, position.sequence)
        }
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
                guard waitForRoom(socket, tries: place > 0 ? .max : 1) else { return false }
                continue
            }
            // It would never fit, and what is behind it would never come.
            if errno == EMSGSIZE, place == 0 {
                let sequence = AuditLine.parts(line)?.sequence ?? 0
                log.warning(
                    "an audit record is longer than a datagram to the collector may be, and is left out there",
                    metadata: ["sequence": "\(sequence)", "bytes": "\(bytes.count)"])
                took(line, isSkipped: true)
                return true
            }
            fail("send: \(String(cString: strerror(errno)))")
            close(socket)
            socket = -1
            return false
        }
        took(line)
        return true
    }

    private func waitForRoom(_ socket: Int32, tries: Int) -> Bool {
        var tried = 0
        while !isStopping.load(ordering: .relaxed), tried < tries {
            tried += 1
            var poll = pollfd(fd: socket, events: Int16(POLLOUT), revents: 0)
            if Glibc.poll(&poll, 1, 100) > 0 { return true }
        }
        return false
    }

    private func connect() -> Int32 {
        for make in [linux_unix_datagram_socket, linux_unix_stream_socket] {
            let socket = make()
            guard socket >= 0 else { continue }
            var size = sendBuffer
            setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &size, socklen_t(MemoryLayout.size(ofValue: size)))
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
