/// What a query may ask for, each with its reason. The lengths of its texts are the protocol's.
package enum QueryLimits {
    /// Clauses of one date property, as in Key Protect: a range has two ends, and one more may stand for `none`.
    package static let clausesPerDate = 3
    /// Characters of a caller's text that a refusal repeats: enough to find the place, too few to fill a log.
    package static let quoted = 40
}
