import ClavigerCore
import Glibc
import SecureMemory

/// How much locked memory the server takes, decided before anything is mapped.
package struct MemoryPlan: Sendable, Equatable {
    /// Workers that enter the token, at least 1.
    package let workers: Int
    /// Chunks of the pool.
    package let poolChunks: Int

    /// Bytes of locked memory in all: the arenas of all workers, of the reserved one and of the spares, and the pool.
    package var total: Int { MemoryPlan.arenas(workers) + poolChunks * ServerLimits.chunkSize }

    /// The plan for a machine.
    ///
    /// - Parameters:
    ///   - workers: how many the operator wants; nil for as many as `automatic` and memory allow.
    ///   - automatic: how many there are at most when the operator does not say: cores, sessions of the token.
    ///   - allowed: bytes that may be locked; nil for no limit.
    /// - Throws: `lockedMemory` when `workers`, or one worker, do not fit.
    package static func make(workers: Int?, automatic: Int, allowed: Int?) throws(ServerError) -> MemoryPlan {
        var count = max(1, workers ?? automatic)
        guard let allowed else { return MemoryPlan(workers: count, poolChunks: pool(count, ServerLimits.preferredPoolChunks)) }
        if workers == nil {
            while count > 1, least(count) > allowed { count -= 1 }
        }
        guard least(count) <= allowed else { throw .lockedMemory(needed: least(count), allowed: allowed) }
        let room = (allowed - ServerLimits.memoryForOthers - arenas(count)) / ServerLimits.chunkSize
        return MemoryPlan(workers: count, poolChunks: min(room, pool(count, ServerLimits.preferredPoolChunks)))
    }

    /// Bytes that this process may lock (RLIMIT_MEMLOCK); nil when there is no limit, as for who has CAP_IPC_LOCK.
    package static func allowance() -> Int? {
        if hasLockCapability(ProcessFile.text("/proc/self/status") ?? "") { return nil }
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(__RLIMIT_MEMLOCK.rawValue), &limit) == 0 else { return 0 }
        return limit.rlim_cur > UInt64(Int.max) ? nil : Int(limit.rlim_cur)
    }

    /// Whether the text of a /proc/PID/status has CAP_IPC_LOCK (capability 14) among the effective ones.
    static func hasLockCapability(_ status: String) -> Bool {
        guard let field = ProcessFile.field("CapEff", of: status) else { return false }
        let digits = field.drop { $0 == "\t" || $0 == " " }
        return UInt64(digits, radix: 16).map { $0 >> 14 & 1 == 1 } ?? false
    }

    // One chunk a thread is always lent out, so that what was read beyond a frame has a place.
    private static func pool(_ workers: Int, _ chunks: Int) -> Int { chunks + workers + ServerLimits.spareWorkers + 1 }

    private static func arenas(_ workers: Int) -> Int {
        (Arena.size(.token) + Service.lockedBytesPerWorker) * (workers + ServerLimits.spareWorkers) + Arena.size(.reserved)
    }

    private static func least(_ workers: Int) -> Int {
        arenas(workers) + pool(workers, ServerLimits.minimumPoolChunks) * ServerLimits.chunkSize + ServerLimits.memoryForOthers
    }
}
