import ClavigerWire
import Cryptoki
import SecureMemory
import Support
import Testing

@testable import ClavigerCore

@Suite struct SuiteGCMTests {
    static let secret: [UInt8] = (0..<32).map { $0 }
    static let keyID = KeyID(high: 0x0102_0304_0506_4708, low: 0x890a_0b0c_0d0e_0f10)
    static let header = Envelope.header(suite: .aesGCM, keyID: keyID, version: 3)

    /// DESIGN's A, written out here apart from the code under test.
    static func aad(_ label: String, _ header: [UInt8], _ context: [UInt8]) -> [UInt8] {
        Array(label.utf8) + [0] + header + context
    }

    @Test(arguments: [1, 2, 31, 32, 33, 1_000, 4_096], [EnvelopeLabel.wrap, .knownAnswer, .vault])
    func whatTheTokenSealsLibcryptoOpens(length: Int, label: EnvelopeLabel) throws {
        var random = SeededGenerator(seed: UInt64(length))
        let plaintext = random.bytes(length)
        let context = try Context.encode(["tenant=7", "", "ключ"])
        var cipher = try Cipher.make()
        let key = try importKey(SuiteGCMTests.secret, &cipher.session)
        let envelope = try cipher.seal(
            plaintext, label: label, header: SuiteGCMTests.header, context: context, key: key)
        #expect(envelope.count == 26 + 1 + 12 + 32 + length + 16)
        #expect(Array(envelope.prefix(27)) == SuiteGCMTests.header + [12])
        let opened = Oracle.openGCM(
            key: SuiteGCMTests.secret, iv: Array(envelope[27..<39]),
            aad: SuiteGCMTests.aad(label.rawValue, SuiteGCMTests.header, context), sealed: Array(envelope[39...]))
        #expect(opened == [UInt8](repeating: 0, count: 32) + plaintext)
        #expect(try cipher.open(envelope, label: label, context: context, key: key) == plaintext)
    }

    @Test(arguments: [
        "suite-1", "suite-1-no-context", "suite-1-empty-string", "suite-1-version-2", "suite-1-longest", "suite-1-long-iv",
        "suite-1-known-answer",
    ])
    func goldenEnvelopesOpen(name: String) throws {
        let vector = try vector(name)
        let label = try #require(vector["label"].flatMap { EnvelopeLabel(rawValue: $0) })
        // The AAD's end is the context's encoding.
        let aad = try hex(vector["aad"])
        let context = Array(aad.dropFirst(label.rawValue.utf8.count + 1 + Envelope.headerLength))
        var cipher = try Cipher.make()
        let key = try importKey(try hex(vector["key"]), &cipher.session)
        let opened = Result { try cipher.open(try hex(vector["envelope"]), label: label, context: context, key: key) }
        #expect(try opened.get() == hex(vector["plaintext"]))
    }

    @Test func everySealHasAnIVOfItsOwn() throws {
        var cipher = try Cipher.make()
        let key = try importKey(SuiteGCMTests.secret, &cipher.session)
        var ivs: Set<[UInt8]> = []
        for _ in 0..<2_000 {
            let envelope = try cipher.seal([1], header: SuiteGCMTests.header, key: key)
            #expect(ivs.insert(Array(envelope[27..<39])).inserted)
        }
    }

    @Test func everyBitCounts() throws {
        var cipher = try Cipher.make()
        let key = try importKey(SuiteGCMTests.secret, &cipher.session)
        let envelope = try cipher.seal([1, 2, 3], header: SuiteGCMTests.header, key: key)
        for bit in 0..<envelope.count * 8 {
            var forged = envelope
            forged[bit / 8] ^= 1 << UInt8(bit % 8)
            let opened = Result { try cipher.open(forged, key: key) }
            #expect(throws: (any Error).self, "bit \(bit)") { try opened.get() }
        }
        for count in 0..<envelope.count {
            let opened = Result { try cipher.open(Array(envelope.prefix(count)), key: key) }
            #expect(throws: (any Error).self, "\(count) bytes of it") { try opened.get() }
        }
        let longer = Result { try cipher.open(envelope + [0], key: key) }
        #expect(throws: (any Error).self) { try longer.get() }
        #expect(try cipher.open(envelope, key: key) == [1, 2, 3])
    }

