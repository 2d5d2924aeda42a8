/// Reads moments as people and programs write them in queries.
package enum QueryDate {
    /// The moment that `text` says, in milliseconds since 1970.
    ///
    /// A date and time as in RFC 3339, section 5.6, with `Z`, an offset, or no zone, which is UTC; or a date alone, which is its first
    /// moment in UTC. What is finer than a millisecond is cut off. Nil for anything else: a leap second, a day that its month does not
    /// have, and whatever lies before 1970.
    package static func parse(_ text: some StringProtocol) -> UInt64? {
        var reader = Reader(bytes: Array(text.utf8.prefix(longest + 1)))
        guard reader.bytes.count <= longest else { return nil }
        guard let year = reader.number(4), reader.take("-"), let month = reader.number(2), reader.take("-"),
            let day = reader.number(2), (1...12).contains(month), day >= 1, day <= daysIn(month: month, of: year)
        else { return nil }
        var milliseconds = days(year, month, day) * 86_400_000
        if reader.isAtEnd { return UInt64(exactly: milliseconds) }
        guard reader.take("T") || reader.take("t"), let hour = reader.number(2), hour < 24, reader.take(":"),
            let minute = reader.number(2), minute < 60, reader.take(":"), let second = reader.number(2), second < 60
        else { return nil }
        milliseconds += ((hour * 60 + minute) * 60 + second) * 1_000
        if reader.take(".") {
            guard let fraction = reader.fraction() else { return nil }
            milliseconds += fraction
        }
        guard let offset = reader.offset(), reader.isAtEnd else { return nil }
        return UInt64(exactly: milliseconds - offset)
    }

    /// The longest text: a date and time with nine decimals and an offset.
    private static let longest = 35

    private static func isLeap(_ year: Int64) -> Bool { year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) }

    private static func daysIn(month: Int64, of year: Int64) -> Int64 {
        switch month {
        case 2: isLeap(year) ? 29 : 28
        case 4, 6, 9, 11: 30
        case _: 31
        }
    }

    /// Days from 1970-01-01 to a day of the Gregorian calendar, in years that begin with March, so that the leap day comes last.
    private static func days(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let year = month > 2 ? year : year - 1
        let sinceMarch = (month + 9) % 12
        let leapDays = year / 4 - year / 100 + year / 400
        return year * 365 + leapDays + (sinceMarch * 153 + 2) / 5 + day - 1 - 719_468
    }

    private struct Reader {
        let bytes: [UInt8]
        var place = 0

        var isAtEnd: Bool { place == bytes.count }

        mutating func take(_ character: Unicode.Scalar) -> Bool {
            guard place < bytes.count, bytes[place] == UInt8(ascii: character) else { return false }
            place += 1
            return true
        }

        mutating func digit() -> Int64? {
            guard place < bytes.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[place]) else { return nil }
            defer { place += 1 }
            return Int64(bytes[place] - UInt8(ascii: "0"))
        }

        /// Exactly so many digits.
        mutating func number(_ count: Int) -> Int64? {
            var value: Int64 = 0
            for _ in 0..<count {
                guard let digit = digit() else { return nil }
                value = value * 10 + digit
            }
            return value
        }

        /// Decimals of a second, in milliseconds.
        mutating func fraction() -> Int64? {
            guard var value = digit() else { return nil }
            var count = 1
            while let digit = digit() {
                if count < 3 { value = value * 10 + digit }
                count += 1
            }
            for _ in min(count, 3)..<3 { value *= 10 }
            return value
        }

        /// The zone's distance from UTC in milliseconds.
        mutating func offset() -> Int64? {
            if isAtEnd || take("Z") || take("z") { return 0 }
            let isWest = take("-")
            guard isWest || take("+"), let hours = number(2), hours < 24, take(":"), let minutes = number(2), minutes < 60 else {
                return nil
            }
            return (hours * 60 + minutes) * 60_000 * (isWest ? -1 : 1)
        }
    }
}
