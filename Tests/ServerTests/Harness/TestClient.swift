import CLinux
import ClavigerWire
import Glibc

@testable import ClavigerServer

/// What a peer of the server reads.
struct TestFrame: Equatable {
    let header: FrameHeader
    let body: [UInt8]

    /// The refusal that the frame is; nil for another kind.
    var refusal: RefusalCode? { header.kind == .refusal ? RefusalCode(rawValue: header.detail) : nil }
}

struct TestClientError: Error { let what: String }

/// A peer on a blocking socket, with a bound on every read that only a hang reaches.
final class TestClient: Sendable {
    let descriptor: Int32

    init(_ path: String) throws {
        descriptor = linux_unix_stream_socket()
        guard descriptor >= 0 else { throw TestClientError(what: "socket: \(errorText(errno))") }
        var patience = timeval(tv_sec: Patience.seconds, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        guard linux_unix_connect(descriptor, path) == 0 else { throw TestClientError(what: "connect: \(errorText(errno))") }
    }

    deinit { close(descriptor) }

    /// A request's frame.
    static func frame(_ opcode: Opcode = .ping, id: UInt32, deadline: UInt32 = 0, body: [UInt8] = []) -> [UInt8] {
        raw(kind: 0, opcode: opcode.rawValue, id: id, detail: deadline, body: body)
    }

    /// A frame of any header.
    static func raw(
        length: UInt32? = nil, version: UInt8 = 1, kind: UInt8, opcode: UInt16, id: UInt32, detail: UInt32 = 0,
        body: [UInt8] = []
    ) -> [UInt8] {
        var bytes: [UInt8] = []
        func word(_ value: UInt32) {
            for shift in [24, 16, 8, 0] { bytes.append(UInt8(truncatingIfNeeded: value >> UInt32(shift))) }
        }
        word(length ?? UInt32(12 + body.count))
        bytes += [version, kind, UInt8(opcode >> 8), UInt8(truncatingIfNeeded: opcode)]
        word(id)
        word(detail)
        return bytes + body
    }

    func send(_ bytes: some Collection<UInt8>) throws {
        var rest = Array(bytes)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard count > 0 else { throw TestClientError(what: "send: \(errorText(errno))") }
            rest = rest.dropFirst(count)
        }
    }

    /// Sends a request and reads the next frame.
    func ask(_ opcode: Opcode = .ping, id: UInt32, deadline: UInt32 = 0, body: [UInt8] = []) throws -> TestFrame {
        try send(TestClient.frame(opcode, id: id, deadline: deadline, body: body))
        return try next()
    }

    /// The next frame.
    func next() throws -> TestFrame {
        guard let head = try read(Limits.headerLength) else { throw TestClientError(what: "end of stream") }
        let header = try head.withUnsafeBytes { bytes in try FrameHeader(RawSpan(_unsafeBytes: bytes)) }
        guard let body = try read(header.bodyLength) else { throw TestClientError(what: "end of stream in a body") }
        return TestFrame(header: header, body: body)
    }

    /// Whether the stream ends here, by an end or a reset, with nothing more to read.
    func isAtEnd() throws -> Bool {
        var byte: UInt8 = 0
        let count = recv(descriptor, &byte, 1, 0)
        if count < 0, errno != ECONNRESET { throw TestClientError(what: "recv: \(errorText(errno))") }
        return count <= 0
    }

    /// Waits until the other side has read everything sent.
    func waitUntilRead() -> Bool {
        Patience.until {
            var unread: Int32 = 0
            // SIOCOUTQ, which the kernel knows for Unix sockets too: bytes sent and not read.
            return ioctl(descriptor, UInt(0x5411), &unread) == 0 && unread == 0
        }
    }

    func endSending() { shutdown(descriptor, Int32(SHUT_WR)) }

    private func read(_ count: Int) throws -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        var done = 0
        while done < count {
            let part = bytes.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress! + done, count - done, 0) }
            if part == 0 { return nil }
            guard part > 0 else { throw TestClientError(what: "recv: \(errorText(errno))") }
            done += part
        }
        return bytes
    }
}
