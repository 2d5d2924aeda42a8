import ClavigerWire
import Synchronization

/// Requests that were refused because of the daemon's own state, before any key was looked at: counted, and recorded together, since
/// in an outage there are thousands a second, and all say the same.
final class TurnedAway: Sendable {
    /// How often counts are written, in nanoseconds.
    static let interval: UInt64 = 10_000_000_000

    private struct Count {
        var count: UInt64 = 0
        var earliest: UInt64
    }
    private let counts = Mutex<[RefusalCode: Count]>([:])

    /// Whether such a refusal is of the kind that is merged.
    static func merges(_ code: RefusalCode) -> Bool {
        switch code {
        case .tokenUnavailable, .needsOperator, .sealed: true
        case _: false
        }
    }

    /// Counts one request.
    ///
    /// - Returns: whether it is to be recorded by itself: the first of an outage is.
    func note(_ code: RefusalCode, now: UInt64) -> Bool {
        let (isFirst, due) = counts.withLock { counts -> (Bool, UInt64?) in
            guard var entry = counts[code] else {
                counts[code] = Count(earliest: now + TurnedAway.interval)
                return (true, nil)
            }
            entry.count += 1
            guard now >= entry.earliest else {
                counts[code] = entry
                return (false, nil)
            }
            counts[code] = Count(earliest: now + TurnedAway.interval)
            return (false, entry.count)
        }
        if let due { TurnedAway.write(code, due) }
        return isFirst
    }

    /// Writes what is counted; called when the outage is over.
    func flush() {
        let left = counts.withLock { counts in
            defer { counts = [:] }
            return counts
        }
        for (code, entry) in left where entry.count > 0 { TurnedAway.write(code, entry.count) }
    }

    private static func write(_ code: RefusalCode, _ count: UInt64) {
        LogLine.write(.info, "event=turned-away outcome=refused code=\(code.name) count=\(count)")
    }
}
