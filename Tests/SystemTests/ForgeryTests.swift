import ClavigerClient
import ClavigerWire
import Support
import Testing

/// Envelopes that are not what wrap made, and contexts that are not what it was told.
@Suite struct ForgeryTests {
    /// The items that the daemon answers these envelopes with, as bytes.
    private func unwrap(_ envelopes: [[UInt8]], context: [String] = []) throws -> [[UInt8]] {
        let peer = try WirePeer(Shared.harness().socket)
        var source: [UInt8] = []
        func add(_ bytes: [UInt8]) -> ByteRange {
            defer { source += bytes }
            return ByteRange(offset: source.count, count: bytes.count)
        }
        let encoded = try Context.encode(context)
        let items = envelopes.map { OpenItem(envelope: add($0), context: add(encoded)) }
        let answer = try peer.ask(.unwrap, id: 1, UnwrapRequest(key: nil, items: items), source: source)
        guard answer.header.kind == .reply else { throw HarnessError("refused whole: \(answer.refusal?.name ?? "?")") }
        // Field 1, a list: u16 tag, u32 length, u32 count, then u32 length and a body for each.
        var position = 10
        return envelopes.map { _ in
            let length = answer.body[position..<position + 4].reduce(0) { $0 << 8 | Int($1) }
            defer { position += 4 + length }
            return Array(answer.body[position + 4..<position + 4 + length])
        }
    }

    private func code(_ item: [UInt8]) throws -> RefusalCode? {
        RefusalCode(rawValue: try CipherItem.decode(item.span.bytes).code)
    }

    /// Every single bit of an envelope counts, whatever its length.
    @Test(arguments: [1, 32, 100]) func b3_everyFlippedBitIsRefused(length: Int) throws {
        let client = try Shared.client()
        let dek = (0..<length).map { UInt8(truncatingIfNeeded: $0) }
        let envelope = try client.wrap(.name(Shared.key), dek, ["tenant=7"]).envelope
        var refused = 0
        for start in stride(from: 0, to: envelope.count * 8, by: 256) {
            let flips = start..<min(start + 256, envelope.count * 8)
            let forged = flips.map { bit in
                var copy = envelope
                copy[bit / 8] ^= 1 << UInt8(bit % 8)
                return copy
            }
            for (bit, item) in zip(flips, try unwrap(forged, context: ["tenant=7"])) {
                let code = try code(item)
                let expected: RefusalCode =
                    switch bit {
                    // Magic, suite and flags, the IV's length, and the one bit that is set in the version.
                    case 0..<48, 200, 208..<216: .malformedEnvelope
                    case 48..<176: .denied
                    case _: .decryptionFailed
                    }
                #expect(code == expected, "bit \(bit)")
                if code != nil { refused += 1 }
            }
        }
        #expect(refused == envelope.count * 8)
        #expect(try client.open(envelope, ["tenant=7"]) == dek)
    }

    /// Every way in which an envelope of a known key fails to open looks the same, byte for byte.
    @Test(arguments: Suite.allCases) func a8_decryptionFailuresAreAlike(suite: Suite) throws {
        let client = try Shared.client()
        let key = KeyReference.id(try client.createKey(name: "a8 of \(suite.rawValue)") { $0.suite = suite }.id)
        let envelope = try client.wrap(key, [UInt8](repeating: 3, count: 32)).envelope
        // Another data key: AES key wrap makes the same of the same.
        let other = try client.wrap(key, [UInt8](repeating: 4, count: 32)).envelope
        let bound = try client.wrap(key, [UInt8](repeating: 3, count: 32), ["tenant=7"]).envelope
        func changed(_ body: (inout [UInt8]) -> Void) -> [UInt8] {
            var copy = envelope
            body(&copy)
            return copy
        }
        var forged = [
            changed { $0[27] ^= 1 }, changed { $0[39] ^= 1 }, changed { $0[50] ^= 0x80 }, changed { $0[$0.count - 1] ^= 1 },
            // Versions that do not exist.
            changed { $0[25] = 2 }, changed { $0[22] = 0xff },
            // The halves of two good ones; a context left away.
            Array(envelope[..<60]) + other[60...], bound,
            // Nothing but zeroes after the header.
            changed { bytes in for index in 43..<bytes.count { bytes[index] = 0 } },
            // Made longer and cut short by what every suite takes for a length.
            Array(envelope.dropLast(16)), envelope + [UInt8](repeating: 0, count: 16),
        ]
        // One byte less or more is not even an envelope where a ciphertext comes in blocks.
        if suite == .aesGCM { forged += [Array(envelope.dropLast()), envelope + [0]] }
        let answers = try unwrap(forged)
        for (index, answer) in answers.enumerated() {
            #expect(try code(answer) == .decryptionFailed, "envelope \(index)")
            #expect(answer == answers[0], "envelope \(index)")
        }
    }

    /// Every beginning of an envelope is refused.
    @Test func truncatedEnvelopesAreRefused() throws {
        let client = try Shared.client()
        let envelope = try client.wrap(.name(Shared.key), [UInt8](repeating: 3, count: 32)).envelope
        let answers = try unwrap((0..<envelope.count).map { Array(envelope[..<$0]) })
        for (length, answer) in answers.enumerated() {
            // Down to the shortest plaintext it could be one; below, it is none.
            let isEnvelope = (try? Envelope(Array(envelope[..<length]).span.bytes)) != nil
            #expect(try code(answer) == (isEnvelope ? .decryptionFailed : .malformedEnvelope), "length \(length)")
        }
    }

    /// Envelopes of another instance and of a key that never was get the very same answer.
    @Test func foreignEnvelopesAreDenied() throws {
        let elsewhere = try DaemonHarness.running()
        let foreign = elsewhere.client()
        _ = try foreign.createKey(name: Shared.key)
        let envelope = try foreign.wrap(.name(Shared.key), [1, 2, 3]).envelope
        var invented = try Shared.client().wrap(.name(Shared.key), [1, 2, 3]).envelope
        for index in 6..<22 { invented[index] = UInt8(index) }
        let answers = try unwrap([envelope, invented])
        #expect(try code(answers[0]) == .denied)
        #expect(answers[0] == answers[1])
    }
}
