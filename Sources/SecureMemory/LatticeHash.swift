import COpenSSL

/// A digest of a set that changes with each element put in or taken out, at a cost that does not depend on the set's size: LtHash with
/// 1,024 lanes of 16 bits.
///
/// Each element is stretched to 1,024 words by SHAKE256, and words are added lane by lane modulo 2^16; to take an element out is to
/// subtract it. Who would have another set of the same digest has to find a short combination of random vectors modulo 2^16 that is
/// zero, a short-integer-solution problem (M. Bellare and D. Micciancio, "A New Paradigm for Collision-free Hashing: Incrementality at
/// Reduced Cost", EUROCRYPT 1997); for these parameters over 200 bits of security are estimated (K. Lewi, W. Kim, I. Maykov, S. Weis,
/// "Securing Update Propagation with Homomorphic Hashing", 2019, section 5). That needs elements that are told apart: put the same one
/// in 2^16 times, and it vanishes. Elements must therefore say where they stand.
public struct LatticeHash: Equatable, Sendable {
    /// How many lanes there are.
    public static let laneCount = 1_024

    private var lanes: [UInt16]

    /// The digest of the empty set.
    public init() { lanes = [UInt16](repeating: 0, count: LatticeHash.laneCount) }

    /// Puts an element in.
    public mutating func add(_ element: RawSpan) { combine(element) { $0 &+= $1 } }

    /// Takes an element out.
    public mutating func subtract(_ element: RawSpan) { combine(element) { $0 &-= $1 } }

    /// SHA-256 of the lanes, each in two bytes, the most significant first: 32 bytes that stand for the set.
    public var digest: [UInt8] {
        let bytes = lanes.flatMap { [UInt8($0 >> 8), UInt8(truncatingIfNeeded: $0)] }
        return SHA256.digest(bytes.span.bytes)
    }

    private mutating func combine(_ element: RawSpan, _ body: (inout UInt16, UInt16) -> Void) {
        let stretched = SHAKE256.expand(element, to: 2 * LatticeHash.laneCount)
        for lane in 0..<LatticeHash.laneCount {
            body(&lanes[lane], UInt16(stretched[2 * lane]) << 8 | UInt16(stretched[2 * lane + 1]))
        }
    }
}

/// SHAKE256 (FIPS 202) by libcrypto.
public enum SHAKE256 {
    /// The first `count` bytes of output for `bytes`.
    public static func expand(_ bytes: RawSpan, to count: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count) { output, filled in
            let context = EVP_MD_CTX_new()
            defer { EVP_MD_CTX_free(context) }
            let done = bytes.withUnsafeBytes { input in
                EVP_DigestInit_ex(context, EVP_shake256(), nil) == 1
                    && EVP_DigestUpdate(context, input.baseAddress, input.count) == 1
                    && EVP_DigestFinalXOF(context, output.baseAddress, count) == 1
            }
            // Only want of memory makes these fail, which Swift itself does not survive.
            precondition(done, "libcrypto does not compute SHAKE256")
            filled = count
        }
    }
}
