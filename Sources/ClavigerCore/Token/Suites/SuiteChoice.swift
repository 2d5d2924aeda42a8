import ClavigerWire
import Cryptoki

/// What a token says it has, as far as the choice of a suite needs it. Tokens list more than they do: only trying tells.
package struct SuiteChoice: Sendable {
    /// The suites whose mechanisms the token lists, best first.
    package let suites: [Suite]

    /// - Parameter mechanisms: as C_GetMechanismList gives them.
    package init(mechanisms: [MechanismType]) {
        let listed = Set(mechanisms)
        suites = Suite.allCases.filter { $0.mechanisms.allSatisfy(listed.contains) }
    }

    /// Whether any of them can hold the instance's own keys: suite 3 cannot hold secrets of every length.
    package var hasOneForInstanceKeys: Bool { suites.contains { $0 != .aesKeyWrapWithHMAC } }
}

extension Suite {
    /// The mechanisms that keys of the suite are used with.
    package var mechanisms: [MechanismType] {
        switch self {
        case .aesGCM: [.aesGCM]
        case .aesCBCWithHMAC: [.aesCBC, .hmacSHA256]
        case .aesKeyWrapWithHMAC: [.aesKeyWrap, .hmacSHA256]
        }
    }
}
