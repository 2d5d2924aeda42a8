import ClavigerCore
import ClavigerWire
import Glibc
import Testing

@testable import ClavigerServer

@Suite struct FrameTests {
    @Test func answersAPing() throws {
        try TestServer.run { server in
            let client = try server.connect()
            let frame = try client.ask(id: 7, body: [1, 2, 3])
            #expect(
                frame
                    == TestFrame(
                        header: FrameHeader(bodyLength: 3, kind: .reply, opcode: 1, requestID: 7, detail: 0), body: [1, 2, 3]))
            #expect(server.server.figures.requests == 1)
        }
    }

    @Test func takesPipelinedFramesSplitAtEveryByte() throws {
        try TestServer.run { server in
            let client = try server.connect()
            let bodies: [[UInt8]] = [[], Array(repeating: 0xa5, count: 21), [9]]
            let stream = bodies.enumerated().flatMap { TestClient.frame(id: UInt32($0), body: $1) }
            for split in 0...stream.count {
                try client.send(stream[..<split])
                #expect(client.waitUntilRead())
                try client.send(stream[split...])
                let frames = try (0..<3).map { _ in try client.next() }.sorted { $0.header.requestID < $1.header.requestID }
                #expect(frames.map(\.body) == bodies, "split at \(split)")
            }
        }
    }

    @Test func takesAStreamByteByByte() throws {
        try TestServer.run { server in
            let client = try server.connect()
            for byte in TestClient.frame(id: 1, body: Array(0..<40)) { try client.send([byte]) }
            #expect(try client.next().body == Array(0..<40))
        }
    }

    // Sizes around chunk borders, many frames in one write, random cuts.
    @Test(arguments: 0..<4) func takesRandomStreams(seed: UInt64) throws {
        try TestServer.run { server in
            let client = try server.connect()
            var random = SplitMix64(seed: seed)
            let sizes = (0..<120).map { _ in
                [0, 1, 4_079, 4_080, 4_081, 8_175, 8_176, 8_177, Int.random(in: 0...20_000, using: &random)].randomElement(
                    using: &random)!
            }
            let bodies = sizes.enumerated().map { index, size in
                [UInt8](repeating: UInt8(truncatingIfNeeded: index + 1), count: size)
            }
            let stream = bodies.enumerated().flatMap { TestClient.frame(id: UInt32($0), body: $1) }
            var cuts = (0..<40).map { _ in Int.random(in: 0...stream.count, using: &random) }.sorted()
            cuts.append(stream.count)
            let parts = cuts
            let writer = try TestThread {
                var position = 0
                for cut in parts {
                    guard (try? client.send(stream[position..<cut])) != nil else { return false }
                    position = cut
                }
                return true
            }
            var seen: [UInt32: [UInt8]] = [:]
            for _ in bodies { let frame = try client.next(); seen[frame.header.requestID] = frame.body }
            #expect(writer.value() == true)
            for (index, body) in bodies.enumerated() { #expect(seen[UInt32(index)] == body) }
        }
    }

    @Test func takesTheGreatestFrame() throws {
        let service = TestService {
            .body([UInt8($0.body.count >> 16 & 0xff), UInt8($0.body.count >> 8 & 0xff), $0.body.last ?? 0])
        }
        try TestServer.run(service: service) { server in
            let client = try server.connect()
            let body = [UInt8](repeating: 0x5c, count: Limits.maximumBodyLength)
            #expect(try client.ask(id: 1, body: body).body == [0x0f, 0xff, 0x5c])
            #expect(try client.ask(id: 2).header.kind == .reply)
        }
    }

    @Test func refusesAFrameOneByteTooLong() throws {
        try TestServer.run { server in
            let client = try server.connect()
            let body = [UInt8](repeating: 0x5c, count: Limits.maximumBodyLength + 1)
            // The server may close before it has been sent all.
            try? client.send(TestClient.frame(id: 1, body: body))
            let frame = try client.next()
            #expect(frame.refusal == .frameLength && frame.header.requestID == 1)
            #expect(try client.isAtEnd())
        }
    }

    @Test(arguments: [
        (TestClient.raw(length: 11, kind: 0, opcode: 1, id: 5), RefusalCode.frameLength),
        (TestClient.raw(length: 0, kind: 0, opcode: 1, id: 5), .frameLength),
        (TestClient.raw(length: UInt32.max, kind: 0, opcode: 1, id: 5), .frameLength),
        (TestClient.raw(version: 0, kind: 0, opcode: 1, id: 5), .unsupportedVersion),
        (TestClient.raw(version: 2, kind: 0, opcode: 1, id: 5), .unsupportedVersion),
        (TestClient.raw(kind: 1, opcode: 1, id: 5), .invalidKind),
        (TestClient.raw(kind: 2, opcode: 1, id: 5), .invalidKind),
        (TestClient.raw(kind: 3, opcode: 1, id: 5), .invalidKind),
        (TestClient.raw(kind: 4, opcode: 1, id: 5), .invalidKind),
    ])
    func refusesABrokenHeaderAndCloses(_ bytes: [UInt8], _ code: RefusalCode) throws {
        // Behind a good frame in the same write, and alone.
        for prefix in [TestClient.frame(id: 4), []] {
            try TestServer.run { server in
                let client = try server.connect()
                try client.send(prefix + bytes + TestClient.frame(id: 6))
                var frames: [TestFrame] = []
                for _ in 0..<(prefix.isEmpty ? 1 : 2) { frames.append(try client.next()) }
                let refused = try #require(frames.first { $0.header.kind == .refusal })
                #expect(refused.refusal == code && refused.header.requestID == 5 && refused.header.opcode == 1)
                #expect(frames.count == 1 || frames.contains { $0.header.kind == .reply && $0.header.requestID == 4 })
                #expect(try client.isAtEnd())
            }
        }
    }

    @Test func refusesALengthBeforeTheRestOfTheHeader() throws {
        try TestServer.run { server in
            let client = try server.connect()
            try client.send([0, 0, 0, 0])
            #expect(try client.next().refusal == .frameLength)
            #expect(try client.isAtEnd())
        }
    }

    @Test func refusesAnUnknownOpcodeAndLives() throws {
        try TestServer.run { server in
            let client = try server.connect()
            try client.send(TestClient.raw(kind: 0, opcode: 0x7777, id: 3, body: [1, 2]) + TestClient.frame(id: 4))
            let frames = [try client.next(), try client.next()]
            let refused = try #require(frames.first { $0.header.requestID == 3 })
            #expect(refused.refusal == .unknownOpcode && refused.header.opcode == 0x7777)
            #expect(frames.contains { $0.header.requestID == 4 && $0.header.kind == .reply })
        }
    }

    @Test func refusesAnIDInFlightAndLives() throws {
        let gate = Gate()
        let service = TestService { request in
            if request.request.opcode == .wrap { gate.wait() }
            return .echo
        }
        try TestServer.run(service: service) { server in
            let client = try server.connect()
            try client.send(TestClient.frame(.wrap, id: 9, body: [1]))
            #expect(Patience.until { gate.arrived == 1 })
            #expect(try client.ask(id: 9, body: [2]).refusal == .duplicateRequestID)
            gate.letIn()
            #expect(try client.next().body == [1])
            #expect(try client.ask(id: 9, body: [3]).body == [3])
        }
    }
}
