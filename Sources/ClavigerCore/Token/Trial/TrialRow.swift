/// What trying something on a token has shown.
package struct TrialRow: Sendable, Equatable {
    /// What was tried, in a few stable words.
    package var name: String
    /// What came of it.
    package var verdict: Verdict
    /// In words for an operator; PKCS#11 errors by their names.
    package var detail: String
    /// Whether it is about what somebody with the user PIN can take, and not about what the token does by itself.
    package var isAboutThieves: Bool
    /// Whether an error is behind it, and no wrong answer: it may be one of the moment.
    package var mayPass = false

    package init(_ name: String, _ verdict: Verdict, _ detail: String = "", isAboutThieves: Bool = false) {
        self.name = name
        self.verdict = verdict
        self.detail = detail
        self.isAboutThieves = isAboutThieves
    }

    /// The verdicts.
    package enum Verdict: String, Sendable, CaseIterable {
        /// As it should be.
        case works
        /// It does, within what the detail says.
        case limited = "works with limits"
        /// The token does not do it.
        case refused
        /// What the trial needs was refused, so that nobody knows. It may be as it should be, and it may be dangerous.
        case notTried = "not tried"
        /// The token does what it must not: keys are not safe in it.
        case dangerous
    }
}
