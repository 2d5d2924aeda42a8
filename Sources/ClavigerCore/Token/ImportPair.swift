import ClavigerImport
import ClavigerWire
import Cryptoki

/// An import token's pair as the token has it: the private key, and how material is encrypted for it.
package struct ImportPair: Sendable, Equatable {
    /// The private key; valid in one token generation.
    package let privateKey: ObjectHandle
    /// A DER SubjectPublicKeyInfo.
    package let publicKey: [UInt8]
    /// The digest of RSAES-OAEP that the token has been seen to take.
    package let digest: OAEPDigest
    /// What the token is to make of what it unwraps to open a proof with.
    let proofKey: [Attribute]

    package init(privateKey: ObjectHandle, publicKey: [UInt8], digest: OAEPDigest, quirks: TokenQuirks) {
        self.privateKey = privateKey
        self.publicKey = publicKey
        self.digest = digest
        proofKey = ObjectTemplate.proofKey(quirks)
    }
}

extension OAEPDigest {
    /// The mechanism to unwrap with.
    var mechanism: Mechanism.OAEPDigest {
        switch self {
        case .sha1: .sha1
        case .sha256: .sha256
        }
    }
}

extension ObjectFactory {
    /// Makes an import pair, and tries out that it takes what clients send and gives nothing away.
    ///
    /// RSA keys of this length take seconds to make.
    package func makeImportPair(
        _ name: ObjectName, session: inout Session, scratch: inout CipherScratch
    ) throws(ObjectFailure) -> ImportPair {
        let handle = try make(name, .aesGCM, session: &session)
        do throws(ObjectFailure) {
            return try importPair(handle, session: &session, scratch: &scratch)
        } catch {
            try? session.destroyObject(handle)
            throw error
        }
    }

    /// The import pair of this name that an earlier attempt made; nil when it is missing or in doubt.
    ///
    /// - Parameter isFromDisk: as for `existing`.
    package func existingImportPair(
        _ name: ObjectName, isFromDisk: Bool, session: inout Session, scratch: inout CipherScratch
    ) throws(ObjectFailure) -> ImportPair? {
        guard let handle = try existing(name, .aesGCM, isFromDisk: isFromDisk, session: &session) else { return nil }
        return try importPair(handle, session: &session, scratch: &scratch)
    }

    /// What is to be known of a private key that is as ordered: its public half, and the digest that it takes.
    package func importPair(
        _ handle: ObjectHandle, session: inout Session, scratch: inout CipherScratch
    ) throws(ObjectFailure) -> ImportPair {
        let publicKey = try mapping(ObjectFailure.token) { () throws(CryptokiError) in
            try ObjectFactory.publicKey(of: handle, session: &session)
        }
        try mapping({ (error: ImportError) in ObjectFailure.attributes("\(error)") }) { () throws(ImportError) in
            let key = try RSAPublicKey(publicKey.span.bytes)
            guard key.bits == Int(ObjectTemplate.importModulusBits) else { throw .weakPublicKey(.short(key.bits)) }
        }
        var failure = ImportFailure.unproven
        for digest in [OAEPDigest.sha256, .sha1] {
            let pair = ImportPair(privateKey: handle, publicKey: publicKey, digest: digest, quirks: quirks)
            do throws(ImportFailure) {
                try ImportTrial(pair).run(session: &session, scratch: &scratch)
                return pair
            } catch {
                // What a token says to a digest that it cannot differs; the next one decides.
                failure = error
            }
        }
        switch failure {
        case .unproven: throw .attributes("it does not unwrap as it should")
        case .notAsOrdered(let what): throw .attributes(what)
        case .token(let error) where error.meansLost: throw .token(error)
        case .token(let error): throw .attributes("it does not unwrap: \(error)")
        }
    }

    /// The public half of an import pair's private key, as a DER SubjectPublicKeyInfo.
    static func publicKey(of handle: ObjectHandle, session: inout Session) throws(CryptokiError) -> [UInt8] {
        RSAPublicKey.der(
            modulus: try session.bytes(.modulus, of: handle), exponent: try session.bytes(.publicExponent, of: handle))
    }
}
