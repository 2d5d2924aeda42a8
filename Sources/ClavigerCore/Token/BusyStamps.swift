import Synchronization

/// Since when threads that are no workers have been at work with the token's module, so that whoever can end the process notices one
/// that does not come back: the server keeps time of its workers only.
final class BusyStamps: Sendable {
    // Clock.monotonic() of the last beginning; nobody holds the lock while he works.
    private let stamps = Mutex<[Place: UInt64]>([:])

    /// Who is at work.
    enum Place: Sendable {
        /// The supervisor, in its round.
        case supervisor
        /// Whoever initialises the module and logs in, alone.
        case attach
        /// Whoever signs, under the signer's lock.
        case signature
    }

    /// Notes that work begins now.
    func begin(_ place: Place) { stamps.withLock { $0[place] = Clock.monotonic() } }

    /// Notes that a step of the work is over and the next begins.
    func step(_ place: Place) {
        stamps.withLock { stamps in
            if stamps[place] != nil { stamps[place] = Clock.monotonic() }
        }
    }

    /// Notes that the work is done.
    func end(_ place: Place) { stamps.withLock { $0[place] = nil } }

    /// How long the one that has been at work longest has been, in nanoseconds; 0 when nobody is.
    var longest: UInt64 {
        guard let oldest = stamps.withLock({ $0.values.min() }) else { return 0 }
        let now = Clock.monotonic()
        return now > oldest ? now - oldest : 0
    }
}
