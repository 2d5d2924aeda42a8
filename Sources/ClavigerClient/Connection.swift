import CLinux
import ClavigerWire
import Glibc

/// One connection, shared by many callers: requests go out as they come, replies are handed to whom they belong.
///
/// Somebody must read. With waiting threads one of them does, the leader: it reads the socket itself until its own reply is
/// there, hands the others theirs, and then lets another lead; so a lone caller's round trip has no hop between threads. With
/// waiting tasks a thread made for it reads (`serve`), since a task must not block.
///
/// Sending never blocks: what the socket does not take at once is left to the leader.
final class Connection: @unchecked Sendable {
    // Sendable: everything mutable is used under `lock`, except `reader`, which belongs to the leader (`isLed` under the lock).
    private let path: String
    private let socket: UnixSocket
    private let wakeUp: WakeUp
    private let lock = Lock()

    private var pending: [UInt32: Exchange] = [:]
    /// Requests whose callers stopped waiting; their replies are dropped when they come.
    private var abandoned: Set<UInt32> = []
    private var lastID: UInt32 = 0
    private var unsent: [Unsent] = []
    private var failure: ClientError?
    private var isLed = false
    /// No exchange of a task ends before this moment.
    private var nextLimit = UInt64.max
    private var reader: FrameReader

    private struct Unsent {
        let buffer: FrameBuffer
        var sent: Int
    }

    /// How many answers may be owed to callers that stopped waiting before the daemon is taken for stuck.
    private static let maximumAbandoned = 4_096

    /// Connects.
    init(path: String) throws(ClientError) {
        let socket = try UnixSocket(connecting: path)
        self.path = path
        self.socket = socket
        wakeUp = try WakeUp()
        reader = try FrameReader()
    }

    /// Whether it can still be used, as far as is known.
    var isUsable: Bool { locked { failure == nil } }

    /// The user who listens on the other side.
    var peerUser: UInt32? { socket.peerUser }

    /// Ends the connection; whoever waits gets `error`.
    func end(_ error: ClientError) {
        locked { fail(error) }
    }

    // MARK: Sending

    /// Sends a request. The exchange may be settled already when this returns: the connection may have failed.
    func submit(_ request: OutgoingRequest, deadline: UInt32, limit: UInt64, waiting: Exchange.Waiting) -> Exchange {
        let exchange = Exchange(opcode: request.opcode.rawValue, limit: limit, waiting: waiting)
        locked {
            if let failure {
                exchange.settle(.failed(failure))
                return
            }
            exchange.id = freeID()
            pending[exchange.id] = exchange
            request.stamp(requestID: exchange.id, deadline: deadline)
            send(request.buffer)
            if exchange.condition == nil, limit < nextLimit {
                nextLimit = limit
                wakeUp.raise()
            }
        }
        return exchange
    }

    // Identifier 0 is never used: the daemon uses it where it cannot tell which request it refuses.
    private func freeID() -> UInt32 {
        repeat { lastID = lastID == UInt32.max ? 1 : lastID + 1 } while pending[lastID] != nil || abandoned.contains(lastID)
        return lastID
    }

    private func send(_ buffer: FrameBuffer) {
        unsent.append(Unsent(buffer: buffer, sent: 0))
        guard unsent.count == 1 else { return }
        flush()
        // A leader that polls for input only must learn that there is output too.
        if !unsent.isEmpty, isLed { wakeUp.raise() }
    }

    private func flush() {
        while let first = unsent.first {
            let transfer = first.buffer.withSpan { span in
                span.withUnsafeBytes { socket.send(UnsafeRawBufferPointer(rebasing: $0[first.sent...])) }
            }
            switch transfer {
            case .moved(let count):
                unsent[0].sent += count
                if unsent[0].sent == first.buffer.count { unsent.removeFirst() }
            case .wouldBlock: return
            // What the daemon still said before it closed is read first: a refusal of the connection is worth more than EPIPE.
            case .failed:
                unsent.removeAll()
                if !isLed { readLastWords() }
                fail(.connectionLost)
            }
        }
    }

    private func readLastWords() {
        do throws(StreamEnd) {
            try reader.fill(from: socket)
            while let frame = try reader.next() { deliver(frame) }
        } catch {
            // The connection is lost already, and that is what will be said.
        }
    }

    // MARK: Waiting

    /// Blocks until the exchange is settled or its limit has come.
    func wait(_ exchange: Exchange) -> Exchange.Outcome {
        lock.lock()
        defer {
            // Whoever leaves makes sure that somebody leads, if anybody is left.
            if !isLed { pending.first?.value.nudge() }
            lock.unlock()
        }
        while true {
            if let outcome = exchange.outcome { return outcome }
            guard Monotonic.now < exchange.limit else {
                abandon(exchange, .timedOut)
                continue
            }
            if isLed {
                exchange.condition?.wait(lock, until: exchange.limit)
            } else {
                isLed = true
                lead(until: exchange.limit)
                isLed = false
            }
        }
    }

