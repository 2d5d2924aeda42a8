import ClavigerWire
import Glibc

/// A request made ready to be sent many times.
package struct PipelineRequest: Sendable {
    fileprivate let request: OutgoingRequest

    /// To the daemon and back.
    package static func ping() throws(ClientError) -> PipelineRequest {
        PipelineRequest(request: try Requests.plain(.ping))
    }

    /// Wraps the same plaintext each time.
    package static func wrap(key: KeyReference, plaintext: RawSpan) throws(ClientError) -> PipelineRequest {
        PipelineRequest(request: try Requests.wrap(key, plaintext, []))
    }

    /// Opens the same envelope each time.
    package static func unwrap(_ envelope: [UInt8]) throws(ClientError) -> PipelineRequest {
        PipelineRequest(request: try Requests.unwrap([SealedItem(envelope)], nil, refresh: false))
    }
}

/// One connection driven by one thread that keeps many requests in flight: for measuring the daemon rather than the client.
package struct Pipeline: ~Copyable {
    private let socket: UnixSocket
    private var reader: FrameReader
    private var lastID: UInt32 = 0
    private let timeout: UInt64

    /// Connects. No answer within the options' deadline is an error.
    package init(_ options: ClientOptions) throws(ClientError) {
        let socket = try UnixSocket(connecting: options.socketPath)
        let reader = try FrameReader()
        self.timeout = options.deadlineNanoseconds
        self.reader = reader
        self.socket = socket
    }

    /// Sends a request; returns its number.
    package mutating func send(_ prepared: borrowing PipelineRequest) throws(ClientError) -> UInt32 {
        let request = prepared.request
        lastID = lastID == UInt32.max ? 1 : lastID + 1
        request.stamp(requestID: lastID, deadline: UInt32(clamping: timeout / 1_000_000))
        let limit = Monotonic.now + timeout
        var sent = 0
        while sent < request.buffer.count {
            let transfer = request.buffer.withSpan { span in
                span.withUnsafeBytes { socket.send(UnsafeRawBufferPointer(rebasing: $0[sent...])) }
            }
            switch transfer {
            case .moved(let count): sent += count
            case .failed: throw .connectionLost
            // The daemon stops reading when its answers are not read: both directions are served while waiting.
            case .wouldBlock: if try ready(POLLIN | POLLOUT, limit) & POLLIN != 0 { try fill() }
            }
        }
        return lastID
    }

    /// Waits for the next answer: the number of its request, and the refusal if it was one.
    package mutating func receive() throws(ClientError) -> (id: UInt32, refusal: ServerRefusal?) {
        let limit = Monotonic.now + timeout + ClientOptions.grace
        while true {
            if let frame = try next() { return (frame.header.requestID, try Pipeline.refusal(frame)) }
            if try ready(POLLIN, limit) != 0 { try fill() }
        }
    }

    private static func refusal(_ frame: ReplyFrame) throws(ClientError) -> ServerRefusal? {
        do throws(ClientError) {
            if frame.header.kind == .refusal { throw Replies.refusal(frame) }
            if frame.header.opcode == Opcode.wrap.rawValue || frame.header.opcode == Opcode.unwrap.rawValue {
                try Replies.single(frame) { (_, _) throws(ClientError) in }
            }
            return nil
        } catch {
            guard case .refused(let refusal) = error, frame.header.requestID != 0 else { throw error }
            return refusal
        }
    }

    private func ready(_ events: Int32, _ limit: UInt64) throws(ClientError) -> Int32 {
        guard Monotonic.now < limit else { throw .timedOut }
        var file = pollfd(fd: socket.file, events: Int16(events), revents: 0)
        guard poll(&file, 1, Monotonic.pollTimeout(until: limit)) > 0 else { return 0 }
        // An error or the end shows with the next transfer.
        return Int32(file.revents) & (POLLHUP | POLLERR) != 0 ? events : Int32(file.revents)
    }

    private mutating func fill() throws(ClientError) {
        do throws(StreamEnd) { try reader.fill(from: socket) } catch { throw Connection.error(error) }
    }

    private mutating func next() throws(ClientError) -> ReplyFrame? {
        do throws(StreamEnd) { return try reader.next() } catch { throw Connection.error(error) }
    }
}
