import ClavigerImport
import ClavigerWire
import Cryptoki
import SecureMemory
import Support
import Synchronization
import Testing

@testable import ClavigerCore

/// The way of a key from outside into the token, and the ways that must not exist. What the token does to the pair's own attributes is
/// tried by an attacker's means in the system tests.
///
/// One after the other: each counts what the others would leave for the length of a call.
@Suite(.serialized) struct ImportPairTests {
    static let quirks = TokenQuirks()
    static let factory = ObjectFactory(instance: ObjectTemplateTests.instance, files: nil, quirks: quirks)
    static let name = ObjectName(key: KeyID(high: 0x1111, low: 0x2222), version: 1, role: .importPair)

    /// One pair for all tests: making it takes seconds. It goes with the token's directory.
    private static let shared = Result { () throws -> ImportPair in
        try SoftToken.shared().withObjects {
            var bench = try Bench.make()
            // With the token's files, so that the pair is known to be whole on the disk.
            let directory = try TemporaryDirectory()
            let files = TokenFiles(storage: try SoftToken.shared().store.tokens, stateDirectory: directory.path)
            let before = try files.objects()
            let durable = ObjectFactory(instance: ObjectTemplateTests.instance, files: files, quirks: quirks)
            let pair = try durable.makeImportPair(name, session: &bench.session, scratch: &bench.scratch)
            let fresh = try files.objects().subtracting(before)
            #expect(fresh.count == 1, "only the private key stays on the token")
            return pair
        }
    }

    /// A session and scratch memory.
    private struct Bench: ~Copyable {
        var session: Session
        var scratch: CipherScratch

        static func make() throws -> Bench {
            let session = try SoftToken.shared().openSession()
            return Bench(session: session, scratch: try CipherScratch())
        }

        mutating func existing(_ name: ObjectName) throws(ObjectFailure) -> ImportPair? {
            try ImportPairTests.factory.existingImportPair(name, isFromDisk: false, session: &session, scratch: &scratch)
        }

        mutating func verify(_ wrapped: WrappedMaterial, _ pair: ImportPair) -> ImportFailure? {
            do throws(ImportFailure) {
                try pair.verify(wrapped, session: &session, scratch: &scratch)
                return nil
            } catch {
                return error
            }
        }

        mutating func unwrap(_ name: ObjectName, _ wrapped: WrappedMaterial, _ pair: ImportPair) throws -> SuiteHandles {
            try ImportPairTests.factory.unwrapVersion(name, wrapped, by: pair, session: &session, scratch: &scratch)
        }

        mutating func create(_ name: ObjectName, _ material: [UInt8]) throws -> SuiteHandles {
            try ImportPairTests.factory.createVersion(name, material: material.span.bytes, session: &session)
        }

        /// Proves the version as its known answer does, and gives a ciphertext of it for judges outside.
        mutating func proof(_ name: ObjectName, _ handles: SuiteHandles) throws -> KnownAnswer {
            try ImportPairTests.factory.proof(name, handles, session: &session, scratch: &scratch)
        }

        /// How many keys there are that are like those which open proofs.
        mutating func proofKeys() throws -> Int {
            let flags = ObjectTemplate.proofKey(ImportPairTests.quirks).filter {
                if case .bool = $0.value { true } else { false }
            }
            return try session.findObjects(matching: flags, limit: 100).count
        }

        mutating func destroyAll(_ name: ObjectName) throws {
            for object in try session.findObjects(matching: [.id(name.objectID)], limit: 10) {
                try session.destroyObject(object)
            }
        }
    }

    /// What a client sends, with everything about it to be had.
    private struct Shipment {
        var material: [UInt8]
        var token = ImportTokenID(high: 1, low: 2)
        var key = KeyID(high: 3, low: 4)
        var nonce: [UInt8] = (1...12).map { UInt8($0) }
        /// What the daemon believes; nil: what the client says.
        var statedBits: UInt32?

