/// How many lines of one kind may be logged: what repeats itself many times a second must not fill the disk. A value, with the time given.
package struct LogBudget: Sendable {
    /// Lines in one period.
    static let lines = 8
    /// The period, in nanoseconds.
    static let period: UInt64 = 60_000_000_000

    private var began: UInt64 = 0
    private var written = 0
    private var suppressed = 0

    package init() {}

    /// Asks for a line.
    ///
    /// - Returns: nil when it is not to be written, else how many were left out before it.
    package mutating func take(now: UInt64) -> Int? {
        if began == 0 || now >= began + LogBudget.period {
            began = now
            written = 0
        }
        guard written < LogBudget.lines else {
            suppressed += 1
            return nil
        }
        written += 1
        defer { suppressed = 0 }
        return suppressed
    }
}
