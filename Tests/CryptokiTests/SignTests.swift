import Cryptoki
import SecureMemory
import Support
import Testing

@Suite struct SignTests {
    @Test(arguments: [0, 1, 63, 64, 65, 8_192])
    func hmacIsWhatLibcryptoComputes(length: Int) throws {
        let token = try SoftToken.shared()
        var session = try token.openSession()
        var random = SeededGenerator(seed: UInt64(length))
        let secret = random.bytes(32)
        let data = random.bytes(length)
        let key = try session.createObject(Templates.imported(.genericSecret, sign: true), value: secret.span.bytes)
        let mac = try filled(32) { (output) throws(CryptokiError) in
            try session.sign(.hmacSHA256, key: key, data: data.span.bytes, into: output)
        }
        #expect(mac == Oracle.hmac(key: secret, data: data))
        #expect(try session.verify(.hmacSHA256, key: key, data: data.span.bytes, signature: mac.span.bytes))
        var forged = mac
        forged[31] ^= 1
        #expect(try !session.verify(.hmacSHA256, key: key, data: data.span.bytes, signature: forged.span.bytes))
        forged.removeLast()
        #expect(try !session.verify(.hmacSHA256, key: key, data: data.span.bytes, signature: forged.span.bytes))
        // The session takes the next operation after each refusal.
        #expect(try session.verify(.hmacSHA256, key: key, data: data.span.bytes, signature: mac.span.bytes))
    }

    @Test func aShortBufferLeavesNothingActive() throws {
        let token = try SoftToken.shared()
        var session = try token.openSession()
        let secret = [UInt8](repeating: 5, count: 32)
        let data = Array("message".utf8)
        let key = try session.createObject(Templates.imported(.genericSecret, sign: true), value: secret.span.bytes)
        for capacity in [0, 1, 31] {
            let error = caught { () throws(CryptokiError) in
                _ = try filled(capacity) { (output) throws(CryptokiError) in
                    try session.sign(.hmacSHA256, key: key, data: data.span.bytes, into: output)
                }
            }
            #expect(error == .failed(.sign, .bufferTooSmall))
        }
        let mac = try filled(32) { (output) throws(CryptokiError) in
            try session.sign(.hmacSHA256, key: key, data: data.span.bytes, into: output)
        }
        #expect(mac == Oracle.hmac(key: secret, data: data))
    }

    @Test func ecdsaSignaturesVerifyOutsideTheToken() throws {
        let token = try SoftToken.shared()
        var session = try token.openSession()
        let prime256v1: [UInt8] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]
        let pair = try session.generateKeyPair(
            .ecKeyPairGeneration,
            publicKey: [.bool(.token, false), .bool(.private, false), .bool(.verify, true), .bytes(.ecParameters, prime256v1)],
            privateKey: [.bool(.token, false), .bool(.private, true), .bool(.sensitive, true), .bool(.sign, true)])
        let message = Array("to be signed".utf8)
        let digest = SHA256.digest(message.span.bytes)
        let signature = try filled(64) { (output) throws(CryptokiError) in
            try session.sign(.ecdsa, key: pair.privateKey, data: digest.span.bytes, into: output)
        }
        #expect(signature.count == 64)
        // CKA_EC_POINT is a DER octet string around the uncompressed point.
        let point = try session.bytes(.ecPoint, of: pair.publicKey)
        #expect(point.prefix(3) == [0x04, 0x41, 0x04])
        #expect(Oracle.verifyP256(point: Array(point.dropFirst(2)), digest: digest, signature: signature))
        #expect(try session.verify(.ecdsa, key: pair.publicKey, data: digest.span.bytes, signature: signature.span.bytes))
        var forged = signature
        forged[40] ^= 0x10
        #expect(!Oracle.verifyP256(point: Array(point.dropFirst(2)), digest: digest, signature: forged))
        #expect(try !session.verify(.ecdsa, key: pair.publicKey, data: digest.span.bytes, signature: forged.span.bytes))
    }
}
