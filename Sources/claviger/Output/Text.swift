import Glibc

/// Text for terminals.
enum Text {
    /// The text with every control, format and line-breaking character written as an escape: names come from others, and must
    /// not move the cursor, hide a line or turn the direction of writing.
    static func safe(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: isUnsafe) else { return text }
        var safe = ""
        for scalar in text.unicodeScalars {
            if isUnsafe(scalar) {
                safe += "\\u{\(String(scalar.value, radix: 16))}"
            } else {
                safe.unicodeScalars.append(scalar)
            }
        }
        return safe
    }

    /// JSON text with such characters escaped as JSON has it: what it says stays the same.
    static func safeJSON(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: isUnsafe) else { return text }
        var safe = ""
        for scalar in text.unicodeScalars {
            guard isUnsafe(scalar) else {
                safe.unicodeScalars.append(scalar)
                continue
            }
            for unit in String(scalar).utf16 {
                let digits = String(unit, radix: 16)
                safe += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            }
        }
        return safe
    }

    private static func isUnsafe(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned: true
        default: false
        }
    }

    /// A time in RFC 3339, UTC, with milliseconds: `2026-01-31T09:30:00.000Z`.
    static func time(_ milliseconds: UInt64) -> String {
        var seconds = time_t(clamping: milliseconds / 1000)
        var parts = tm()
        guard gmtime_r(&seconds, &parts) != nil else { return "\(milliseconds) ms" }
        let date = "\(padded(Int(parts.tm_year) + 1900, 4))-\(padded(Int(parts.tm_mon) + 1, 2))-\(padded(Int(parts.tm_mday), 2))"
        let clock = "\(padded(Int(parts.tm_hour), 2)):\(padded(Int(parts.tm_min), 2)):\(padded(Int(parts.tm_sec), 2))"
        return "\(date)T\(clock).\(padded(Int(milliseconds % 1000), 3))Z"
    }

    /// A span of time in the two units that matter: `3 d 4 h`, `5 min 10 s`, `12 s`.
    static func span(_ milliseconds: UInt64) -> String {
        let seconds = milliseconds / 1000
        let units: [(UInt64, String)] = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")]
        guard let first = units.firstIndex(where: { seconds >= $0.0 }) else { return "\(milliseconds) ms" }
        let (size, name) = units[first]
        guard first + 1 < units.count else { return "\(seconds / size) \(name)" }
        let (smaller, smallerName) = units[first + 1]
        return "\(seconds / size) \(name) \(seconds % size / smaller) \(smallerName)"
    }

    private static func padded(_ number: Int, _ width: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
}

/// Columns of text.
struct Table {
    private var rows: [[String]]

    /// A table with these headings.
    init(_ headings: [String]) { rows = [headings] }

    /// Names and values, one pair a line, without headings.
    static func pairs(_ pairs: [(String, String)]) -> String {
        var table = Table([])
        table.rows = pairs.map { [$0.0, $0.1] }
        return table.text
    }

    mutating func add(_ row: [String]) { rows.append(row) }

    /// The rows, their columns aligned, two spaces between them, no space at a line's end. Cells are made safe.
    var text: String {
        let cells = rows.map { $0.map(Text.safe) }
        var widths = [Int](repeating: 0, count: cells.map(\.count).max() ?? 0)
        for row in cells {
            for (column, cell) in row.enumerated() { widths[column] = max(widths[column], cell.count) }
        }
        return cells.map { row in
            var line = ""
            for (column, cell) in row.enumerated() {
                line += cell
                if column + 1 < row.count { line += String(repeating: " ", count: widths[column] - cell.count + 2) }
            }
            return line
        }.joined(separator: "\n")
    }
}