    @Test func contextLabelAndKeyAreBound() throws {
        var cipher = try Cipher.make()
        let key = try importKey(SuiteGCMTests.secret, &cipher.session)
        let other = try importKey(SuiteGCMTests.secret.reversed(), &cipher.session)
        let context = try Context.encode(["ab", "c"])
        let envelope = try cipher.seal([1, 2, 3], header: SuiteGCMTests.header, context: context, key: key)
        for strings in [[], [""], ["ab"], ["a", "bc"], ["abc"], ["c", "ab"], ["ab", "c", ""]] {
            let encoded = try Context.encode(strings)
            let opened = Result { try cipher.open(envelope, context: encoded, key: key) }
            #expect(throws: OpenFailure.self, "\(strings)") { try opened.get() }
        }
        for label in [EnvelopeLabel.knownAnswer, .vault] {
            let opened = Result { try cipher.open(envelope, label: label, context: context, key: key) }
            #expect(throws: OpenFailure.self) { try opened.get() }
        }
        let opened = Result { try cipher.open(envelope, context: context, key: other) }
        #expect(throws: OpenFailure.self) { try opened.get() }
        #expect(try cipher.open(envelope, context: context, key: key) == [1, 2, 3])
    }

    /// Whatever opens without the zero block is what an attacker with two keys would make, never what a wrap makes.
    @Test func b5_withoutTheZeroBlockNothingOpens() throws {
        var cipher = try Cipher.make()
        let key = try importKey(SuiteGCMTests.secret, &cipher.session)
        let iv = [UInt8](repeating: 7, count: 12)
        let aad = SuiteGCMTests.aad("claviger/wrap/1", SuiteGCMTests.header, Context.empty)
        func forge(_ content: [UInt8]) -> [UInt8] {
            SuiteGCMTests.header + [12] + iv
                + Oracle.sealGCM(key: SuiteGCMTests.secret, iv: iv, aad: aad, plaintext: content)
        }
        #expect(try cipher.open(forge([UInt8](repeating: 0, count: 32) + [5]), key: key) == [5])
        for bit in 0..<256 {
            var content = [UInt8](repeating: 0, count: 33)
            content[bit / 8] = 1 << UInt8(bit % 8)
            let opened = Result { try cipher.open(forge(content), key: key) }
            #expect(throws: OpenFailure.forged, "bit \(bit)") { try opened.get() }
        }
        let opened = Result { try cipher.open(forge([UInt8](repeating: 9, count: 64)), key: key) }
        #expect(throws: OpenFailure.forged) { try opened.get() }
    }

    @Test(arguments: [16, 32, 64]) func generatedPlaintextIsShownAndIsWhatIsSealed(count: Int) throws {
        var cipher = try Cipher.make()
        let key = try importKey(SuiteGCMTests.secret, &cipher.session)
        var shown: [[UInt8]] = []
        for _ in 0..<20 {
            let envelope = try cipher.seal(
                .generated(count: count, show: { shown.append(Array($0)) }), header: SuiteGCMTests.header,
                handles: .aesGCM(cipher: key))
            #expect(try cipher.open(envelope, key: key) == shown.last)
        }
        #expect(Set(shown).count == 20)
        #expect(shown.allSatisfy { $0.count == count && Set($0).count > count / 4 })
    }

