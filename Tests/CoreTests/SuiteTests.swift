import ClavigerWire
import Cryptoki
import SecureMemory
import Support
import Testing

@testable import ClavigerCore

/// What holds for every suite, and what they must not do to each other.
@Suite struct SuiteTests {
    static let cipherKey: [UInt8] = (0..<32).map { $0 }
    static let authenticationKey: [UInt8] = (64..<96).map { $0 }
    static let keyID = KeyID(high: 0x0102_0304_0506_4708, low: 0x890a_0b0c_0d0e_0f10)
    static func header(_ suite: Suite) -> [UInt8] { Envelope.header(suite: suite, keyID: keyID, version: 3) }

    private static func handles(_ suite: Suite, _ session: inout Session) throws(CryptokiError) -> SuiteHandles {
        try importKeys(suite, cipher: cipherKey, authentication: authenticationKey, &session)
    }

    /// u64 length of A || A || ivlen || IV || C, written out here apart from the code under test.
    private static func macInput(_ envelope: [UInt8], label: String, context: [UInt8], ivLength: Int) -> [UInt8] {
        let header = Array(envelope.prefix(26))
        let aad = Array(label.utf8) + [0] + header + context
        let length = (0..<8).map { UInt8(truncatingIfNeeded: aad.count >> (8 * (7 - $0))) }
        return length + aad + [UInt8(ivLength)] + envelope[27..<(envelope.count - 32)]
    }

    @Test(arguments: [Suite.aesCBCWithHMAC, .aesKeyWrapWithHMAC], [16, 24, 32, 40, 64, 1_024, 4_096])
    func whatTheTokenSealsLibcryptoOpens(suite: Suite, length: Int) throws {
        var random = SeededGenerator(seed: UInt64(length))
        let plaintext = random.bytes(length)
        let context = try Context.encode(["tenant=7", "", "ключ"])
        var cipher = try Cipher.make()
        let handles = try Self.handles(suite, &cipher.session)
        let header = Self.header(suite)
        let envelope = try cipher.seal(plaintext, label: .vault, header: header, context: context, handles: handles)
        #expect(envelope.count == Envelope.length(suite, plaintext: length))
        let ivLength = suite == .aesCBCWithHMAC ? 16 : 0
        #expect(Array(envelope.prefix(27)) == header + [UInt8(ivLength)])
        let mac = Oracle.hmac(
            key: Self.authenticationKey,
            message: Self.macInput(envelope, label: "claviger/vault/1", context: context, ivLength: ivLength))
        #expect(Array(envelope.suffix(32)) == mac)
        let body = Array(envelope[(27 + ivLength)..<(envelope.count - 32)])
        let opened =
            suite == .aesCBCWithHMAC
            ? Oracle.openCBC(key: Self.cipherKey, iv: Array(envelope[27..<43]), ciphertext: body)
            : Oracle.unwrap(key: Self.cipherKey, wrapped: body)
        #expect(opened == plaintext)
        #expect(try cipher.open(envelope, label: .vault, context: context, handles: handles) == plaintext)
    }

    @Test(arguments: [1, 2, 15, 17, 31, 33, 4_095]) func suite2TakesEveryLength(length: Int) throws {
        var random = SeededGenerator(seed: UInt64(length))
        let plaintext = random.bytes(length)
        var cipher = try Cipher.make()
        let handles = try Self.handles(.aesCBCWithHMAC, &cipher.session)
        let envelope = try cipher.seal(plaintext, header: Self.header(.aesCBCWithHMAC), handles: handles)
        #expect(envelope.count == Envelope.length(.aesCBCWithHMAC, plaintext: length))
        #expect(try cipher.open(envelope, handles: handles) == plaintext)
    }

    @Test func suite3TakesWholeBlocksOnly() {
        let allowed = (0...4_200).filter { Suite.aesKeyWrapWithHMAC.allows(plaintextLength: $0) }
        #expect(allowed == Array(stride(from: 16, through: 4_096, by: 8)))
        for suite in [Suite.aesGCM, .aesCBCWithHMAC] {
            #expect((0...4_200).filter { suite.allows(plaintextLength: $0) } == Array(1...4_096))
        }
    }

    @Test(arguments: ["suite-2", "suite-2-one-byte", "suite-3", "suite-3-shortest"])
    func goldenEnvelopesOpen(name: String) throws {
        let vector = try vector(name)
        let suite = try #require(vector["suite"].flatMap { UInt8($0) }.flatMap { Suite(rawValue: $0) })
        let label = try #require(vector["label"].flatMap { EnvelopeLabel(rawValue: $0) })
        let aad = try hex(vector["aad"])
        let context = Array(aad.dropFirst(label.rawValue.utf8.count + 1 + Envelope.headerLength))
        var cipher = try Cipher.make()
        let handles = try importKeys(
            suite, cipher: try hex(vector["key"]), authentication: try hex(vector["mac-key"]), &cipher.session)
        let opened = Result {
            try cipher.open(try hex(vector["envelope"]), label: label, context: context, handles: handles)
        }
        #expect(try opened.get() == hex(vector["plaintext"]))
    }

