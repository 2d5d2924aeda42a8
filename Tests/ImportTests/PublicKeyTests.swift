import COpenSSL
import ClavigerImport
import Testing

@Suite struct PublicKeyTests {
    private func refusal(_ der: [UInt8]) -> ImportError? {
        do throws(ImportError) {
            _ = try RSAPublicKey(der.span.bytes)
            return nil
        } catch {
            return error
        }
    }

    /// A number of this many bits: the top and the lowest bit set, what lies between by no rule.
    private func modulus(bits: Int) -> [UInt8] {
        var bytes = (0..<(bits + 7) / 8).map { UInt8(truncatingIfNeeded: $0 &* 89 &+ $0 &* $0 &* 7) }
        bytes[0] = 1 << UInt8((bits - 1) % 8)
        bytes[bytes.count - 1] |= 1
        return bytes
    }

    @Test func derIsWhatLibcryptoWrites() throws {
        let pair = try RSAOracle.shared.get()
        #expect(RSAPublicKey.der(modulus: try pair.number("n"), exponent: try pair.number("e")) == pair.der)
        #expect(RSAPublicKey.der(modulus: try pair.number("n"), exponent: RSAPublicKey.exponent) == pair.der)
        #expect(refusal(pair.der) == nil)
    }

    @Test func whatIsNoRSAKeyIsRefused() throws {
        let pair = try RSAOracle.shared.get()
        #expect(refusal([]) == .publicKey)
        #expect(refusal([0x30]) == .publicKey)
        #expect(refusal(pair.der + [0]) == .publicKey)
        #expect(refusal(Array(pair.der.dropLast())) == .publicKey)
        // The point of the private key 1 on P-256.
        let curve: [UInt8] = [
            0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
            0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04, 0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6,
            0xe5, 0x63, 0xa4, 0x40, 0xf2, 0x77, 0x03, 0x7d, 0x81, 0x2d, 0xeb, 0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98,
            0xc2, 0x96, 0x4f, 0xe3, 0x42, 0xe2, 0xfe, 0x1a, 0x7f, 0x9b, 0x8e, 0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e, 0x16, 0x2b,
            0xce, 0x33, 0x57, 0x6b, 0x31, 0x5e, 0xce, 0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5,
        ]
        #expect(refusal(curve) == .publicKey)
    }

    @Test func a9_weakKeysAreRefused() throws {
        for bits in [512, 2_048, 3_071] {
            let der = RSAPublicKey.der(modulus: modulus(bits: bits), exponent: RSAPublicKey.exponent)
            #expect(refusal(der) == .weakPublicKey(.short(bits)))
        }
        for bits in [3_072, 4_096] {
            #expect(refusal(RSAPublicKey.der(modulus: modulus(bits: bits), exponent: RSAPublicKey.exponent)) == nil)
            for exponent: [UInt8] in [[3], [1, 0, 3], [1, 0, 0, 0, 1]] {
                let der = RSAPublicKey.der(modulus: modulus(bits: bits), exponent: exponent)
                #expect(refusal(der) == .weakPublicKey(.exponent))
            }
        }
    }

    /// CVE-2017-15361: a modulus made as the faulty generator makes it, 65537^a modulo the product of small primes.
    @Test func a9_structuredModuliAreRefused() throws {
        let small = (2...701).filter { candidate in (2..<candidate).allSatisfy { candidate % $0 != 0 } }
        let context = BN_CTX_new()
        defer { BN_CTX_free(context) }
        let product = BN_new()
        let power = BN_new()
        let base = BN_new()
        let factor = BN_new()
        defer { for number in [product, power, base, factor] { BN_free(number) } }
        BN_set_word(product, 1)
        for prime in small.prefix(126) { BN_mul_word(product, UInt(prime)) }
        BN_set_word(base, 65_537)
        for exponent: UInt in [1, 1_234_567, 987_654_321] {
            BN_set_word(power, exponent)
            BN_mod_exp(power, base, power, product, context)
            // k * product + power, with k so large that the sum has 4,096 bits.
            BN_set_word(factor, 1)
            BN_lshift(factor, factor, 4_096 - BN_num_bits(product))
            BN_add_word(factor, exponent)
            BN_mul(factor, factor, product, context)
            BN_add(factor, factor, power)
            var bytes = [UInt8](repeating: 0, count: Int(BN_num_bits(factor) + 7) / 8)
            BN_bn2bin(factor, &bytes)
            let der = RSAPublicKey.der(modulus: bytes, exponent: RSAPublicKey.exponent)
            #expect(refusal(der) == .weakPublicKey(.structured))
            // The next odd number has not the structure.
            BN_add_word(factor, 2)
            BN_bn2bin(factor, &bytes)
            #expect(refusal(RSAPublicKey.der(modulus: bytes, exponent: RSAPublicKey.exponent)) == nil)
        }
    }
}
