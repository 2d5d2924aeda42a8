import ClavigerWire
import SecureMemory

/// A plaintext that the daemon returned: in locked memory, where it arrived, and wiped when this value goes.
///
/// It is read like `SecretBytes`. It is not one because mapping fresh locked memory costs some 50 microseconds, about as much as
/// the call that brought it; this shares the memory of the reply, which is used again.
public struct Plaintext: ~Copyable, Sendable {
    private let buffer: FrameBuffer
    private let range: ByteRange

    init(_ buffer: FrameBuffer, _ range: ByteRange) {
        self.buffer = buffer
        self.range = range
    }

    /// How many bytes it has.
    public var count: Int { range.count }

    /// The bytes, for as long as the value is borrowed.
    public var bytes: RawSpan {
        @_lifetime(borrow self)
        get {
            let span = RawSpan(_unsafeBytes: buffer.unsafeBytes(range))
            return _overrideLifetime(span, borrowing: self)
        }
    }

    /// Calls `body` with the bytes.
    public borrowing func withUnsafeBytes<R: ~Copyable, E: Error>(
        _ body: (UnsafeRawBufferPointer) throws(E) -> R
    ) throws(E) -> R {
        try body(buffer.unsafeBytes(range))
    }

    /// A copy in locked memory of its own.
    public borrowing func copy() throws(ClientError) -> SecretBytes {
        do throws(SecureMemoryError) {
            return try SecretBytes(copying: bytes)
        } catch {
            throw .secureMemory(error)
        }
    }
}
