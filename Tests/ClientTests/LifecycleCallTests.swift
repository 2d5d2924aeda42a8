import ClavigerClient
import Testing

/// Every call about a key's life: what is sent, what is returned, and that both clients do the same.
@Suite struct LifecycleCallTests {
    let folder: FolderBox
    let server: TestServer
    let client: Client
    let key = KeyReference("payroll")

    init() throws {
        folder = try FolderBox()
        server = try TestServer(folder.folder.socket, FakeLifecycle.answer)
        client = Client(ClientOptions(socketPath: server.path))
    }

    /// The last request, which must be of this opcode.
    private func sent<Message: WireMessage>(_ opcode: Opcode, _ type: Message.Type = Message.self) throws -> Message {
        let request = try #require(server.requests.last)
        #expect(request.opcode == opcode)
        return try #require(request.message(type))
    }

    @Test func keys() throws {
        defer { server.stop() }
        let secret = FakeLifecycle.secret
        #expect(try client.createKey(name: "payroll") == FakeLifecycle.key)
        let plain: KeyCreateRequest = try sent(.keyCreate)
        #expect(plain == KeyCreateRequest(name: "payroll", operation: plain.operation))
        _ = try client.createKey(name: "payroll") { request in
            request.tags = ["eu"]
            request.rotationMonths = 3
            request.dualControl = [.delete]
        }
        let full: KeyCreateRequest = try sent(.keyCreate)
        #expect(full.tags == ["eu"] && full.rotationMonths == 3 && full.dualControl == [.delete])
        #expect(full.operation != plain.operation)

        _ = try client.createKey(name: "password", payload: secret.span.bytes) { $0.ring = "finance" }
        let kept: KeyCreateRequest = try sent(.keyCreate)
        #expect(kept.kind == .standard && kept.ring == "finance")
        #expect(try payload(kept.payload) == FakeLifecycle.secret)
        let read = try client.readKey(key, version: 2)
        #expect(read.payload.bytes.array() == FakeLifecycle.secret)
        #expect(read.version == 2 && read.key == FakeCipher.key)
        #expect(try sent(.keyRead) == KeyReadRequest(key: key, version: 2))

        _ = try client.rotateKey(key, payload: secret.span.bytes) { $0.reason = "stolen" }
        let rotated: KeyRotateRequest = try sent(.keyRotate)
        #expect(rotated.reason == "stolen")
        #expect(try payload(rotated.payload) == FakeLifecycle.secret)

        var filter = KeyFilter()
        filter.states = [.destroyed]
        filter.search = "pay"
        #expect(try client.countKeys(filter: filter) == 17)
        #expect(try sent(.keyCount) == KeyCountRequest(filter: filter))
        _ = try client.listKeys(limit: 5, cursor: [1], filter: filter, sort: "-name")
        #expect(try sent(.keyList) == KeyListRequest(limit: 5, cursor: [1], filter: filter, sort: "-name"))

        _ = try client.updateKey(key) { request in
            request.description = ""
            request.expires = 0
            request.revision = 4
        }
        let updated: KeyUpdateRequest = try sent(.keyUpdate)
        #expect(updated.description?.isEmpty == true && updated.expires == 0 && updated.revision == 4 && updated.tags == nil)
        _ = try client.moveKey(key, to: "finance")
        #expect(try sent(.keyMove, KeyMoveRequest.self).ring == "finance")
    }

    private func payload(_ range: ByteRange?) throws -> [UInt8] {
        let range = try #require(range)
        let body = try #require(server.requests.last?.body)
        return Array(body[range.offset..<range.offset + range.count])
    }

    @Test func states() throws {
        defer { server.stop() }
        let changes: [(Opcode, () throws -> Void)] = [
            (.keyDisable, { _ = try client.disableKey(key, reason: "why") }),
            (.keyEnable, { _ = try client.enableKey(key, reason: "why") }),
            (.keyRestore, { _ = try client.restoreKey(key, reason: "why") }),
            (.keyPurge, { _ = try client.purgeKey(key, reason: "why") }),
        ]
        for (opcode, change) in changes {
            try change()
            let request: KeyChangeRequest = try sent(opcode)
            #expect(request == KeyChangeRequest(key: key, operation: request.operation, reason: "why"))
        }
        let preview = try client.deleteKey(key, dryRun: true)
        #expect(!preview.isDone && preview.blocked != nil)
        #expect(try sent(.keyDelete, KeyDeleteRequest.self).dryRun)
        #expect(try client.deleteKey(key, force: true).isDone)
        let deleted: KeyDeleteRequest = try sent(.keyDelete)
        #expect(deleted.force && !deleted.dryRun)

        #expect(try client.census(of: key, limit: 3, before: 9).versions.first?.unwraps == 34)
        #expect(try sent(.keyCensus) == KeyVersionsRequest(key: key, limit: 3, before: 9))
        #expect(try client.retireVersion(1, of: key, undo: true).state == .retired)
        #expect(try sent(.versionRetire, VersionRetireRequest.self).undo)
        _ = try client.destroyVersion(2, of: key)
        #expect(try sent(.versionDestroy, VersionDestroyRequest.self).version == 2)
    }

