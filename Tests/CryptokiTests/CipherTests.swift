import Cryptoki
import Support
import Testing

@Suite struct CipherTests {
    @Test(arguments: [(0, 0), (1, 0), (32, 24), (64, 8_192), (4_128, 1), (65_537, 3)])
    func gcmIsWhatLibcryptoComputes(length: Int, aadLength: Int) throws {
        let token = try SoftToken.shared()
        var session = try token.openSession()
        var random = SeededGenerator(seed: UInt64(length * 31 + aadLength))
        let secret = random.bytes(32)
        let key = try session.createObject(Templates.imported(.aes), value: secret.span.bytes)
        let iv = random.bytes(12)
        let aad = random.bytes(aadLength)
        let plaintext = random.bytes(length)
        let sealed = try filled(length + 16) { (output) throws(CryptokiError) in
            try session.encrypt(
                .aesGCM(iv: iv.span.bytes, additionalData: aad.span.bytes, tagBits: 128), key: key,
                plaintext: plaintext.span.bytes, into: output)
        }
        #expect(sealed == Oracle.encryptGCM(key: secret, iv: iv, aad: aad, plaintext: plaintext))
        let opened = try filled(length + 16) { (output) throws(CryptokiError) in
            try session.decrypt(
                .aesGCM(iv: iv.span.bytes, additionalData: aad.span.bytes, tagBits: 128), key: key,
                ciphertext: sealed.span.bytes, into: output)
        }
        #expect(opened == plaintext)
    }

    @Test func forgeriesFailAndLeaveTheSessionUsable() throws {
        let token = try SoftToken.shared()
        var session = try token.openSession()
        var random = SeededGenerator(seed: 7)
        let key = try session.generateKey(.aesKeyGeneration, Templates.aes())
        let iv = random.bytes(12)
        let aad = random.bytes(20)
        let plaintext = random.bytes(32)
        let sealed = try filled(48) { (output) throws(CryptokiError) in
            try session.encrypt(
                .aesGCM(iv: iv.span.bytes, additionalData: aad.span.bytes, tagBits: 128), key: key,
                plaintext: plaintext.span.bytes, into: output)
        }
        var buffer = [UInt8](repeating: 0xaa, count: 48)
        for bit in 0..<(sealed.count * 8) {
            var forged = sealed
            forged[bit / 8] ^= 1 << (bit % 8)
            let error = open(&session, key, iv, aad, forged, &buffer)
            guard case .failed(.decrypt, _)? = error else {
                Issue.record("bit \(bit): \(String(describing: error))")
                return
            }
            try #require(buffer.allSatisfy { $0 == 0 }, "output after a forgery")
            buffer = [UInt8](repeating: 0xaa, count: 48)
        }
        #expect(open(&session, key, iv, aad + [0], sealed, &buffer) != nil)
        #expect(open(&session, key, iv, aad, Array(sealed.prefix(15)), &buffer) != nil)
        #expect(open(&session, key, iv, aad, [], &buffer) != nil)
        #expect(open(&session, key, iv, aad, sealed, &buffer) == nil)
        #expect(Array(buffer.prefix(32)) == plaintext)
    }

    @Test func buffersTooSmallAreRefusedBeforeTheCall() throws {
        let token = try SoftToken.shared()
        var session = try token.openSession()
        let key = try session.generateKey(.aesKeyGeneration, Templates.aes())
        let iv = [UInt8](repeating: 1, count: 12)
        let plaintext = [UInt8](repeating: 2, count: 32)
        for capacity in [0, 32, 47] {
            let error = caught { () throws(CryptokiError) in
                _ = try filled(capacity) { (output) throws(CryptokiError) in
                    try session.encrypt(
                        .aesGCM(iv: iv.span.bytes, additionalData: RawSpan(), tagBits: 128), key: key,
                        plaintext: plaintext.span.bytes, into: output)
                }
            }
            #expect(error == .bufferTooSmall(needed: 48))
        }
        var buffer = [UInt8](repeating: 0, count: 47)
        #expect(open(&session, key, iv, [], [UInt8](repeating: 0, count: 48), &buffer) == .bufferTooSmall(needed: 48))
    }

