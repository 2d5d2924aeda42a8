import ClavigerImport
import ClavigerWire
import Cryptoki
import SecureMemory

/// What a secure import brings: a key that only an import pair can unwrap, and the proof that its sender holds it.
package struct WrappedMaterial: Sendable, Equatable {
    /// The key under RSAES-OAEP.
    package var payload: [UInt8]
    /// The proof, as `ImportProof` has it.
    package var proof: [UInt8]
    /// The nonce that the proof is of.
    package var nonce: [UInt8]
    /// What the proof authenticates.
    package var associatedData: [UInt8]
    /// The key's length in bits, as its sender says.
    package var bits: UInt32

    package init(payload: [UInt8], proof: [UInt8], nonce: [UInt8], associatedData: [UInt8], bits: UInt32) {
        self.payload = payload
        self.proof = proof
        self.nonce = nonce
        self.associatedData = associatedData
        self.bits = bits
    }
}

/// Why a secure import did not come about.
package enum ImportFailure: Error, Equatable, Sendable {
    /// The key works and the proof is not of it, or not of this nonce, token, key or length.
    case unproven
    /// The token made of the blob something else than was asked; it was destroyed again.
    case notAsOrdered(String)
    /// The token refused. A blob that was altered and a token that is lost can give the same code.
    case token(CryptokiError)
}

// The proof of possession, judged in the token: the key's bytes are never here.
extension ImportPair {
    /// Makes sure that whoever sent the material holds it: unwraps it into an object of this session that decrypts and nothing else, opens
    /// the proof with it, and destroys it.
    ///
    /// The token does AES-GCM with 128, 192 and 256 bits only, so a key of another length proves nothing, although some tokens take it
    /// for one of AES. Which of the three it is the proof says, and the token where it knows.
    package func verify(
        _ wrapped: WrappedMaterial, session: inout Session, scratch: inout CipherScratch
    ) throws(ImportFailure) {
        let key = try mapping(ImportFailure.token) { () throws(CryptokiError) in
            try session.unwrapKey(
                .rsaOAEP(digest.mechanism), unwrappingKey: privateKey, wrapped: wrapped.payload.span.bytes,
                proofKey)
        }
        // Should this fail, the object ends with the session.
        defer { try? session.destroyObject(key) }
        let difference = try mapping(ImportFailure.token) { () throws(CryptokiError) in
            try self.difference(of: key, bits: wrapped.bits, session: &session)
        }
        if let difference { throw .notAsOrdered(difference) }
        try ImportPair.open(wrapped, with: key, session: &session, scratch: &scratch)
    }

    /// Opens the proof with a key and compares what comes out with the nonce.
    package static func open(
        _ wrapped: WrappedMaterial, with key: ObjectHandle, session: inout Session, scratch: inout CipherScratch
    ) throws(ImportFailure) {
        guard wrapped.proof.count == ImportProof.byteCount, wrapped.nonce.count == ImportProof.nonceLength else {
            throw .unproven
        }
        let sealed = wrapped.proof.count - ImportProof.ivLength
        let isProven = try scratch.use(sealed) { (_, room) throws(ImportFailure) -> Bool in
            let proof = wrapped.proof.span.bytes
            let count = try mapping(ImportFailure.token) { () throws(CryptokiError) in
                try session.decrypt(
                    .aesGCM(
                        iv: proof.extracting(..<ImportProof.ivLength), additionalData: wrapped.associatedData.span.bytes,
                        tagBits: ImportProof.tagLength * 8),
                    key: key, ciphertext: proof.extracting(ImportProof.ivLength...), into: room)
            }
            return constantTimeEqual(
                UnsafeRawBufferPointer(rebasing: room[..<count]).bytes, wrapped.nonce.span.bytes)
        }
        guard isProven else { throw .unproven }
    }

    /// Whether the token has made of the blob what was asked: some make every unwrapped key readable.
    private func difference(
        of key: ObjectHandle, bits: UInt32, session: inout Session
    ) throws(CryptokiError) -> String? {
        let flags = proofKey.filter { if case .bool = $0.value { true } else { false } }
        let readings = try session.bools(flags.map(\.type), of: key)
        for (flag, reading) in zip(flags, readings) where reading.value.map({ .bool(flag.type, $0) }) != flag {
            return "the token unwraps keys with another \(flag.type) than it is asked for"
        }
        let length = try session.ulong(.valueLength, of: key)
        guard length == 0 || length == UInt(bits / 8) else { return "the material has \(length * 8) bits and not \(bits)" }
        return nil
    }
}

/// The rehearsal of an import with a key of the daemon's own, before a pair is given to anybody.
struct ImportTrial {
    let pair: ImportPair

    init(_ pair: ImportPair) { self.pair = pair }

    /// Sends a random key through the pair as a client would, and then tries to get at it as a thief would who has the PIN.
    func run(session: inout Session, scratch: inout CipherScratch) throws(ImportFailure) {
        let wrapped = try wrap(&session, &scratch)
        try pair.verify(wrapped, session: &session, scratch: &scratch)
        let readable = pair.proofKey.map { attribute -> Attribute in
            switch attribute.type {
            case .sensitive: .bool(.sensitive, false)
            case .extractable: .bool(.extractable, true)
            case _: attribute
            }
        }
        let taken: ObjectHandle
        do throws(CryptokiError) {
            taken = try session.unwrapKey(
                .rsaOAEP(pair.digest.mechanism), unwrappingKey: pair.privateKey, wrapped: wrapped.payload.span.bytes, readable)
        } catch {
            return  // as it should be: the very blob that could be unwrapped before
        }
        try? session.destroyObject(taken)
        throw .notAsOrdered("the token does not hold to CKA_UNWRAP_TEMPLATE: imported keys could be read by whoever has the PIN")
    }

    private func wrap(_ session: inout Session, _ scratch: inout CipherScratch) throws(ImportFailure) -> WrappedMaterial {
        let (token, key): (ImportTokenID, KeyID) = (RandomSource.identifier(), RandomSource.identifier())
        var nonce = [UInt8](repeating: 0, count: ImportProof.nonceLength)
        let filled = nonce.withUnsafeMutableBytes { nonce in
            Result { () throws(CryptokiError) in try RandomSource.fill(nonce, with: &session) }
        }
        try mapping(ImportFailure.token) { () throws(CryptokiError) in try filled.get() }
        let parcel = try scratch.use(ImportTrial.materialLength) { (material, _) throws(ImportFailure) -> ImportParcel in
            try mapping(ImportFailure.token) { () throws(CryptokiError) in
                try RandomSource.fill(material, with: &session)
            }
            return try mapping({ (error: ImportError) in ImportFailure.notAsOrdered("\(error)") }) {
                () throws(ImportError) in
                try ImportParcel(
                    material: UnsafeRawBufferPointer(material).bytes, publicKey: pair.publicKey.span.bytes,
                    digest: pair.digest, nonce: nonce.span.bytes, token: token, key: key)
            }
        }
        return WrappedMaterial(
            payload: parcel.encryptedPayload, proof: parcel.proof, nonce: nonce,
            associatedData: ImportProof.associatedData(token: token, key: key, bits: parcel.bits), bits: parcel.bits)
    }

    private static let materialLength = 32
}
