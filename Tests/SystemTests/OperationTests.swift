import ClavigerWire
import Support
import Testing

/// Operation ids: the same change asked for twice is made once, whatever happens to the daemon in between.
@Suite struct OperationTests {
    /// The same id and body give the same answer, also after a crash; a further body under the id is refused.
    @Test func repeatedRequestsAreAnsweredOnce() throws {
        let daemon = try DaemonHarness.running()
        let create = KeyCreateRequest(name: "once", operation: OperationID(random: (1, 2)))
        let made: KeyRecord = try WirePeer(daemon.socket).ask(.keyCreate, id: 1, create).message()
        let rotate = KeyRotateRequest(key: .id(made.id), operation: OperationID(random: (3, 4)))
        let rotated: KeyRecord = try WirePeer(daemon.socket).ask(.keyRotate, id: 1, rotate).message()
        #expect(rotated.version == 2)
        for isCrash in [false, true] {
            if isCrash {
                daemon.kill()
                try daemon.start()
            }
            let peer = try WirePeer(daemon.socket)
            #expect(try peer.ask(.keyCreate, id: 1, create).message(KeyRecord.self) == made)
            #expect(try peer.ask(.keyRotate, id: 2, rotate).message(KeyRecord.self) == rotated)
            let others: [WireFrame] = [
                try peer.ask(.keyCreate, id: 3, KeyCreateRequest(name: "twice", operation: create.operation)),
                try peer.ask(.keyRotate, id: 4, KeyRotateRequest(key: .name("once"), operation: rotate.operation)),
                try peer.ask(.keyRotate, id: 5, KeyRotateRequest(key: .id(made.id), operation: create.operation)),
                try peer.ask(.keyCreate, id: 6, KeyCreateRequest(name: "once", operation: rotate.operation)),
            ]
            #expect(others.map(\.refusal) == Array(repeating: .operationConflict, count: 4))
            let list: KeyListReply = try peer.ask(.keyList, id: 7, KeyListRequest()).message()
            #expect(list.keys == [rotated])
        }
    }

    /// The same request on many connections at once, so that several workers have it in hand together, is done once.
    @Test func concurrentRepetitionsAgree() throws {
        let daemon = try DaemonHarness.running()
        let request = KeyCreateRequest(name: "crowd", operation: OperationID(random: (5, 6)))
        let peers = try (0..<8).map { _ in try WirePeer(daemon.socket) }
        for peer in peers { try peer.send(try WirePeer.frame(.keyCreate, id: 9, request)) }
        let answers = try peers.map { try $0.next().message(KeyRecord.self) }
        #expect(Set(answers.map(\.id)).count == 1)
        #expect(
            try WirePeer(daemon.socket).ask(.keyList, id: 1, KeyListRequest()).message(KeyListReply.self).keys == [answers[0]])
    }
}