    /// Suspends until the exchange is settled. Cancellation of the task settles it.
    func wait(_ exchange: Exchange) async -> Exchange.Outcome {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                locked {
                    if exchange.outcome == nil { exchange.continuation = continuation } else { continuation.resume() }
                }
            }
        } onCancel: {
            locked { abandon(exchange, .cancelled) }
        }
        return locked { exchange.outcome ?? .failed(.connectionLost) }
    }

    private func abandon(_ exchange: Exchange, _ error: ClientError) {
        guard exchange.outcome == nil else { return }
        if pending.removeValue(forKey: exchange.id) != nil { abandoned.insert(exchange.id) }
        exchange.settle(.failed(error))
        if abandoned.count > Connection.maximumAbandoned { fail(.timedOut) }
    }

    // MARK: Reading

    /// Reads for all exchanges until the connection fails. The calling thread does nothing else.
    func serve() {
        lock.lock()
        isLed = true
        while failure == nil {
            expire()
            lead(until: nextLimit)
        }
        lock.unlock()
    }

    private func expire() {
        let now = Monotonic.now
        guard now >= nextLimit else { return }
        for exchange in pending.values where exchange.limit <= now { abandon(exchange, .timedOut) }
        nextLimit = pending.values.reduce(UInt64.max) { min($0, $1.limit) }
    }

    /// Waits for the socket once and handles what came. Called by the leader with the lock held, which it gives up meanwhile.
    private func lead(until limit: UInt64) {
        let events = POLLIN | (unsent.isEmpty ? 0 : POLLOUT)
        lock.unlock()
        var files = [
            pollfd(fd: socket.file, events: Int16(events), revents: 0),
            pollfd(fd: wakeUp.file, events: Int16(POLLIN), revents: 0),
        ]
        let timeout = limit == UInt64.max ? -1 : Monotonic.pollTimeout(until: limit)
        let ready = poll(&files, 2, timeout)
        var frames: [ReplyFrame] = []
        var end: StreamEnd?
        if ready > 0, files[1].revents != 0 { wakeUp.clear() }
        if ready > 0, files[0].revents & Int16(POLLIN | POLLHUP | POLLERR) != 0 {
            do throws(StreamEnd) {
                try reader.fill(from: socket)
                while let frame = try reader.next() { frames.append(frame) }
            } catch {
                end = error
            }
        }
        lock.lock()
        for frame in frames { deliver(frame) }
        if let end { fail(Connection.error(end)) }
        if failure == nil, !unsent.isEmpty { flush() }
    }

    private func deliver(_ frame: ReplyFrame) {
        switch frame.header.kind {
        case .event: return
        case .request: fail(.protocolViolation("a request came from the daemon"))
        case .reply, .refusal:
            let id = frame.header.requestID
            guard let exchange = pending[id] else {
                guard abandoned.remove(id) == nil else { return }
                return fail(unclaimed(frame))
            }
            guard frame.header.opcode == exchange.opcode else {
                return fail(.protocolViolation("a reply names another operation than its request"))
            }
            pending[id] = nil
            exchange.settle(.frame(frame))
        }
    }

    // A refusal that names no request speaks of the connection itself (too many connections, a frame that could not be read).
    private func unclaimed(_ frame: ReplyFrame) -> ClientError {
        guard frame.header.kind == .refusal, frame.header.requestID == 0 else {
            return .protocolViolation("a reply names no request in flight")
        }
        return Replies.refusal(frame)
    }

    private func fail(_ error: ClientError) {
        guard failure == nil else { return }
        failure = error
        unsent.removeAll()
        socket.shutDown()
        wakeUp.raise()
        let waiting = pending.values
        pending.removeAll()
        for exchange in waiting { exchange.settle(.failed(error)) }
    }

    static func error(_ end: StreamEnd) -> ClientError {
        switch end {
        case .closed, .failed: .connectionLost
        case .violation(let what): .protocolViolation(what)
        case .memory(let error): error
        }
    }

    private func locked<R>(_ body: () -> R) -> R {
        lock.lock()
        defer { lock.unlock() }
        return body()
    }
}

extension Connection {
    /// The reply that an attempt came to; a refusal is thrown.
    func reply(_ outcome: Exchange.Outcome) throws(ClientError) -> ReplyFrame {
        switch outcome {
        case .failed(let error): throw error
        case .frame(let frame):
            guard frame.header.kind == .refusal else { return frame }
            let error = Replies.refusal(frame)
            endIfViolated(error)
            throw error
        }
    }

    /// Reads a reply with `read`. One that breaks the protocol ends the connection: nothing after it can be trusted to be meant
    /// as it seems.
    func reading<R: ~Copyable>(_ frame: ReplyFrame, _ read: (ReplyFrame) throws(ClientError) -> R) throws(ClientError) -> R {
        do throws(ClientError) {
            return try read(frame)
        } catch {
            endIfViolated(error)
            throw error
        }
    }

    private func endIfViolated(_ error: ClientError) {
        if case .protocolViolation = error { end(.connectionLost) }
    }
}
