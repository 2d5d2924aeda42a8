import Glibc
import SecureMemory
import Synchronization

/// The daemon-wide pool of locked memory in chunks of ``ServerLimits/chunkSize`` bytes: for frames that are not whole yet, requests
/// that wait and replies that are not read. Chunks are owned by ``ChunkChain`` values only.
package final class LockedPool: Sendable {
    /// Who wants chunks.
    enum Purpose {
        /// Input leaves ``ServerLimits/replyReserveChunks`` to replies.
        case input
        case output
    }

    /// No chunk.
    static let none = UInt32.max

    /// How many chunks there are.
    package let chunkCount: Int
    private let memory: SecretBytes
    // A chunk's bytes and its link are touched only by the chain that owns it; `free` hands ownership over under its lock.
    private nonisolated(unsafe) let base: UnsafeMutableRawPointer
    private nonisolated(unsafe) let links: UnsafeMutablePointer<UInt32>
    private let free: Mutex<FreeList>

    private struct FreeList {
        var head: UInt32
        var count: Int
    }

    init(chunkCount: Int) throws(ServerError) {
        var memory: SecretBytes
        do { memory = try SecretBytes(count: chunkCount * ServerLimits.chunkSize) } catch { throw ServerError(error) }
        // The mapping stays where it is for as long as `memory` lives, which is as long as this object.
        base = memory.withUnsafeMutableBytes { $0.baseAddress! }
        self.memory = memory
        self.chunkCount = chunkCount
        links = UnsafeMutablePointer<UInt32>.allocate(capacity: chunkCount)
        for index in 0..<chunkCount { links[index] = index + 1 < chunkCount ? UInt32(index + 1) : LockedPool.none }
        free = Mutex(FreeList(head: 0, count: chunkCount))
    }

    deinit { links.deallocate() }

    /// How many chunks nobody owns.
    package var available: Int { free.withLock { $0.count } }

    /// How many chunks input would get now.
    var roomForInput: Int { max(0, available - ServerLimits.replyReserveChunks) }

    /// Takes `count` linked chunks, all or none.
    func take(_ count: Int, for purpose: Purpose) -> (first: UInt32, last: UInt32)? {
        precondition(count > 0)
        let reserve =
            switch purpose {
            case .input: ServerLimits.replyReserveChunks
            case .output: 0
            }
        return free.withLock { list in
            guard list.count >= count + reserve else { return nil }
            let first = list.head
            var last = first
            for _ in 1..<count { last = links[Int(last)] }
            list.head = links[Int(last)]
            list.count -= count
            links[Int(last)] = LockedPool.none
            return (first, last)
        }
    }

    /// Takes back `count` linked chunks, wiped by their owner.
    func giveBack(first: UInt32, last: UInt32, count: Int) {
        free.withLock { list in
            links[Int(last)] = list.head
            list.head = first
            list.count += count
        }
    }

    func next(_ chunk: UInt32) -> UInt32 { links[Int(chunk)] }
    func link(_ chunk: UInt32, to next: UInt32) { links[Int(chunk)] = next }
    func address(_ chunk: UInt32) -> UnsafeMutableRawPointer { base + Int(chunk) * ServerLimits.chunkSize }

    /// Whether every byte of the pool is zero. For tests: nothing else may hold chunks meanwhile.
    package var isWiped: Bool {
        memory.withUnsafeBytes { $0.isZero }
    }
}

extension UnsafeRawBufferPointer {
    /// Whether every byte is zero.
    var isZero: Bool {
        guard let base = baseAddress, count > 0 else { return true }
        return self[0] == 0 && memcmp(base, base + 1, count - 1) == 0
    }
}
