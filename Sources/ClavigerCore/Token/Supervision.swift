import ClavigerWire

/// When the supervisor tries to get the token again. A value: the thread that acts on it is elsewhere.
package struct Supervision: Sendable {
    /// Whether the module is to be initialised again.
    var reattachWanted = false
    /// Keys that are to get a new version, and why.
    var rotations: [KeyID: TokenService.RotationReason] = [:]
    /// The versions of imported keys that near their wrap limit, as far as the log was told.
    var nearLimit: [KeyID: UInt32] = [:]
    /// When objects are to be destroyed next; nil when there are none to be.
    var ordersDue: UInt64?
    /// Objects to be destroyed that were not found, or could not be destroyed: what the next binding finds of them decides.
    var ordersSetAside: Set<[UInt8]> = []
    /// Objects that this binding has begun to destroy: not to find them is no riddle.
    var ordersBegun: Set<[UInt8]> = []
    /// When the token is asked next, though nobody wants anything of it.
    var watchDue: UInt64 = 0
    /// When the supervisor looks next for what is missing.
    var lookDue: UInt64 = 0
    /// Whether the thread is to end.
    var isStopping = false
    private var failures = 0
    // Attempts that found a token that is not ours, one after another.
    private var strangers = 0
    // Until when the module is not initialised anew for the sake of what is missing: somebody did not leave it.
    private var postponedUntil: UInt64 = 0
    // Attempts that succeeded and did not last, one after another.
    private var flaps = 0
    private var lastAttached: UInt64 = 0
    private var earliestRecycle: UInt64 = 0
    private var earliest: UInt64 = 0
    private var lastReport: UInt64 = 0
    private var refindInterval = Supervision.firstRefindInterval
    private var earliestRefind: UInt64 = 0
    private var earliestLook: UInt64 = 0
    // Looks after something new came that found nothing more of what is missing, one after another.
    private var fruitlessLooks = 0
    private var lastMissing = 0

    /// The least time between two attempts: rate-limits resets, and bounds how soon a token that is back is noticed.
    static let firstInterval: UInt64 = 500_000_000
    /// The greatest time between two attempts; less than the five seconds within which a token that is back shall serve.
    static let maximumInterval: UInt64 = 3_000_000_000
    /// How a token is tried again after a failure that time may mend.
    enum Retry: Sendable {
        /// It does not answer.
        case soon
        /// It answers, and is not ours or not whole.
        case nowAndThen
    }

    /// The greatest time between two looks at a token that is not ours: each is a login.
    static let maximumStrangerInterval: UInt64 = 64_000_000_000
    /// How long after an attempt for which somebody did not leave the module the next comes, while the token serves.
    static let postponement: UInt64 = 10_000_000_000
    /// How long the token must be held before it counts as steady: one that comes and goes is not asked more often than one that is away.
    static let steadyTime: UInt64 = 30_000_000_000
    /// The least time between two recyclings of the module: each keeps everybody waiting for a moment.
    static let recycleInterval: UInt64 = 10_000_000_000
    /// How often a failure that goes on is logged again.
    static let reportInterval: UInt64 = 60_000_000_000

    /// The least time between two searches for a key version that was not found: each interrupts everybody for a moment.
    static let firstRefindInterval: UInt64 = 60_000_000_000
    /// The greatest; in between the time doubles for as long as versions are missing.
    static let maximumRefindInterval: UInt64 = 3_600_000_000_000

    /// Asks for a new search for what was not found.
    ///
    /// - Returns: whether there will be one now; the first at once, later ones only after an interval.
    mutating func wantRefind(now: UInt64) -> Bool {
        guard now >= earliestRefind else { return false }
        earliestRefind = now + refindInterval
        refindInterval = min(refindInterval * 2, Supervision.maximumRefindInterval)
        reattachWanted = true
        return true
    }

    /// So many looks that find nothing are made as often as the first: storage that is being put back brings other objects first.
    static let freeLooks = 8
    /// The greatest time between two: somebody else who makes objects on the token must not keep everybody waiting.
    static let maximumLookInterval: UInt64 = 64_000_000_000

    /// Asks for a new initialisation because something new is on the token, while objects are missing.
    ///
    /// - Returns: whether there will be one now.
    mutating func wantLook(now: UInt64) -> Bool {
        guard now >= earliestLook else { return false }
        fruitlessLooks += 1
        let doublings = min(max(0, fruitlessLooks - Supervision.freeLooks), 5)
        earliestLook = now + min(TokenService.lookInterval << UInt64(doublings), Supervision.maximumLookInterval)
        reattachWanted = true
        return true
    }

    /// Asks for a new initialisation to get back the memory that the module keeps.
    ///
    /// - Returns: whether there will be one now.
    mutating func wantRecycle(now: UInt64) -> Bool {
        guard now >= earliestRecycle else { return false }
        earliestRecycle = now + Supervision.recycleInterval
        reattachWanted = true
        return true
    }

    /// Notes that the token was lost while it served.
    mutating func lost(now: UInt64) {
        flaps = now < lastAttached + Supervision.steadyTime ? flaps + 1 : 0
        earliest = max(earliest, lastAttached + Supervision.interval(flaps))
        postponedUntil = 0
        reattachWanted = true
    }

    private static func interval(_ failures: Int) -> UInt64 {
        min(firstInterval * (UInt64(1) << UInt64(min(failures, 3))) / 2, maximumInterval)
    }

    /// When the next attempt is due; nil when none is wanted.
    func due() -> UInt64? { reattachWanted ? max(earliest, postponedUntil) : nil }

    /// Notes that the module could not be had alone while the token serves: the next attempt comes later, unless the token is lost.
    mutating func postpone(now: UInt64) {
        reattachWanted = true
        postponedUntil = now + Supervision.postponement
    }

    /// Notes that an attempt begins now.
    mutating func begin(now: UInt64) {
        reattachWanted = false
        earliest = now + Supervision.firstInterval
    }

    /// Notes that the token is held.
    ///
    /// - Parameter missing: how many key versions were not found.
    mutating func attached(missing: Int, now: UInt64) {
        failures = 0
        strangers = 0
        postponedUntil = 0
        if missing < lastMissing || missing == 0 { fruitlessLooks = 0 }
        lastMissing = missing
        ordersSetAside = []
        ordersBegun = []
        lastAttached = now
        if missing == 0 { refindInterval = Supervision.firstRefindInterval }
    }

    /// Notes that an attempt failed.
    ///
    /// - Parameter retry: how it is to be tried again; nil when somebody has to do something first.
    /// - Returns: whether the failure is to be logged.
    mutating func failed(_ retry: Retry?, now: UInt64) -> Bool {
        failures += 1
        reattachWanted = retry != nil
        switch retry {
        case .soon?, nil: earliest = now + Supervision.interval(failures)
        case .nowAndThen?:
            strangers += 1
            earliest = now + min(Supervision.firstInterval << UInt64(min(strangers, 7)), Supervision.maximumStrangerInterval)
        }
        guard failures == 1 || now >= lastReport + Supervision.reportInterval else { return false }
        lastReport = now
        return true
    }
}
