import ClavigerWire
import Synchronization

/// A worker's place as the watchdog sees it: what it is doing, and whether another has taken its place.
final class WorkerPost: Sendable {
    /// What the worker is doing.
    struct Work {
        var request: InFlight?
        /// Let in between the items of `request`.
        var guest: InFlight?
    }

    let role: WorkerRole
    let number: Int
    let work = Mutex(Work())
    /// The worker ends as soon as it comes back.
    let isReplaced = Atomic(false)

    init(role: WorkerRole, number: Int) {
        self.role = role
        self.number = number
    }

    /// What the kernel calls the thread.
    var threadName: String {
        switch role {
        case .token: "clv-worker-\(number)"
        case .reserved: "clv-reserved"
        }
    }

    /// The requests that the worker is in; the guest, if any, last.
    var requests: (InFlight?, InFlight?) { work.withLock { ($0.request, $0.guest) } }
}
