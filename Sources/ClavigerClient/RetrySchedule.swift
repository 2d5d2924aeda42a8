import ClavigerWire
import Glibc

/// Decides whether and when a call is tried again: only what cannot do harm twice, so often, and within the call's deadline.
struct RetrySchedule {
    let limit: UInt64
    private let rule: RetryRule
    private let retries: Int
    private var used = 0

    /// The first wait that is not zero; each doubles the one before.
    private static let firstDelay: UInt64 = 10_000_000
    /// The longest wait: a daemon that is back is noticed within half a second.
    private static let maximumDelay: UInt64 = 500_000_000

    /// A schedule for one call that begins now.
    init(_ opcode: Opcode, _ options: ClientOptions) {
        limit = Monotonic.now + options.deadlineNanoseconds
        rule = opcode.entry.retry
        retries = options.retries
    }

    /// The milliseconds that are left, as the header carries them.
    var remainingMilliseconds: UInt32 {
        let now = Monotonic.now
        return now >= limit ? 1 : max(1, UInt32(clamping: (limit - now) / 1_000_000))
    }

    /// The nanoseconds to wait before the next attempt; nil when there is none.
    mutating func delay(after error: ClientError) -> UInt64? {
        guard used < retries, let wait = wait(after: error) else { return nil }
        used += 1
        let now = Monotonic.now
        return now < limit && wait < limit - now ? wait : nil
    }

    private func wait(after error: ClientError) -> UInt64? {
        switch rule {
        case .never: return nil
        case .always, .withOperationID: break
        }
        switch error {
        case .unreachable(_, let code): return RetrySchedule.mayPass(code) ? backOff(used + 1) : nil
        // The usual reason is a restart since the last call: the first retry costs no wait.
        case .connectionLost: return backOff(used)
        case .refused(let refusal): return wait(after: refusal)
        case .timedOut, .cancelled, .closed, .protocolViolation, .serverNotTrusted, .secureMemory, .resources: return nil
        }
    }

    private func wait(after refusal: ServerRefusal) -> UInt64? {
        guard refusal.isRetryable else { return nil }
        if let milliseconds = refusal.retryAfter { return UInt64(milliseconds) * 1_000_000 }
        switch refusal.code {
        // These wait for a person, or say that the time is over: repeating them by ourselves only delays the answer.
        case .sealed, .needsOperator, .deadline, nil: return nil
        case .some: return backOff(used + 1)
        }
    }

    /// Half to the whole of the doubled wait, by chance, so that many clients do not come back at the same moment.
    private func backOff(_ step: Int) -> UInt64? {
        guard step > 0 else { return 0 }
        let wait = min(RetrySchedule.maximumDelay, RetrySchedule.firstDelay << UInt64(min(step - 1, 10)))
        return UInt64.random(in: wait / 2...wait)
    }

    // A socket that is missing, that nobody listens on or whose queue is full may be so for a moment, as during a restart.
    private static func mayPass(_ code: Int32) -> Bool {
        [ENOENT, ECONNREFUSED, EAGAIN, ECONNRESET, EINTR].contains(code)
    }
}