    @Test(arguments: [Suite.aesCBCWithHMAC, .aesKeyWrapWithHMAC]) func everyBitCounts(suite: Suite) throws {
        var cipher = try Cipher.make()
        let handles = try Self.handles(suite, &cipher.session)
        let plaintext: [UInt8] = (1...16).map { $0 }
        let envelope = try cipher.seal(plaintext, header: Self.header(suite), handles: handles)
        for bit in 0..<envelope.count * 8 {
            var forged = envelope
            forged[bit / 8] ^= 1 << UInt8(bit % 8)
            let opened = Result { try cipher.open(forged, handles: handles) }
            switch opened {
            case .success: Issue.record("bit \(bit) does not count")
            case .failure(let error):
                // Either no envelope at all, or a MAC that differs: never an error of the token that would have to be judged.
                #expect((error as? OpenFailure) == .forged || error is Refusal, "bit \(bit): \(error)")
            }
        }
        for count in 0..<envelope.count {
            let opened = Result { try cipher.open(Array(envelope.prefix(count)), handles: handles) }
            #expect(throws: (any Error).self, "\(count) bytes of it") { try opened.get() }
        }
        #expect(try cipher.open(envelope, handles: handles) == plaintext)
    }

    /// A header that speaks of another suite, over the bytes of this one: neither the version's keys nor any other suite's open it.
    @Test func envelopesOfOneSuiteOpenUnderNoOther() throws {
        var cipher = try Cipher.make()
        var random = SeededGenerator(seed: 7)
        for made in Suite.allCases {
            // The same key values in all suites: only the suite keeps them apart.
            let maker = try Self.handles(made, &cipher.session)
            for length in [16, 24, 32, 40, 48, 64, 80, 96] {
                let envelope = try cipher.seal(random.bytes(length), header: Self.header(made), handles: maker)
                for other in Suite.allCases where other != made {
                    let handles = try Self.handles(other, &cipher.session)
                    let asIs = Result { try cipher.open(envelope, handles: handles) }
                    #expect(throws: OpenFailure.forged) { try asIs.get() }
                    var swapped = envelope
                    swapped[4] = other.rawValue
                    let opened = Result { try cipher.open(swapped, handles: handles) }
                    #expect(throws: (any Error).self) { try opened.get() }
                    let opened2 = Result { try cipher.open(swapped, handles: maker) }
                    #expect(throws: (any Error).self) { try opened2.get() }
                }
            }
        }
    }

    /// Without the MAC the token would decrypt this: the right padding is no excuse.
    @Test func aWrongMACIsRefusedWhateverThePaddingIs() throws {
        var cipher = try Cipher.make()
        let handles = try Self.handles(.aesCBCWithHMAC, &cipher.session)
        let iv = [UInt8](repeating: 9, count: 16)
        for content in [[UInt8](repeating: 16, count: 16), [UInt8](repeating: 0, count: 16)] {
            let body = Oracle.sealCBC(key: Self.cipherKey, iv: iv, plaintext: content + content, pads: false)
            let envelope = Self.header(.aesCBCWithHMAC) + [16] + iv + body + [UInt8](repeating: 1, count: 32)
            let opened = Result { try cipher.open(envelope, handles: handles) }
            #expect(throws: OpenFailure.forged) { try opened.get() }
        }
    }

    /// Behind a good MAC bad padding is no forgery but a fault of the key or the token, and never plaintext.
    @Test(arguments: [0, 17, 255, 1, 3]) func badPaddingBehindAGoodMACIsAFault(last: UInt8) throws {
        var cipher = try Cipher.make()
        let handles = try Self.handles(.aesCBCWithHMAC, &cipher.session)
        let iv = [UInt8](repeating: 9, count: 16)
        let content = [UInt8](repeating: 0xcc, count: 31) + [last]
        let body = Oracle.sealCBC(key: Self.cipherKey, iv: iv, plaintext: content, pads: false)
        let unsigned = Self.header(.aesCBCWithHMAC) + [16] + iv + body
        let mac = Oracle.hmac(
            key: Self.authenticationKey,
            message: Self.macInput(
                unsigned + [UInt8](repeating: 0, count: 32), label: "claviger/wrap/1", context: Context.empty, ivLength: 16))
        let opened = Result { try cipher.open(unsigned + mac, handles: handles) }
        if last == 1 {
            #expect(try opened.get() == Array(content.prefix(31)))
        } else {
            #expect(throws: OpenFailure.token(.malformedReply(.decrypt))) { try opened.get() }
        }
    }

