import ClavigerCore
import ClavigerWire
import Logging
import Synchronization

/// The thread that keeps time: it refuses what is not answered by its deadline, puts others in the place of stuck workers, and gives up
/// peers that keep frames incomplete or replies unread.
final class Watchdog: Sendable {
    private let core: ServerCore
    private let crew: Crew
    private let handler: any RequestHandler
    private let stuckBound: UInt64
    private let fatal: @Sendable (String) -> Void
    private let nextIdleScan = Atomic<UInt64>(0)

    /// - Parameters:
    ///   - stuckBound: nanoseconds after its deadline when a request counts as stuck.
    ///   - fatal: called on the watchdog's thread, once, when too many workers are stuck to go on; the
    ///     process is to end.
    init(
        core: ServerCore, crew: Crew, handler: any RequestHandler, stuckBound: UInt64, fatal: @escaping @Sendable (String) -> Void
    ) {
        self.core = core
        self.crew = crew
        self.handler = handler
        self.stuckBound = stuckBound
        self.fatal = fatal
    }

    /// Works until the server ends.
    func run() {
        var isGivenUp = false
        while !core.isEnding.load(ordering: .relaxed) {
            let now = MonotonicClock.now()
            var next = now + ServerLimits.watchdogTick * 1_000_000
            refuseQueued(now)
            for answer in core.held.answers {
                let deadline = answer.entry.deadline
                guard deadline <= now else {
                    next = min(next, deadline)
                    continue
                }
                abandon(answer.entry)
                // Also one that was refused before its worker left it here.
                answer.discard()
            }
            var overdue = crew.absentCount
            for post in crew.posts {
                for entry in [post.requests.0, post.requests.1] {
                    guard let entry else { continue }
                    if entry.deadline > now { next = min(next, entry.deadline) } else { abandon(entry) }
                }
                if isStuck(post, now, for: ServerLimits.overdueBound) { overdue += 1 }
                if !isGivenUp, isStuck(post, now, for: stuckBound) { isGivenUp = !replace(post) }
            }
            core.counters.stuckCount.store(overdue, ordering: .relaxed)
            closeIdle(now)
            relieve(now)
            sleep(until: next, from: now)
        }
    }

    private func refuseQueued(_ now: UInt64) {
        while let expired = core.queue.popExpired(now) { refuse(expired.entry) }
    }

    private func refuse(_ entry: InFlight) {
        if entry.claim() { entry.connection.finish(entry, Refusal(.deadline)) }
    }

    // Refuses what a worker has begun.
    private func abandon(_ entry: InFlight) {
        guard entry.claim() else { return }
        handler.abandoned(entry.request)
        entry.connection.finish(entry, Refusal(.deadline))
    }

    // The reserved worker does nothing that can hang; only the token's library can.
    private func isStuck(_ post: WorkerPost, _ now: UInt64, for bound: UInt64) -> Bool {
        guard case .token = post.role, let entry = post.requests.1 ?? post.requests.0 else { return false }
        return now >= entry.deadline + bound
    }

    // False when the daemon cannot go on.
    private func replace(_ post: WorkerPost) -> Bool {
        let work = (post.requests.1 ?? post.requests.0)?.opcode.entry.name ?? "none"
        do throws(ServerError) {
            // Before another looks for work: the caller's turn is over.
            post.requests.0?.endWork()
            post.requests.1?.endWork()
            if try crew.replace(post) {
                core.counters.replacedCount.add(1, ordering: .relaxed)
                core.logger.warning(
                    "a worker is stuck in the token; another takes its place",
                    metadata: ["worker": "\(post.number)", "operation": "\(work)"])
                return true
            }
            fatal("workers are stuck in the token and no spare one is left")
        } catch {
            fatal("a worker is stuck in the token and cannot be replaced: \(error)")
        }
        return false
    }

    private func closeIdle(_ now: UInt64) {
        guard now >= nextIdleScan.load(ordering: .relaxed) else { return }
        let timeout = core.settings.idleFrameTimeout.load(ordering: .relaxed)
        // An eighth of the timeout is how late the closing may be.
        nextIdleScan.store(now + max(timeout / 8, ServerLimits.watchdogTick * 1_000_000), ordering: .relaxed)
        guard now > timeout else { return }
        for connection in core.table.all { connection.dropIfIdle(since: now - timeout) }
    }

    private func relieve(_ now: UInt64) {
        guard core.hasStarved else { return }
        let connections = core.table.all
        for connection in connections { connection.dropIfStalled(since: now - ServerLimits.stallBound) }
        core.resumeStarved()
        // Nobody is left who could give memory back by going on: the last that came has to.
        guard core.hasStarved, !connections.contains(where: \.isReceiving) else { return }
        core.lastHolder(waitingSince: now - ServerLimits.stallBound)?.drop("too many frames wait for memory")
        core.resumeStarved()
    }

    // With no connection there is nothing to keep time of, except for who is stuck: the first one signals.
    private func sleep(until next: UInt64, from now: UInt64) {
        let isQuiet = core.counters.connections == 0 && core.counters.stuck == 0
        let milliseconds = isQuiet ? -1 : Int32((next - now) / 1_000_000 + 1)
        core.watch.wait(timeout: milliseconds)
        _ = core.watch.take()
    }
}
