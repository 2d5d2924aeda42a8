import ClavigerWire
import Testing

/// Contexts: their encoding, their limits, and that they are compared as bytes.
@Suite struct ContextTests {
    static let vectors = Result { try Checkout.vectors("contexts") }

    @Test(arguments: try vectors.get())
    func vectorEncodesAndDecodes(_ vector: Vector) throws {
        let strings = try vector.json("strings", as: [String].self)
        let encoding = try vector.bytes("encoding")
        #expect(try Context.encode(strings) == encoding)
        // Strings of Swift compare by canonical equivalence; contexts do not.
        #expect(try Context.decode(encoding.span.bytes).map { Array($0.utf8) } == strings.map { Array($0.utf8) })
    }

    @Test func vectorsAreAllDifferent() throws {
        let encodings = try Self.vectors.get().map { try $0.bytes("encoding") }
        #expect(Set(encodings).count == encodings.count)
        #expect(try Context.empty == Context.encode([]))
        #expect(try Context.encode([""]) != Context.empty)
        #expect(try Context.encode(["\u{e4}"]) != Context.encode(["a\u{308}"]))
    }

    /// Each limit: at it, and one past it.
    @Test func limitsHold() {
        let cases: [(String, [[UInt8]], RefusalCode?)] = [
            ("255 strings", Array(repeating: [], count: 255), nil),
            ("256 strings", Array(repeating: [], count: 256), .contextLimit),
            ("255 scalars of one byte", [Array(repeating: 0x61, count: 255)], nil),
            ("256 scalars of one byte", [Array(repeating: 0x61, count: 256)], .contextLimit),
            ("255 scalars of four bytes", [Array("🔑".utf8).repeated(255)], nil),
            ("256 scalars of four bytes", [Array("🔑".utf8).repeated(256)], .contextLimit),
            ("255 scalars that make one character", [Array("a".utf8) + Array("\u{308}".utf8).repeated(254)], nil),
            ("256 scalars that make one character", [Array("a".utf8) + Array("\u{308}".utf8).repeated(255)], .contextLimit),
            ("1,021 bytes", [Array(repeating: 0x61, count: 1_021)], .contextLimit),
            ("8,192 bytes", Array(repeating: Array("🔑".utf8).repeated(128), count: 16), nil),
            ("8,193 bytes", Array(repeating: Array("🔑".utf8).repeated(128), count: 16) + [[0x61]], .contextLimit),
            ("a byte that is not UTF-8", [[0x61], [0xff]], .invalidText),
            ("an overlong form", [[0xc1, 0xa1]], .invalidText),
            ("a surrogate", [[0xed, 0xbf, 0xbf]], .invalidText),
        ]
        for (name, strings, expected) in cases {
            #expect(contextCode(context(strings)) == expected, "\(name)")
            // The same refusal when it comes as a field, and from the encoder where the strings are text.
            let item = field(1, [1]) + field(3, context(strings))
            let request = field(1, "key") + field(2, list([item]))
            #expect(code(WrapRequest.self, request) == expected, "\(name)")
            if expected != .invalidText {
                let texts = strings.map { String(decoding: $0, as: UTF8.self) }
                #expect(((try? Context.encode(texts)) == nil) == (expected != nil), "\(name)")
            }
        }
    }

    @Test func formIsChecked() {
        let good = context([[0x61], [0x62, 0x63]])
        #expect(contextCode(good) == nil)
        for count in 0..<good.count { #expect(contextCode(Array(good.prefix(count))) == .malformedBody) }
        #expect(contextCode(good + [0]) == .malformedBody)
        #expect(contextCode([0, 0, 0, 1] + [0xff, 0xff, 0xff, 0xff]) == .contextLimit)
        #expect(contextCode([0xff, 0xff, 0xff, 0xff]) == .contextLimit)
        #expect(contextCode([0, 0, 0, 255]) == .malformedBody)
    }

    @Test func randomListsComeBack() throws {
        var random = SplitMix64(seed: 5)
        for _ in 0..<500 {
            let strings = (0..<Int.random(in: 0...6, using: &random)).map { _ in
                String(
                    String.UnicodeScalarView(
                        (0..<Int.random(in: 0...40, using: &random)).compactMap { _ in
                            Unicode.Scalar(UInt32.random(in: 0...0x10ffff, using: &random))
                        }))
            }
            let encoding = try Context.encode(strings)
            #expect(try Context.decode(encoding.span.bytes).map { Array($0.utf8) } == strings.map { Array($0.utf8) })
        }
    }

    @Test func randomBytesAreReadOrRefused() {
        var random = SplitMix64(seed: 6)
        var accepted = 0
        for _ in 0..<20_000 {
            var encoding: [UInt8] = [0, 0, 0, UInt8.random(in: 0...3, using: &random)]
            for _ in 0..<Int.random(in: 0...3, using: &random) {
                encoding += [0, 0, 0] + random.bytes(1).map { $0 & 3 }
                encoding += random.bytes(Int.random(in: 0...3, using: &random)).map { random.chance(1, in: 20) ? $0 : $0 & 0x7f }
            }
            guard let strings = try? Context.decode(encoding.span.bytes) else { continue }
            accepted += 1
            #expect((try? Context.encode(strings)) == encoding)
        }
        #expect(accepted > 500)
    }
}

extension Array {
    fileprivate func repeated(_ count: Int) -> [Element] { (0..<count).flatMap { _ in self } }
}
