import Synchronization

/// Connections whose next frame is in memory already, by token; the kernel has nothing to report about them.
final class ReadyQueue: Sendable {
    private let tokens = Mutex(FIFO<UInt64>())
    private let count = Atomic(0)

    /// Sequentially consistent, so that a worker that goes idle and one that pushes cannot both miss the other.
    var isEmpty: Bool { count.load(ordering: .sequentiallyConsistent) == 0 }

    func push(_ token: UInt64) {
        tokens.withLock { tokens in
            tokens.push(token)
            count.store(tokens.count, ordering: .sequentiallyConsistent)
        }
    }

    func pop() -> UInt64? {
        guard !isEmpty else { return nil }
        return tokens.withLock { tokens in
            let token = tokens.pop()
            count.store(tokens.count, ordering: .sequentiallyConsistent)
            return token
        }
    }
}
