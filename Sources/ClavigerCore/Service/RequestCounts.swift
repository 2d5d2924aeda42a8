import ClavigerWire
import Synchronization

/// How many requests had which outcome since the start, for the metrics.
final class RequestCounts: Sendable {
    /// One line of the count.
    struct Outcome: Hashable {
        var opcode: Opcode
        /// nil: done.
        var refusal: RefusalCode?
    }

    private let counts = Mutex<[Outcome: UInt64]>([:])

    /// Counts one request.
    func count(_ opcode: Opcode, _ refusal: RefusalCode?) {
        counts.withLock { $0[Outcome(opcode: opcode, refusal: refusal), default: 0] += 1 }
    }

    /// All counts, in the order of operations and codes.
    var all: [(Outcome, UInt64)] {
        counts.withLock { $0 }.map { ($0.key, $0.value) }.sorted {
            ($0.0.opcode.rawValue, $0.0.refusal?.rawValue ?? 0) < ($1.0.opcode.rawValue, $1.0.refusal?.rawValue ?? 0)
        }
    }
}
