import ClavigerWire
import Foundation
import Testing

/// Envelopes, format 1: the golden ones, every length, every truncation.
@Suite struct EnvelopeTests {
    static let vectors = Result { try Checkout.vectors("envelopes") }

    @Test(arguments: try vectors.get())
    func vectorHasTheParts(_ vector: Vector) throws {
        let bytes = try vector.bytes("envelope")
        let envelope = try Envelope(bytes.span.bytes)
        let part = { (range: ByteRange) in Array(bytes[range.offset..<range.offset + range.count]) }
        #expect(String(envelope.suite.rawValue) == vector["suite"])
        #expect(envelope.keyID.description == vector["key-id"])
        #expect(String(envelope.version) == vector["version"])
        #expect(try part(envelope.iv) == vector.bytes("iv"))
        #expect(try part(envelope.ciphertext) == vector.bytes("ciphertext"))
        #expect(try part(envelope.tag) == vector.bytes("tag"))
        #expect(envelope.tag.offset + envelope.tag.count == bytes.count)
        let plaintext = try vector.bytes("plaintext").count
        #expect(envelope.plaintextBound >= plaintext)
        if envelope.suite == .aesGCM {
            #expect(envelope.plaintextBound == plaintext)
            #expect(Envelope.length(plaintext: plaintext, ivLength: envelope.iv.count) == bytes.count)
        }
    }

    @Test(arguments: try vectors.get())
    func vectorAuthenticatesTheSameBytes(_ vector: Vector) throws {
        let bytes = try vector.bytes("envelope")
        let envelope = try Envelope(bytes.span.bytes)
        let header = Envelope.header(suite: envelope.suite, keyID: envelope.keyID, version: envelope.version)
        #expect(header == Array(bytes.prefix(Envelope.headerLength)))
        let label = try #require(EnvelopeLabel(rawValue: vector["label"]))
        let context = try Context.encode(vector.json("context", as: [String].self))
        let data = Envelope.associatedData(label: label, header: header.span.bytes, context: context.span.bytes)
        #expect(try data == vector.bytes("aad"))
    }

    @Test(arguments: try vectors.get())
    func vectorHasTheTextForm(_ vector: Vector) throws {
        let bytes = try vector.bytes("envelope")
        #expect(EnvelopeText.encode(bytes.span.bytes) == vector["text"])
        let text = Array(vector["text"].utf8)
        #expect(try EnvelopeText.decode(text.span.bytes) == bytes)
    }

