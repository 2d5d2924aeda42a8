import ClavigerWire
import Glibc
import SecureMemory

/// A whole frame from the daemon.
struct ReplyFrame: Sendable {
    let header: FrameHeader
    /// The frame's bytes, header included.
    let buffer: FrameBuffer

    /// Where the body lies in `buffer`.
    var body: ByteRange { ByteRange(offset: Limits.headerLength, count: header.bodyLength) }
}

/// Why a stream cannot be followed any further.
enum StreamEnd: Error {
    /// The peer ended it.
    case closed
    /// The kernel did; errno.
    case failed(Int32)
    /// What came is not a frame.
    case violation(String)
    /// There is no memory for what came.
    case memory(ClientError)
}

/// Divides a stream of bytes into frames, in locked memory.
///
/// Small frames arrive through a stash, several with one system call; what does not fit the stash goes straight to its place.
struct FrameReader: ~Copyable {
    /// Holds the largest reply to a request of one item.
    private static let stashSize = 16 << 10

    private let stash: FrameBuffer
    private var start = 0
    private var end = 0
    private var partial: ReplyFrame?

    init() throws(ClientError) {
        stash = try FrameBuffer(capacity: FrameReader.stashSize)
    }

    /// Receives what is there, once. Does nothing when nothing is.
    mutating func fill(from socket: UnixSocket) throws(StreamEnd) {
        let transfer: UnixSocket.Transfer
        if let partial {
            let buffer = partial.buffer
            transfer = buffer.withMutableBytes { bytes in
                socket.receive(UnsafeMutableRawBufferPointer(rebasing: bytes[buffer.count..<partial.header.frameLength]))
            }
            if case .moved(let count) = transfer { buffer.count += count }
        } else {
            compact()
            transfer = stash.withMutableBytes { [end] bytes in
                socket.receive(UnsafeMutableRawBufferPointer(rebasing: bytes[end...]))
            }
            if case .moved(let count) = transfer { end += count }
        }
        switch transfer {
        case .moved(0): throw .closed
        case .moved, .wouldBlock: break
        case .failed(let code): throw .failed(code)
        }
    }

    /// The next frame that has arrived whole; nil when more bytes are needed.
    mutating func next() throws(StreamEnd) -> ReplyFrame? {
        if let frame = partial {
            guard frame.buffer.count == frame.header.frameLength else { return nil }
            partial = nil
            return frame
        }
        guard end - start >= Limits.headerLength else { return nil }
        let header = try parseHeader()
        let frame: ReplyFrame
        do throws(ClientError) {
            frame = ReplyFrame(header: header, buffer: try FrameBuffer(capacity: header.frameLength))
        } catch {
            throw .memory(error)
        }
        move(min(end - start, header.frameLength), to: frame.buffer)
        guard frame.buffer.count == header.frameLength else {
            partial = frame
            return nil
        }
        return frame
    }

    private func parseHeader() throws(StreamEnd) -> FrameHeader {
        do throws(Refusal) {
            return try stash.withMutableBytes { [start] (bytes) throws(Refusal) -> FrameHeader in
                let header = UnsafeRawBufferPointer(rebasing: bytes[start..<start + Limits.headerLength])
                return try FrameHeader(RawSpan(_unsafeBytes: header))
            }
        } catch {
            throw .violation("a frame header is broken (\(error.code.name))")
        }
    }

    // The bytes leave the stash: the copy left behind is wiped at once.
    private mutating func move(_ count: Int, to buffer: FrameBuffer) {
        stash.withMutableBytes { [start] bytes in
            let part = UnsafeMutableRawBufferPointer(rebasing: bytes[start..<start + count])
            _ = buffer.append(RawSpan(_unsafeBytes: UnsafeRawBufferPointer(part)))
            wipe(part)
        }
        start += count
    }

    private mutating func compact() {
        guard start > 0 else { return }
        let left = end - start
        if left > 0 {
            stash.withMutableBytes { [start, end] bytes in
                guard let base = bytes.baseAddress else { return }
                memmove(base, base + start, left)
                wipe(UnsafeMutableRawBufferPointer(start: base + left, count: end - left))
            }
        }
        start = 0
        end = left
    }
}