    @Test(arguments: [Suite.aesCBCWithHMAC, .aesKeyWrapWithHMAC]) func contextLabelAndKeysAreBound(suite: Suite) throws {
        var cipher = try Cipher.make()
        let handles = try Self.handles(suite, &cipher.session)
        let other = try importKeys(
            suite, cipher: Self.cipherKey, authentication: Self.authenticationKey.reversed(), &cipher.session)
        let context = try Context.encode(["ab", "c"])
        let plaintext: [UInt8] = (1...16).map { $0 }
        let envelope = try cipher.seal(plaintext, header: Self.header(suite), context: context, handles: handles)
        for strings in [[], [""], ["ab"], ["a", "bc"], ["abc"], ["c", "ab"], ["ab", "c", ""]] {
            let encoded = try Context.encode(strings)
            let opened = Result { try cipher.open(envelope, context: encoded, handles: handles) }
            #expect(throws: OpenFailure.forged, "\(strings)") { try opened.get() }
        }
        for label in [EnvelopeLabel.knownAnswer, .vault] {
            let opened = Result { try cipher.open(envelope, label: label, context: context, handles: handles) }
            #expect(throws: OpenFailure.forged) { try opened.get() }
        }
        let opened = Result { try cipher.open(envelope, context: context, handles: other) }
        #expect(throws: OpenFailure.forged) { try opened.get() }
        #expect(try cipher.open(envelope, context: context, handles: handles) == plaintext)
    }

    @Test(arguments: Suite.allCases, [16, 32, 64]) func generatedPlaintextIsShownAndSealed(suite: Suite, count: Int) throws {
        var cipher = try Cipher.make()
        let handles = try Self.handles(suite, &cipher.session)
        var shown: [[UInt8]] = []
        for _ in 0..<20 {
            let envelope = try cipher.seal(
                .generated(count: count, show: { shown.append(Array($0)) }), header: Self.header(suite), handles: handles)
            #expect(try cipher.open(envelope, handles: handles) == shown.last)
        }
        #expect(Set(shown).count == 20)
    }

    @Test(arguments: Suite.allCases) func knownAnswersHoldForTheirKeysOnly(suite: Suite) throws {
        var cipher = try Cipher.make()
        let handles = try Self.handles(suite, &cipher.session)
        let name = ObjectName(key: Self.keyID, version: 3, role: .cipher)
        let answer = try KnownAnswerProof.make(for: name, handles, session: &cipher.session, scratch: &cipher.scratch)
        func holds(_ name: ObjectName, _ handles: SuiteHandles, _ cipher: inout Cipher) -> Bool {
            (try? KnownAnswerProof.holds(answer, for: name, handles, session: &cipher.session, scratch: &cipher.scratch))
                ?? false
        }
        #expect(holds(name, handles, &cipher))
        #expect(!holds(ObjectName(key: Self.keyID, version: 4, role: .cipher), handles, &cipher))
        // The right HMAC key with a wrong AES key, and the other way round.
        let wrongCipher = try importKeys(
            suite, cipher: Self.cipherKey.reversed(), authentication: Self.authenticationKey, &cipher.session)
        #expect(!holds(name, wrongCipher, &cipher))
        if suite.hasAuthenticationKey {
            let wrongMAC = try importKeys(
                suite, cipher: Self.cipherKey, authentication: Self.authenticationKey.reversed(), &cipher.session)
            #expect(!holds(name, wrongMAC, &cipher))
        }
        for other in Suite.allCases where other != suite {
            let handles = try Self.handles(other, &cipher.session)
            #expect(!holds(name, handles, &cipher))
        }
    }

    /// Session objects end with the operation that needed them, whether it succeeded or not. In a process of its own: all of a process
    /// see the session objects of its other sessions.
    @Test func suite3LeavesNothingBehind() async {
        await #expect(processExitsWith: .success) {
            var cipher = try Cipher.make()
            let handles = try Self.handles(.aesKeyWrapWithHMAC, &cipher.session)
            func count(_ cipher: inout Cipher) throws -> Int {
                try cipher.session.findObjects(
                    matching: [.objectClass(.secretKey), .keyType(.genericSecret), .bool(.token, false), .bool(.sign, false)],
                    limit: 1_000
                ).count
            }
            let before = try count(&cipher)
            let envelope = try cipher.seal(
                [UInt8](repeating: 1, count: 32), header: Self.header(.aesKeyWrapWithHMAC), handles: handles)
            _ = try cipher.open(envelope, handles: handles)
            // A wrapping key that may not wrap: the DEK was made and must go all the same.
            let useless = SuiteHandles.aesKeyWrapWithHMAC(cipher: handles.all[1], authentication: handles.all[1])
            let failed = Result {
                try cipher.seal(
                    [UInt8](repeating: 1, count: 32), header: Self.header(.aesKeyWrapWithHMAC), handles: useless)
            }
            #expect(throws: CryptokiError.self) { try failed.get() }
            let after = try count(&cipher)
            #expect(after == before)
        }
    }
}