        func wrapped(_ pair: ImportPair) throws -> WrappedMaterial {
            let parcel = try ImportParcel(
                material: material.span.bytes, publicKey: pair.publicKey.span.bytes, digest: pair.digest,
                nonce: nonce.span.bytes, token: token, key: key)
            let bits = statedBits ?? parcel.bits
            return WrappedMaterial(
                payload: parcel.encryptedPayload, proof: parcel.proof, nonce: nonce,
                associatedData: ImportProof.associatedData(token: token, key: key, bits: bits), bits: bits)
        }

        /// As a client would send it that wraps what is no AES key, or lies about its length.
        func forged(_ pair: ImportPair, bits: UInt32) throws -> WrappedMaterial {
            let data = ImportProof.associatedData(token: token, key: key, bits: bits)
            let iv = [UInt8](repeating: 9, count: ImportProof.ivLength)
            let sealed = Oracle.sealGCM(key: material, iv: iv, aad: data, plaintext: nonce)
            let payload = try RSAPublicKey(pair.publicKey.span.bytes).encrypt(material.span.bytes, pair.digest)
            return WrappedMaterial(payload: payload, proof: iv + sealed, nonce: nonce, associatedData: data, bits: bits)
        }
    }

    private static func material(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: 7 &* $0 &+ 1) } }

    /// SoftHSM 2.6.1 can OAEP with SHA-1 only.
    @Test func theDigestIsTheOneThatTheTokenTakes() throws {
        let pair = try ImportPairTests.shared.get()
        #expect(pair.digest == .sha1)
        let key = try RSAPublicKey(pair.publicKey.span.bytes)
        #expect(key.bits == 4_096)
    }

    @Test func aPairIsFoundAgainAndTheSame() throws {
        let pair = try ImportPairTests.shared.get()
        let found = try SoftToken.shared().withObjects {
            var bench = try Bench.make()
            return try bench.existing(ImportPairTests.name)
        }
        #expect(found == pair)
        let other = ObjectName(key: KeyID(high: 0x1111, low: 0x2223), version: 1, role: .importPair)
        let none = try SoftToken.shared().withObjects {
            var bench = try Bench.make()
            return try bench.existing(other)
        }
        #expect(none == nil)
    }

    @Test(arguments: [16, 24, 32])
    func aProvenKeyBecomesAVersion(count: Int) throws {
        let pair = try ImportPairTests.shared.get()
        let shipment = Shipment(material: ImportPairTests.material(count))
        let wrapped = try shipment.wrapped(pair)
        let name = ObjectTemplateTests.name(.cipher)
        let answer = try SoftToken.shared().withObjects { () throws -> KnownAnswer in
            var bench = try Bench.make()
            let failure = bench.verify(wrapped, pair)
            #expect(failure == nil)
            let handles = try bench.unwrap(name, wrapped, pair)
            defer { try? bench.destroyAll(name) }
            return try bench.proof(name, handles)
        }
        #expect(opens(answer, name, shipment.material))
    }

    @Test(arguments: [16, 24, 32])
    func plainMaterialBecomesAVersion(count: Int) throws {
        let material = ImportPairTests.material(count)
        let name = ObjectTemplateTests.name(.cipher)
        let answer = try SoftToken.shared().withObjects { () throws -> KnownAnswer in
            var bench = try Bench.make()
            let handles = try bench.create(name, material)
            defer { try? bench.destroyAll(name) }
            return try bench.proof(name, handles)
        }
        #expect(opens(answer, name, material))
    }

    /// libcrypto opens the known answer with the material: the object on the token is this very key.
    private func opens(_ answer: KnownAnswer, _ name: ObjectName, _ material: [UInt8]) -> Bool {
        guard let envelope = try? Envelope(answer.ciphertext.span.bytes) else { return false }
        let header = Envelope.header(suite: .aesGCM, keyID: name.key, version: name.version)
        let context = Context.empty
        let aad = Envelope.associatedData(label: .knownAnswer, header: header.span.bytes, context: context.span.bytes)
        let iv = Array(answer.ciphertext[envelope.iv.offset..<envelope.ciphertext.offset])
        let sealed = Array(answer.ciphertext[envelope.ciphertext.offset...])
        guard let opened = Oracle.openGCM(key: material, iv: iv, aad: aad, sealed: sealed) else { return false }
        return SHA256.digest(Array(opened.dropFirst(Envelope.commitmentLength)).span.bytes) == answer.digest
    }

    @Test func theProofIsOfThisImportOnly() throws {
        let pair = try ImportPairTests.shared.get()
        let shipment = Shipment(material: ImportPairTests.material(32))
        let honest = try shipment.wrapped(pair)
        var bench = try Bench.make()
        let fine = bench.verify(honest, pair)
        #expect(fine == nil)

        func data(_ change: (inout Shipment) -> Void, bits: UInt32 = 256) -> [UInt8] {
            var other = shipment
            change(&other)
            return ImportProof.associatedData(token: other.token, key: other.key, bits: bits)
        }
        var cases: [(String, WrappedMaterial)] = []
        func add(_ what: String, _ change: (inout WrappedMaterial) -> Void) {
            var wrapped = honest
            change(&wrapped)
            cases.append((what, wrapped))
        }
        add("another import token") { $0.associatedData = data { $0.token = ImportTokenID(high: 1, low: 3) } }
        add("another key") { $0.associatedData = data { $0.key = KeyID(high: 3, low: 5) } }
        add("another length") { $0.associatedData = data({ _ in }, bits: 128) }
        add("another nonce") { $0.nonce[11] ^= 1 }
        add("a proof cut short") { $0.proof.removeLast() }
        add("a proof too long") { $0.proof.append(0) }
        add("no proof") { $0.proof = [] }
        add("a nonce cut short") { $0.nonce.removeLast() }
        for index in [0, 11, 12, 23, 24, 39] { add("proof byte \(index)") { $0.proof[index] ^= 0x80 } }
        for index in [0, 1, 255, 511] { add("payload byte \(index)") { $0.payload[index] ^= 1 } }
        add("a payload cut short") { $0.payload.removeLast() }
        // The key of one shipment with the proof of another.
        let other = try Shipment(material: ImportPairTests.material(24)).wrapped(pair)
        add("another key's proof") { $0.proof = other.proof }
        for (what, wrapped) in cases {
            switch bench.verify(wrapped, pair) {
            case .unproven?, .token(.failed)?: break
            case let result: Issue.record("\(what): \(String(describing: result))")
            }
        }
        // Nothing of all this is left: each key ended with its trial.
        let left = try bench.proofKeys()
        #expect(left == 0)
    }

    /// The token takes a blob of any length for an AES key, and does AES with none of these.
    @Test(arguments: [0, 1, 8, 15, 17, 20, 31, 33, 40, 64])
    func otherLengthsProveNothing(count: Int) throws {
        let pair = try ImportPairTests.shared.get()
        var bench = try Bench.make()
        // The oracle reads 32 bytes of key; a client could not do better, since there is no AES of this length.
        let material = ImportPairTests.material(64)
        for bits in ImportProof.keyBits {
            var wrapped = try Shipment(material: material).forged(pair, bits: bits)
            let key = Array(material.prefix(count))
            wrapped.payload = try RSAPublicKey(pair.publicKey.span.bytes).encrypt(key.span.bytes, pair.digest)
            switch bench.verify(wrapped, pair) {
            case .token(.failed)?, .unproven?: break
            case let result: Issue.record("\(count) bytes as \(bits) bits: \(String(describing: result))")
            }
        }
        let left = try bench.proofKeys()
        #expect(left == 0)
    }

    /// Of the three lengths the proof says which it is: SoftHSM does not tell the length of what it has unwrapped, and nobody but the
    /// sender, who has the key, could be deceived. A token that does tell it refuses the lie.
    @Test func amongAESKeysTheSendersWordHolds() throws {
        let pair = try ImportPairTests.shared.get()
        var bench = try Bench.make()
        for count in [16, 24, 32] {
            for bits in ImportProof.keyBits {
                let wrapped = try Shipment(material: ImportPairTests.material(count)).forged(pair, bits: bits)
                let failure = bench.verify(wrapped, pair)
                #expect(failure == nil)
            }
        }
        let left = try bench.proofKeys()
        #expect(left == 0)
    }

    /// With another template the same blob would be readable: it is the pair that forbids it, not the daemon's good will.
    @Test func theFenceIsThePairs() throws {
        let pair = try ImportPairTests.shared.get()
        let shipment = Shipment(material: ImportPairTests.material(32))
        let wrapped = try shipment.wrapped(pair)
        var session = try SoftToken.shared().openSession()
        for (type, value) in [(AttributeType.sensitive, false), (.extractable, true), (.sign, true), (.wrap, true)] {
            let attributes = pair.proofKey.map { $0.type == type ? .bool(type, value) : $0 }
            #expect(throws: CryptokiError.failed(.unwrapKey, .templateInconsistent)) {
                _ = try session.unwrapKey(
                    .rsaOAEP(.sha1), unwrappingKey: pair.privateKey, wrapped: wrapped.payload.span.bytes, attributes)
            }
        }
        #expect(throws: CryptokiError.failed(.decryptInit, .keyFunctionNotPermitted)) {
            var output = [UInt8](repeating: 0, count: 512)
            _ = try output.withUnsafeMutableBytes { output in
                try session.decrypt(
                    .rsaOAEP(.sha1), key: pair.privateKey, ciphertext: wrapped.payload.span.bytes, into: output)
            }
        }
    }

    /// The rehearsal finds out what a token without the fence gives away.
    @Test func aPairWithoutAFenceIsRefused() throws {
        let name = ObjectTemplateTests.name(.importPair)
        let template = ObjectTemplate(
            name, suite: .aesGCM, instance: ObjectTemplateTests.instance, quirks: ImportPairTests.quirks)
        var bench = try Bench.make()
        let attributes = template.privateKey.filter { $0.type != .unwrapTemplate && $0.type != .token } + [.bool(.token, false)]
        let made = try bench.session.generateKeyPair(
            .rsaKeyPairGeneration,
            publicKey: template.publicKey.map { $0.type == .modulusBits ? .ulong(.modulusBits, 3_072) : $0 },
            privateKey: attributes)
        let difference = try template.difference(of: made.privateKey, session: &bench.session)
        #expect(difference == "CKA_TOKEN is not true")
        let fence = try template.pairDifference(of: made.privateKey, session: &bench.session)
        #expect(fence == "CKA_UNWRAP_TEMPLATE differs")
        let publicKey = RSAPublicKey.der(
            modulus: try bench.session.bytes(.modulus, of: made.privateKey), exponent: RSAPublicKey.exponent)
        let pair = ImportPair(privateKey: made.privateKey, publicKey: publicKey, digest: .sha1, quirks: ImportPairTests.quirks)
        #expect(throws: ImportFailure.self) { try ImportTrial(pair).run(session: &bench.session, scratch: &bench.scratch) }
        let wrapped = try Shipment(material: ImportPairTests.material(32)).wrapped(pair)
        let readable = pair.proofKey.map { attribute -> Attribute in
            switch attribute.type {
            case .sensitive: .bool(.sensitive, false)
            case .extractable: .bool(.extractable, true)
            case _: attribute
            }
        }
        let key = try bench.session.unwrapKey(
            .rsaOAEP(.sha1), unwrappingKey: pair.privateKey, wrapped: wrapped.payload.span.bytes, readable)
        let value = try bench.session.bytes(.value, of: key)
        #expect(value == ImportPairTests.material(32))
    }
}