    @Test func aKeyThatMayNotEncryptSealsNothing() throws {
        var cipher = try Cipher.make()
        let key = try cipher.session.createObject(
            [
                .objectClass(.secretKey), .keyType(.aes), .bool(.token, false), .bool(.private, true), .bool(.encrypt, false),
                .bool(.decrypt, true),
            ], value: SuiteGCMTests.secret.span.bytes)
        var isShown = false
        let sealed = Result {
            try cipher.seal(
                .generated(count: 32, show: { _ in isShown = true }), header: SuiteGCMTests.header, handles: .aesGCM(cipher: key))
        }
        #expect(throws: CryptokiError.self) { try sealed.get() }
        #expect(!isShown)
    }
}

@Suite struct KnownAnswerTests {
    @Test func itHoldsForItsKeyAndNameOnly() throws {
        var cipher = try Cipher.make()
        let key = try importKey(SuiteGCMTests.secret, &cipher.session)
        let other = try importKey(SuiteGCMTests.secret.reversed(), &cipher.session)
        let name = ObjectName(key: SuiteGCMTests.keyID, version: 3, role: .cipher)
        let answer = try KnownAnswerProof.make(
            for: name, .aesGCM(cipher: key), session: &cipher.session, scratch: &cipher.scratch)
        func holds(_ answer: KnownAnswer, _ name: ObjectName, _ key: ObjectHandle, _ cipher: inout Cipher) -> Bool {
            (try? KnownAnswerProof.holds(
                answer, for: name, .aesGCM(cipher: key), session: &cipher.session, scratch: &cipher.scratch))
                ?? false
        }
        #expect(holds(answer, name, key, &cipher))
        #expect(!holds(answer, name, other, &cipher))
        #expect(!holds(answer, ObjectName(key: SuiteGCMTests.keyID, version: 4, role: .cipher), key, &cipher))
        #expect(!holds(answer, ObjectName(key: KeyID(high: 0, low: 0), version: 3, role: .cipher), key, &cipher))
        #expect(!holds(KnownAnswer(ciphertext: answer.ciphertext, digest: [UInt8](repeating: 0, count: 32)), name, key, &cipher))
        #expect(!holds(KnownAnswer(ciphertext: [], digest: answer.digest), name, key, &cipher))
        #expect(!holds(.absent, name, key, &cipher))
        for index in answer.ciphertext.indices {
            var damaged = answer
            damaged.ciphertext[index] ^= 1
            // The header's copy in it is not what is authenticated: the name is.
            let isHeader = index >= 6 && index < Envelope.headerLength
            #expect(holds(damaged, name, key, &cipher) == isHeader, "byte \(index)")
        }
        #expect(holds(answer, name, key, &cipher))
    }

    @Test func itSaysNothingOfTheKey() throws {
        var cipher = try Cipher.make()
        let key = try importKey(SuiteGCMTests.secret, &cipher.session)
        let name = ObjectName(key: SuiteGCMTests.keyID, version: 1, role: .canary)
        var answers: [KnownAnswer] = []
        for _ in 0..<10 {
            answers.append(
                try KnownAnswerProof.make(for: name, .aesGCM(cipher: key), session: &cipher.session, scratch: &cipher.scratch))
        }
        // Random part, IV and so ciphertext and digest differ each time.
        #expect(Set(answers.map(\.digest)).count == 10 && Set(answers.map(\.ciphertext)).count == 10)
        let ciphertext = answers[0].ciphertext
        let opened = Oracle.openGCM(
            key: SuiteGCMTests.secret, iv: Array(ciphertext[27..<39]),
            aad: SuiteGCMTests.aad(
                "claviger/known-answer/1", Envelope.header(suite: .aesGCM, keyID: SuiteGCMTests.keyID, version: 1), Context.empty),
            sealed: Array(ciphertext[39...]))
        let plaintext = try #require(opened)
        #expect(plaintext.count == 64 && plaintext.prefix(32).allSatisfy { $0 == 0 })
        let random = Array(plaintext.suffix(32))
        let digest = SHA256.digest(random.span.bytes)
        #expect(digest == answers[0].digest)
    }
}
