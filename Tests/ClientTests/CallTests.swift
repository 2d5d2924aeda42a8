import ClavigerClient
import Testing

/// Every call, against a server that behaves.
@Suite struct CallTests {
    let folder: FolderBox
    let server: TestServer
    let client: Client

    init() throws {
        folder = try FolderBox()
        server = try TestServer(folder.folder.socket, FakeCipher.answer)
        client = Client(ClientOptions(socketPath: server.path))
    }

    @Test func keysAtWork() throws {
        defer { server.stop() }
        let key = KeyReference("payroll")
        let dek: [UInt8] = [1, 2, 3, 4]
        let wrapped = try client.wrap(key: key, plaintext: dek.span.bytes, context: ["tenant=7", ""])
        #expect(wrapped.envelope == FakeCipher.envelope(dek) && wrapped.key == FakeCipher.key && wrapped.version == 1)
        let request = try #require(server.requests.last?.message(WrapRequest.self))
        let context = try #require(request.items.first?.context)
        let body = try #require(server.requests.last?.body)
        #expect(try Context.decode(body.span.bytes.part(context)) == ["tenant=7", ""])

        let opened = try client.unwrap(wrapped.envelope, refresh: true)
        #expect(opened.plaintext.bytes.array() == dek)
        #expect(opened.key == FakeCipher.key && opened.version == 1 && opened.isStale)
        #expect(opened.refreshed?.version == 2)
        let plain = try client.unwrap(wrapped.envelope, key: .id(FakeCipher.key))
        #expect(plain.refreshed == nil)
        #expect(server.requests.last?.message(UnwrapRequest.self)?.key == .id(FakeCipher.key))

        let rewrapped = try client.rewrap(wrapped.envelope)
        #expect(rewrapped.previousVersion == 1 && rewrapped.wrapped.version == 2)
        let generated = try client.generate(key: key, count: 64)
        #expect(generated.plaintext.count == 64)
        #expect(FakeCipher.plaintext(generated.wrapped.envelope) == generated.plaintext.bytes.array())
        #expect(server.connections == 1)
    }

    @Test func batchesAnswerItemByItem() throws {
        defer { server.stop() }
        var batch = try WrapBatch()
        for index in 0..<200 { try batch.add([UInt8](repeating: UInt8(index), count: 1_000).span.bytes, context: ["\(index)"]) }
        try batch.add(([0xff] as [UInt8]).span.bytes)
        try batch.generate(16)
        let reply = try client.wrap(key: "payroll".key, batch)
        #expect(reply.count == 202)
        let envelopes = reply.results.compactMap { try? $0.get().envelope }
        #expect(envelopes.count == 201)
        guard case .failure(let refusal) = reply.results[200] else { throw TestFailure("the refused item was not refused") }
        #expect(refusal.code == .plaintextSize)
        #expect(reply.withPlaintext(0) { $0.byteCount } == nil)
        let generated = reply.plaintext(201)?.count
        #expect(generated == 16)

        let opened = try client.unwrap(envelopes.map { SealedItem($0) } + [SealedItem([1, 2, 3])])
        for index in 0..<200 {
            #expect(opened.withPlaintext(index) { $0.array() } == [UInt8](repeating: UInt8(index), count: 1_000))
        }
        guard case .failure(let malformed) = opened.results[201] else { throw TestFailure("no envelope was opened") }
        #expect(malformed.code == .malformedEnvelope)
        #expect(try client.rewrap([SealedItem(envelopes[0])]).count == 1)
    }

    @Test func managementCalls() throws {
        defer { server.stop() }
        #expect(try client.createKey(name: "ledger").name == "ledger")
        #expect(try client.showKey("payroll".key).name == "payroll")
        #expect(try client.rotateKey("payroll".key).version == 1)
        #expect(try client.versions(of: "payroll".key).versions.count == 1)
        var names: [String] = []
        try client.forEachKey { (key) throws(ClientError) in names.append(key.name) }
        #expect(names == (0..<6).map { "key-\($0)" })
        try client.ping()
        #expect(try client.health().state == .ready)
        #expect(try client.status().health.state == .degraded)
        #expect(try client.whoami().groups == [4, 5])
        #expect(try client.tokenStatus().label == "lab")
        // The server runs as the caller's own user, so it is told the PIN.
        let pin = try lockedBytes([0x31, 0x32])
        #expect(try client.unlock(pin: pin).state == .ready)
        let request = try #require(server.requests.last)
        let range = try #require(request.message(UnlockRequest.self)?.pin)
        #expect(Array(request.body[range.offset..<range.offset + range.count]) == [0x31, 0x32])
    }

    @Test func argumentsThatCannotBeEncodedAreRefusedWithoutADaemon() throws {
        server.stop()
        let long = String(repeating: "x", count: Limits.maximumContextScalars + 1)
        #expect(throws: ClientError.refused(ServerRefusal(Refusal(.contextLimit)))) {
            try client.wrap(key: "payroll".key, plaintext: ([1] as [UInt8]).span.bytes, context: [long])
        }
        let huge = [UInt8](repeating: 0, count: Limits.maximumFrameSize)
        #expect(throws: ClientError.refused(ServerRefusal(Refusal(.frameLength)))) {
            try client.wrap(key: "payroll".key, plaintext: huge.span.bytes)
        }
    }
}

/// Locked memory with these bytes. A bare array literal's span would be one of Ints.
func lockedBytes(_ bytes: [UInt8]) throws -> SecretBytes { try SecretBytes(copying: bytes.span.bytes) }

extension String {
    var key: KeyReference { KeyReference(self) }
}

/// A folder that a copyable suite can hold.
final class FolderBox: Sendable {
    let folder: TestFolder
    init() throws { folder = try TestFolder() }
}
