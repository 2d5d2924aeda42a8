import ClavigerCore
import ClavigerWire
import Synchronization

/// What one caller takes of the server: its connections, its requests in flight, and how fast it asks.
///
/// A caller is a user, apart by systemd service: who opens many connections is still one, and so is who logs in many times.
final class CallerAccount: Sendable {
    /// Whose account it is.
    enum Key: Hashable {
        case user(UInt32, unit: String?)
        /// All of other namespaces together: there one person has as many user numbers as he likes.
        case foreign

        init(_ caller: Caller) {
            let unit = caller.unit.flatMap { CallerAccount.isOfUsers($0) ? nil : $0 }
            self = caller.isForeign ? .foreign : .user(caller.uid, unit: unit)
        }
    }

    /// Whether a unit is a user's to open as many of as he likes: each session is a scope, and his own service manager a service.
    private static func isOfUsers(_ unit: String) -> Bool {
        unit.hasSuffix(".scope") || (unit.hasPrefix("user@") && unit.hasSuffix(".service"))
    }

    private struct Bucket {
        /// Requests that may still be made at once, in billionths, so that no fraction is lost.
        var tokens: UInt64
        var filled: UInt64
    }

    let key: Key
    /// User 0 and the daemon's own user are not kept out by others' connections.
    let isPrivileged: Bool
    /// Under the table's lock.
    let connections = Atomic(0)
    private let turns = Atomic(0)
    private let inFlight = Atomic(0)
    private let bucket = Mutex<Bucket?>(nil)

    init(_ key: Key, isPrivileged: Bool) {
        self.key = key
        self.isPrivileged = isPrivileged
    }

    /// Takes one request on the account.
    ///
    /// - Returns: the refusal when the caller has had its share for now; then nothing was taken.
    func enter(_ settings: ServerSettings, isShared: Bool, now: UInt64) -> Refusal? {
        let limit = settings.inFlightLimit(isShared: isShared)
        if inFlight.add(1, ordering: .relaxed).newValue > limit {
            inFlight.subtract(1, ordering: .relaxed)
            return Refusal(
                .busy, "you have \(limit) requests in flight, which is your share; wait for their answers",
                retryAfter: ServerLimits.busyRetry)
        }
        if let wait = take(settings, now) {
            inFlight.subtract(1, ordering: .relaxed)
            return Refusal(.busy, "you ask faster than you may; wait a little", retryAfter: wait)
        }
        return nil
    }

    /// Ends what ``enter(_:isShared:now:)`` began.
    func leave() { inFlight.subtract(1, ordering: .relaxed) }

    /// Whether anything that it asked for is not answered yet.
    var isWaiting: Bool { inFlight.load(ordering: .relaxed) > 0 }

    /// How many workers do something for the caller now.
    var working: Int { turns.load(ordering: .relaxed) }

    /// Counts one more worker for the caller, unless `isTooMany` is true for as many as there are. Asked and counted at once, so that
    /// workers that look at the same time do not all take the caller's last turn.
    @discardableResult
    func takeTurn(unless isTooMany: (_ working: Int) -> Bool = { _ in false }) -> Bool {
        var current = working
        while true {
            if isTooMany(current) { return false }
            let (exchanged, original) = turns.compareExchange(expected: current, desired: current + 1, ordering: .relaxed)
            if exchanged { return true }
            current = original
        }
    }

    /// Ends what ``takeTurn(unless:)`` began.
    func endTurn() { turns.subtract(1, ordering: .relaxed) }

    private static let unit: UInt64 = 1_000_000_000

    /// Takes one token; the milliseconds until there is one, when there is none.
    private func take(_ settings: ServerSettings, _ now: UInt64) -> UInt32? {
        let rate = UInt64(settings.requestRate.load(ordering: .relaxed))
        guard rate > 0 else { return nil }
        let burst = UInt64(max(1, settings.requestBurst.load(ordering: .relaxed))) * CallerAccount.unit
        return bucket.withLock { state in
            var bucket = state ?? Bucket(tokens: burst, filled: now)
            // A nanosecond brings `rate` billionths. An hour's worth fills any bucket, and bounds the product.
            let passed = min(now - min(now, bucket.filled), 3_600 * CallerAccount.unit)
            bucket.tokens = min(burst, bucket.tokens + passed * rate)
            bucket.filled = max(now, bucket.filled)
            defer { state = bucket }
            guard bucket.tokens < CallerAccount.unit else {
                bucket.tokens -= CallerAccount.unit
                return nil
            }
            return UInt32(clamping: (CallerAccount.unit - bucket.tokens) / rate / 1_000_000 + 1)
        }
    }
}

