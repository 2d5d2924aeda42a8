import ClavigerWire
import Cryptoki

/// What a token does not do as the standard has it, as data: no code of ours asks for a product's name.
package struct TokenQuirks: Sendable, Equatable {
    /// Attributes that the token does not keep. They are left out of templates, not asked for afterwards, and told as open.
    package var openAttributes: Set<OpenAttribute> = []
    /// What the instance signs its records with.
    package var auditKey = AuditKey.ecP256
    /// The longest plaintext of suite 3 in bytes: tokens bound the length of the secrets that they wrap.
    package var keyWrapLimit = Limits.maximumPlaintext
    /// Whether the token keeps private data objects.
    package var holdsPrivateData = true
    /// Whether keys are safe in the token from whoever has the user PIN. Where they are not, the daemon serves all the same when this says
    /// so: for tests and development.
    package var isSecurityBoundary = true
    /// Whether a token that nobody has set up yet takes the empty PIN of the security officer, and C_InitToken is not for it.
    package var startsWithEmptyOfficerPIN = false
    /// Whether it opens sessions that may read only, which all but one of the daemon's are.
    package var opensReadOnlySessions = true
    /// How many sessions the daemon may have open at once; nil when the token itself is the limit.
    package var sessionLimit: Int?

    package init() {}

    /// An attribute that not every token keeps.
    package enum OpenAttribute: String, CaseIterable, Sendable {
        /// CKA_COPYABLE.
        case copyable
        /// CKA_DESTROYABLE.
        case destroyable
        /// CKA_MODIFIABLE.
        case modifiable
        /// CKA_ALLOWED_MECHANISMS.
        case allowedMechanisms = "allowed-mechanisms"
        /// CKA_LOCAL.
        case local

        /// The attribute.
        package var type: AttributeType {
            switch self {
            case .copyable: .copyable
            case .destroyable: .destroyable
            case .modifiable: .modifiable
            case .allowedMechanisms: .allowedMechanisms
            case .local: .local
            }
        }
    }

    /// A kind of signing pair.
    package enum AuditKey: String, CaseIterable, Sendable {
        /// EC, curve P-256.
        case ecP256 = "ec-p256"
        /// RSA of 3,072 bits, where the token has no curves.
        case rsa3072 = "rsa-3072"
    }

    /// Whether the token keeps an attribute.
    func keeps(_ type: AttributeType) -> Bool { !openAttributes.contains { $0.type == type } }
}
