import ClavigerCore
import Synchronization

/// What a reload changes in a running server, readable by every thread without a lock.
final class ServerSettings: Sendable {
    /// In nanoseconds.
    let defaultDeadline = Atomic<UInt64>(0)
    /// In nanoseconds.
    let maximumDeadline = Atomic<UInt64>(0)
    /// In nanoseconds.
    let idleFrameTimeout = Atomic<UInt64>(0)
    let maximumConnections = Atomic(0)
    let queue = Atomic(0)
    /// Requests a second that one caller may make; 0 for no limit.
    let requestRate = Atomic(0)
    /// Requests that one caller may make at once before the rate counts.
    let requestBurst = Atomic(0)
    private let inFlight = Atomic(0)
    private let connections = Atomic(0)
    let requiresPidfd = Atomic(false)

    init(_ configuration: Configuration) { apply(configuration) }

    func apply(_ configuration: Configuration) {
        defaultDeadline.store(configuration.requests.defaultDeadline.nanoseconds, ordering: .relaxed)
        maximumDeadline.store(configuration.requests.maximumDeadline.nanoseconds, ordering: .relaxed)
        idleFrameTimeout.store(configuration.requests.idleFrameTimeout.nanoseconds, ordering: .relaxed)
        maximumConnections.store(configuration.socket.maximumConnections, ordering: .relaxed)
        queue.store(configuration.workers.queue, ordering: .relaxed)
        let rate = configuration.quota.requestsPerSecond ?? 0
        requestRate.store(rate, ordering: .relaxed)
        requestBurst.store(configuration.quota.burst ?? rate, ordering: .relaxed)
        inFlight.store(configuration.quota.inFlight ?? 0, ordering: .relaxed)
        connections.store(configuration.quota.connections ?? 0, ordering: .relaxed)
        requiresPidfd.store(configuration.socket.requiresPidfd, ordering: .relaxed)
    }

    /// How many requests one caller may have in flight, while others are connected or alone.
    func inFlightLimit(isShared: Bool) -> Int {
        let configured = inFlight.load(ordering: .relaxed)
        if configured > 0 { return configured }
        return isShared ? max(1, queueShare(isShared: true)) : .max
    }

    /// How many requests of one caller may wait for a worker, while others are connected or alone.
    func queueShare(isShared: Bool) -> Int {
        let all = queue.load(ordering: .relaxed)
        return isShared ? max(1, all * 3 / 4) : all
    }

    /// How many connections one caller may have.
    var connectionShare: Int {
        let configured = connections.load(ordering: .relaxed)
        return configured > 0 ? configured : max(1, maximumConnections.load(ordering: .relaxed) / 2)
    }

    /// The moment until which a request read at `now` is worth answering; `milliseconds` is the header's word, 0 for the default.
    func deadline(_ milliseconds: UInt32, from now: UInt64) -> UInt64 {
        let asked = milliseconds == 0 ? defaultDeadline.load(ordering: .relaxed) : UInt64(milliseconds) * 1_000_000
        return now + min(asked, maximumDeadline.load(ordering: .relaxed))
    }
}

extension Duration {
    /// Whole nanoseconds; 0 for what is negative.
    var nanoseconds: UInt64 {
        let parts = components
        return parts.seconds < 0 ? 0 : UInt64(parts.seconds) * 1_000_000_000 + UInt64(max(0, parts.attoseconds) / 1_000_000_000)
    }
}
