import CLinux
import ClavigerWire
import Glibc
import Synchronization

/// A daemon made of a script: it speaks frames over a real socket, and a closure decides what is said.
///
/// One thread accepts, one reads each connection; `stop` ends and joins them all and removes the socket.
final class TestServer: Sendable {
    typealias Script = @Sendable (Request) -> Void

    let path: String
    private let listener: Int32
    private let script: Script
    private let state = Mutex(State())

    private struct State {
        var peers: [Peer] = []
        var threads: [pthread_t] = []
        var requests: [Request] = []
        var isStopped = false
    }

    /// One request as it arrived.
    struct Request: Sendable {
        let header: FrameHeader
        let body: [UInt8]
        let peer: Peer

        var opcode: Opcode? { Opcode(rawValue: header.opcode) }

        func message<Message: WireMessage>(_ type: Message.Type = Message.self) -> Message? {
            try? Message.decode(body.span.bytes)
        }

        /// Answers with a message whose ranges refer to `source`.
        func reply<Message: WireMessage>(_ message: Message, source: [UInt8] = []) {
            peer.send(replyBytes(message, source: source))
        }

        /// The bytes that `reply` would send.
        func replyBytes<Message: WireMessage>(_ message: Message, source: [UInt8] = []) -> [UInt8] {
            var frame = [UInt8](repeating: 0, count: Limits.maximumFrameSize)
            let count = frame.withUnsafeMutableBytes { buffer in
                FrameWriter.reply(
                    message, opcode: opcode ?? .ping, requestID: header.requestID, source: source.span.bytes, into: buffer)
            }
            return Array(frame[..<(count ?? 0)])
        }

        func refuse(_ refusal: Refusal) {
            peer.send(FrameWriter.refusal(refusal, opcode: header.opcode, requestID: header.requestID))
        }
    }

    /// The server's end of a connection.
    final class Peer: Sendable {
        let number: Int
        fileprivate let file: Int32
        private let sending = Mutex(())

        fileprivate init(number: Int, file: Int32) {
            self.number = number
            self.file = file
        }

        deinit { Glibc.close(file) }

        /// Sends whole; an error ends the connection, as it would for a daemon.
        func send(_ bytes: [UInt8]) {
            sending.withLock { _ in
                var sent = 0
                while sent < bytes.count {
                    let count = bytes.withUnsafeBytes {
                        Glibc.send(file, $0.baseAddress.map { $0 + sent }, bytes.count - sent, Int32(MSG_NOSIGNAL))
                    }
                    if count > 0 { sent += count } else if errno != EINTR { return shutDown() }
                }
            }
        }

        func shutDown() { _ = shutdown(file, Int32(SHUT_RDWR)) }
    }

    /// Listens on `path` and serves until `stop`.
    init(_ path: String, _ script: @escaping Script) throws {
        self.path = path
        self.script = script
        listener = linux_unix_stream_socket()
        guard linux_unix_bind(listener, path) == 0, listen(listener, 64) == 0 else { throw TestFailure("listen: \(errno)") }
        start { $0.accept() }
    }

    /// Ends everything and waits for it. The socket's file goes too, as after a daemon's end.
    func stop() {
        let peers = state.withLock { state in
            state.isStopped = true
            return state.peers
        }
        _ = shutdown(listener, Int32(SHUT_RDWR))
        for peer in peers { peer.shutDown() }
        while let thread = state.withLock({ $0.threads.popLast() }) { pthread_join(thread, nil) }
        close(listener)
        unlink(path)
    }

    /// Every request so far, in order of arrival.
    var requests: [Request] { state.withLock { $0.requests } }

    /// How many connections there have been.
    var connections: Int { state.withLock { $0.peers.count } }

    private func accept() {
        while true {
            let file = Glibc.accept(listener, nil, nil)
            guard file >= 0 else { return }
            let peer: Peer? = state.withLock { state in
                let peer = Peer(number: state.peers.count, file: file)
                if state.isStopped { return nil }
                state.peers.append(peer)
                return peer
            }
            guard let peer else { return }
            start { $0.serve(peer) }
        }
    }

    private func serve(_ peer: Peer) {
        while let header = read(peer, Limits.headerLength) {
            guard let parsed = try? FrameHeader(header.span.bytes), let body = read(peer, parsed.bodyLength) else { break }
            let request = Request(header: parsed, body: body, peer: peer)
            state.withLock { $0.requests.append(request) }
            script(request)
        }
        peer.shutDown()
    }

    private func read(_ peer: Peer, _ count: Int) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        var received = 0
        while received < count {
            let part = bytes.withUnsafeMutableBytes {
                recv(peer.file, $0.baseAddress.map { $0 + received }, count - received, 0)
            }
            if part > 0 { received += part } else if part == 0 || errno != EINTR { return nil }
        }
        return bytes
    }

    private func start(_ body: @escaping @Sendable (TestServer) -> Void) {
        let thread = startThread { [self] in body(self) }
        state.withLock { $0.threads.append(thread) }
    }
}

struct TestFailure: Error {
    let what: String
    init(_ what: String) { self.what = what }
}

private final class ThreadBody: Sendable {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}

/// Starts a thread. Callers that block need real ones: the test runner's are few.
func startThread(_ run: @escaping @Sendable () -> Void) -> pthread_t {
    var thread = pthread_t()
    let body = Unmanaged.passRetained(ThreadBody(run))
    let code = pthread_create(
        &thread, nil,
        { argument in
            guard let argument else { return nil }
            Unmanaged<ThreadBody>.fromOpaque(argument).takeRetainedValue().run()
            return nil
        }, body.toOpaque())
    precondition(code == 0, "no thread")
    return thread
}

/// Calls `body` with 0 ..< `count`, each on a thread of its own, and waits for all.
func onThreads(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
    let threads = (0..<count).map { index in startThread { body(index) } }
    for thread in threads { pthread_join(thread, nil) }
}
