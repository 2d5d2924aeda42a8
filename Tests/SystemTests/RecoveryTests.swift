import ClavigerClient
import ClavigerWire
import Glibc
import Support
import Testing

/// Tokens that fail while they are being taken hold of, and calls of the daemon's own that hang: whatever it is, the service is back when
/// the token is.
@Suite struct RecoveryTests {
    /// An error that says nothing by itself, while the canary is asked, is a token that is not back yet.
    @Test(arguments: ["CKR_GENERAL_ERROR", "CKR_FUNCTION_FAILED"]) func c4_anUnclearErrorWhileBindingPasses(code: String) throws {
        let faulty = try Faulty()
        try faulty.faults.set("absent")
        try faulty.daemon.wait(for: .lost)
        let before = try faulty.calls("C_Login").count
        // The canary's alone: before it is asked, the same error would be the trial's of the suites.
        try faulty.faults.set("C_DecryptInit label=:canary return=\(code)")
        // Two attempts at least have met it.
        #expect(try eventually { try faulty.calls("C_Login").count >= before + 2 })
        #expect(try faulty.daemon.health.state == .lost)
        try faulty.faults.set()
        try faulty.daemon.wait(for: .ready)
        #expect(try faulty.daemon.client().open(faulty.envelope) == Faulty.plaintext)
    }

    /// Neither is one of whose keys some cannot be read.
    @Test func c4_aSystemKeyThatCannotBeReadPasses() throws {
        let faulty = try Faulty()
        try faulty.faults.set("absent")
        try faulty.daemon.wait(for: .lost)
        let before = try faulty.calls("C_Login").count
        try faulty.faults.set("C_GetAttributeValue label=:mac return=CKR_GENERAL_ERROR")
        #expect(try eventually { try faulty.calls("C_Login").count >= before + 2 })
        #expect(try faulty.daemon.health.state == .lost)
        try faulty.faults.set()
        try faulty.daemon.wait(for: .ready)
    }

    /// A token directory that goes away again while the daemon binds, and comes back as it was: no file shows a change, and it serves.
    @Test func c4_awayAgainWhileBinding() throws {
        let faulty = try Faulty()
        let (tokens, away) = (faulty.daemon.tokens, faulty.daemon.tokens + ".away")
        for rule in ["C_DecryptInit label=:canary count=1 delay=700ms", "C_FindObjectsInit count=1 delay=700ms"] {
            try faulty.faults.set()
            #expect(rename(tokens, away) == 0)
            try faulty.daemon.wait(for: .lost)
            let before = try faulty.calls("C_Login").count
            try faulty.faults.set(rule)
            #expect(rename(away, tokens) == 0)
            #expect(try eventually { try faulty.calls("C_Login").count > before })
            #expect(rename(tokens, away) == 0)
            // The attempt under way ends in whatever it meets; the next would be refused already.
            let failed = try #require(try faulty.metric("claviger_token_failed_total"))
            let isOver = try eventually {
                try faulty.metric("claviger_token_failed_total") ?? 0 > failed || faulty.daemon.health.state.serves
            }
            #expect(isOver)
            #expect(rename(away, tokens) == 0)
            try faulty.faults.set()
            try faulty.daemon.wait(for: .ready)
            #expect(try faulty.daemon.client().open(faulty.envelope) == Faulty.plaintext)
        }
    }

    /// Another token in the slot, with no files to be looked at: when ours is back, so is the service.
    @Test func c16_anotherTokenIsLookedAtAgain() throws {
        let daemon = try DaemonHarness()
        let faults = try daemon.useFaultModule()
        // Refused before any login, and no file changes when it is taken out.
        try faults.set("C_GetTokenInfo serial=ffffffffffffffff")
        try daemon.start()
        try daemon.wait(for: .needsOperator)
        #expect(try faults.calls("C_Login").isEmpty)
        try faults.set()
        try daemon.wait(for: .ready)
    }

    /// A key of the instance's own that is there twice: refused, named, and nothing is removed; it serves when the second one is gone.
    @Test func a6_aSystemKeyThatIsThereTwice() throws {
        let daemon = try DaemonHarness()
        let original = try macFile(daemon)
        let copy = original.replacing(/[^\/]*$/, with: "11111111-2222-3333-4444-555555555555.object")
        try writeFile(copy, try readFile(original))
        try daemon.start()
        let health = try daemon.health
        #expect(health.state == .needsOperator && health.reason.contains("'mac' is there 2 times"), "\(health.reason)")
        #expect(access(copy, F_OK) == 0 && access(original, F_OK) == 0)
        unlink(copy)
        try daemon.wait(for: .ready)
    }

    /// A bit that flips in the file of the instance's HMAC key makes another key of it without a word from the token: refused, named,
    /// and nothing is changed.
    @Test func d4_aFlippedBitInTheHMACKey() throws {
        let daemon = try DaemonHarness()
        let path = try macFile(daemon)
        let content = try readFile(path)
        // CKA_VALUE as SoftHSM stores it: type, kind and length, then IV and ciphertext. A bit of the IV is a bit of the key.
        let head = [0x11, 0x03, 0x40].flatMap { [UInt8](repeating: 0, count: 7) + [$0] }
        let start = try #require((0...(content.count - head.count)).first { content[$0..<($0 + head.count)].elementsEqual(head) })
        var flipped = content
        flipped[start + head.count + 3] ^= 0x10
        try writeFile(path, flipped)
        try daemon.start()
        let health = try daemon.health
        #expect(health.state == .needsOperator, "\(health.reason)")
        #expect(health.reason.contains("'mac'") && health.reason.contains("its known answer fails"), "\(health.reason)")
        #expect(try readFile(path) == flipped)
        try writeFile(path, content)
        try daemon.wait(for: .ready)
    }