    @Test func administration() throws {
        defer { server.stop() }
        _ = try client.createAlias("wages", of: key)
        #expect(try sent(.aliasCreate, AliasCreateRequest.self).alias == "wages")
        try client.deleteAlias("wages")
        #expect(try sent(.aliasDelete, AliasDeleteRequest.self).alias == "wages")
        #expect(try client.createRing("finance").id == "finance")
        #expect(try client.listRings(limit: 1, cursor: [9]).next == nil)
        #expect(try sent(.ringList) == PageRequest(limit: 1, cursor: [9]))
        #expect(try client.deleteRing("finance", force: true) == 2)
        #expect(try sent(.ringDelete, RingDeleteRequest.self).force)
        _ = try client.register("db/wages", with: key) { $0.lease = 60_000 }
        #expect(try sent(.registrationSet, RegistrationSetRequest.self).lease == 60_000)
        try client.releaseRegistration("db/wages", of: key)
        #expect(try sent(.registrationRelease, RegistrationReleaseRequest.self).resource == "db/wages")
        let list = RegistrationListRequest(key: key, limit: 2, resourcePattern: "db/*", retention: false)
        #expect(try client.listRegistrations(list).registrations.count == 1)
        #expect(try sent(.registrationList) == list)
        #expect(try client.createImportToken(ttl: 300, uses: 2).id == FakeLifecycle.importToken)
        #expect(try client.takeImportToken(FakeLifecycle.importToken).remaining == 2)
        #expect(try sent(.importTokenTake, ImportTokenRequest.self).id == FakeLifecycle.importToken)
        #expect(try client.listImportTokens().tokens.count == 1)
        try client.deleteImportToken(FakeLifecycle.importToken)
        #expect(try sent(.importTokenDelete, ImportTokenRequest.self).id == FakeLifecycle.importToken)

        #expect(try client.policies().values.rotationMonths == 3)
        #expect(try sent(.policyShow) == PolicyShowRequest(key: nil))
        var values = PolicyValues()
        values.rotationEnabled = false
        _ = try client.setPolicies(of: key, revision: 3, values)
        let set: PolicySetRequest = try sent(.policySet)
        #expect(set == PolicySetRequest(key: key, operation: set.operation, revision: 3, values: values))
        #expect(try client.settings().first?.value == 28_800)
        _ = try client.setSetting("purge-delay", to: 28_800)
        #expect(try sent(.settingsSet, SettingSetRequest.self).value == 28_800)

        _ = try client.requestApproval(of: .delete, key: key, reason: "gone", force: true)
        let asked: ApprovalRequest = try sent(.approvalRequest)
        #expect(asked.action == .delete && asked.key == key && asked.reason == "gone" && asked.force && asked.body == nil)
        _ = try client.requestPolicies(of: key, values, reason: "gone")
        let change: ApprovalRequest = try sent(.approvalRequest)
        let body = try #require(change.body)
        #expect(change.action == .policy)
        #expect(try PolicySetRequest.decode(body.span.bytes).values == values)
        #expect(try client.listApprovals(all: true).approvals.first?.id == FakeLifecycle.approval)
        #expect(try client.approve(FakeLifecycle.approval).action == .policy)
        #expect(try sent(.approvalApprove, ApprovalDecideRequest.self).id == FakeLifecycle.approval)
        _ = try client.cancelApproval(FakeLifecycle.approval)
        #expect(try sent(.approvalCancel, ApprovalDecideRequest.self).id == FakeLifecycle.approval)
    }

    /// A body with all that can be said is longer than any estimate of its length.
    @Test func longRequestsAreSentWhole() throws {
        defer { server.stop() }
        let tags = (0..<Limits.maximumTags).map { _ in String(repeating: "🔑", count: Limits.maximumTag) }
        _ = try client.createKey(name: "payroll") { request in
            request.tags = tags
            request.description = String(repeating: "é", count: Limits.maximumDescription)
        }
        #expect(try sent(.keyCreate, KeyCreateRequest.self).tags == tags)
    }

