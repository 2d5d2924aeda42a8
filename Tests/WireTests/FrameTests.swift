import ClavigerWire
import Testing

/// The 16 bytes before every body.
@Suite struct FrameTests {
    /// The code that a header is refused with, nil when it is accepted.
    private func code(_ bytes: [UInt8]) -> RefusalCode? {
        do throws(Refusal) {
            _ = try FrameHeader(bytes.span.bytes)
            return nil
        } catch { return error.code }
    }

    private func header(length: UInt32, version: UInt8 = 1, kind: UInt8 = 0) -> [UInt8] {
        bigEndian(length) + [version, kind, 0, 0x10, 1, 2, 3, 4, 5, 6, 7, 8]
    }

    @Test func headerReadsAsDocumented() throws {
        let bytes = header(length: 0x0102)
        let read = try FrameHeader(bytes.span.bytes)
        #expect(
            read
                == FrameHeader(
                    bodyLength: 0x0102 - 12, kind: .request, opcode: 0x0010, requestID: 0x0102_0304, detail: 0x0506_0708))
        #expect(read.frameLength == 0x0102 + 4)
        var written = [UInt8](repeating: 0xee, count: 16)
        written.withUnsafeMutableBytes { read.write(to: $0) }
        #expect(written == bytes)
    }

    @Test(
        arguments: [
            (0, RefusalCode.frameLength), (11, .frameLength), (12, nil), (1 << 20, nil), ((1 << 20) + 1, .frameLength),
            (1 << 31, .frameLength), (UInt32.max, .frameLength),
        ] as [(UInt32, RefusalCode?)])
    func lengthHasBounds(_ length: UInt32, _ expected: RefusalCode?) throws {
        #expect(code(header(length: length)) == expected)
        let prefix = bigEndian(length)
        let frameLength = try? FrameHeader.frameLength(prefix.span.bytes)
        #expect(frameLength == (expected == nil ? Int(length) + 4 : nil))
    }

    @Test func versionsAndKindsOtherThanOursAreRefused() {
        for version in UInt8.min...UInt8.max {
            #expect(code(header(length: 12, version: version)) == (version == 1 ? nil : .unsupportedVersion))
        }
        for kind in UInt8.min...UInt8.max {
            #expect(code(header(length: 12, kind: kind)) == (kind <= 3 ? nil : .invalidKind))
        }
    }

    @Test func salvageNamesWhatItCan() {
        let bytes = header(length: 12, version: 9)
        #expect(FrameHeader.salvage(bytes.span.bytes) == (0x0010, 0x0102_0304))
        for count in 0..<16 {
            let cut = Array(bytes.prefix(count))
            #expect(FrameHeader.salvage(cut.span.bytes) == (0, 0))
        }
    }

    @Test func randomHeadersAreReadOrRefused() throws {
        var random = SplitMix64(seed: 1)
        var read = 0
        for _ in 0..<20_000 {
            var bytes = random.bytes(16)
            if random.chance(3, in: 4) { bytes.replaceSubrange(0..<6, with: [0, 0, 0, 12 | bytes[3], 1, bytes[5] & 7]) }
            guard let header = try? FrameHeader(bytes.span.bytes) else { continue }
            read += 1
            #expect(header.bodyLength >= 0 && header.bodyLength <= Limits.maximumBodyLength)
            var written = [UInt8](repeating: 0, count: 16)
            written.withUnsafeMutableBytes { header.write(to: $0) }
            #expect(written == bytes)
        }
        #expect(read > 1_000)
    }

    /// There is always an answer, however long the message and whatever it is made of.
    @Test func refusalMessagesAreCut() throws {
        for (count, kept) in [(0, 0), (1_000, 1_000), (1_001, 1_000), (100_000, 1_000)] {
            let text = String(repeating: "🔑", count: count)
            let bytes = FrameWriter.refusal(Refusal(.internalError, text, retryAfter: 1), opcode: 7, requestID: 9)
            let header = try FrameHeader(bytes.span.bytes)
            #expect(header == FrameHeader(bodyLength: bytes.count - 16, kind: .refusal, opcode: 7, requestID: 9, detail: 71))
            let body = try RefusalBody.decode(bytes.span.bytes, ByteRange(offset: 16, count: header.bodyLength))
            #expect(body.message.unicodeScalars.count == kept)
            #expect(body.retryAfter == 1)
        }
    }

    /// A combining mark counts as a scalar: cutting by characters would let a message of any length through.
    @Test func refusalMessagesAreCutByScalars() throws {
        let text = "a" + String(repeating: "\u{0308}", count: 5_000)
        let bytes = FrameWriter.refusal(Refusal(.internalError, text), opcode: 1, requestID: 1)
        let body = try RefusalBody.decode(bytes.span.bytes, ByteRange(offset: 16, count: bytes.count - 16))
        #expect(body.message.unicodeScalars.count == 1_000)
    }

    @Test func writerLeavesOutWhatDoesNotFitAndTouchesNothingBeyond() {
        for capacity in 0...40 {
            var memory = [UInt8](repeating: 0xee, count: 64)
            memory.withUnsafeMutableBytes { memory in
                var writer = BodyWriter(UnsafeMutableRawBufferPointer(rebasing: memory[..<capacity]))
                writer.u8(1, 2)
                writer.bytes(2, [1, 2, 3, 4])
                writer.u64(3, 5)
                let (isComplete, count) = (writer.isComplete, writer.count)
                #expect(isComplete == (capacity >= 7 + 10 + 14))
                #expect(count <= capacity)
            }
            #expect(memory[capacity...].allSatisfy { $0 == 0xee })
        }
    }

    @Test func rewoundBytesAreWiped() {
        var memory = [UInt8](repeating: 0xee, count: 32)
        memory.withUnsafeMutableBytes { memory in
            var writer = BodyWriter(memory)
            writer.u8(1, 2)
            let kept = writer.count
            writer.bytes(2, [1, 2, 3, 4])
            writer.bytes(3, [UInt8](repeating: 1, count: 64))
            let wasComplete = writer.isComplete
            writer.rewind(to: kept)
            let (isComplete, count) = (writer.isComplete, writer.count)
            #expect(!wasComplete && isComplete && count == kept)
        }
        #expect(memory == [0, 1, 0, 0, 0, 1, 2] + [UInt8](repeating: 0, count: 10) + [UInt8](repeating: 0xee, count: 15))
    }
}