    /// The file of the instance's HMAC key of a daemon that does not run: which it is shows when it is away.
    private func macFile(_ daemon: DaemonHarness) throws -> String {
        let home = daemon.tokens + "/" + (try #require(try listDirectory(daemon.tokens).first { !$0.hasPrefix(".") }))
        try daemon.start()
        daemon.stop()
        var found: String?
        for name in try listDirectory(home) where name.hasSuffix(".object") && name != "token.object" {
            #expect(rename("\(home)/\(name)", "\(daemon.directory)/aside") == 0)
            try daemon.start()
            let reason = try daemon.health.reason
            daemon.stop()
            #expect(rename("\(daemon.directory)/aside", "\(home)/\(name)") == 0)
            if reason.contains("'mac'") { found = "\(home)/\(name)" }
        }
        return try #require(found)
    }

    // MARK: calls of the daemon's own

    /// Makes an import token and deletes it again, whose pair the supervisor then destroys.
    private func deleteImportToken(
        _ faulty: Faulty, _ rules: [String] = ["C_DestroyObject label=:import count=1 hang", "C_FindObjectsInit count=1 hang"]
    ) throws {
        let made = try faulty.daemon.claviger("import-token", "create", "--ttl", "1h", "--uses", "1", "--json")
        #expect(made.status == 0, "\(made.errorText)")
        let id = try #require(made.text.firstMatch(of: /[0-9a-f]{8}-[0-9a-f-]{27}/)).output
        try faulty.faults.set(rules)
        // Where the answer waits for what hangs, too.
        _ = try faulty.daemon.claviger("import-token", "delete", String(id), "--yes", "--timeout", "5")
    }

    /// The supervisor hangs where no request is: health turns red, and past the bound the daemon starts anew.
    @Test func c10_aHungSupervisorIsSeen() throws {
        let faulty = try Faulty()
        try deleteImportToken(faulty)
        let health = try faulty.daemon.wait(for: .lost)
        #expect(health.reason.contains("not come back"), "\(health.reason)")
        #expect(try faulty.daemon.claviger("health").status != 0)
        // 30 s of nothing: waited for where there is time.
        guard isLong else { return }
        #expect(try faulty.daemon.waitForEnd() == 70)
        try faulty.faults.set()
        try faulty.daemon.start()
        #expect(try faulty.daemon.client().open(faulty.envelope) == Faulty.plaintext)
    }

    /// However long the token takes to destroy an object, what is left is used meanwhile.
    @Test func c10_whatIsBeingDestroyedHoldsUpNobody() throws {
        let faulty = try Faulty()
        try deleteImportToken(faulty, ["C_DestroyObject label=:import count=1 hang"])
        try faulty.daemon.wait(for: .lost)
        #expect(try faulty.daemon.client().open(faulty.envelope) == Faulty.plaintext)
        try faulty.faults.set()
        try faulty.daemon.wait(for: .ready)
        #expect(try faulty.daemon.client().open(faulty.envelope) == Faulty.plaintext)
    }

    /// One hung call with the management session and then an outage: the daemon starts anew by itself, and serves.
    @Test(.enabled(if: isLong, "waits for the bound of half a minute: only with --long")) func c10_aHungCallAndAnOutage() throws {
        let faulty = try Faulty()
        try deleteImportToken(faulty)
        try faulty.faults.set("C_DestroyObject label=:import count=1 hang", "C_FindObjectsInit count=1 hang", "absent")
        _ = refusal { () throws(ClientError) in try faulty.daemon.client().opening(faulty.envelope) }
        try faulty.faults.set("C_DestroyObject label=:import count=1 hang", "C_FindObjectsInit count=1 hang")
        #expect(try faulty.daemon.waitForEnd() == 70)
        try faulty.faults.set()
        try faulty.daemon.start()
        try faulty.daemon.wait(for: .ready)
    }

    /// A hung call of one key, and another whose object is faulty: those that are well go on, and nothing is restarted.
    @Test func c10_aHungCallHoldsUpNobody() throws {
        var settings = DaemonHarness.Settings()
        settings.tables = ["[workers]", "count = 4"]
        let faulty = try Faulty(settings)
        let client = faulty.daemon.client()
        let ill = try client.createKey(name: "ill").id
        let envelope = try client.wrap(.id(ill), [1]).envelope
        let well = try client.createKey(name: "well").id
        let good = try client.wrap(.id(well), [2]).envelope
        let since = try client.status().uptime
        try faulty.faults.set(
            "C_DecryptInit label=\(faulty.key) hang", "C_DecryptInit label=\(ill) return=CKR_KEY_HANDLE_INVALID",
            "C_EncryptInit label=\(ill) return=CKR_KEY_HANDLE_INVALID")
        try faulty.expire(300)
        // Has the token taken hold of again, which cannot be now.
        #expect(refusal { () throws(ClientError) in try client.opening(envelope) } == .keyUnavailable)
        let clock = ContinuousClock()
        var slowest = Duration.zero
        let end = clock.now + .seconds(6)
        while clock.now < end {
            let began = clock.now
            #expect(try client.open(good) == [2])
            slowest = max(slowest, clock.now - began)
        }
        // A second at most, ten times over, to catch what hangs: it was thirty.
        #expect(slowest < .seconds(10))
        #expect(try client.status().uptime > since + 6_000, "it was started anew")
        #expect(try faulty.daemon.health.state == .degraded)
        // When the call comes back, what was postponed is done.
        try faulty.faults.set()
        try faulty.daemon.wait(for: .ready)
        #expect(try client.open(envelope) == [1])
        print("RecoveryTests: beside a hung call and a faulty key a well one took at most \(slowest.milliseconds) ms")
    }
}
