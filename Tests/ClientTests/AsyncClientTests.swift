import ClavigerClient
import Testing

@Suite struct AsyncClientTests {
    let folder: FolderBox

    init() throws { folder = try FolderBox() }

    /// Options of the longest deadline: other tests keep the few threads of the runtime, on which a call is tried again, for minutes.
    private static func patient(_ server: TestServer) -> ClientOptions {
        ClientOptions(socketPath: server.path, deadline: .seconds(3_600))
    }

    @Test func manyTasksShareAConnection() async throws {
        let waiting = Collector<TestServer.Request>()
        let server = try TestServer(folder.folder.socket) { request in
            for request in waiting.add(request, takingAt: 10).reversed() { FakeCipher.answer(request) }
        }
        defer { server.stop() }
        let client = AsyncClient(AsyncClientTests.patient(server))
        let right = await withTaskGroup(of: Bool.self) { group in
            for index in 0..<500 {
                group.addTask {
                    let dek = [UInt8(index & 255), UInt8(index >> 8)]
                    guard let secret = try? SecretBytes(copying: dek.span.bytes),
                        let wrapped = try? await client.wrap(key: "k".key, plaintext: secret)
                    else { return false }
                    return FakeCipher.plaintext(wrapped.envelope) == dek
                }
            }
            return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(right == 500)
        #expect(server.connections == 1)
    }

    @Test func everyCall() async throws {
        let server = try TestServer(folder.folder.socket, FakeCipher.answer)
        defer { server.stop() }
        let client = AsyncClient(AsyncClientTests.patient(server))
        let generated = try await client.generate(key: "k".key, count: 16)
        #expect(generated.plaintext.count == 16)
        let opened = try await client.unwrap(generated.wrapped.envelope, refresh: true)
        #expect(opened.plaintext.bytes.array() == generated.plaintext.bytes.array())
        #expect(opened.refreshed?.version == 2)
        #expect(try await client.rewrap(generated.wrapped.envelope).previousVersion == 1)
        var batch = try WrapBatch()
        // Larger than the socket's buffer: the remainder is sent by the connection's thread.
        for _ in 0..<60 { try batch.add([UInt8](repeating: 3, count: 4_096).span.bytes) }
        let wrapped = try await client.wrap(key: "k".key, batch)
        let items = try wrapped.results.map { SealedItem(try $0.get().envelope) }
        #expect(items.count == 60)
        let reply = try await client.unwrap(items, refresh: true)
        #expect(reply.withPlaintext(59) { $0.array() } == [UInt8](repeating: 3, count: 4_096))
        #expect(try await client.rewrap(items).count == 60)
        #expect(try await client.createKey(name: "ledger").name == "ledger")
        #expect(try await client.allKeys().count == 6)
        #expect(try await client.showKey("payroll".key).name == "payroll")
        #expect(try await client.versions(of: "payroll".key).versions.count == 1)
        #expect(try await client.rotateKey("payroll".key).version == 1)
        try await client.ping()
        #expect(try await client.health().state == .ready)
        #expect(try await client.status().health.state == .degraded)
        #expect(try await client.whoami().uid == 1)
        #expect(try await client.tokenStatus().label == "lab")
        let pin = try lockedBytes([0x31])
        #expect(try await client.unlock(pin: pin).state == .ready)
        #expect(server.connections == 2)
    }

    /// A cancelled task returns at once, and the connection serves the others on.
    @Test func cancellation() async throws {
        let silent = Collector<TestServer.Request>()
        let server = try TestServer(folder.folder.socket) { request in
            if request.opcode == .status { silent.add(request) } else { FakeCipher.answer(request) }
        }
        defer { server.stop() }
        // Longer than any test: only cancellation can end the call.
        let client = AsyncClient(ClientOptions(socketPath: server.path, deadline: .seconds(3_600)))
        let task = Task { () async -> ClientError? in
            do throws(ClientError) {
                _ = try await client.status()
                return nil
            } catch {
                return error
            }
        }
        while silent.all.isEmpty { await Task.yield() }
        task.cancel()
        #expect(await task.value == .cancelled)
        try await client.ping()
        // The late reply is dropped.
        for request in silent.all { FakeCipher.answer(request) }
        try await client.ping()
        #expect(server.connections == 1)
        // A task cancelled before it asks is not answered either.
        let early = Task { () async -> Bool in
            while !Task.isCancelled { await Task.yield() }
            return (try? await client.status()) == nil
        }
        early.cancel()
        #expect(await early.value)
    }

    @Test func deadlinesPassWithoutAnAnswer() async throws {
        let server = try TestServer(folder.folder.socket) { _ in }
        defer { server.stop() }
        let client = AsyncClient(ClientOptions(socketPath: server.path, deadline: .milliseconds(20)))
        await #expect(throws: ClientError.timedOut) { try await client.ping() }
    }

    @Test func aLostConnectionIsMadeAgain() async throws {
        let server = try TestServer(folder.folder.socket) { request in
            if request.peer.number == 0 { request.peer.shutDown() } else { FakeCipher.answer(request) }
        }
        defer { server.stop() }
        let client = AsyncClient(AsyncClientTests.patient(server))
        #expect(try await client.createKey(name: "ledger").name == "ledger")
        let sent = server.requests.compactMap { $0.message(KeyCreateRequest.self) }
        #expect(sent.count == 2)
        #expect(sent.first == sent.last)
        client.close()
        await #expect(throws: ClientError.closed) { try await client.ping() }
    }

    @Test func aBrokenReplyIsTyped() async throws {
        let server = try TestServer(folder.folder.socket) { request in
            var bytes = request.replyBytes(HealthReply(state: .ready))
            bytes[4] = 7
            request.peer.send(bytes)
        }
        defer { server.stop() }
        let client = AsyncClient(AsyncClientTests.patient(server))
        await #expect(throws: ClientError.protocolViolation("a frame header is broken (unsupported-version)")) {
            try await client.health()
        }
    }
}
