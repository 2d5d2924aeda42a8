import Logging
import Synchronization

/// What the threads of a server share.
final class ServerCore: Sendable {
    /// Tokens of the poller that are no connections: their slots would need 2^32 connections.
    static let wakeToken = UInt64.max
    static let endToken = UInt64.max - 1

    let poller: Poller
    let pool: LockedPool
    let table = ConnectionTable()
    let callers: CallerTable
    let ready = ReadyQueue()
    let queue: RequestQueue
    let held: HeldAnswers
    let settings: ServerSettings
    let counters: ServerCounters
    let logger: Logger
    /// How many workers enter the token.
    let workers: Int

    /// Token workers that wait for something to do.
    let idle = Atomic(0)
    /// Those of them that look again soon, for what was passed over.
    let looking = Atomic(0)
    /// Goes up whenever a token worker takes something on.
    let turnover = Atomic<UInt64>(0)
    /// Whether the reserved worker reads in the others' stead.
    let isReservedReading = Atomic(false)
    /// Set when all threads are to end.
    let isEnding = Atomic(false)
    /// Readable when the watchdog is to look around.
    let watch: EventCounter

    private let wake: EventCounter
    private let wakesPending = Atomic(0)
    private let end: EventCounter
    private let rouse: EventCounter
    private let isReservedAsleep = Atomic(false)
    private let starved = Mutex(FIFO<Starved>())
    private let starvedCount = Atomic(0)
    /// When a connection last got the memory that it waited for, or began to wait with nobody before it.
    private let lastRelief = Atomic<UInt64>(0)

    init(
        pool: LockedPool, workers: Int, held: HeldAnswers, settings: ServerSettings, counters: ServerCounters, logger: Logger,
        callers: CallerTable
    ) throws(ServerError) {
        self.workers = workers
        self.callers = callers
        self.pool = pool
        self.held = held
        self.settings = settings
        self.counters = counters
        self.logger = logger
        queue = RequestQueue(counters: counters)
        poller = try Poller()
        wake = try EventCounter(semaphore: true)
        end = try EventCounter(semaphore: false)
        rouse = try EventCounter(semaphore: false)
        watch = try EventCounter(semaphore: false)
        guard poller.addLevel(wake.descriptor, token: ServerCore.wakeToken),
            poller.addLevel(end.descriptor, token: ServerCore.endToken)
        else { throw .system(call: "epoll_ctl", code: 0) }
    }

    // MARK: whose turn it is

    /// Whether a worker may take on a request of this caller: while others are at work one worker is left to them, so that they need not
    /// wait behind whoever floods the rest.
    func mayServe(_ account: CallerAccount) -> Bool { !hasItsShare(account, of: account.working) }

    /// Takes a turn for this caller if a worker may take on a request of it. The turn ends with that request's work.
    func takeTurn(_ account: CallerAccount) -> Bool { account.takeTurn { hasItsShare(account, of: $0) } }

    private func hasItsShare(_ account: CallerAccount, of working: Int) -> Bool {
        callers.isShared && working >= max(1, workers - 1) && callers.hasOther(than: account)
    }

    /// Whether something waits that a worker may take on.
    var hasWork: Bool { queue.holds(where: mayServe) || ready.holds(where: mayServe) }

    /// Whether anything waits, be it only what its caller's share keeps workers from.
    var hasPassedOver: Bool { !queue.isEmpty || !ready.isEmpty }

    /// A worker takes a request on.
    func begin(_ entry: InFlight) {
        entry.beginWork()
        guard callers.isShared else { return }
        callers.noteTurn(of: entry.connection.account, now: MonotonicClock.now())
        // What was passed over for want of a worker may have its turn now, or later.
        if idle.load(ordering: .sequentiallyConsistent) > 0, hasWork || hasPassedOver && nobodyLooks { wakeOne() }
    }

    /// Whether all workers that wait sleep until something comes.
    private var nobodyLooks: Bool { looking.load(ordering: .sequentiallyConsistent) == 0 }

    // MARK: waking workers

    /// Has a worker serve what this caller has ready; or look again soon, when that is more than its share for now.
    func wakeForReady(of account: CallerAccount) {
        if mayServe(account) || idle.load(ordering: .sequentiallyConsistent) > 0 && nobodyLooks { wakeOne() }
    }

