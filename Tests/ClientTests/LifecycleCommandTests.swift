import ClavigerClient
import Glibc
import Testing

/// The commands about a key's life: what they ask of the daemon, what they print, and what they ask the person.
@Suite struct LifecycleCommandTests {
    let folder: FolderBox
    let claviger: String
    let server: TestServer

    init() throws {
        folder = try FolderBox()
        claviger = try clavigerPath()
        server = try TestServer(folder.folder.socket, FakeLifecycle.answer)
    }

    private func run(_ arguments: [String], input: [UInt8]? = nil) throws -> Child.Result {
        try Child.run([claviger] + arguments, input: input, environment: ["CLAVIGER_SOCKET=\(folder.folder.socket)"])
    }

    private func sent<Message: WireMessage>(_ opcode: Opcode, _ type: Message.Type = Message.self) throws -> Message {
        let request = try #require(server.requests.last { $0.opcode == opcode })
        return try #require(request.message(type))
    }

    /// Each verb: its opcode, and words of what it prints for people and for programs.
    static let verbs: [(line: String, opcode: Opcode, text: String, json: String)] = [
        ("key create payroll", .keyCreate, "payroll-2025", #""dualControl":["delete","purge"]"#),
        ("key list --count", .keyCount, "17", #""count":17"#),
        ("key show payroll", .keyShow, "finance", #""kind":"root""#),
        ("key update payroll --tag a", .keyUpdate, "eu, wages", #""tags":["eu","wages"]"#),
        ("key move payroll finance", .keyMove, "finance", #""ring":"finance""#),
        ("key rotate payroll", .keyRotate, "version", #""revision":4"#),
        ("key disable payroll --reason r", .keyDisable, "state", #""state":"active""#),
        ("key enable payroll", .keyEnable, "state", #""state":"active""#),
        ("key restore payroll", .keyRestore, "state", #""state":"active""#),
        ("key delete payroll --dry-run", .keyDelete, "would be refused", #""blocked":"a registration retains it""#),
        ("key delete payroll --yes", .keyDelete, "destroyed", #""done":true"#),
        ("key purge payroll --yes", .keyPurge, "is purged", #""id":"#),
        ("key census payroll", .keyCensus, "LAST UNWRAP", #""retirable":true"#),
        ("key version retire payroll 1", .versionRetire, "retired", #""state":"retired""#),
        ("key version reinstate payroll 1", .versionRetire, "retired", #""version":1"#),
        ("key version destroy payroll 1 --yes", .versionDestroy, "retired", #""version":1"#),
        ("alias create payroll wages", .aliasCreate, "payroll-2025", #""aliases":["payroll-2025"]"#),
        ("alias list payroll", .keyShow, "ALIAS", #""alias":"payroll-2025""#),
        ("alias delete wages", .aliasDelete, "is free", #""alias":"wages""#),
        ("ring create finance", .ringCreate, "finance", #""keys":3"#),
        ("ring list", .ringList, "finance", #""rings":[{"#),
        ("ring delete finance --force", .ringDelete, "2 deleted keys moved", #""moved":2"#),
        ("registration set payroll db/wages", .registrationSet, "db/wages", #""retention":true"#),
        ("registration list", .registrationList, "LEASE ENDS", #""leaseEnds":"1970-01-01T00:00:03.000Z""#),
        ("registration release payroll db/wages", .registrationRelease, "no longer", #""resource":"db/wages""#),
        ("import-token create", .importTokenCreate, "1 of 3", #""oaep":"SHA-256""#),
        ("import-token list", .importTokenList, "1 of 3", #""importTokens":[{"#),
        ("import-token take \(FakeLifecycle.importToken)", .importTokenTake, "BEGIN PUBLIC KEY", #""nonce":"0707"#),
        ("import-token delete \(FakeLifecycle.importToken) --yes", .importTokenDelete, "is deleted", #""id":"#),
        ("policy show", .policyShow, "the instance", #""rotationMonths":3"#),
        ("policy set payroll --rotation off", .policySet, "rotation-months", #""revision":3"#),
        ("policy set --instance --metrics on --request why", .approvalRequest, "why not", #""action":"policy""#),
        ("settings show", .settingsShow, "8h", #""value":28800"#),
        ("settings set purge-delay 8h", .settingsSet, "4h", #""default":14400"#),
        ("approval request delete payroll", .approvalRequest, "asked for by", #""state":"open""#),
        ("approval list", .approvalList, "rotation-months", #""changes":{"#),
        ("approval approve \(FakeLifecycle.approval) --yes", .approvalApprove, "open", #""id":"#),
        ("approval cancel \(FakeLifecycle.approval)", .approvalCancel, "open", #""id":"#),
    ]

    @Test(arguments: verbs)
    func verbsAskAndPrint(_ verb: (line: String, opcode: Opcode, text: String, json: String)) throws {
        defer { server.stop() }
        let words = verb.line.split(separator: " ").map(String.init)
        let text = try run(words)
        #expect(text.status == 0, "\(text.errors)")
        #expect(text.text.contains(verb.text))
        #expect(server.requests.contains { $0.opcode == verb.opcode })
        let json = try run(words + ["--json"])
        #expect(json.status == 0)
        #expect(json.text.contains(verb.json), "\(json.text)")
        #expect(json.text.split(separator: "\n").count == 1)
    }

    @Test(arguments: [
        "key create", "key list", "key show", "key read", "key update", "key move", "key rotate", "key versions", "key census",
        "key version", "key version retire", "key version reinstate", "key version destroy", "key disable", "key enable",
        "key delete", "key restore", "key purge", "alias", "alias create", "alias list", "alias delete", "ring", "ring create",
        "ring list", "ring delete", "registration", "registration set", "registration list", "registration release",
        "import-token", "import-token create", "import-token list", "import-token take", "import-token delete", "policy",
        "policy show", "policy set", "settings", "settings show", "settings set", "approval", "approval request", "approval list",
        "approval approve", "approval cancel", "rewrap",
    ])
    func everyCommandExplainsItself(_ command: String) throws {
        defer { server.stop() }
        let result = try run(command.split(separator: " ").map(String.init) + ["--help"])
        #expect(result.status == 0)
        #expect(result.text.contains("Examples:"))
        #expect(result.text.contains("  claviger " + command))
        // An example that the terminal's width breaks in two cannot be copied.
        let examples = result.text.split(separator: "\n").drop { $0 != "Examples:" }.dropFirst().prefix { $0.hasPrefix(" ") }
        #expect(!examples.isEmpty)
        #expect(examples.allSatisfy { $0.hasPrefix("  ") })
    }

    @Test func optionsAreSent() throws {
        defer { server.stop() }
        _ = try run(
            [
                "key", "create", "password", "--standard", "--from", "-", "--description", "of the mailer", "--tag", "a b",
                "--tag", "c",
                "--alias", "mail", "--expires", "2027-01-31", "--ring", "finance", "--rotate-every", "6", "--dual-control",
                "delete,purge",
                "--no-policies",
            ], input: FakeLifecycle.secret)
        let create: KeyCreateRequest = try sent(.keyCreate)
        var expected = KeyCreateRequest(name: "password", operation: create.operation)
        expected.kind = .standard
        expected.description = "of the mailer"
        expected.tags = ["a b", "c"]
        expected.aliases = ["mail"]
        expected.expires = 1_801_353_600_000
        expected.ring = "finance"
        expected.rotationMonths = 6
        expected.dualControl = [.delete, .purge]
        expected.withoutPolicies = true
        expected.payload = create.payload
        #expect(create == expected)
        #expect(create.payload?.count == FakeLifecycle.secret.count)

        _ = try run([
            "key", "list", "--ring", "finance", "--state", "active,destroyed", "--kind", "standard", "--search", "not:pay",
            "--filter", "expirationDate=none", "--sort", "-creationDate", "--limit", "7",
        ])
        // The first page; the following ones ask for what is left.
        let first = try #require(server.requests.first { $0.opcode == .keyList })
        let list = try #require(first.message(KeyListRequest.self))
        #expect(list.limit == 7 && list.sort == "-creationDate")
        #expect(list.filter.ring == "finance" && list.filter.states == [.active, .destroyed] && list.filter.kind == .standard)
        #expect(list.filter.search == "not:pay" && list.filter.filter == "expirationDate=none")
        _ = try run(["key", "list", "--state", "all"])
        #expect(try sent(.keyList, KeyListRequest.self).filter.states == KeyState.allCases)

        _ = try run(["key", "update", "payroll", "--no-tags", "--description", "", "--expires", "never", "--revision", "4"])
        let update: KeyUpdateRequest = try sent(.keyUpdate)
        #expect(
            update.tags == [] && update.description == "" && update.expires == 0 && update.revision == 4 && update.name == nil)
        _ = try run(["key", "rotate", "payroll", "--emergency", "laptop stolen"])
        #expect(try sent(.keyRotate, KeyRotateRequest.self).reason == "laptop stolen")
        _ = try run(["registration", "set", "payroll", "db", "--no-retention", "--lease", "1d12h", "--version", "3"])
        let registration: RegistrationSetRequest = try sent(.registrationSet)
        #expect(registration.retention == false && registration.lease == 129_600_000 && registration.version == 3)
        _ = try run(["import-token", "create", "--ttl", "1h", "--uses", "9"])
        let token: ImportTokenCreateRequest = try sent(.importTokenCreate)
        #expect(token.ttl == 3_600 && token.uses == 9)
        _ = try run(["policy", "set", "--instance", "--access", "on", "--create-standard", "off", "--dual-control", "none"])
        let policy: PolicySetRequest = try sent(.policySet)
        #expect(policy.key == nil && policy.values.accessEnabled == true && policy.values.createStandard == false)
        #expect(policy.values.dualControl == [] && policy.values.rotationEnabled == nil)
        _ = try run(["settings", "set", "maximum-rings", "200"])
        #expect(try sent(.settingsSet, SettingSetRequest.self).value == 200)
        _ = try run(["approval", "request", "delete", "payroll", "--force", "--reason", "gone"])
        let approval: ApprovalRequest = try sent(.approvalRequest)
        #expect(approval.action == .delete && approval.force && approval.reason == "gone")
    }

    @Test(arguments: [
        ("1970-01-01T00:00:01Z", UInt64(1_000)), ("2027-01-31T09:30:00Z", 1_801_387_800_000),
        ("2027-01-31T09:30:00.25+01:30", 1_801_382_400_250), ("2024-02-29", 1_709_164_800_000),
        ("2027-01-31 09:30Z", 1_801_387_800_000),
    ])
    func momentsAreUnderstood(_ text: String, _ milliseconds: UInt64) throws {
        defer { server.stop() }
        #expect(try run(["key", "update", "payroll", "--expires", text]).status == 0)
        #expect(try sent(.keyUpdate, KeyUpdateRequest.self).expires == milliseconds)
    }

    @Test func spansCountFromNow() throws {
        defer { server.stop() }
        let before = UInt64(time(nil)) * 1_000
        #expect(try run(["key", "update", "payroll", "--expires", "2w1d"]).status == 0)
        let after = UInt64(time(nil) + 1) * 1_000
        let expires = try #require(try sent(.keyUpdate, KeyUpdateRequest.self).expires)
        #expect(expires >= before + 15 * 86_400_000 && expires <= after + 15 * 86_400_000)
    }

    @Test(arguments: [
        "key update payroll --expires 2027-02-30", "key update payroll --expires 2027-1-31", "key update payroll --expires 90",
        "key update payroll --expires 2027-01-31T25:00:00Z", "key update payroll --expires 2027-01-31T09:30:00",
        "key update payroll --expires 1969-12-31", "key update payroll --expires 99999999999999999999d", "key update payroll",
        "key update payroll --tag a --no-tags", "key create payroll --from f", "key create payroll --expires never",
        "key create payroll --rotate-every 13", "key create payroll --dual-control delete,everything",
        "key list --state active,active", "key list --state sleeping", "key list --limit 0", "key list --count --limit 1",
        "key version retire payroll 0", "import-token create --ttl 299s",
        "import-token create --ttl 2d", "import-token create --uses 501", "import-token delete no-id", "policy set payroll",
        "policy set --rotation on", "policy set payroll --instance --rotation on", "policy set payroll --rotation-months 13",
        "settings set purge-delay soon", "settings set restore-window 30", "settings set auto-purge 7776000",
        "approval request policy payroll", "approval request purge payroll --force",
        "rewrap --all", "rewrap --all - f", "rewrap a b", "rewrap --key k", "rewrap --all f --out g",
        // There is nobody to ask.
        "key delete payroll", "key purge payroll", "key version destroy payroll 1",
        "import-token delete 00000000-0000-4000-8000-000000000000", "approval approve 00000000-0000-4000-8000-000000000000",
    ])
    func wrongUsageIsStatusTwo(_ line: String) throws {
        defer { server.stop() }
        let result = try run(line.split(separator: " ").map(String.init))
        #expect(result.status == 2)
        #expect(result.errors.hasPrefix("claviger: "))
        #expect(server.requests.isEmpty)
    }

    @Test func secretsAreWrittenWhereTheyAreWanted() throws {
        defer { server.stop() }
        #expect(try run(["key", "read", "password"]).output == FakeLifecycle.secret)
        let file = folder.folder.file("secret")
        let read = try run(["key", "read", "password", "--out", file, "--json"])
        #expect(read.text.contains(#""version":2"#))
        #expect(folder.folder.read("secret") == FakeLifecycle.secret)
        let terminal = try Terminal()
        let shown = try Child([claviger, "key", "read", "password", "--socket", server.path], terminal: terminal.path)
        let refused = shown.finish()
        #expect(refused.status == 2)
        #expect(refused.errors.contains("--out"))
        #expect(try run(["key", "read", "password", "--json"]).status == 2)
        let long = try run(
            ["key", "create", "password", "--standard", "--from", "-"], input: [UInt8](repeating: 1, count: 7_501))
        #expect(long.status == 1)
        #expect(long.errors.contains("more than 7500 bytes"))
    }

    // MARK: What destroys asks

    @Test func deletingAsksAndShowsWhatWouldHappen() throws {
        defer { server.stop() }
        let terminal = try Terminal()
        let line = ["key", "delete", "payroll", "--socket", server.path]
        let declined = try Child([claviger] + line, terminal: terminal.path)
        let asked = terminal.show(until: "Type yes to do it: ")
        #expect(asked.contains("Delete the key \"payroll\"?"))
        #expect(asked.contains("2, 1 of which forbid it"))
        terminal.type("y\n")
        let result = declined.finish()
        #expect(result.status == 1)
        #expect(result.errors.contains("nothing was done"))
        #expect(server.requests.allSatisfy { $0.message(KeyDeleteRequest.self)?.dryRun == true })

        let agreed = try Child([claviger] + line, terminal: terminal.path)
        _ = terminal.show(until: "Type yes to do it: ")
        terminal.type("yes\n")
        #expect(agreed.finish().status == 0)
        // What was shown and what is deleted is one key, by its id.
        let last: KeyDeleteRequest = try sent(.keyDelete)
        #expect(!last.dryRun && last.key == .id(FakeCipher.key))
    }

    @Test(arguments: [
        ("key purge payroll", Opcode.keyPurge, "What it wrapped is lost for good"),
        ("key version destroy payroll 1", .versionDestroy, "12 envelopes made, 34 opened"),
        ("settings set purge-delay 1h", .settingsSet, "from 8h to 1h"),
        ("import-token delete \(FakeLifecycle.importToken)", .importTokenDelete, "Delete the import token"),
        ("approval approve \(FakeLifecycle.approval)", .approvalApprove, "rotation-months"),
    ])
    func whatDestroysAsks(_ line: String, _ opcode: Opcode, _ words: String) throws {
        defer { server.stop() }
        let terminal = try Terminal()
        let arguments = [claviger] + line.split(separator: " ").map(String.init) + ["--socket", server.path]
        let declined = try Child(arguments, terminal: terminal.path)
        #expect(terminal.show(until: "Type yes to do it: ").contains(words))
        terminal.type("no\n")
        #expect(declined.finish().status == 1)
        #expect(!server.requests.contains { $0.opcode == opcode })
        let agreed = try Child(arguments, terminal: terminal.path)
        _ = terminal.show(until: "Type yes to do it: ")
        terminal.type("yes\n")
        #expect(agreed.finish().status == 0)
        #expect(server.requests.contains { $0.opcode == opcode })
    }

    // MARK: Shells

    @Test(arguments: ["bash", "zsh", "fish"])
    func shellsAreToldWhatCompletes(_ shell: String) throws {
        defer { server.stop() }
        let script = try run(["--generate-completion-script", shell])
        #expect(script.status == 0)
        for word in ["import-token", "census", "dry-run", "reinstate"] { #expect(script.text.contains(word)) }
    }
}
