import ArgumentParser
import Glibc

/// A span of time as people write it: `90d`, `12h`, `1d12h`, `30min`, `45s`, `2w`.
struct Span: ExpressibleByArgument, Equatable {
    /// In seconds.
    let seconds: UInt64

    static let form = "such as 90d, 12h, 30min or 45s"
    private static let units: [(name: String, seconds: UInt64)] = [
        ("w", 604_800), ("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1),
    ]

    /// The span that `text` is; nil for anything else, and for more than a UInt64 holds.
    init?(argument text: String) {
        var rest = Substring(text)
        var total: UInt64 = 0
        guard !rest.isEmpty else { return nil }
        while !rest.isEmpty {
            let digits = rest.prefix { ("0"..."9").contains($0) }
            rest = rest.dropFirst(digits.count)
            let letters = rest.prefix { $0.isLetter }
            rest = rest.dropFirst(letters.count)
            guard let count = UInt64(digits), let unit = Span.units.first(where: { $0.name == letters }) else { return nil }
            let (product, overflows) = count.multipliedReportingOverflow(by: unit.seconds)
            let (sum, overflowsToo) = total.addingReportingOverflow(product)
            guard !overflows, !overflowsToo else { return nil }
            total = sum
        }
        seconds = total
    }

    /// In milliseconds; as many as a UInt64 holds at most.
    var milliseconds: UInt64 { seconds.multipliedReportingOverflow(by: 1_000).overflow ? .max : seconds * 1_000 }
}

/// A moment as people write it: a date, a time in RFC 3339, or a span from now.
enum Moment: ExpressibleByArgument, Equatable {
    /// In milliseconds since 1970.
    case at(UInt64)
    case fromNow(Span)
    case never

    static let form = "a date (2027-01-31), a time (2027-01-31T09:30:00Z), a span from now (90d), or never"

    init?(argument text: String) {
        if text == "never" {
            self = .never
        } else if let span = Span(argument: text) {
            self = .fromNow(span)
        } else if let time = Moment.time(text) {
            self = .at(time)
        } else {
            return nil
        }
    }

    /// In milliseconds since 1970; 0 for never.
    var milliseconds: UInt64 {
        switch self {
        case .at(let time): return time
        case .never: return 0
        case .fromNow(let span):
            var now = timespec()
            clock_gettime(CLOCK_REALTIME, &now)
            let milliseconds = UInt64(now.tv_sec) * 1_000 + UInt64(now.tv_nsec) / 1_000_000
            let (sum, overflows) = milliseconds.addingReportingOverflow(span.milliseconds)
            return overflows ? .max : sum
        }
    }

    /// `YYYY-MM-DD`, midnight in UTC; or with `Thh:mm[:ss[.fraction]]` and `Z` or an offset (RFC 3339, section 5.6).
    private static func time(_ text: String) -> UInt64? {
        var reader = Reader(rest: Substring(text))
        guard let year = reader.number(4), reader.take("-"), let month = reader.number(2), reader.take("-"),
            let day = reader.number(2)
        else { return nil }
        var parts = tm()
        parts.tm_year = Int32(year - 1900)
        parts.tm_mon = Int32(month - 1)
        parts.tm_mday = Int32(day)
        var milliseconds = 0
        var offset = 0
        if !reader.rest.isEmpty {
            guard reader.take("T") || reader.take("t") || reader.take(" "), let hour = reader.number(2), reader.take(":"),
                let minute = reader.number(2), hour < 24, minute < 60
            else { return nil }
            parts.tm_hour = Int32(hour)
            parts.tm_min = Int32(minute)
            if reader.take(":") {
                guard let second = reader.number(2), second < 60 else { return nil }
                parts.tm_sec = Int32(second)
                if reader.take(".") {
                    guard let fraction = reader.fraction() else { return nil }
                    milliseconds = fraction
                }
            }
            guard let zone = reader.zone() else { return nil }
            offset = zone
        }
        guard reader.rest.isEmpty else { return nil }
        let seconds = timegm(&parts)
        // timegm moves what does not exist (February 30) to what does; such a date is a slip and is not taken.
        guard Int(parts.tm_mday) == day, Int(parts.tm_mon) == month - 1, seconds - offset >= 0 else { return nil }
        return UInt64(seconds - offset) * 1_000 + UInt64(milliseconds)
    }

    private struct Reader {
        var rest: Substring

        mutating func take(_ character: Character) -> Bool {
            guard rest.first == character else { return false }
            rest.removeFirst()
            return true
        }

        mutating func number(_ digits: Int) -> Int? {
            let part = rest.prefix(digits)
            guard part.count == digits, part.allSatisfy({ ("0"..."9").contains($0) }) else { return nil }
            rest = rest.dropFirst(digits)
            return Int(part)
        }

        /// The digits after the point, in milliseconds; what is finer is dropped.
        mutating func fraction() -> Int? {
            let digits = rest.prefix { ("0"..."9").contains($0) }
            guard !digits.isEmpty else { return nil }
            rest = rest.dropFirst(digits.count)
            return Int((digits + "00").prefix(3))
        }

        /// `Z`, or hours and minutes east of Greenwich; in seconds.
        mutating func zone() -> Int? {
            if take("Z") || take("z") { return 0 }
            let sign: Int
            if take("+") { sign = 1 } else if take("-") { sign = -1 } else { return nil }
            guard let hours = number(2), take(":"), let minutes = number(2), hours < 24, minutes < 60 else { return nil }
            return sign * (hours * 3_600 + minutes * 60)
        }
    }
}
