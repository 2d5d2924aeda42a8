import ClavigerClient
import Glibc
import Testing

/// What is sent again, and what never is.
@Suite struct RetryTests {
    let folder: FolderBox

    init() throws { folder = try FolderBox() }

    private func options(_ server: TestServer, _ deadline: Duration = .seconds(20)) -> ClientOptions {
        ClientOptions(socketPath: server.path, deadline: deadline)
    }

    /// The daemon takes the first request and dies: a safe one is sent again, a change with the same operation id.
    @Test func aRequestInFlightSurvivesALostConnection() throws {
        let server = try TestServer(folder.folder.socket) { request in
            if request.peer.number == 0 { request.peer.shutDown() } else { FakeCipher.answer(request) }
        }
        defer { server.stop() }
        let client = Client(options(server))
        #expect(try client.createKey(name: "ledger").name == "ledger")
        let sent = server.requests.compactMap { $0.message(KeyCreateRequest.self) }
        try #require(sent.count == 2)
        #expect(sent[0] == sent[1])
        #expect(sent[0].operation != OperationID(high: 0, low: 0))
        // Another call is another operation.
        _ = try client.createKey(name: "ledger")
        #expect(server.requests.last?.message(KeyCreateRequest.self)?.operation != sent[0].operation)
    }

    /// All that were in flight are sent again over one new connection.
    @Test func manyRequestsInFlightSurvive() throws {
        let doomed = Collector<TestServer.Request>()
        let server = try TestServer(folder.folder.socket) { request in
            guard request.peer.number == 0 else { return FakeCipher.answer(request) }
            if !doomed.add(request, takingAt: 6).isEmpty { request.peer.shutDown() }
        }
        defer { server.stop() }
        let client = Client(options(server))
        let failures = Collector<String>()
        onThreads(6) { _ in
            do throws(ClientError) { try client.ping() } catch { failures.add(error.description) }
        }
        #expect(failures.all == [])
        #expect(server.requests.count == 12)
        #expect(server.connections == 2)
    }

    /// A daemon that is away for a moment, socket and all, is waited for.
    @Test func aRestartIsWaitedFor() throws {
        let folder = folder
        let first = try TestServer(folder.folder.socket, FakeCipher.answer)
        // The default's eight retries last a second or two; a busy machine may take longer to start the other.
        var options = options(first)
        options.retries = 1_000
        let client = Client(options)
        try client.ping()
        first.stop()
        let restarted = Collector<TestServer>()
        let starter = startThread {
            usleep(100_000)
            if let server = try? TestServer(folder.folder.socket, FakeCipher.answer) { restarted.add(server) }
        }
        try client.ping()
        pthread_join(starter, nil)
        let second = try #require(restarted.all.first)
        defer { second.stop() }
        #expect(second.requests.count == 1)
    }

    @Test func unlockIsSentOnceAndOverAConnectionOfItsOwn() throws {
        let server = try TestServer(folder.folder.socket) { request in
            if request.opcode == .unlock { request.peer.shutDown() } else { FakeCipher.answer(request) }
        }
        defer { server.stop() }
        let client = Client(options(server))
        try client.ping()
        let pin = try lockedBytes([0x31])
        do throws(ClientError) {
            _ = try client.unlock(pin: pin)
            Issue.record("unlock succeeded without an answer")
        } catch {
            #expect(error == .connectionLost)
        }
        try client.ping()
        #expect(server.requests.filter { $0.opcode == .unlock }.count == 1)
        #expect(server.connections == 2)
    }

    @Test func unlockRefusedForNowIsNotRepeated() throws {
        let server = try TestServer(folder.folder.socket) { $0.refuse(Refusal(.tokenUnavailable, retryAfter: 1)) }
        defer { server.stop() }
        let client = Client(options(server))
        let pin = try lockedBytes([0x31])
        do throws(ClientError) {
            _ = try client.unlock(pin: pin)
            Issue.record("unlock succeeded")
        } catch {
            #expect(error == .refused(ServerRefusal(Refusal(.tokenUnavailable, retryAfter: 1))))
        }
        #expect(server.requests.count == 1)
    }

    /// "Busy, come back in 40 ms" is obeyed, within the deadline.
    @Test func retryAfterIsHonoured() throws {
        let count = Collector<Int>()
        let server = try TestServer(folder.folder.socket) { request in
            count.add(1)
            if count.all.count <= 2 { request.refuse(Refusal(.busy, retryAfter: 40)) } else { FakeCipher.answer(request) }
        }
        defer { server.stop() }
        let start = Monotonic.now
        try Client(options(server)).ping()
        #expect(Monotonic.now - start >= 80_000_000)
        #expect(server.requests.count == 3)
        // What is left of the deadline goes with each attempt.
        let deadlines = server.requests.map(\.header.detail)
        #expect(deadlines[2] <= deadlines[0] - 80)
    }

    @Test(arguments: [
        // Longer than the deadline: the refusal comes at once.
        Refusal(.busy, retryAfter: 60_000),
        // These wait for a person.
        Refusal(.sealed), Refusal(.needsOperator),
        // These would be refused for ever.
        Refusal(.denied), Refusal(.decryptionFailed), Refusal(.deadline),
    ])
    func someRefusalsAreNotWaitedFor(_ refusal: Refusal) throws {
        let server = try TestServer(folder.folder.socket) { $0.refuse(refusal) }
        defer { server.stop() }
        #expect(throws: ClientError.refused(ServerRefusal(refusal))) { try Client(options(server)).ping() }
        #expect(server.requests.count == 1)
    }

    @Test func retriesAreBounded() throws {
        let server = try TestServer(folder.folder.socket) { $0.peer.shutDown() }
        defer { server.stop() }
        let client = Client(ClientOptions(socketPath: server.path, retries: 3))
        #expect(throws: ClientError.connectionLost) { try client.ping() }
        #expect(server.requests.count == 4)
    }

    @Test func noDaemonIsUnreachable() throws {
        let missing = folder.folder.socket
        let client = Client(ClientOptions(socketPath: missing, retries: 2))
        #expect(throws: ClientError.unreachable(path: missing, code: ENOENT)) { try client.ping() }
        let long = "/tmp/" + String(repeating: "x", count: 200)
        #expect(throws: ClientError.unreachable(path: long, code: ENAMETOOLONG)) {
            try Client(ClientOptions(socketPath: long)).ping()
        }
    }

    @Test func aClosedClientStaysClosed() throws {
        let server = try TestServer(folder.folder.socket, FakeCipher.answer)
        defer { server.stop() }
        let client = Client(options(server))
        try client.ping()
        client.close()
        #expect(throws: ClientError.closed) { try client.ping() }
    }
}
