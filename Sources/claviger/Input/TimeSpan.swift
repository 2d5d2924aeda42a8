import Glibc

/// Spans of time as people write them.
enum TimeSpan {
    /// The milliseconds of `90d`, `12h`, `30min` or `45s`; nil for anything else, and past 100 years.
    static func milliseconds(_ text: String) -> UInt64? {
        let units: [(String, UInt64)] = [("min", 60_000), ("d", 86_400_000), ("h", 3_600_000), ("s", 1_000)]
        for (unit, size) in units where text.hasSuffix(unit) {
            let digits = text.dropLast(unit.count)
            guard !digits.isEmpty, digits.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), let number = UInt64(digits) else {
                return nil
            }
            let (product, overflows) = number.multipliedReportingOverflow(by: size)
            return overflows || product > 36_525 * 86_400_000 ? nil : product
        }
        return nil
    }

    /// Milliseconds since 1970.
    static var now: UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return UInt64(time.tv_sec) * 1_000 + UInt64(time.tv_nsec) / 1_000_000
    }
}
