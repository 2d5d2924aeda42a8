import ClavigerImport
import ClavigerWire
import SecureMemory
import Testing

@testable import ClavigerCore

// What tests of imports and standard keys ask for, in short.
extension TestInstance {
    func makeImportToken(uses: UInt32 = 1, ttl: UInt32? = nil, operation: OperationID? = nil) throws -> ImportTokenRecord {
        let message = ImportTokenCreateRequest(ttl: ttl, operation: operation ?? TestInstance.operation(), uses: uses)
        return try ask(.importTokenCreate, message) { try ImportTokenRecord.decode($0) }
    }

    func take(_ token: ImportTokenID, operation: OperationID? = nil) throws -> ImportTokenTakeReply {
        let message = ImportTokenRequest(id: token, operation: operation ?? TestInstance.operation())
        return try ask(.importTokenTake, message) { try ImportTokenTakeReply.decode($0) }
    }

    func importTokens(limit: UInt32? = nil, cursor: [UInt8]? = nil) throws -> ImportTokenListReply {
        try ask(.importTokenList, PageRequest(limit: limit, cursor: cursor)) { try ImportTokenListReply.decode($0) }
    }

    func deleteImportToken(_ token: ImportTokenID) throws {
        try ask(.importTokenDelete, ImportTokenRequest(id: token, operation: TestInstance.operation())) {
            _ = try EmptyMessage.decode($0)
        }
    }

    /// A request to import material, as an honest client makes it of what an import token gave.
    static func importing(
        _ material: [UInt8], _ taken: ImportTokenTakeReply, name: String = "imported", key: KeyID = RandomSource.identifier()
    ) throws -> KeyCreateRequest {
        let parcel = try ImportParcel(
            material: material.span.bytes, publicKey: taken.publicKey.span.bytes, digest: taken.oaep,
            nonce: taken.nonce.span.bytes, token: taken.id, key: key)
        var message = KeyCreateRequest(name: name, operation: TestInstance.operation())
        message.importToken = taken.id
        message.encryptedPayload = parcel.encryptedPayload
        message.proof = parcel.proof
        message.bits = parcel.bits
        message.nonce = taken.nonce
        message.keyID = key
        return message
    }

    /// A request to give an imported key new material.
    static func rotating(_ key: KeyID, to material: [UInt8], _ taken: ImportTokenTakeReply) throws -> KeyRotateRequest {
        let parcel = try ImportParcel(
            material: material.span.bytes, publicKey: taken.publicKey.span.bytes, digest: taken.oaep,
            nonce: taken.nonce.span.bytes, token: taken.id, key: key)
        var message = KeyRotateRequest(key: .id(key), operation: TestInstance.operation())
        message.reason = "test"
        message.importToken = taken.id
        message.encryptedPayload = parcel.encryptedPayload
        message.proof = parcel.proof
        message.bits = parcel.bits
        message.nonce = taken.nonce
        return message
    }

    func send(_ message: KeyCreateRequest, payload: [UInt8] = []) throws -> KeyRecord {
        try ask(.keyCreate, message, source: payload) { try KeyRecord.decode($0) }
    }

    func send(_ message: KeyRotateRequest, payload: [UInt8] = []) throws -> KeyRecord {
        try ask(.keyRotate, message, source: payload) { try KeyRecord.decode($0) }
    }

    /// Creates a key of material or of a secret that is sent as it is.
    func create(
        _ payload: [UInt8], kind: KeyKind, name: String = "given", _ fill: (inout KeyCreateRequest) -> Void = { _ in }
    ) throws -> KeyRecord {
        var message = KeyCreateRequest(name: name, operation: TestInstance.operation())
        message.kind = kind
        message.payload = ByteRange(offset: 0, count: payload.count)
        fill(&message)
        return try send(message, payload: payload)
    }

    @discardableResult
    func rotate(_ key: KeyID, to payload: [UInt8]) throws -> KeyRecord {
        var message = KeyRotateRequest(key: .id(key), operation: TestInstance.operation())
        message.reason = "test"
        message.payload = ByteRange(offset: 0, count: payload.count)
        return try send(message, payload: payload)
    }

    /// What a daemon leaves that is killed during an import: the change begun and its nonce used, and perhaps the object made.
    func leaveImport(_ message: KeyCreateRequest, makesObject: Bool) throws {
        var body = [UInt8](repeating: 0, count: 4_096)
        let count = body.withUnsafeMutableBytes { memory in
            var writer = BodyWriter(memory)
            message.encode(to: &writer, source: RawSpan())
            return writer.count
        }
        let bits = try #require(message.bits)
        let nonce = try #require(message.nonce)
        let token = try #require(message.importToken)
        var key = StoredKey(
            id: try #require(message.keyID), name: message.name, state: .active, created: clock.now, version: 1)
        key.isImported = true
        let service = try service
        var intent = Intent(
            operation: message.operation, uid: 0, opcode: .keyCreate,
            bodyDigest: SHA256.digest(Array(body.prefix(count)).span.bytes), key: key.id, name: key.name, version: 1,
            suite: .aesGCM, created: clock.now, state: .open, reply: [])
        intent.details = try KeyLedger.encoded(IntentDetails.record(of: key, .imported(bits: bits)))
        try service.token.store.begin(intent, forgetBefore: 0, burning: nonce)
        guard makesObject else { return }
        let wrapped = WrappedMaterial(
            payload: try #require(message.encryptedPayload), proof: try #require(message.proof), nonce: nonce,
            associatedData: ImportProof.associatedData(token: token, key: key.id, bits: bits), bits: bits)
        let pair = try #require(service.token.importPair(token))
        let name = ObjectName(key: key.id, version: 1, role: .cipher)
        _ = try service.token.manage { (session, scratch) throws(ObjectFailure) in
            try service.token.factory.unwrapVersion(name, wrapped, by: pair, session: &session, scratch: &scratch)
        }
    }

    /// Changes the instance's policies.
    func setInstancePolicies(_ values: PolicyValues) throws {
        let message = PolicySetRequest(key: nil, operation: TestInstance.operation(), values: values)
        try ask(.policySet, message) { _ = try PolicyReply.decode($0) }
    }

    struct Secret: Equatable {
        var bytes: [UInt8]
        var version: UInt32
    }

    func read(_ key: KeyID, version: UInt32? = nil) throws -> Secret {
        try ask(.keyRead, KeyReadRequest(key: .id(key), version: version)) { body in
            let reply = try KeyReadReply.decode(body)
            #expect(reply.key == key)
            return Secret(bytes: body.part(reply.payload).array(), version: reply.version)
        }
    }

    /// libcrypto opens an envelope with the material: the token wraps under this very key.
    static func opens(_ envelope: [UInt8], with material: [UInt8]) throws -> [UInt8]? {
        let parts = try Envelope(envelope.span.bytes)
        let header = Array(envelope.prefix(Envelope.headerLength))
        let context = Context.empty
        let aad = Envelope.associatedData(label: .wrap, header: header.span.bytes, context: context.span.bytes)
        return Oracle.openGCM(
            key: material, iv: Array(envelope[parts.iv.offset..<parts.ciphertext.offset]), aad: aad,
            sealed: Array(envelope[parts.ciphertext.offset...])
        ).map { Array($0.dropFirst(Envelope.commitmentLength)) }
    }

    static func material(_ count: Int, seed: UInt8 = 1) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: 31 &* $0 &+ Int(seed)) }
    }
}
