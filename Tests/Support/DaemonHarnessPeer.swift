import CLinux
import ClavigerWire
import Glibc

/// A frame as it came from the daemon.
public struct WireFrame: Equatable, Sendable {
    /// Its header.
    public let header: FrameHeader
    /// Its body.
    public let body: [UInt8]

    /// The code of the refusal that it is; nil for another kind.
    public var refusal: RefusalCode? { header.kind == .refusal ? RefusalCode(rawValue: header.detail) : nil }

    /// The message that a reply holds.
    public func message<Message: WireMessage>(_ type: Message.Type = Message.self) throws -> Message {
        guard header.kind == .reply else { throw HarnessError("refused: \(refusal.map { $0.name } ?? "?")") }
        return try Message.decode(body.span.bytes)
    }
}

/// A peer that speaks to the daemon in raw frames, right or wrong ones, on a blocking socket.
public final class WirePeer: Sendable {
    private let descriptor: Int32

    /// Connects.
    public init(_ path: String) throws {
        let descriptor = linux_unix_stream_socket()
        guard descriptor >= 0 else { throw HarnessError("socket: \(systemText(errno))") }
        var patience = timeval(tv_sec: Int(DaemonHarness.patience.components.seconds), tv_usec: 0)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            setsockopt(descriptor, SOL_SOCKET, option, &patience, socklen_t(MemoryLayout<timeval>.size))
        }
        guard linux_unix_connect(descriptor, path) == 0 else {
            let code = errno
            close(descriptor)
            throw HarnessError("connect: \(systemText(code))")
        }
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    /// The bytes of a frame; every header field can be made wrong.
    public static func frame(
        length: UInt32? = nil, version: UInt8 = Limits.protocolVersion, kind: UInt8 = 0, opcode: UInt16, id: UInt32,
        detail: UInt32 = 0, body: [UInt8] = []
    ) -> [UInt8] {
        word(length ?? UInt32(12 + body.count)) + [version, kind, UInt8(opcode >> 8), UInt8(truncatingIfNeeded: opcode)]
            + word(id) + word(detail) + body
    }

    /// The bytes of a request with this message, which has `deadline` milliseconds: a minute, since a token may be long at it on a busy
    /// machine.
    public static func frame<Message: WireMessage>(
        _ opcode: Opcode, id: UInt32, _ message: Message, source: [UInt8] = [], deadline: UInt32 = 60_000
    ) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: Limits.maximumFrameSize)
        let count = bytes.withUnsafeMutableBytes { buffer in
            FrameWriter.request(
                message, opcode: opcode, requestID: id, deadline: deadline, source: source.span.bytes, into: buffer)
        }
        guard let count else { throw HarnessError("the request does not fit a frame") }
        return Array(bytes[..<count])
    }

    /// A field of a body.
    public static func field(_ tag: UInt16, _ value: [UInt8]) -> [UInt8] {
        [UInt8(tag >> 8), UInt8(truncatingIfNeeded: tag)] + word(UInt32(value.count)) + value
    }

    /// The value of a list field of these items' bodies; `count` to claim another number.
    public static func list(_ items: [[UInt8]], count: Int? = nil) -> [UInt8] {
        items.reduce(word(UInt32(count ?? items.count))) { $0 + word(UInt32($1.count)) + $1 }
    }

    /// A number in its four bytes.
    public static func word(_ value: UInt32) -> [UInt8] { withUnsafeBytes(of: value.bigEndian) { Array($0) } }

    /// Sends bytes as they are.
    public func send(_ bytes: [UInt8]) throws {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress.map { $0 + sent }, $0.count - sent, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { throw HarnessError("send: \(systemText(errno))") }
            sent += count
        }
    }

    /// Sends a request of this body and reads the next frame.
    public func ask(_ opcode: Opcode, id: UInt32, body: [UInt8] = []) throws -> WireFrame {
        try send(WirePeer.frame(opcode: opcode.rawValue, id: id, body: body))
        return try next()
    }

    /// Sends a request with this message and reads the next frame.
    public func ask<Message: WireMessage>(
        _ opcode: Opcode, id: UInt32, _ message: Message, source: [UInt8] = [], deadline: UInt32 = 60_000
    ) throws -> WireFrame {
        try send(WirePeer.frame(opcode, id: id, message, source: source, deadline: deadline))
        return try next()
    }

    /// The next frame.
    public func next() throws -> WireFrame {
        guard let frame = try nextOrEnd() else { throw HarnessError("the stream ended") }
        return frame
    }

    /// The next frame; nil where the stream ends, by an end or a reset, with no whole frame left.
    public func nextOrEnd() throws -> WireFrame? {
        guard let head = try read(Limits.headerLength) else { return nil }
        let header = try FrameHeader(head.span.bytes)
        guard let body = try read(header.bodyLength) else { return nil }
        return WireFrame(header: header, body: body)
    }

    /// Whether the stream ends here.
    public func isAtEnd() throws -> Bool { try read(1) == nil }

    private func read(_ count: Int) throws -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        var done = 0
        while done < count {
            let part = bytes.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress.map { $0 + done }, count - done, 0) }
            if part < 0, errno == EINTR { continue }
            if part == 0 || (part < 0 && errno == ECONNRESET) { return nil }
            guard part > 0 else { throw HarnessError("recv: \(systemText(errno))") }
            done += part
        }
        return bytes
    }
}