    /// No label begins another with its separator, so that no use can pass for another.
    @Test func labelsAreDistinct() {
        let encoded = EnvelopeLabel.allCases.map { Array($0.rawValue.utf8) + [0] }
        for (index, label) in encoded.enumerated() {
            for other in encoded[(index + 1)...] { #expect(!label.starts(with: other) && !other.starts(with: label)) }
        }
    }

    /// Ciphertext lengths that each suite can make, by the plaintext lengths it takes.
    static func possible(_ suite: Suite) -> Set<Int> {
        switch suite {
        case .aesGCM: Set((1...4_096).map { 32 + $0 })
        case .aesCBCWithHMAC: Set((1...4_096).map { ($0 / 16 + 1) * 16 })
        case .aesKeyWrapWithHMAC: Set(stride(from: 16, through: 4_096, by: 8).map { $0 + 8 })
        }
    }

    static func envelope(_ suite: Suite, ivLength: Int, ciphertext: Int) -> [UInt8] {
        let tag = suite == .aesGCM ? 16 : 32
        return [0x43, 0x4c, 0x56, 1, suite.rawValue, 0] + [UInt8](repeating: 9, count: 16) + [0, 0, 0, 1, UInt8(ivLength)]
            + [UInt8](repeating: 0xcc, count: ivLength + ciphertext + tag)
    }

    @Test(arguments: [Suite.aesGCM, .aesCBCWithHMAC, .aesKeyWrapWithHMAC], [0, 11, 12, 13, 15, 16, 17, 255])
    func onlyPossibleLengthsAreAccepted(_ suite: Suite, _ ivLength: Int) {
        let ivLengths: [Suite: [Int]] = [.aesGCM: [12, 16], .aesCBCWithHMAC: [16], .aesKeyWrapWithHMAC: [0]]
        let possible = ivLengths[suite, default: []].contains(ivLength) ? Self.possible(suite) : []
        for ciphertext in 0...4_200 {
            let parsed = parse(Self.envelope(suite, ivLength: ivLength, ciphertext: ciphertext))
            if (parsed != nil) != possible.contains(ciphertext) {
                Issue.record("\(suite), IV of \(ivLength): \(ciphertext) bytes are \(parsed == nil ? "refused" : "accepted")")
            }
        }
    }

    @Test func boundsAreThoseOfTheSuites() {
        let lengths = [(Suite.aesGCM, 12), (.aesGCM, 16), (.aesCBCWithHMAC, 16), (.aesKeyWrapWithHMAC, 0)].flatMap { suite, iv in
            Self.possible(suite).map { Self.envelope(suite, ivLength: iv, ciphertext: $0).count }
        }
        #expect(lengths.min() == Envelope.minimumLength)
        #expect(lengths.max() == Envelope.maximumLength)
    }

    /// Padding hides up to 15 bytes: the bound is never too low, and never more than a plaintext can have.
    @Test func plaintextBoundHolds() throws {
        for plaintext in 1...4_096 {
            let gcm = Self.envelope(.aesGCM, ivLength: 12, ciphertext: 32 + plaintext)
            #expect(try Envelope(gcm.span.bytes).plaintextBound == plaintext)
            let cbc = Self.envelope(.aesCBCWithHMAC, ivLength: 16, ciphertext: (plaintext / 16 + 1) * 16)
            let bound = try Envelope(cbc.span.bytes).plaintextBound
            #expect(bound >= plaintext && bound <= 4_096)
        }
        let keyWrap = Self.envelope(.aesKeyWrapWithHMAC, ivLength: 0, ciphertext: 4_104)
        #expect(try Envelope(keyWrap.span.bytes).plaintextBound == 4_096)
    }

    /// The header's bytes that are not free: any other value is `malformed`, without a look at the rest.
    @Test func headerBytesAreFixed() throws {
        let good = try Checkout.vector("envelopes", "suite-1").bytes("envelope")
        for index in [0, 1, 2, 3, 5, 26] {
            for value in UInt8.min...UInt8.max where value != good[index] {
                var altered = good
                altered[index] = value
                // An IV of 16 bytes leaves a ciphertext that is still long enough: only opening it can tell.
                let mayParse = index == 26 && value == 16
                #expect((parse(altered) != nil) == mayParse)
            }
        }
        for value in UInt8.min...UInt8.max where value != 1 {
            var altered = good
            altered[4] = value
            #expect(parse(altered) == nil)
        }
        #expect(parse(good.enumerated().map { $0 == 25 ? 0 : $1 }) == nil, "version 0")
    }

    /// The format has no length of its own: what is cut off suite 1 leaves an envelope of a shorter plaintext, which fails when
    /// it is opened. A truncation is `malformed` exactly when no plaintext has that length.
    @Test(arguments: try vectors.get())
    func truncationsAreMalformedOrShorter(_ vector: Vector) throws {
        let bytes = try vector.bytes("envelope")
        let suite = try Envelope(bytes.span.bytes).suite
        let fixed = try 27 + vector.bytes("iv").count + vector.bytes("tag").count
        let possible = Self.possible(suite)
        for count in 0..<bytes.count where (parse(Array(bytes.prefix(count))) != nil) != possible.contains(count - fixed) {
            Issue.record("\(count) of \(bytes.count) bytes")
        }
    }

    @Test func randomBytesAreParsedOrRefused() {
        var random = SplitMix64(seed: 2)
        var parsed = 0
        for _ in 0..<20_000 {
            let count = Int.random(in: 0...400, using: &random)
            var bytes = random.bytes(count)
            if count >= 27, random.chance(9, in: 10) {
                bytes.replaceSubrange(0..<6, with: [0x43, 0x4c, 0x56, 1, UInt8.random(in: 0...4, using: &random), 0])
                bytes[26] = [0, 12, 16, 255].randomElement(using: &random) ?? 0
            }
            if let envelope = parse(bytes) {
                parsed += 1
                let end = envelope.tag.offset + envelope.tag.count
                #expect(end == bytes.count)
            }
        }
        #expect(parsed > 500)
    }
}
