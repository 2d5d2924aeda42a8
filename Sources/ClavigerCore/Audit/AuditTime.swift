/// Times as the audit log writes them: RFC 3339 in UTC with milliseconds, `2026-01-31T09:30:00.000Z`, always 24 bytes.
package enum AuditTime {
    /// Bytes of a time from year 0 to 9999.
    package static let length = 24

    /// The last millisecond of year 9999, which stands for all later ones: they do not fit the form.
    static let latest: UInt64 = 253_402_300_799_999

    /// The time of milliseconds since 1970.
    package static func text(_ milliseconds: UInt64) -> String {
        var bytes: [UInt8] = []
        append(milliseconds, to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Appends the time of milliseconds since 1970.
    static func append(_ milliseconds: UInt64, to bytes: inout [UInt8]) {
        let time = min(milliseconds, latest)
        let (year, month, day) = date(Int(time / 86_400_000))
        let second = Int(time / 1000 % 86_400)
        // At once, as every record has one.
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: length) { text in
            var end = 0
            func put(_ value: Int, _ digits: Int, _ separator: Unicode.Scalar) {
                var rest = value
                for place in (end..<(end + digits)).reversed() {
                    text[place] = UInt8(ascii: "0") + UInt8(rest % 10)
                    rest /= 10
                }
                text[end + digits] = UInt8(ascii: separator)
                end += digits + 1
            }
            put(year, 4, "-")
            put(month, 2, "-")
            put(day, 2, "T")
            put(second / 3600, 2, ":")
            put(second / 60 % 60, 2, ":")
            put(second % 60, 2, ".")
            put(Int(time % 1000), 3, "Z")
            bytes.append(contentsOf: text)
        }
    }

    /// The milliseconds of a time in this form, or of one cut after the day, the minute, the second; nil for another text.
    package static func milliseconds(_ text: String) -> UInt64? {
        let bytes = Array(text.utf8)
        var place = 0
        func number(_ width: Int) -> Int? {
            guard place + width <= bytes.count else { return nil }
            var value = 0
            for byte in bytes[place..<(place + width)] {
                guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
                value = value * 10 + Int(byte - UInt8(ascii: "0"))
            }
            place += width
            return value
        }
        func take(_ separator: Unicode.Scalar) -> Bool {
            guard place < bytes.count, bytes[place] == UInt8(ascii: separator) else { return false }
            place += 1
            return true
        }
        guard let year = number(4), take("-"), let month = number(2), take("-"), let day = number(2), year >= 1970,
            (1...12).contains(month), (1...31).contains(day)
        else { return nil }
        let days = daysSince1970(year, month, day)
        guard date(days) == (year, month, day) else { return nil }
        var time = UInt64(days) * 86_400_000
        if place == bytes.count { return time }
        guard take("T") || take(" "), let hour = number(2), take(":"), let minute = number(2), hour < 24, minute < 60 else {
            return nil
        }
        time += UInt64(hour * 3600 + minute * 60) * 1000
        if take(":") {
            guard let second = number(2), second < 60 else { return nil }
            time += UInt64(second) * 1000
            if take(".") {
                guard let part = number(3) else { return nil }
                time += UInt64(part)
            }
        }
        _ = take("Z")
        return place == bytes.count ? time : nil
    }

    // The proleptic Gregorian calendar in eras of 400 years, 146,097 days each, whose years begin in March.
    private static func date(_ days: Int) -> (Int, Int, Int) {
        let shifted = days + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
    }

    private static func daysSince1970(_ year: Int, _ month: Int, _ day: Int) -> Int {
        let shiftedYear = month <= 2 ? year - 1 : year
        let era = shiftedYear / 400
        let yearOfEra = shiftedYear % 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }
}
