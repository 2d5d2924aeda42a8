import ClavigerCore
import ClavigerWire

/// What `claviger token doctor` has found.
package struct DoctorReport: Sendable {
    /// What the token says of itself.
    package var label: String
    package var manufacturer: String
    package var model: String
    package var serial: String
    package var library: String
    /// How long a PIN is, in bytes.
    package var pinLengths: ClosedRange<UInt>
    /// How many sessions may be open at once: nil when the token does not tell, 0 when there is no limit.
    package var sessions: UInt?
    /// What was tried, by theme.
    package var sections: [Section] = []
    /// How fast it is.
    package var speeds: [Speed] = []
    /// The suites that it can carry, best first.
    package var suites: [Suite] = []
    /// The suites whose mechanisms it lists, best first.
    package var listed: [Suite] = []
    /// What it does not do as others do: the settings to use.
    package var quirks = TokenQuirks()

    /// Trials of one theme.
    package struct Section: Sendable {
        package var title: String
        package var rows: [TrialRow]
    }

    /// Operations a second of so many sessions together, a thread each.
    package struct Speed: Sendable {
        package var operation: String
        /// What it was done with: a suite, a kind of key, a length.
        package var subject: String
        package var sessions: Int
        /// nil when it could not be measured.
        package var perSecond: Double?
        /// Why not.
        package var failure: String?
    }

    /// All rows.
    package var rows: [TrialRow] { sections.flatMap(\.rows) }

    /// What makes keys unsafe in it.
    package var dangers: [TrialRow] { rows.filter { $0.verdict == .dangerous } }

    /// What nobody knows of it.
    package var open: [TrialRow] { rows.filter { $0.verdict == .notTried } }

    /// The lines of a configuration that the token needs, in TOML; empty when it needs none.
    package var settings: [String] {
        var lines: [String] = []
        for attribute in TokenQuirks.OpenAttribute.allCases where quirks.openAttributes.contains(attribute) {
            lines.append("keeps-\(attribute.rawValue) = false")
        }
        if quirks.auditKey != .ecP256 { lines.append("audit-key = \"\(quirks.auditKey.rawValue)\"") }
        if quirks.keyWrapLimit != Limits.maximumPlaintext { lines.append("key-wrap-limit = \(quirks.keyWrapLimit)") }
        if !quirks.holdsPrivateData { lines.append("holds-private-data = false") }
        if !quirks.isSecurityBoundary { lines.append("is-security-boundary = false") }
        if !quirks.opensReadOnlySessions { lines.append("read-only-sessions = false") }
        if let limit = quirks.sessionLimit { lines.append("session-limit = \(limit)") }
        if !lines.isEmpty { lines.insert("[quirks]", at: 0) }
        // Where the first that it lists does not work, what asks for none in particular is to be told.
        if let best = suites.first, best != listed.first {
            lines += ["[token]", "suite = \"\(Configuration.Token.word(best))\""]
        }
        return lines
    }
}
