import Support
import Testing

@testable import SecureMemory

/// The set digest: against a value of another implementation, and its laws.
@Suite struct LatticeHashTests {
    static func hash(_ elements: [[UInt8]]) -> LatticeHash {
        var hash = LatticeHash()
        for element in elements { hash.add(element.span.bytes) }
        return hash
    }

    /// Made with Python: hashlib.shake_256 of each element, 2,048 bytes as big-endian words, added modulo 2^16, SHA-256 of the sum.
    @Test func aValueOfAnotherImplementation() {
        #expect(
            Self.hash([Array("a".utf8), Array("bc".utf8), []]).digest.map {
                String($0 >> 4, radix: 16) + String($0 & 15, radix: 16)
            }
            .joined() == "105face635e19c110c1ea1325e34c076f49940a8a0c3a92c5d4e30eba3d63867")
    }

    @Test(arguments: 0..<8) func orderAndDetoursDoNotMatter(round: UInt64) {
        var random = SeededGenerator(seed: 900 + round)
        let elements = (0..<20).map { index in
            [UInt8(index)] + (0..<Int.random(in: 0...40, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
        }
        let whole = Self.hash(elements)
        #expect(Self.hash(elements.shuffled(using: &random)) == whole)
        var detour = whole
        for element in elements.prefix(7) { detour.subtract(element.span.bytes) }
        #expect(detour == Self.hash(Array(elements.dropFirst(7))) && detour != whole && detour.digest != whole.digest)
        for element in elements.prefix(7).reversed() { detour.add(element.span.bytes) }
        #expect(detour == whole)
        // One bit of one element.
        var changed = elements
        changed[3][0] ^= 0x80
        #expect(Self.hash(changed) != whole)
    }
}
