import ClavigerCore
import ClavigerWire
import Cryptoki

/// `claviger token status` while no daemon runs: what the token says of itself, without a login.
package enum TokenStatus {
    /// Asks the token.
    package static func read(_ configuration: Configuration) throws(AdminError) -> TokenStatusReply {
        let access = try TokenAccess(configuration, holder: "claviger token status")
        let uri = access.uri
        let module = access.module
        return try explain(AdminError.cryptoki) { () throws(CryptokiError) in
            try TokenDescription.describe(module: module, slot: try uri.select(in: module), isLoggedIn: false)
        }
    }
}