    /// Gets one more worker to look at the queues, if one is idle and not on its way already.
    func wakeOne() {
        guard idle.load(ordering: .sequentiallyConsistent) > wakesPending.load(ordering: .sequentiallyConsistent) else {
            // With no worker idle the reserved one, if it waits for input now, has to look.
            if idle.load(ordering: .sequentiallyConsistent) == 0 { wakeReservedReader() }
            return
        }
        wakesPending.add(1, ordering: .sequentiallyConsistent)
        wake.signal()
    }

    /// To be called by who got the wake token.
    func takeWake() {
        if wake.take() { wakesPending.subtract(1, ordering: .sequentiallyConsistent) }
    }

    private func wakeReservedReader() {
        guard isReservedReading.load(ordering: .sequentiallyConsistent),
            wakesPending.compareExchange(expected: 0, desired: 1, ordering: .sequentiallyConsistent).exchanged
        else { return }
        wake.signal()
    }

    /// A token worker leaves idleness; the reserved worker is told when it was the last.
    func leaveIdle() {
        let left = idle.subtract(1, ordering: .sequentiallyConsistent).newValue
        if left == 0, isReservedAsleep.exchange(false, ordering: .sequentiallyConsistent) { rouse.signal() }
    }

    /// The reserved worker sleeps until no token worker is idle any more.
    func sleepReserved() {
        isReservedAsleep.store(true, ordering: .sequentiallyConsistent)
        let isNeeded = idle.load(ordering: .sequentiallyConsistent) == 0 || isEnding.load(ordering: .sequentiallyConsistent)
        if isNeeded, isReservedAsleep.exchange(false, ordering: .sequentiallyConsistent) { return }
        rouse.wait(timeout: -1)
        _ = rouse.take()
    }

    /// The reserved worker waits `milliseconds`, less when the server ends.
    func pauseReserved(_ milliseconds: Int32) { rouse.wait(timeout: milliseconds) }

    /// Ends all threads as soon as they are done with what they do.
    func endAll() {
        isEnding.store(true, ordering: .sequentiallyConsistent)
        end.signal()
        rouse.signal()
        watch.signal()
    }

    // MARK: connections that the pool had no room for

    private struct Starved {
        let token: UInt64
        let chunks: Int
    }

    /// Whether connections wait for the pool.
    var hasStarved: Bool { starvedCount.load(ordering: .relaxed) > 0 }

    /// Remembers a connection that needs `bytes` of the pool to go on.
    func starve(_ token: UInt64, bytes: Int) {
        let chunks = (bytes + ServerLimits.chunkSize - 1) / ServerLimits.chunkSize
        starved.withLock { waiting in
            if waiting.first == nil { lastRelief.store(MonotonicClock.now(), ordering: .relaxed) }
            waiting.push(Starved(token: token, chunks: chunks))
            starvedCount.store(waiting.count, ordering: .sequentiallyConsistent)
        }
    }

    /// Lets starved connections read again, in their order, as far as the pool has what they need. The first in the row keeps the others
    /// waiting: else large frames would never have their turn.
    func resumeStarved() {
        guard hasStarved else { return }
        let tokens = starved.withLock { waiting in
            var room = pool.roomForInput
            var tokens: [UInt64] = []
            while let next = waiting.first, next.chunks <= room {
                _ = waiting.pop()
                // Those that are gone by now need nothing.
                guard table.find(next.token) != nil else { continue }
                room -= next.chunks
                tokens.append(next.token)
            }
            starvedCount.store(waiting.count, ordering: .sequentiallyConsistent)
            return tokens
        }
        if !tokens.isEmpty { lastRelief.store(MonotonicClock.now(), ordering: .relaxed) }
        for token in tokens { table.find(token)?.resume() }
    }

    /// The last in the row of those that wait for memory and hold some, when the row has not moved since `moment`: what all of them hold
    /// together can be what the first one lacks, and then none would ever get on.
    func lastHolder(waitingSince moment: UInt64) -> Connection? {
        guard lastRelief.load(ordering: .relaxed) <= moment else { return nil }
        // Looked at outside the lock: a connection that begins to wait holds its own.
        let tokens = starved.withLock { $0.all.map(\.token) }
        return tokens.reversed().lazy.compactMap { self.table.find($0) }.first(where: \.holdsInput)
    }
}
