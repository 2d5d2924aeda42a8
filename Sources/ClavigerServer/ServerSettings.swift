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

    init(_ configuration: Configuration) { apply(configuration) }

    func apply(_ configuration: Configuration) {
        defaultDeadline.store(configuration.requests.defaultDeadline.nanoseconds, ordering: .relaxed)
        maximumDeadline.store(configuration.requests.maximumDeadline.nanoseconds, ordering: .relaxed)
        idleFrameTimeout.store(configuration.requests.idleFrameTimeout.nanoseconds, ordering: .relaxed)
        maximumConnections.store(configuration.socket.maximumConnections, ordering: .relaxed)
        queue.store(configuration.workers.queue, ordering: .relaxed)
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
