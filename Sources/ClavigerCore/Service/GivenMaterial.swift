import ClavigerImport
import ClavigerWire

/// The material that a request brings, in whatever form.
struct GivenMaterial {
    /// As it is, in the request's locked memory.
    let payload: UnsafeRawBufferPointer?
    /// Encrypted by an import token.
    let parcel: Parcel?

    /// What comes encrypted.
    struct Parcel {
        var token: ImportTokenID
        var payload: [UInt8]
        var proof: [UInt8]
        var nonce: [UInt8]
        var bits: UInt32
    }

    init(_ message: KeyCreateRequest, _ body: UnsafeRawBufferPointer) {
        payload = message.payload.map { UnsafeRawBufferPointer(rebasing: body[$0.offset..<$0.offset + $0.count]) }
        parcel = Parcel(
            message.importToken, message.encryptedPayload, message.proof, message.nonce, message.bits)
    }

    init(_ message: KeyRotateRequest, _ body: UnsafeRawBufferPointer) {
        payload = message.payload.map { UnsafeRawBufferPointer(rebasing: body[$0.offset..<$0.offset + $0.count]) }
        parcel = Parcel(
            message.importToken, message.encryptedPayload, message.proof, message.nonce, message.bits)
    }

    /// Where the material comes from.
    var origin: MaterialOrigin {
        if parcel != nil { return .importToken }
        return payload == nil ? .token : .plain
    }

    /// Requires that such a key can be made of it.
    ///
    /// - Parameters:
    ///   - suite: the one asked for.
    ///   - key: the new key's id, where the client has chosen it.
    func requireUsable(for kind: KeyKind, suite: Suite?, key: KeyID?) throws(Refusal) {
        switch kind {
        case .standard:
            guard parcel == nil else {
                throw Refusal(.invalidValue, "import tokens are for root keys: a standard key's secret comes as it is")
            }
            guard suite == nil else {
                throw Refusal(.suiteUnsupported, "a standard key has no suite of its own: the vault's holds")
            }
        case .root:
            if let payload {
                guard GivenMaterial.keyLengths.contains(payload.count) else {
                    throw Refusal(
                        .invalidValue, "the material has \(payload.count) bytes; a root key has 16, 24 or 32")
                }
            }
            guard suite == nil || suite == .aesGCM else {
                throw Refusal(
                    .suiteUnsupported, "keys from outside wrap with \(Suite.aesGCM.name): the other suites need a second key")
            }
        }
        if let key {
            guard parcel != nil else { throw Refusal(.invalidValue, "a key's id is chosen with an import token only") }
            // Of version 4 and the variant of RFC 9562, as all ids are: whoever makes ids of his own uses random ones.
            guard key.high >> 12 & 0xf == 4, key.low >> 62 == 2 else {
                throw Refusal(.invalidValue, "the new key's id must be a random UUID (version 4)")
            }
        }
    }

    /// What the token gets.
    ///
    /// - Parameter key: the new key's id, or that of the key to be rotated.
    func material(for key: KeyID) throws(Refusal) -> NewMaterial {
        if let parcel {
            let data = ImportProof.associatedData(token: parcel.token, key: key, bits: parcel.bits)
            return .wrapped(
                WrappedMaterial(
                    payload: parcel.payload, proof: parcel.proof, nonce: parcel.nonce, associatedData: data, bits: parcel.bits),
                parcel.token)
        }
        guard let payload else { throw Refusal(.payloadRequired) }
        return .plain(payload)
    }

    /// The lengths of AES keys in bytes.
    private static let keyLengths: Set<Int> = Set(ImportProof.keyBits.map { Int($0 / 8) })
}

extension GivenMaterial.Parcel {
    /// Nil unless every part is there.
    fileprivate init?(
        _ token: ImportTokenID?, _ payload: [UInt8]?, _ proof: [UInt8]?, _ nonce: [UInt8]?, _ bits: UInt32?
    ) {
        guard let token, let payload, let proof, let nonce, let bits else { return nil }
        self.init(token: token, payload: payload, proof: proof, nonce: nonce, bits: bits)
    }
}

extension KeyCreateRequest {
    /// Requires that the fields of an import stand together or not at all: a part of them would be passed over in silence.
    func requireConsistent() throws(Refusal) {
        try requireTogether([
            ("import-token", importToken != nil), ("encrypted-payload", encryptedPayload != nil), ("proof", proof != nil),
            ("bits", bits != nil), ("nonce", nonce != nil), ("key-id", keyID != nil),
        ])
        guard payload == nil || importToken == nil else { throw Refusal(.invalidValue, bothForms) }
    }
}

extension KeyRotateRequest {
    /// As for key-create.
    func requireConsistent() throws(Refusal) {
        try requireTogether([
            ("import-token", importToken != nil), ("encrypted-payload", encryptedPayload != nil), ("proof", proof != nil),
            ("bits", bits != nil), ("nonce", nonce != nil),
        ])
        guard payload == nil || importToken == nil else { throw Refusal(.invalidValue, bothForms) }
    }
}

private let bothForms = "material comes as it is (payload) or by an import token, not both"

private func requireTogether(_ fields: [(name: String, isThere: Bool)]) throws(Refusal) {
    let missing = fields.filter { !$0.isThere }.map(\.name)
    guard missing.isEmpty || missing.count == fields.count else {
        throw Refusal(.missingField, "an import by an import token also needs: \(missing.joined(separator: ", "))")
    }
}
