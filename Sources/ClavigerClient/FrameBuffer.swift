import ClavigerWire
import SecureMemory

/// Locked memory for one frame, wiped and given back to the pool when the last reference goes.
///
/// Every frame may hold plaintext or a PIN, so all live here. Mapping locked memory costs tens of microseconds; the pool makes
/// that the price of the first calls only.
final class FrameBuffer: @unchecked Sendable {
    // Sendable: one holder at a time writes (first the caller that encodes, then the connection under its lock); afterwards the
    // bytes are only read.
    private let block: MemoryBlock
    /// How many bytes at the beginning are in use.
    var count = 0

    /// A buffer of at least `capacity` bytes.
    init(capacity: Int) throws(ClientError) {
        do throws(SecureMemoryError) {
            block = try FramePool.shared.take(capacity)
        } catch {
            throw .secureMemory(error)
        }
    }

    deinit { FramePool.shared.give(block) }

    var capacity: Int { block.memory.count }

    /// Calls `body` with the bytes in use.
    func withSpan<R: ~Copyable, E: Error>(_ body: (RawSpan) throws(E) -> R) throws(E) -> R {
        try block.memory.withUnsafeBytes { (bytes) throws(E) -> R in
            try body(RawSpan(_unsafeBytes: UnsafeRawBufferPointer(rebasing: bytes[..<count])))
        }
    }

    /// The bytes of `range`, to be used no longer than the buffer is referenced.
    func unsafeBytes(_ range: ByteRange) -> UnsafeRawBufferPointer {
        block.memory.withUnsafeBytes { UnsafeRawBufferPointer(rebasing: $0[range.offset..<range.offset + range.count]) }
    }

    /// Calls `body` with all bytes, to be written.
    func withMutableBytes<R, E: Error>(_ body: (UnsafeMutableRawBufferPointer) throws(E) -> R) throws(E) -> R {
        try block.memory.withUnsafeMutableBytes(body)
    }

    /// Adds `bytes`, which must fit, behind those in use; returns where they lie.
    func append(_ bytes: RawSpan) -> ByteRange {
        precondition(bytes.byteCount <= capacity - count)
        let range = ByteRange(offset: count, count: bytes.byteCount)
        withMutableBytes { target in
            bytes.withUnsafeBytes { source in
                UnsafeMutableRawBufferPointer(rebasing: target[range.offset...]).copyMemory(from: source)
            }
        }
        count += bytes.byteCount
        return range
    }
}

/// One mapping of locked memory, with a name by reference so that the pool can keep it in an array.
final class MemoryBlock: @unchecked Sendable {
    // Sendable: owned by one buffer or by the pool, never by both.
    var memory: SecretBytes

    init(_ count: Int) throws(SecureMemoryError) {
        memory = try SecretBytes(count: count)
    }
}

/// Blocks of locked memory between uses, shared by all clients of the process.
final class FramePool: Sendable {
    static let shared = FramePool()

    /// The sizes that are kept, and how many of each: 640 KiB in all, a small part of the 8 MiB that a process may usually lock.
    /// One item's frame fits the first with a DEK of usual size, and the second with the largest plaintext and context.
    private static let classes: [(size: Int, kept: Int)] = [(4 << 10, 64), (16 << 10, 16), (64 << 10, 2)]

    private let blocks = Locked<[[MemoryBlock]]>(Array(repeating: [], count: FramePool.classes.count))

    func take(_ capacity: Int) throws(SecureMemoryError) -> MemoryBlock {
        guard let index = FramePool.classes.firstIndex(where: { capacity <= $0.size }) else { return try MemoryBlock(capacity) }
        if let block = blocks.withLock({ $0[index].popLast() }) { return block }
        return try MemoryBlock(FramePool.classes[index].size)
    }

    func give(_ block: MemoryBlock) {
        block.memory.wipe()
        let size = block.memory.count
        guard let index = FramePool.classes.firstIndex(where: { size == $0.size }) else { return }
        blocks.withLock { blocks in
            if blocks[index].count < FramePool.classes[index].kept { blocks[index].append(block) }
        }
    }
}
