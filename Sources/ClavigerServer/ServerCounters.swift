import ClavigerCore
import Synchronization

/// The server's figures. Made before the server, so that the service that the server calls can show them.
package final class ServerCounters: ServerFigures {
    let workerCount = Atomic(0)
    let connectionCount = Atomic(0)
    let requestCount = Atomic<UInt64>(0)
    let queuedCount = Atomic(0)
    /// Requests taken and not answered.
    let inFlightCount = Atomic(0)

    /// Workers past their request's deadline, replaced ones included.
    let stuckCount = Atomic(0)
    let replacedCount = Atomic<UInt64>(0)

    /// All zero.
    package init() {}

    package var workers: Int { workerCount.load(ordering: .relaxed) }
    package var connections: Int { connectionCount.load(ordering: .relaxed) }
    package var requests: UInt64 { requestCount.load(ordering: .relaxed) }
    package var queued: Int { queuedCount.load(ordering: .relaxed) }
    package var stuck: Int { stuckCount.load(ordering: .relaxed) }
    package var replaced: UInt64 { replacedCount.load(ordering: .relaxed) }
    /// How many requests are taken and not answered yet.
    package var inFlight: Int { inFlightCount.load(ordering: .relaxed) }
}
