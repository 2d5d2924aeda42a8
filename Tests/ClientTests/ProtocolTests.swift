import ClavigerClient
import Testing

/// A peer that does not keep to the protocol.
@Suite struct ProtocolTests {
    let folder: FolderBox

    init() throws { folder = try FolderBox() }

    /// How the first reply is broken.
    enum Fault: String, CaseIterable, Sendable {
        case lengthTooSmall, lengthTooLarge, version, kind, requestKind, anotherOpcode, anotherRequest
        case bodyCutOff, missingField, unknownField, notUTF8, refusalBody

        func bytes(_ request: TestServer.Request) -> [UInt8] {
            var good = request.replyBytes(HealthReply(state: .ready, reason: "x"))
            switch self {
            case .lengthTooSmall: good[3] = 11
            case .lengthTooLarge: good[1] = 0x7f
            case .version: good[4] = 2
            case .kind: good[5] = 9
            case .requestKind: good[5] = 0
            case .anotherOpcode: good[7] ^= 0x10
            case .anotherRequest: good[11] ^= 0x40
            case .bodyCutOff: good[21] = 99
            case .missingField: good = Array(good[..<16]) + []
            case .unknownField: good[17] = 9
            case .notUTF8: good[good.count - 1] = 0xff
            case .refusalBody: good[5] = 2
            }
            if self == .missingField { good[2...3] = [0, 12] }
            return good
        }
    }

    @Test(arguments: Fault.allCases)
    func aBrokenReplyEndsTheConnectionOnly(_ fault: Fault) throws {
        let server = try TestServer(folder.folder.socket) { request in
            if request.peer.number == 0 { request.peer.send(fault.bytes(request)) } else { FakeCipher.answer(request) }
        }
        defer { server.stop() }
        let client = Client(ClientOptions(socketPath: server.path))
        do throws(ClientError) {
            _ = try client.health()
            Issue.record("\(fault) was accepted")
        } catch {
            guard case .protocolViolation = error else {
                Issue.record("\(fault) gave \(error)")
                return
            }
        }
        #expect(try client.health().state == .ready)
        #expect(server.connections == 2)
        // It is not sent again by itself: what breaks the protocol once will do so twice.
        #expect(server.requests.count == 2)
    }

    @Test func wrongNumberOfItems() throws {
        let server = try TestServer(folder.folder.socket) { request in
            request.reply(CipherReply(items: [CipherItem(Refusal(.denied)), CipherItem(Refusal(.denied))]))
        }
        defer { server.stop() }
        let client = Client(ClientOptions(socketPath: server.path))
        #expect(throws: ClientError.protocolViolation("a reply has 2 items for a request of 1")) {
            try client.rewrap(FakeCipher.envelope([1]))
        }
    }

    @Test func anItemWithoutItsEnvelope() throws {
        let server = try TestServer(folder.folder.socket) { request in
            request.reply(CipherReply(items: [CipherItem(key: FakeCipher.key, version: 1)]))
        }
        defer { server.stop() }
        let client = Client(ClientOptions(socketPath: server.path))
        #expect(throws: ClientError.protocolViolation("an item of a reply lacks its envelope, key or version")) {
            try client.rewrap(FakeCipher.envelope([1]))
        }
        do throws(ClientError) {
            _ = try client.unwrap(FakeCipher.envelope([1]))
            Issue.record("a reply without plaintext was accepted")
        } catch {
            #expect(error == .protocolViolation("an item of a reply lacks its plaintext, key or version"))
        }
    }

    /// A newer daemon's code comes through with its number and message.
    @Test func unknownRefusalCodesAreKept() throws {
        let server = try TestServer(folder.folder.socket) { request in
            var bytes = FrameWriter.refusal(
                Refusal(.denied, "not today"), opcode: request.header.opcode, requestID: request.header.requestID)
            bytes[12...15] = [0, 0, 0x27, 0x0f]
            request.peer.send(bytes)
        }
        defer { server.stop() }
        let refusal = ServerRefusal(number: 9_999, message: "not today")
        #expect(throws: ClientError.refused(refusal)) { try Client(ClientOptions(socketPath: server.path)).ping() }
        #expect(refusal.code == nil)
        #expect(refusal.name == "unknown-9999")
        #expect(server.requests.count == 1)
    }

    /// Events are reserved for later: a client that does not know them ignores them.
    @Test func eventsAreIgnored() throws {
        let server = try TestServer(folder.folder.socket) { request in
            var event = request.replyBytes(EmptyMessage())
            event[5] = 3
            request.peer.send(event)
            FakeCipher.answer(request)
        }
        defer { server.stop() }
        #expect(try Client(ClientOptions(socketPath: server.path)).health().state == .ready)
    }

    /// A refusal of the connection itself (request 0) reaches who waits, and is waited out when it says so.
    @Test func aRefusedConnectionIsTriedAgain() throws {
        let server = try TestServer(folder.folder.socket) { request in
            guard request.peer.number == 0 else { return FakeCipher.answer(request) }
            request.peer.send(FrameWriter.refusal(Refusal(.busy, retryAfter: 10), opcode: 0, requestID: 0))
            request.peer.shutDown()
        }
        defer { server.stop() }
        let once = Client(ClientOptions(socketPath: server.path, retries: 0))
        #expect(throws: ClientError.refused(ServerRefusal(Refusal(.busy, retryAfter: 10)))) { try once.ping() }
        try once.ping()
        #expect(server.connections == 2)
    }
}