    @Test func cbcIsWhatLibcryptoComputes() throws {
        let token = try SoftToken.shared()
        var session = try token.openSession()
        var random = SeededGenerator(seed: 11)
        let secret = random.bytes(32)
        let iv = random.bytes(16)
        let plaintext = random.bytes(160)
        let key = try session.createObject(Templates.imported(.aes), value: secret.span.bytes)
        let sealed = try filled(160) { (output) throws(CryptokiError) in
            try session.encrypt(.aesCBC(iv: iv.span.bytes), key: key, plaintext: plaintext.span.bytes, into: output)
        }
        #expect(sealed == Oracle.encryptCBC(key: secret, iv: iv, plaintext: plaintext))
        let opened = try filled(160) { (output) throws(CryptokiError) in
            try session.decrypt(.aesCBC(iv: iv.span.bytes), key: key, ciphertext: sealed.span.bytes, into: output)
        }
        #expect(opened == plaintext)
    }

    @Test func theBeginningOfAnOperationFailsByItsOwnName() throws {
        let token = try SoftToken.shared()
        var session = try token.openSession()
        let key = try session.generateKey(.aesKeyGeneration, Templates.aes())
        let plaintext = [UInt8](repeating: 0, count: 16)
        let unknown = caught { () throws(CryptokiError) in
            _ = try filled(64) { (output) throws(CryptokiError) in
                try session.encrypt(
                    .other(MechanismType(rawValue: 0x7fff_0000), parameter: RawSpan()), key: key,
                    plaintext: plaintext.span.bytes, into: output)
            }
        }
        #expect(unknown == .failed(.encryptInit, .mechanismInvalid))
        let forbidden = caught { () throws(CryptokiError) in
            _ = try filled(64) { (output) throws(CryptokiError) in
                try session.sign(.other(.aesCMAC, parameter: RawSpan()), key: key, data: plaintext.span.bytes, into: output)
            }
        }
        #expect(forbidden == .failed(.signInit, .keyFunctionNotPermitted))
    }

    @Test func rawMechanismsTakeTheirParameter() throws {
        let token = try SoftToken.shared()
        var session = try token.openSession()
        let key = try session.generateKey(.aesKeyGeneration, Templates.aes())
        let iv = [UInt8](repeating: 3, count: 16)
        let plaintext = [UInt8](repeating: 4, count: 32)
        let named = try filled(32) { (output) throws(CryptokiError) in
            try session.encrypt(.aesCBC(iv: iv.span.bytes), key: key, plaintext: plaintext.span.bytes, into: output)
        }
        let raw = try filled(32) { (output) throws(CryptokiError) in
            try session.encrypt(
                .other(.aesCBC, parameter: iv.span.bytes), key: key, plaintext: plaintext.span.bytes, into: output)
        }
        #expect(named == raw)
    }

    @Test func rsaOAEPRoundTrip() throws {
        let token = try SoftToken.shared()
        var session = try token.openSession()
        let pair = try session.generateKeyPair(
            .rsaKeyPairGeneration,
            publicKey: [
                .bool(.token, false), .bool(.private, false), .bool(.encrypt, true), .ulong(.modulusBits, 2_048),
                .bytes(.publicExponent, [1, 0, 1]),
            ], privateKey: [.bool(.token, false), .bool(.private, true), .bool(.sensitive, true), .bool(.decrypt, true)])
        let plaintext = Array("transport".utf8)
        let sealed = try filled(256) { (output) throws(CryptokiError) in
            try session.encrypt(.rsaOAEP(.sha1), key: pair.publicKey, plaintext: plaintext.span.bytes, into: output)
        }
        #expect(sealed.count == 256)
        let opened = try filled(256) { (output) throws(CryptokiError) in
            try session.decrypt(.rsaOAEP(.sha1), key: pair.privateKey, ciphertext: sealed.span.bytes, into: output)
        }
        #expect(opened == plaintext)
    }

    private func open(
        _ session: inout Session, _ key: ObjectHandle, _ iv: [UInt8], _ aad: [UInt8], _ sealed: [UInt8], _ buffer: inout [UInt8]
    ) -> CryptokiError? {
        buffer.withUnsafeMutableBytes { output in
            caught { () throws(CryptokiError) in
                _ = try session.decrypt(
                    .aesGCM(iv: iv.span.bytes, additionalData: aad.span.bytes, tagBits: 128), key: key,
                    ciphertext: sealed.span.bytes, into: output)
            }
        }
    }
}
