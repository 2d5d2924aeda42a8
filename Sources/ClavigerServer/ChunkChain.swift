import Glibc

/// A queue of bytes in chunks of the pool. Every byte is wiped when it is taken out, and every chunk goes back when it is empty or the
/// chain goes; there is one owner, so nothing is given back twice.
struct ChunkChain: ~Copyable, Sendable {
    private let pool: LockedPool
    /// The chunk of the first byte, the chunk that the next byte goes to, and the last chunk.
    private var head = LockedPool.none
    private var writer = LockedPool.none
    private var last = LockedPool.none
    private var chunks = 0
    private var start = 0
    private var end = 0
    private var chunksAfterWriter = 0
    /// How many bytes are in it.
    private(set) var count = 0

    init(_ pool: LockedPool) { self.pool = pool }

    deinit { if chunks > 0 { ChunkChain.release(pool, head, start, last, chunks, count) } }

    var isEmpty: Bool { count == 0 }
    /// Bytes that can be added before chunks are needed.
    var room: Int { chunks == 0 ? 0 : size - end + chunksAfterWriter * size }
    private var size: Int { ServerLimits.chunkSize }

    /// Makes room for `bytes` more bytes; false, and nothing changed, when the pool does not have it.
    mutating func reserve(_ bytes: Int, for purpose: LockedPool.Purpose) -> Bool {
        let missing = bytes - room
        guard missing > 0 else { return true }
        let needed = (missing + size - 1) / size
        guard let taken = pool.take(needed, for: purpose) else { return false }
        if chunks == 0 {
            head = taken.first
            writer = taken.first
            start = 0
            end = 0
            chunksAfterWriter = needed - 1
        } else {
            pool.link(last, to: taken.first)
            chunksAfterWriter += needed
        }
        last = taken.last
        chunks += needed
        return true
    }

    /// Adds bytes for which there is room.
    mutating func append(_ bytes: UnsafeRawBufferPointer) {
        precondition(bytes.count <= room)
        var done = 0
        while done < bytes.count {
            let target = writable()
            let part = min(target.count, bytes.count - done)
            target.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[done..<done + part]))
            commit(part)
            done += part
        }
    }

    /// The next contiguous room, to be filled and then reported by ``commit(_:)``. There must be room.
    mutating func writable() -> UnsafeMutableRawBufferPointer {
        precondition(room > 0)
        if end == size {
            writer = pool.next(writer)
            end = 0
            chunksAfterWriter -= 1
        }
        return UnsafeMutableRawBufferPointer(start: pool.address(writer) + end, count: size - end)
    }

    /// Counts in `bytes` bytes that were written to ``writable()``.
    mutating func commit(_ bytes: Int) {
        precondition(bytes <= size - end)
        end += bytes
        count += bytes
    }

    /// The first contiguous bytes; empty when there are none.
    func readable() -> UnsafeRawBufferPointer {
        guard count > 0 else { return UnsafeRawBufferPointer(start: nil, count: 0) }
        return UnsafeRawBufferPointer(start: pool.address(head) + start, count: min(count, size - start))
    }

    /// Copies the first `target.count` bytes, which must be there, and leaves them in.
    func peek(_ target: UnsafeMutableRawBufferPointer) {
        precondition(target.count <= count)
        var done = 0
        var chunk = head
        var offset = start
        while done < target.count {
            let part = min(size - offset, target.count - done)
            UnsafeMutableRawBufferPointer(rebasing: target[done..<done + part])
                .copyMemory(from: UnsafeRawBufferPointer(start: pool.address(chunk) + offset, count: part))
            done += part
            offset = 0
            chunk = pool.next(chunk)
        }
    }

    /// Wipes the first `bytes` bytes, which must be there, and gives back the chunks that they filled.
    mutating func drop(_ bytes: Int) {
        precondition(bytes <= count)
        var left = bytes
        while left > 0 {
            let part = min(size - start, left)
            explicit_bzero(pool.address(head) + start, part)
            start += part
            left -= part
            count -= part
            if start == size, count > 0 || chunksAfterWriter > 0 {
                let next = pool.next(head)
                pool.giveBack(first: head, last: head, count: 1)
                if writer == head {
                    writer = next
                    end = 0
                    chunksAfterWriter -= 1
                }
                head = next
                chunks -= 1
                start = 0
            }
        }
        if count == 0 { clear() }
    }

    /// Moves the first `target.count` bytes, which must be there, to `target`.
    mutating func move(_ target: UnsafeMutableRawBufferPointer) {
        peek(target)
        drop(target.count)
    }

    /// Wipes everything and gives all chunks back.
    mutating func clear() {
        if chunks > 0 { ChunkChain.release(pool, head, start, last, chunks, count) }
        head = LockedPool.none
        writer = LockedPool.none
        last = LockedPool.none
        (chunks, start, end, chunksAfterWriter, count) = (0, 0, 0, 0, 0)
    }

    private static func release(_ pool: LockedPool, _ head: UInt32, _ start: Int, _ last: UInt32, _ chunks: Int, _ count: Int) {
        var chunk = head
        var offset = start
        var left = count
        while left > 0 {
            let part = min(ServerLimits.chunkSize - offset, left)
            explicit_bzero(pool.address(chunk) + offset, part)
            left -= part
            offset = 0
            if left > 0 { chunk = pool.next(chunk) }
        }
        pool.giveBack(first: head, last: last, count: chunks)
    }
}
