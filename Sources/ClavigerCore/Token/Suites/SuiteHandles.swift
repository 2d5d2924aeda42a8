import ClavigerWire
import Cryptoki

/// The objects of one key version: which suite they serve, and their handles. Valid in one token generation.
package enum SuiteHandles: Hashable, Sendable {
    /// Suite 1.
    case aesGCM(cipher: ObjectHandle)
    /// Suite 2.
    case aesCBCWithHMAC(cipher: ObjectHandle, authentication: ObjectHandle)
    /// Suite 3.
    case aesKeyWrapWithHMAC(cipher: ObjectHandle, authentication: ObjectHandle)

    /// The handles of a suite's objects; nil when there are not as many as the suite has.
    package init?(_ suite: Suite, cipher: ObjectHandle, authentication: ObjectHandle?) {
        switch (suite, authentication) {
        case (.aesGCM, nil): self = .aesGCM(cipher: cipher)
        case (.aesCBCWithHMAC, .some(let other)): self = .aesCBCWithHMAC(cipher: cipher, authentication: other)
        case (.aesKeyWrapWithHMAC, .some(let other)): self = .aesKeyWrapWithHMAC(cipher: cipher, authentication: other)
        case (.aesGCM, .some), (.aesCBCWithHMAC, nil), (.aesKeyWrapWithHMAC, nil): return nil
        }
    }

    /// The handles of a suite's objects in the order of `Suite.names`; nil when there are not as many as the suite has.
    package init?(_ suite: Suite, _ objects: [ObjectHandle]) {
        guard let cipher = objects.first, objects.count <= 2 else { return nil }
        self.init(suite, cipher: cipher, authentication: objects.count == 2 ? objects[1] : nil)
    }

    /// The suite that they serve.
    package var suite: Suite {
        switch self {
        case .aesGCM: .aesGCM
        case .aesCBCWithHMAC: .aesCBCWithHMAC
        case .aesKeyWrapWithHMAC: .aesKeyWrapWithHMAC
        }
    }

    /// The AES key.
    package var cipher: ObjectHandle {
        switch self {
        case .aesGCM(let cipher), .aesCBCWithHMAC(let cipher, authentication: _),
            .aesKeyWrapWithHMAC(let cipher, authentication: _):
            cipher
        }
    }

    /// All objects, the AES key first.
    package var all: [ObjectHandle] {
        switch self {
        case .aesGCM(let cipher): [cipher]
        case .aesCBCWithHMAC(let cipher, let authentication), .aesKeyWrapWithHMAC(let cipher, let authentication):
            [cipher, authentication]
        }
    }
}

extension Suite {
    /// Whether a key version of the suite has an HMAC key beside its AES key.
    package var hasAuthenticationKey: Bool {
        switch self {
        case .aesGCM: false
        case .aesCBCWithHMAC, .aesKeyWrapWithHMAC: true
        }
    }

    /// Whether the token is what tells a forged envelope from a good one. Where it is not, the daemon has compared the MAC, and a token
    /// that then refuses has trouble of its own.
    package var tokenJudgesEnvelopes: Bool {
        switch self {
        case .aesGCM: true
        case .aesCBCWithHMAC, .aesKeyWrapWithHMAC: false
        }
    }

    /// The names of the objects that a key version of this suite consists of, the AES key's first.
    ///
    /// - Parameter cipher: the AES key's name.
    package func names(_ cipher: ObjectName) -> [ObjectName] {
        guard hasAuthenticationKey, let authentication = cipher.authentication else { return [cipher] }
        return [cipher, authentication]
    }
}
