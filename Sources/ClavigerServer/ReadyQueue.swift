import Synchronization

/// Connections that have a frame to take, by token: in memory already, when the kernel has nothing to report about them, or in the socket
/// when callers take turns.
final class ReadyQueue: Sendable {
    /// A connection of a caller.
    struct Item: Sendable {
        let token: UInt64
        let caller: CallerAccount
        /// CLOCK_MONOTONIC in nanoseconds.
        let since: UInt64
    }

    private let items = Mutex(FairQueue<Item>())
    private let count = Atomic(0)

    /// Sequentially consistent, so that a worker that goes idle and one that pushes cannot both miss the other.
    var isEmpty: Bool { count.load(ordering: .sequentiallyConsistent) == 0 }

    func push(_ token: UInt64, of caller: CallerAccount) {
        let now = MonotonicClock.now()
        items.withLock { items in
            items.push(Item(token: token, caller: caller, since: now), of: caller)
            count.store(items.count, ordering: .sequentiallyConsistent)
        }
    }

    /// The longest waiting connection of the caller whose turn it is; those that `mayServe` is false for are passed over.
    func pop(where mayServe: @Sendable (CallerAccount) -> Bool) -> Item? {
        guard !isEmpty else { return nil }
        return items.withLock { items in
            let item = items.pop(where: mayServe)
            count.store(items.count, ordering: .sequentiallyConsistent)
            return item
        }
    }

    /// A connection that has waited since `moment`, whosever it is.
    func popWaiting(since moment: UInt64) -> Item? {
        guard !isEmpty else { return nil }
        return items.withLock { items in
            let item = items.popFirst { $0.since <= moment }
            count.store(items.count, ordering: .sequentiallyConsistent)
            return item
        }
    }

    /// Whether `pop` would give a connection.
    func holds(where mayServe: @Sendable (CallerAccount) -> Bool) -> Bool {
        !isEmpty && items.withLock { $0.holds(where: mayServe) }
    }
}
