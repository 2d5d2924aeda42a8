import ClavigerClient
import ClavigerWire
import Support
import Testing

/// A peer that goes away while its request is in the token, and the one that comes in its place.
@Suite struct DisconnectTests {
    /// The newcomer, very likely on the same descriptor of the daemon, sees its own answer and nothing else.
    ///
    /// The server's own tests do this 10,000 times; here it is the whole way through the token.
    @Test func nobodySeesAnothersReply() throws {
        let daemon = try Shared.harness()
        let client = daemon.client()
        let secret = try client.wrap(.name(Shared.key), Array("the first one's secret".utf8)).envelope
        let own = try client.wrap(.name(Shared.key), Array("the second one's".utf8)).envelope
        func open(_ envelope: [UInt8]) throws -> [UInt8] {
            let item = OpenItem(envelope: ByteRange(offset: 0, count: envelope.count))
            return try WirePeer.frame(.unwrap, id: 7, UnwrapRequest(key: nil, items: [item]), source: envelope)
        }
        var generator = SeededGenerator(seed: seed)
        for round in 0..<(isLong ? 5_000 : 200) {
            var first: WirePeer? = try WirePeer(daemon.socket)
            try first?.send(try open(secret))
            pause(microseconds: Int.random(in: 0...300, using: &generator))
            // Closed with the answer unread, or not even made.
            first = nil
            let second = try WirePeer(daemon.socket)
            try second.send(try open(own))
            let answer = try second.next()
            let reply: CipherReply = try answer.message()
            let plaintext = try #require(reply.items.first?.plaintext)
            #expect(answer.body[plaintext.offset..<plaintext.offset + plaintext.count].elementsEqual("the second one's".utf8))
            // Nothing else comes: the next frame is the answer to the next request.
            #expect(try second.ask(.ping, id: 8).header.requestID == 8, "seed \(seed), round \(round)")
        }
        #expect(try client.status().health.state == .ready)
    }

    /// A daemon that is told to stop finishes what it has in hand.
    @Test func stoppingFinishesRequests() throws {
        let daemon = try DaemonHarness.running()
        _ = try daemon.client().createKey(name: "key")
        let peer = try WirePeer(daemon.socket)
        let items = [WrapItem](repeating: WrapItem(input: .generated(64)), count: 256)
        for id in 1...UInt32(4) { try peer.send(try WirePeer.frame(.wrap, id: id, WrapRequest(key: .name("key"), items: items))) }
        // The first answer shows that the daemon has the others too: they came in one stream.
        var answers = [try peer.next()]
        #expect(daemon.stop() == 0)
        while let frame = try peer.nextOrEnd() { answers.append(frame) }
        // What was not in hand yet is refused by name or not answered; what was answered is whole.
        for answer in answers where answer.header.kind == .reply {
            #expect(try answer.message(CipherReply.self).items.count == 256)
        }
        #expect(answers.allSatisfy { $0.header.kind == .reply || $0.refusal == .shuttingDown })
        #expect(daemon.log.contains("stopped"))
    }
}
