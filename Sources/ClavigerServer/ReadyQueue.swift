import Synchronization

/// Connections that have a frame to take, by token: in memory already, when the kernel has nothing to report about them, or in the socket
/// when callers take turns.
final class ReadyQueue: Sendable {
    private let tokens = Mutex(FairQueue<UInt64>())
    private let count = Atomic(0)

    /// Sequentially consistent, so that a worker that goes idle and one that pushes cannot both miss the other.
    var isEmpty: Bool { count.load(ordering: .sequentiallyConsistent) == 0 }

    func push(_ token: UInt64, of caller: CallerAccount) {
        tokens.withLock { tokens in
            tokens.push(token, of: caller)
            count.store(tokens.count, ordering: .sequentiallyConsistent)
        }
    }

    func pop(where mayServe: @Sendable (CallerAccount) -> Bool) -> UInt64? {
        guard !isEmpty else { return nil }
        return tokens.withLock { tokens in
            let token = tokens.pop(where: mayServe)
            count.store(tokens.count, ordering: .sequentiallyConsistent)
            return token
        }
    }

    /// Whether `pop` would give a connection.
    func holds(where mayServe: @Sendable (CallerAccount) -> Bool) -> Bool {
        !isEmpty && tokens.withLock { $0.holds(where: mayServe) }
    }
}
