import ClavigerClient
import Testing

/// Many callers, one connection.
@Suite struct PipeliningTests {
    let folder: FolderBox

    init() throws { folder = try FolderBox() }

    /// Replies come in another order than requests, and everybody gets their own.
    @Test func repliesOutOfOrderReachWhoAsked() throws {
        let waiting = Collector<TestServer.Request>()
        // Eight threads ask, so eight requests are in flight together; they are answered last come, first served.
        let server = try TestServer(folder.folder.socket) { request in
            for request in waiting.add(request, takingAt: 8).reversed() { FakeCipher.answer(request) }
        }
        defer { server.stop() }
        let client = Client(ClientOptions(socketPath: server.path, deadline: .seconds(60)))
        let wrong = Collector<String>()
        onThreads(8) { thread in
            for round in 0..<200 {
                let dek = [UInt8(thread), UInt8(round)]
                do throws(ClientError) {
                    let wrapped = try client.wrap(key: "k".key, plaintext: dek.span.bytes)
                    if FakeCipher.plaintext(wrapped.envelope) != dek { wrong.add("thread \(thread) got another's reply") }
                } catch {
                    wrong.add(error.description)
                }
            }
        }
        #expect(wrong.all == [])
        #expect(server.connections == 1)
        #expect(server.requests.count == 1_600)
    }

    /// Requests and replies larger than the socket's buffers, both ways at once, from several threads.
    @Test func largeFramesBothWays() throws {
        let server = try TestServer(folder.folder.socket, FakeCipher.answer)
        defer { server.stop() }
        let client = Client(ClientOptions(socketPath: server.path, deadline: .seconds(60)))
        let wrong = Collector<String>()
        onThreads(4) { thread in
            do throws(ClientError) {
                for _ in 0..<5 {
                    let envelope = FakeCipher.envelope([UInt8](repeating: UInt8(thread), count: 4_000))
                    let items = [SealedItem](repeating: SealedItem(envelope), count: 60)
                    let opened = try client.unwrap(items, refresh: true)
                    for index in 0..<60 {
                        let plaintext = opened.withPlaintext(index) { $0.array() }
                        if plaintext != [UInt8](repeating: UInt8(thread), count: 4_000) {
                            wrong.add("thread \(thread), item \(index)")
                        }
                    }
                }
            } catch {
                wrong.add(error.description)
            }
        }
        #expect(wrong.all == [])
        #expect(server.connections == 1)
    }

    /// A reply that comes a byte at a time, and two that come in one piece, are the same to the caller.
    @Test func repliesSplitAtEveryByte() throws {
        let server = try TestServer(folder.folder.socket) { request in
            let reply = request.replyBytes(HealthReply(state: .sealed, reason: "waits"))
            for byte in reply { request.peer.send([byte]) }
        }
        defer { server.stop() }
        let client = Client(ClientOptions(socketPath: server.path))
        for _ in 0..<20 { #expect(try client.health() == HealthReply(state: .sealed, reason: "waits")) }

        let both = Collector<TestServer.Request>()
        let joined = try TestServer(folder.folder.socket + "2") { request in
            let pair = both.add(request, takingAt: 2)
            guard pair.count == 2 else { return }
            request.peer.send(pair.flatMap { $0.replyBytes(HealthReply(state: .ready, reason: "\($0.header.requestID)")) })
        }
        defer { joined.stop() }
        let second = Client(ClientOptions(socketPath: joined.path))
        let states = Collector<String>()
        onThreads(2) { _ in states.add((try? second.health())?.reason ?? "failed") }
        #expect(states.all.sorted() == ["1", "2"])
    }

    /// A caller that gives up leaves the connection to the others, and its late reply harms nobody.
    @Test func aTimeoutHarmsNobodyElse() throws {
        let silent = Collector<TestServer.Request>()
        let server = try TestServer(folder.folder.socket) { request in
            if request.opcode == .status { silent.add(request) } else { FakeCipher.answer(request) }
        }
        defer { server.stop() }
        // Long enough for the pings of a busy machine; the silent call takes it, and half a second more.
        let client = Client(ClientOptions(socketPath: server.path, deadline: .seconds(5)))
        let outcomes = Collector<String>()
        onThreads(2) { thread in
            do throws(ClientError) {
                if thread == 0 { _ = try client.status() } else { for _ in 0..<100 { try client.ping() } }
                outcomes.add("\(thread) done")
            } catch {
                outcomes.add("\(thread) \(error == .timedOut ? "timed out" : error.description)")
            }
        }
        #expect(outcomes.all.sorted() == ["0 timed out", "1 done"])
        let late = try #require(silent.all.first)
        #expect((1...5_000).contains(late.header.detail))
        FakeCipher.answer(late)
        try client.ping()
        #expect(server.connections == 1)
    }
}
