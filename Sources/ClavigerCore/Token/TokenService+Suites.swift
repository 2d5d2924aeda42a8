import ClavigerWire
import Synchronization

// Which suite a new key gets.
extension TokenService {
    /// The suite of a new key: the one asked for, else the configured one, else the best that the token has.
    ///
    /// - Throws: `suiteUnsupported` when the token does not carry it.
    func chooseSuite(_ wanted: Suite?) throws(Refusal) -> Suite {
        let suites = live.withLock { $0?.suites } ?? []
        guard let suite = wanted ?? configuration.token.suite ?? suites.first else {
            throw Refusal(.suiteUnsupported, "no suite works on the token: 'claviger token doctor' says more")
        }
        guard suites.contains(suite) else {
            let names = suites.map(\.name).joined(separator: ", ")
            throw Refusal(.suiteUnsupported, "the token does not have \(suite.name); it has \(names.isEmpty ? "none" : names)")
        }
        return suite
    }
}
