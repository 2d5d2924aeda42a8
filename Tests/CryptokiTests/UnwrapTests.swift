import COpenSSL
import Cryptoki
import Support
import Testing

/// RSA pairs that only unwrap, as keys from outside come in by.
@Suite struct UnwrapTests {
    private static let fence: [Attribute] = [
        .objectClass(.secretKey), .keyType(.aes), .bool(.sensitive, true), .bool(.extractable, false), .bool(.encrypt, false),
        .allowedMechanisms([.aesGCM]),
    ]

    /// 2,048 bits, since making longer ones takes seconds.
    private static func pair(_ session: inout Session, fence: [Attribute]?) throws(CryptokiError) -> KeyPair {
        try session.generateKeyPair(
            .rsaKeyPairGeneration,
            publicKey: [
                .bool(.token, false), .bool(.private, false), .ulong(.modulusBits, 2_048),
                .bytes(.publicExponent, [1, 0, 1]), .bool(.encrypt, false), .bool(.verify, false), .bool(.wrap, false),
            ],
            privateKey: [
                .bool(.token, false), .bool(.private, true), .bool(.sensitive, true), .bool(.extractable, false),
                .bool(.decrypt, false), .bool(.sign, false), .bool(.unwrap, true), .allowedMechanisms([.rsaOAEP]),
            ] + (fence.map { [.template(.unwrapTemplate, $0)] } ?? []) + [.bool(.modifiable, false)])
    }

    private static func blob(_ secret: [UInt8], _ session: inout Session, _ pair: KeyPair) throws -> [UInt8] {
        // The private key tells its public half too, so that the public object can go.
        let modulus = try session.bytes(.modulus, of: pair.privateKey)
        let exponent = try session.bytes(.publicExponent, of: pair.privateKey)
        return try #require(Oracle.encryptOAEP(modulus: modulus, exponent: exponent, plaintext: secret))
    }

    @Test func aFencedPairUnwrapsNothingReadable() throws {
        var session = try SoftToken.shared().openSession()
        let pair = try UnwrapTests.pair(&session, fence: UnwrapTests.fence)
        let secret = (0..<32).map { UInt8($0) }
        let blob = try UnwrapTests.blob(secret, &session, pair)

        let read = try session.template(.unwrapTemplate, of: pair.privateKey)
        let readable = Dictionary(uniqueKeysWithValues: read.map { ($0.type, $0.valueBytes) })
        #expect(readable == Dictionary(uniqueKeysWithValues: UnwrapTests.fence.map { ($0.type, $0.valueBytes) }))

        let rest: [Attribute] = [.bool(.token, false), .bool(.private, true), .bool(.decrypt, true)]
        let key = try session.unwrapKey(
            .rsaOAEP(.sha1), unwrappingKey: pair.privateKey, wrapped: blob.span.bytes, UnwrapTests.fence + rest)
        let iv = [UInt8](repeating: 3, count: 12)
        let nothing: [UInt8] = []
        let sealed = Oracle.encryptGCM(key: secret, iv: iv, aad: [], plaintext: Array("proof".utf8))
        let opened = try filled(64) { (output) throws(CryptokiError) in
            try session.decrypt(
                .aesGCM(iv: iv.span.bytes, additionalData: nothing.span.bytes, tagBits: 128), key: key,
                ciphertext: sealed.span.bytes, into: output)
        }
        #expect(opened == Array("proof".utf8))
        #expect(
            caught { () throws(CryptokiError) in _ = try session.bytes(.value, of: key) }
                == .failed(.getAttributeValue, .attributeSensitive))

        // Each demand of the fence, broken one at a time, or left out.
        let broken: [Attribute] = [.bool(.sensitive, false), .bool(.extractable, true), .bool(.encrypt, true)]
        for attribute in broken {
            for replacement in [[attribute], []] {
                let attributes = UnwrapTests.fence.filter { $0.type != attribute.type } + rest + replacement
                let error = caught { () throws(CryptokiError) in
                    _ = try session.unwrapKey(
                        .rsaOAEP(.sha1), unwrappingKey: pair.privateKey, wrapped: blob.span.bytes, attributes)
                }
                #expect(error == .failed(.unwrapKey, .templateInconsistent), "\(attribute) \(replacement.isEmpty)")
            }
        }
        let decrypt = caught { () throws(CryptokiError) in
            _ = try filled(512) { (output) throws(CryptokiError) in
                try session.decrypt(.rsaOAEP(.sha1), key: pair.privateKey, ciphertext: blob.span.bytes, into: output)
            }
        }
        #expect(decrypt == .failed(.decryptInit, .keyFunctionNotPermitted))
    }

    @Test func withoutTheFenceTheSameBlobIsReadable() throws {
        var session = try SoftToken.shared().openSession()
        let pair = try UnwrapTests.pair(&session, fence: nil)
        let secret = (0..<32).map { UInt8($0 + 1) }
        let blob = try UnwrapTests.blob(secret, &session, pair)
        let open: [Attribute] = [
            .objectClass(.secretKey), .keyType(.aes), .bool(.token, false), .bool(.private, true), .bool(.sensitive, false),
            .bool(.extractable, true),
        ]
        let key = try session.unwrapKey(.rsaOAEP(.sha1), unwrappingKey: pair.privateKey, wrapped: blob.span.bytes, open)
        #expect(try session.bytes(.value, of: key) == secret)
        // A key without the attribute has no template to read; SoftHSM says that it is empty.
        let template = try session.template(.unwrapTemplate, of: pair.privateKey)
        #expect(template.isEmpty)
    }

    /// SoftHSM 2.6.1 does OAEP with SHA-1 only; another token would take this blob.
    @Test func theDigestOfTheBlobIsTheMechanisms() throws {
        var session = try SoftToken.shared().openSession()
        let pair = try UnwrapTests.pair(&session, fence: UnwrapTests.fence)
        let blob = try UnwrapTests.blob([UInt8](repeating: 1, count: 16), &session, pair)
        let attributes = UnwrapTests.fence + [.bool(.token, false), .bool(.private, true), .bool(.decrypt, true)]
        let error = caught { () throws(CryptokiError) in
            _ = try session.unwrapKey(
                .rsaOAEP(.sha256), unwrappingKey: pair.privateKey, wrapped: blob.span.bytes, attributes)
        }
        guard case .failed(.unwrapKey, _)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }
}
