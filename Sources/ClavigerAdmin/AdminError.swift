import ClavigerCore
import Cryptoki

/// Why something on the token could not be done; one line for the operator each.
package enum AdminError: Error, Sendable, CustomStringConvertible {
    /// The configuration, the database, a file or a lock stands in the way.
    case setUp(String)
    /// The module or token refused.
    case token(String)
    /// A PIN is missing or refused.
    case pin(String)

    package var description: String {
        switch self {
        case .setUp(let reason), .token(let reason), .pin(let reason): reason
        }
    }

    static func file(_ error: FileError) -> AdminError { .setUp(error.description) }
    static func store(_ error: StoreError) -> AdminError { .setUp(error.description) }
    static func lock(_ error: HolderLock.Failure) -> AdminError { .setUp(error.description) }
    static func cryptoki(_ error: CryptokiError) -> AdminError { .token(error.description) }
    static func object(_ error: ObjectFailure) -> AdminError { .token(error.description) }
}

/// Runs `body` and turns its error into an `AdminError`.
func explain<R: ~Copyable, E: Error>(
    _ transform: (E) -> AdminError, _ body: () throws(E) -> R
) throws(AdminError) -> R {
    do throws(E) { return try body() } catch { throw transform(error) }
}
