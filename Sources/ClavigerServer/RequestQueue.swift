import ClavigerWire
import Synchronization

/// A request that waits for a worker, its frame in chunks of the pool.
final class QueuedRequest: Sendable {
    let entry: InFlight
    /// Whether it may be let in between the items of another (see ``RequestShape``).
    let isGuest: Bool
    private let frame: Mutex<ChunkChain>

    init(entry: InFlight, isGuest: Bool, frame: consuming ChunkChain) {
        self.entry = entry
        self.isGuest = isGuest
        self.frame = Mutex(frame)
    }

    /// Moves the frame to the beginning of `target`, which must be large enough; returns its length.
    func moveFrame(to target: UnsafeMutableRawBufferPointer) -> Int {
        frame.withLock { chain in
            let count = chain.count
            chain.move(UnsafeMutableRawBufferPointer(rebasing: target[..<count]))
            return count
        }
    }
}

/// The bounded queue of requests that the reserved worker read while all others were busy. Callers take turns in it.
final class RequestQueue: Sendable {
    private let items = Mutex(FairQueue<QueuedRequest>())
    private let counters: ServerCounters

    init(counters: ServerCounters) { self.counters = counters }

    /// False when `limit` requests wait already, or `share` of this caller.
    func push(_ request: QueuedRequest, limit: Int, share: Int) -> Bool {
        items.withLock { items in
            let account = request.entry.connection.account
            guard items.count < limit, items.count(of: account) < share else { return false }
            items.push(request, of: account)
            counters.queuedCount.store(items.count, ordering: .sequentiallyConsistent)
            return true
        }
    }

    /// The longest waiting request of the caller whose turn it is; those that `mayServe` is false for are passed over.
    func pop(where mayServe: @Sendable (CallerAccount) -> Bool) -> QueuedRequest? {
        isEmpty ? nil : take { $0.pop(where: mayServe) }
    }

    /// Whether `pop` would give a request.
    func holds(where mayServe: @Sendable (CallerAccount) -> Bool) -> Bool {
        !isEmpty && items.withLock { $0.holds(where: mayServe) }
    }

    /// The longest waiting request that may be let in between the items of another.
    func popGuest() -> QueuedRequest? {
        guard counters.queued > 0 else { return nil }
        return take { $0.remove { $0.isGuest } }
    }

    /// A request whose deadline has passed by `now`.
    func popExpired(_ now: UInt64) -> QueuedRequest? { take { $0.remove { $0.entry.deadline <= now } } }

    /// Sequentially consistent, so that a worker that goes idle and one that pushes cannot both miss the other.
    var isEmpty: Bool { counters.queuedCount.load(ordering: .sequentiallyConsistent) == 0 }

    private func take(_ body: (inout FairQueue<QueuedRequest>) -> QueuedRequest?) -> QueuedRequest? {
        items.withLock { items in
            let item = body(&items)
            counters.queuedCount.store(items.count, ordering: .sequentiallyConsistent)
            return item
        }
    }
}
