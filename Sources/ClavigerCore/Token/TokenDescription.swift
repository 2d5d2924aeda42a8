import ClavigerWire
import Cryptoki

/// What a token is and can do, in the words of the token-status reply. For the daemon and, while none runs, for the CLI.
package enum TokenDescription {
    /// The mechanisms that matter, and for what.
    package static let mechanisms: [(type: MechanismType, use: String)] = [
        (.aesKeyGeneration, "making root keys"), (.aesGCM, "suite 1: wrap and unwrap"),
        (.aesCBC, "suite 2: wrap and unwrap"), (.aesKeyWrap, "suite 3: wrap and unwrap"),
        (.genericSecretKeyGeneration, "making HMAC keys"), (.hmacSHA256, "suites 2 and 3, instance key 'mac'"),
        (.ecKeyPairGeneration, "making the instance key 'audit'"), (.ecdsa, "signing with 'audit'"),
        (.rsaKeyPairGeneration, "import tokens"), (.rsaOAEP, "import tokens"),
    ]

    /// Asks the token.
    package static func describe(
        module: Module, slot: SlotID, isLoggedIn: Bool
    ) throws(CryptokiError) -> TokenStatusReply {
        let token = try module.tokenInfo(slot)
        let library = try module.info()
        let present = Set(try module.mechanisms(slot))
        var reply = TokenStatusReply()
        reply.module = module.path
        reply.library = "\(library.manufacturer) \(library.description) \(library.libraryVersion)"
        reply.slot = UInt64(slot.rawValue)
        reply.label = token.label
        reply.manufacturer = token.manufacturer
        reply.model = token.model
        reply.serial = token.serial
        reply.isLoggedIn = isLoggedIn
        reply.flags = UInt64(token.flags.rawValue)
        reply.sessions = token.sessions.map(UInt64.init)
        switch token.maximumSessions {
        case .unlimited, .unavailable: reply.maximumSessions = nil
        case .count(let count): reply.maximumSessions = UInt64(count)
        }
        reply.mechanisms = mechanisms.map {
            MechanismRecord(name: "\($0.type)", isPresent: present.contains($0.type), use: $0.use)
        }
        return reply
    }
}
