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