    /// What one client asks is what the other asks, but for the operation's id.
    @Test func bothClientsAskTheSame() async throws {
        defer { server.stop() }
        let tasks = AsyncClient(ClientOptions(socketPath: server.path, deadline: .seconds(3_600)))
        defer { tasks.close() }
        let (key, token, approval) = (key, FakeLifecycle.importToken, FakeLifecycle.approval)
        let values = PolicyValues()
        let calls: [(() throws -> Void, () async throws -> Void)] = [
            ({ _ = try client.createKey(name: "ab") }, { _ = try await tasks.createKey(name: "ab") }),
            ({ _ = try client.rotateKey(key) }, { _ = try await tasks.rotateKey(key) }),
            ({ _ = try client.countKeys() }, { _ = try await tasks.countKeys() }),
            ({ _ = try client.readKey(key) }, { _ = try await tasks.readKey(key) }),
            ({ _ = try client.showKey(key) }, { _ = try await tasks.showKey(key) }),
            ({ _ = try client.updateKey(key) { $0.name = "ab" } }, { _ = try await tasks.updateKey(key) { $0.name = "ab" } }),
            ({ _ = try client.disableKey(key) }, { _ = try await tasks.disableKey(key) }),
            ({ _ = try client.enableKey(key) }, { _ = try await tasks.enableKey(key) }),
            ({ _ = try client.deleteKey(key) }, { _ = try await tasks.deleteKey(key) }),
            ({ _ = try client.restoreKey(key) }, { _ = try await tasks.restoreKey(key) }),
            ({ _ = try client.purgeKey(key) }, { _ = try await tasks.purgeKey(key) }),
            ({ _ = try client.moveKey(key, to: "ab") }, { _ = try await tasks.moveKey(key, to: "ab") }),
            ({ _ = try client.versions(of: key) }, { _ = try await tasks.versions(of: key) }),
            ({ _ = try client.census(of: key) }, { _ = try await tasks.census(of: key) }),
            ({ _ = try client.retireVersion(1, of: key) }, { _ = try await tasks.retireVersion(1, of: key) }),
            ({ _ = try client.destroyVersion(1, of: key) }, { _ = try await tasks.destroyVersion(1, of: key) }),
            ({ _ = try client.createAlias("ab", of: key) }, { _ = try await tasks.createAlias("ab", of: key) }),
            ({ try client.deleteAlias("ab") }, { try await tasks.deleteAlias("ab") }),
            ({ _ = try client.createRing("ab") }, { _ = try await tasks.createRing("ab") }),
            ({ _ = try client.listRings() }, { _ = try await tasks.listRings() }),
            ({ _ = try client.deleteRing("ab") }, { _ = try await tasks.deleteRing("ab") }),
            ({ _ = try client.register("ab", with: key) }, { _ = try await tasks.register("ab", with: key) }),
            ({ try client.releaseRegistration("ab", of: key) }, { try await tasks.releaseRegistration("ab", of: key) }),
            ({ _ = try client.listRegistrations() }, { _ = try await tasks.listRegistrations() }),
            ({ _ = try client.createImportToken() }, { _ = try await tasks.createImportToken() }),
            ({ _ = try client.takeImportToken(token) }, { _ = try await tasks.takeImportToken(token) }),
            ({ _ = try client.listImportTokens() }, { _ = try await tasks.listImportTokens() }),
            ({ try client.deleteImportToken(token) }, { try await tasks.deleteImportToken(token) }),
            ({ _ = try client.policies() }, { _ = try await tasks.policies() }),
            ({ _ = try client.setPolicies(values) }, { _ = try await tasks.setPolicies(values) }),
            ({ _ = try client.settings() }, { _ = try await tasks.settings() }),
            ({ _ = try client.setSetting("ab", to: 1) }, { _ = try await tasks.setSetting("ab", to: 1) }),
            (
                { _ = try client.requestApproval(of: .purge, key: key) },
                { _ = try await tasks.requestApproval(of: .purge, key: key) }
            ),
            ({ _ = try client.listApprovals() }, { _ = try await tasks.listApprovals() }),
            ({ _ = try client.approve(approval) }, { _ = try await tasks.approve(approval) }),
            ({ _ = try client.cancelApproval(approval) }, { _ = try await tasks.cancelApproval(approval) }),
        ]
        var opcodes: Set<Opcode> = []
        for (call, task) in calls {
            try call()
            let first = try #require(server.requests.last)
            try await task()
            let second = try #require(server.requests.last)
            #expect(first.peer.number != second.peer.number)
            #expect(first.opcode == second.opcode && first.body.count == second.body.count)
            #expect(zip(first.body, second.body).count { $0 != $1 } <= 16)
            opcodes.insert(try #require(first.opcode))
        }
        // All about keys but their use, and but what takes part in other tests.
        let others: [Opcode] = [.keyList, .unlock, .tokenStatus]
        #expect(opcodes == Set(Opcode.allCases.filter { (0x0100..<0x0160).contains($0.rawValue) }).subtracting(others))
    }
}
