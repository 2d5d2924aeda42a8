/// Writes the fields of a body into memory that the caller owns, keeps alive and wipes.
///
/// A write that does not fit is left out and remembered: `isComplete` is false from then on, and nothing beyond the buffer is
/// ever touched. Tags must ascend within a body; that is the writer's duty, checked in debug builds.
public struct BodyWriter: ~Copyable {
    private let buffer: UnsafeMutableRawBufferPointer
    // The last tag of the body being written, for the check in debug builds; -1 when anything may follow.
    private var lastTag = -1
    /// How many bytes were written.
    public private(set) var count = 0
    /// Whether everything written fitted.
    public private(set) var isComplete = true

    /// A writer over `buffer`, which must outlive it.
    public init(_ buffer: UnsafeMutableRawBufferPointer) {
        self.buffer = buffer
    }

    /// How many bytes are left.
    public var remaining: Int { buffer.count - count }

    /// A field of raw bytes.
    public mutating func bytes(_ tag: UInt16, _ value: RawSpan) {
        guard header(tag, value.byteCount) else { return }
        raw(value)
    }

    /// A field of raw bytes.
    public mutating func bytes(_ tag: UInt16, _ value: [UInt8]) {
        bytes(tag, value.span.bytes)
    }

    /// A text field.
    public mutating func text(_ tag: UInt16, _ value: String) {
        bytes(tag, Array(value.utf8))
    }

    /// An id field.
    public mutating func id<Kind>(_ tag: UInt16, _ value: Identifier<Kind>) {
        guard header(tag, 16) else { return }
        integer(value.high)
        integer(value.low)
    }

    /// A one-byte field.
    public mutating func u8(_ tag: UInt16, _ value: UInt8) {
        guard header(tag, 1) else { return }
        integer(value)
    }

    /// A four-byte field.
    public mutating func u32(_ tag: UInt16, _ value: UInt32) {
        guard header(tag, 4) else { return }
        integer(value)
    }

    /// An eight-byte field.
    public mutating func u64(_ tag: UInt16, _ value: UInt64) {
        guard header(tag, 8) else { return }
        integer(value)
    }

    /// A list field of `count` items; `body` writes the fields of each.
    public mutating func list<E: Error>(
        _ tag: UInt16, count items: Int, _ body: (Int, inout BodyWriter) throws(E) -> Void
    ) throws(E) {
        let start = count
        guard header(tag, 0) else { return }
        integer(UInt32(items))
        for index in 0..<items {
            let item = count
            integer(UInt32(0))
            lastTag = -1
            try body(index, &self)
            guard isComplete else { return }
            buffer.storeBigEndian(UInt32(count - item - 4), at: item)
        }
        guard isComplete else { return }
        lastTag = Int(tag)
        buffer.storeBigEndian(UInt32(count - start - 6), at: start + 2)
    }

    /// Forgets everything written after the first `count` bytes, and wipes it.
    public mutating func rewind(to count: Int) {
        precondition(count <= self.count)
        UnsafeMutableRawBufferPointer(rebasing: buffer[count..<self.count]).initializeMemory(as: UInt8.self, repeating: 0)
        self.count = count
        isComplete = true
        lastTag = -1
    }

    private mutating func header(_ tag: UInt16, _ length: Int) -> Bool {
        guard isComplete, remaining >= 6, length <= remaining - 6 else {
            isComplete = false
            return false
        }
        assert(Int(tag) > lastTag, "field \(tag) is written after field \(lastTag)")
        lastTag = Int(tag)
        integer(tag)
        integer(UInt32(length))
        return true
    }

    private mutating func integer<Value: FixedWidthInteger>(_ value: Value) {
        guard isComplete, remaining >= Value.bitWidth / 8 else {
            isComplete = false
            return
        }
        buffer.storeBigEndian(value, at: count)
        count += Value.bitWidth / 8
    }

    private mutating func raw(_ value: RawSpan) {
        value.withUnsafeBytes { source in
            guard let address = source.baseAddress, let target = buffer.baseAddress else { return }
            (target + count).copyMemory(from: address, byteCount: source.count)
        }
        count += value.byteCount
    }
}
