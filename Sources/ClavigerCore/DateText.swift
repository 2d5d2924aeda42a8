import Glibc

/// A moment for people and logs: RFC 3339 in UTC, to the second.
package struct DateText: CustomStringConvertible, Sendable {
    package let description: String

    /// - Parameter milliseconds: since 1970; what lies beyond the year 9999 is shown as its end.
    package init(_ milliseconds: UInt64) {
        var seconds = time_t(min(milliseconds / 1_000, DateText.latest))
        var parts = tm()
        gmtime_r(&seconds, &parts)
        func padded(_ number: Int32, _ width: Int) -> String {
            let digits = String(number)
            return String(repeating: "0", count: max(0, width - digits.count)) + digits
        }
        description =
            "\(padded(parts.tm_year + 1_900, 4))-\(padded(parts.tm_mon + 1, 2))-\(padded(parts.tm_mday, 2))"
            + "T\(padded(parts.tm_hour, 2)):\(padded(parts.tm_min, 2)):\(padded(parts.tm_sec, 2))Z"
    }

    /// 9999-12-31T23:59:59Z: the last moment with a year of four digits.
    private static let latest: UInt64 = 253_402_300_799
}
