import ClavigerWire
import Testing

/// The text form: one for each sequence of bytes, and nothing else is accepted.
@Suite struct EnvelopeTextTests {
    static let vectors = Result { try Checkout.vectors("texts") }
    static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

    private func decode(_ text: [UInt8]) -> [UInt8]? { try? EnvelopeText.decode(text.span.bytes) }

    @Test(arguments: try vectors.get())
    func vectorIsAcceptedOrRefused(_ vector: Vector) throws {
        let text = try Array(vector.json("text", as: String.self).utf8)
        if vector.headers["refusal"] == nil {
            #expect(decode(text) == (try vector.bytes("bytes")))
        } else {
            do throws(Refusal) {
                _ = try EnvelopeText.decode(text.span.bytes)
                Issue.record("accepted")
            } catch { #expect(error.code.name == vector["refusal"]) }
        }
    }

    @Test func everyLengthComesBack() {
        var random = SplitMix64(seed: 3)
        for count in Array(1...70) + [Envelope.maximumLength - 1, Envelope.maximumLength] {
            let bytes = random.bytes(count)
            let text = Array(EnvelopeText.encode(bytes.span.bytes).utf8)
            #expect(decode(text) == bytes)
            #expect(decode(text + [0x0a]) == bytes)
            #expect(text.count + 1 <= EnvelopeText.maximumLength)
            let isText = EnvelopeText.hasPrefix(text.span.bytes)
            #expect(isText)
        }
        let longest = [UInt8](repeating: 1, count: Envelope.maximumLength)
        #expect(EnvelopeText.encode(longest.span.bytes).utf8.count + 1 == EnvelopeText.maximumLength)
        let tooLong = [UInt8](repeating: UInt8(ascii: "A"), count: EnvelopeText.maximumLength + 4)
        #expect(decode(Array("clv1.".utf8) + tooLong) == nil)
    }

    /// Of all two- and three-digit endings exactly those with zero spare bits are accepted, and each gives other bytes.
    @Test func spareBitsMustBeZero() {
        var seen: Set<[UInt8]> = []
        for first in Self.alphabet {
            for (value, second) in Self.alphabet.enumerated() {
                let bytes = decode(Array("clv1.".utf8) + [first, second])
                #expect((bytes != nil) == (value % 16 == 0))
                if let bytes { seen.insert(bytes) }
            }
        }
        #expect(seen.count == 256)
        for (value, third) in Self.alphabet.enumerated() {
            #expect((decode(Array("clv1.AA".utf8) + [third]) != nil) == (value % 4 == 0))
        }
    }

    @Test func onlyTheAlphabetIsAccepted() {
        for byte in UInt8.min...UInt8.max {
            let text = Array("clv1.A".utf8) + [byte] + Array("AA".utf8)
            #expect((decode(text) != nil) == Self.alphabet.contains(byte))
        }
    }

    @Test func whatIsAcceptedIsWhatIsWritten() {
        var random = SplitMix64(seed: 4)
        var accepted = 0
        for _ in 0..<20_000 {
            let count = Int.random(in: 0...9, using: &random)
            let pool = random.chance(1, in: 10) ? Self.alphabet + Array("=+/ \n.".utf8) : Self.alphabet
            let text = Array("clv1.".utf8) + (0..<count).map { _ in pool.randomElement(using: &random) ?? 0 }
            guard let bytes = decode(text) else { continue }
            accepted += 1
            let written = Array(EnvelopeText.encode(bytes.span.bytes).utf8)
            #expect(written == text || written + [0x0a] == text)
        }
        #expect(accepted > 1_000)
    }
}
