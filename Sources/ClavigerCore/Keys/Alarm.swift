import Synchronization

/// When the housekeeper has to look again: set by whoever makes something due, waited for by one thread.
package final class Alarm: Sendable {
    private let due = Mutex<UInt64>(.max)
    private let bell = Bell()
    private let time: TimeSource

    package init(time: TimeSource) { self.time = time }

    /// How soon after a change the housekeeper looks, in milliseconds: a burst of changes has it look a few times a second and not
    /// after each. Nothing waits for it: what has expired is refused before that is written down.
    static let settling: UInt64 = 250
    /// How long it waits at most before it looks at the clock again, in nanoseconds: a clock that was set forward must not keep what
    /// became due by that from happening.
    static let longestWait: UInt64 = 60_000_000_000

    /// Has the housekeeper look at this moment at the latest, in milliseconds since 1970.
    package func set(for moment: UInt64) {
        let isEarlier = due.withLock { due in
            guard moment < due else { return false }
            due = moment
            return true
        }
        if isEarlier { bell.ring() }
    }

    /// Has the housekeeper look soon: something has changed.
    package func setSoon() {
        let (moment, overflow) = time.now().addingReportingOverflow(Alarm.settling)
        set(for: overflow ? .max : moment)
    }

    /// Has the housekeeper write down uses that have just begun to be counted.
    package func setForUses() { set(for: time.now() + Housekeeper.useInterval) }

    /// Has the waiting thread look at the clock now.
    package func ring() { bell.ring() }

    /// Forgets what was set: whoever looks now sets the next moment himself.
    func clear() { due.withLock { $0 = .max } }

    /// Waits until the moment that is set, or a ring.
    func wait() {
        let (due, now) = (due.withLock { $0 }, time.now())
        guard due > now else { return }
        let (left, overflow) = (due - now).multipliedReportingOverflow(by: 1_000_000)
        bell.wait(until: Clock.monotonic() + (overflow ? Alarm.longestWait : min(left, Alarm.longestWait)))
    }

    /// Whether the moment that is set has come.
    var isDue: Bool { due.withLock { $0 } <= time.now() }
}