/// The accounts of all callers.
final class CallerTable: Sendable {
    private struct State {
        var accounts: [CallerAccount.Key: CallerAccount] = [:]
        var total = 0
    }

    /// Accounts without a connection that are kept, so that who connects anew for each request does not begin with a full bucket.
    static let remembered = 4_096

    private let state = Mutex(State())
    private let present = Atomic(0)
    private let recent = Mutex(Recent())
    /// How long a caller counts as at work after its last request was taken on, in nanoseconds.
    private let memory: UInt64

    init(memory: UInt64 = ServerLimits.callerMemory) { self.memory = memory }

    /// The two callers that were served last, and when.
    private struct Recent {
        var last: (caller: CallerAccount?, at: UInt64) = (nil, 0)
        var other: (caller: CallerAccount?, at: UInt64) = (nil, 0)

        /// The one of the two that is not this caller, or the later one when neither is.
        func other(than account: CallerAccount) -> (caller: CallerAccount?, at: UInt64) { last.caller === account ? other : last }
    }

    /// Notes that a request of this caller is taken on.
    func noteTurn(of account: CallerAccount, now: UInt64) {
        recent.withLock { recent in
            if recent.last.caller !== account { recent.other = recent.last }
            recent.last = (account, now)
        }
    }

    /// Whether another caller than this is at work.
    func hasOther(than account: CallerAccount) -> Bool {
        let now = MonotonicClock.now()
        return hasOther(than: account, since: now - min(now, memory))
    }

    /// Whether a request of another caller than this was taken on since `moment`.
    func hasOther(than account: CallerAccount, since moment: UInt64) -> Bool {
        recent.withLock { recent in
            let other = recent.other(than: account)
            return other.caller != nil && other.at >= moment
        }
    }

    /// When the newest request of another caller than this was taken on, while that caller waits for an answer.
    func otherWaits(than account: CallerAccount) -> UInt64? {
        recent.withLock { recent in
            let other = recent.other(than: account)
            return other.caller?.isWaiting == true ? other.at : nil
        }
    }

    /// Whether more than one caller is connected.
    var isShared: Bool { present.load(ordering: .relaxed) > 1 }

    /// Enters a connection of `caller`.
    ///
    /// - Returns: its account; nil when the caller, or all together, have as many connections as they may.
    func enter(_ caller: Caller, ownUser: UInt32, _ settings: ServerSettings) -> CallerAccount? {
        state.withLock { state in
            let key = CallerAccount.Key(caller)
            let isPrivileged = !caller.isForeign && (caller.uid == 0 || caller.uid == ownUser)
            let account = state.accounts[key] ?? CallerAccount(key, isPrivileged: isPrivileged)
            let own = account.connections.load(ordering: .relaxed)
            let most = settings.maximumConnections.load(ordering: .relaxed)
            guard state.total < most else { return nil }
            if !isPrivileged {
                guard own < settings.connectionShare, state.total < most - CallerTable.reserve(most) else { return nil }
            }
            if state.accounts[key] == nil {
                if state.accounts.count >= CallerTable.remembered {
                    state.accounts = state.accounts.filter { $0.value.connections.load(ordering: .relaxed) > 0 }
                }
                state.accounts[key] = account
            }
            account.connections.store(own + 1, ordering: .relaxed)
            state.total += 1
            if own == 0 { present.add(1, ordering: .relaxed) }
            return account
        }
    }

    /// Ends what ``enter(_:ownUser:_:)`` began.
    func leave(_ account: CallerAccount) {
        state.withLock { state in
            let left = account.connections.subtract(1, ordering: .relaxed).newValue
            state.total -= 1
            if left == 0 { present.subtract(1, ordering: .relaxed) }
        }
    }

    /// Connections that only user 0 and the daemon's own user may have, so that they can come in when everything is taken.
    private static func reserve(_ most: Int) -> Int { min(8, most / 16) }
}
