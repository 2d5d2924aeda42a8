import ClavigerClient
import ClavigerWire
import Glibc
import Support
import Testing

/// The main job and the envelopes of every suite on every kind of token that is at hand, each at the level that its profile states.
@Suite struct TokenFamilyTests {
    private static let plaintexts: [[UInt8]] = [16, 24, 32, 64, 128, 256].map { count in
        (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    }

    @Test(arguments: Suite.allCases) func softHSM(suite: Suite) throws {
        let daemon = try DaemonHarness.running()
        try mainJob(daemon, suite)
        try level(daemon, isAnchored: true, auditKey: Self.curve)
        try sealedByCommand(daemon, suite)
    }

    /// One daemon, one request, envelopes of all suites beside one another; and no suite's opens as another's.
    @Test func allSuitesSideBySide() throws {
        let daemon = try DaemonHarness.running()
        let client = daemon.client(retries: 8)
        let keys = try Suite.allCases.map { suite in try client.createKey(name: "of \(suite.rawValue)") { $0.suite = suite }.id }
        var envelopes: [[UInt8]] = []
        for round in 0..<4 {
            for key in keys {
                envelopes.append(try client.wrap(.id(key), [UInt8](repeating: UInt8(round), count: 32), ["x"]).envelope)
            }
        }
        #expect(envelopes.map { $0[4] } == (0..<4).flatMap { _ in Suite.allCases.map(\.rawValue) })
        for isAfter in [false, true] {
            for (index, envelope) in envelopes.enumerated() {
                #expect(try client.open(envelope, ["x"]) == [UInt8](repeating: UInt8(index / keys.count), count: 32))
            }
            if !isAfter { try daemon.restart() }
        }
        for (index, envelope) in envelopes.prefix(keys.count).enumerated() {
            for (other, key) in keys.enumerated() where other != index {
                // Another key's id and suite before the same ciphertext.
                var forged = envelope
                forged.replaceSubrange(4..<26, with: envelopes[other][4..<26])
                let code = refusal { () throws(ClientError) in try client.open(forged, ["x"]) }
                #expect(code == .decryptionFailed || code == .malformedEnvelope, "\(index) as \(key)")
            }
        }
    }

    /// NSS softokn: suites 1 and 3, and data keys of at most 256 bytes in suite 3.
    @Test func nss() throws {
        guard let family = TokenFamily.installedNSS() else { return skip("NSS softokn", "libnss3 is not installed") }
        var settings = DaemonHarness.Settings()
        (settings.family, settings.uri) = (family, family.uri)
        let daemon = try DaemonHarness(settings, initialised: false)
        let made = try daemon.claviger("token", "init", "--json")
        #expect(made.status == 0, "\(made.errorText)")
        try daemon.start()
        for suite in [Suite.aesGCM, .aesKeyWrapWithHMAC] { try mainJob(daemon, suite) }
        let client = daemon.client()
        let key = try client.createKey(name: "bound") { $0.suite = .aesKeyWrapWithHMAC }
        #expect(try client.wrap(.id(key.id), [UInt8](repeating: 1, count: 256)).version == 1)
        let tooLong = refusal { () throws(ClientError) in try client.wrap(.id(key.id), [UInt8](repeating: 1, count: 264)) }
        #expect(tooLong == .plaintextSize)
        try level(daemon, isAnchored: false, auditKey: Self.curve)
    }

    /// openCryptoki's soft token: suite 2, and no other; records are signed with RSA.
    @Test func openCryptoki() throws {
        if let obstacle = OpenCryptokiSlot.obstacle { return skip("openCryptoki", obstacle) }
        let log = "/tmp/clvt-ock-\(getpid()).log"
        defer { unlink(log) }
        var settings = DaemonHarness.Settings()
        settings.family = .openCryptoki(try OpenCryptokiSlot(log: log))
        let daemon = try DaemonHarness(settings, initialised: false)
        try writeFile(daemon.directory + "/first-so-pin", OpenCryptokiSlot.firstOfficerPIN, mode: 0o400)
        let made = try daemon.claviger(
            "token", "init", "--weak-pin", "--so-pin-file", daemon.directory + "/first-so-pin", "--json")
        #expect(made.status == 0, "\(made.errorText)")
        try daemon.start()
        try mainJob(daemon, .aesCBCWithHMAC)
        let client = daemon.client()
        #expect(try client.createKey(name: "usual").suite == .aesCBCWithHMAC)
        for suite in [Suite.aesGCM, .aesKeyWrapWithHMAC] {
            let code = refusal { () throws(ClientError) in try client.createKey(name: "other") { $0.suite = suite } }
            #expect(code == .suiteUnsupported)
        }
        try level(daemon, isAnchored: true, auditKey: Self.rsa)
    }

    // MARK: what each does at its level

    // How the PEM of SubjectPublicKeyInfo begins: of a point of P-256 (RFC 5480), of a modulus of 3,072 bits (RFC 3279).
    private static let curve = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE"
    private static let rsa = "MIIBojANBgkqhkiG9w0BAQEFAAOCAY8AMIIBigKCAYEA"

    /// The running daemon's level: whether the token remembers which database is the newest, and what signs the records.
    private func level(_ daemon: DaemonHarness, isAnchored: Bool, auditKey: String) throws {
        #expect(try daemon.client().status().isAnchored == isAnchored)
        let key = try daemon.claviger("audit", "key")
        #expect(key.status == 0 && key.text.contains("\n" + auditKey), "\(key.text) \(key.errorText)")
    }

    /// `claviger wrap --generate --sealed`: the envelope alone, of a data key that opens.
    private func sealedByCommand(_ daemon: DaemonHarness, _ suite: Suite) throws {
        let key = try daemon.client().createKey(name: "by command") { $0.suite = suite }
        let made = try daemon.claviger("wrap", "by command", "--generate", "--sealed", "--context", "x")
        guard suite == .aesKeyWrapWithHMAC else {
            #expect(made.status != 0 && made.output.isEmpty && made.errorText.contains("suite"), "\(made.errorText)")
            return
        }
        #expect(made.status == 0 && made.text.hasPrefix("clv1."), "\(made.errorText)")
        try writeFile(daemon.directory + "/dek.clv", made.text)
        let plain = daemon.directory + "/dek"
        let opened = try daemon.claviger(
            "unwrap", "--context", "x", "--in", daemon.directory + "/dek.clv", "--plaintext-out", plain)
        #expect(try opened.status == 0 && readFile(plain).count == 32, "\(opened.errorText)")
        let both = try daemon.claviger(
            "wrap", "by command", "--generate", "--sealed", "--plaintext-out", daemon.directory + "/plain")
        #expect(both.status != 0 && access(daemon.directory + "/plain", F_OK) != 0)
        #expect(key.suite == suite)
    }

    // MARK: what all of them must do

    private func mainJob(_ daemon: DaemonHarness, _ suite: Suite) throws {
        let client = daemon.client(retries: 8)
        let key = try client.createKey(name: "suite \(suite.rawValue)") { $0.suite = suite }
        #expect(key.suite == suite)
        let name = KeyReference.id(key.id)
        var envelopes: [(envelope: [UInt8], plaintext: [UInt8])] = []
        for plaintext in Self.plaintexts {
            let envelope = try client.wrap(name, plaintext, ["tenant=7", ""]).envelope
            #expect(envelope[4] == suite.rawValue)
            #expect(envelope.count == Envelope.length(suite, plaintext: plaintext.count))
            envelopes.append((envelope, plaintext))
        }
        for count in [16, 32, 64] {
            let made = try client.making(name, count, ["tenant=7", ""])
            #expect(made.plaintext.count == count)
            envelopes.append((made.envelope, made.plaintext))
        }
        // The old version opens beside the new one, before and after a restart, and rewraps.
        #expect(try client.rotateKey(name, { $0.reason = "test" }).suite == suite)
        for isAfter in [false, true] {
            for (envelope, plaintext) in envelopes {
                let opening = try client.opening(envelope, ["tenant=7", ""])
                #expect(opening.plaintext == plaintext && opening.opened.isStale)
                let fresh = try client.rewrap(envelope, context: ["tenant=7", ""], key: name)
                #expect(fresh.previousVersion == 1 && fresh.wrapped.version == 2)
                #expect(try client.open(fresh.wrapped.envelope, ["tenant=7", ""]) == plaintext)
            }
            if !isAfter { try daemon.restart() }
        }
        let health = try client.health()
        #expect(health.state == .ready, "\(health.reason)")
        #expect(try client.status().quarantined == 0)
        try forgeries(client, envelopes[0].envelope, suite)
        try sealed(client, name, suite)
        #expect(try client.open(envelopes[0].envelope, ["tenant=7", ""]) == envelopes[0].plaintext)
        #expect(try client.health().state == .ready)
    }

    /// Every refusal of what does not open is the same, byte for byte.
    private func forgeries(_ client: Client, _ envelope: [UInt8], _ suite: Suite) throws {
        var messages: Set<String> = []
        func refuse(_ forged: [UInt8], _ what: String, context: [String] = ["tenant=7", ""]) {
            let error = #expect(throws: ClientError.self, "\(suite): \(what)") { try client.open(forged, context) }
            guard case .refused(let refusal)? = error else { return }
            #expect([.decryptionFailed, .malformedEnvelope, .denied].contains(refusal.code), "\(what): \(refusal)")
            if refusal.code == .decryptionFailed { messages.insert(refusal.message) }
        }
        for index in envelope.indices {
            var forged = envelope
            forged[index] ^= 1 << UInt8(index % 8)
            refuse(forged, "byte \(index)")
        }
        for other in Suite.allCases where other != suite {
            var forged = envelope
            forged[4] = other.rawValue
            refuse(forged, "suite \(other.rawValue) in the header")
        }
        refuse(envelope, "no context", context: [])
        refuse(envelope, "another context", context: ["", "tenant=7"])
        #expect(messages.count == 1)
    }

    /// Data keys that nobody is shown: made and rewrapped inside, where the suite can.
    private func sealed(_ client: Client, _ key: KeyReference, _ suite: Suite) throws {
        guard suite == .aesKeyWrapWithHMAC else {
            let code = refusal { () throws(ClientError) in try client.generateSealed(key: key) }
            #expect(code == .suiteUnsupported)
            return
        }
        var known: Set<[UInt8]> = []
        for count in [16, 24, 32, 64] {
            let made = try client.generateSealed(key: key, count: count, context: ["x"])
            let plaintext = try client.open(made.envelope, ["x"])
            #expect(plaintext.count == count && known.insert(plaintext).inserted)
        }
        let old = try client.generateSealed(key: key)
        _ = try client.rotateKey(key) { $0.reason = "test" }
        let fresh = try client.rewrap(old.envelope, key: key)
        #expect(fresh.wrapped.version == old.version + 1)
        #expect(try client.open(fresh.wrapped.envelope) == client.open(old.envelope))
        let odd = refusal { () throws(ClientError) in try client.generateSealed(key: key, count: 17) }
        #expect(odd == .plaintextSize)
    }
}
