import ClavigerWire
import Synchronization

/// How often a key version may encrypt: random 96-bit IVs under one AES-GCM key are safe for 2^32 encryptions (SP 800-38D,
/// section 8.3).
package enum WrapBudget {
    /// No version encrypts more often than this.
    package static let limit: UInt64 = 1 << 32
    /// From here on the key is rotated in the background: half of the limit leaves years to a busy service.
    package static let rotateAt: UInt64 = 1 << 31
    /// Encryptions are reserved in the database in blocks of this many, so that a crash can only raise the count and the
    /// database is written once in 65,536 wraps.
    package static let block: UInt64 = 1 << 16
}

/// Counts the encryptions of one key version. Shared by all snapshots that hold the version.
package final class WrapCounter: Sendable {
    private struct Count {
        var used: UInt64
        var reserved: UInt64
    }
    private let count: Mutex<Count>

    /// A counter that begins where the last process may have ended: at what it had reserved.
    package init(reserved: UInt64) {
        count = Mutex(Count(used: reserved, reserved: reserved))
    }

    /// A counter of a version made by this process, which has used `used` of what is reserved.
    package init(used: UInt64, reserved: UInt64) {
        count = Mutex(Count(used: used, reserved: reserved))
    }

    /// What is reserved: a bound on the encryptions made.
    package var reserved: UInt64 { count.withLock { $0.reserved } }

    /// Takes one encryption out of the budget, before it is made.
    ///
    /// - Parameter reserve: makes a new, higher reservation durable; called under the counter's lock.
    /// - Returns: whether this call brought the count to where the key is to be rotated.
    /// - Throws: `wrapLimit`, or what `reserve` throws; then nothing was taken.
    package func take(reserve: (UInt64) throws(Refusal) -> Void) throws(Refusal) -> Bool {
        let outcome: Result<Bool, Refusal> = count.withLock { count in
            guard count.used < WrapBudget.limit else { return .failure(Refusal(.wrapLimit)) }
            var isDue = false
            if count.used >= count.reserved {
                let reserved = min(count.used + WrapBudget.block, WrapBudget.limit)
                do throws(Refusal) { try reserve(reserved) } catch { return .failure(error) }
                // Told once a block, so that a rotation that failed is tried again.
                isDue = reserved > WrapBudget.rotateAt
                count.reserved = reserved
            }
            count.used += 1
            return .success(isDue)
        }
        return try outcome.get()
    }
}
