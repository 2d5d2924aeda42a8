import Glibc

/// The two clocks: one for deadlines and intervals, one for dates.
package enum Clock {
    /// CLOCK_MONOTONIC in nanoseconds.
    package static func monotonic() -> UInt64 { read(CLOCK_MONOTONIC) }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    package static func date() -> UInt64 { read(CLOCK_REALTIME) / 1_000_000 }

    private static func read(_ clock: clockid_t) -> UInt64 {
        var time = timespec()
        clock_gettime(clock, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}

/// Where dates come from: the system's clock, or a test's that stands still until it is moved.
///
/// What happens after days (restore windows, rotation, expiry) reads its dates here and nowhere else. Deadlines and intervals of
/// milliseconds stay with `Clock.monotonic`.
package struct TimeSource: Sendable {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    package let now: @Sendable () -> UInt64

    /// A source that `now` answers for.
    package init(now: @escaping @Sendable () -> UInt64) { self.now = now }

    /// The system's clock.
    package static let system = TimeSource { Clock.date() }
}
