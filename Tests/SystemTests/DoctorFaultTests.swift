import ClavigerClient
import ClavigerWire
import Glibc
import Support
import Testing

/// The doctor, `token init` and the daemon on tokens that a fault module has spoiled.
@Suite struct DoctorFaultTests {
    /// Dangerous tokens are called so, and refused by the daemon.
    @Test(arguments: [
        ("ignore CKA_SENSITIVE", "a sensitive key cannot be read"),
        ("C_Encrypt corrupt=flip", "CKM_AES_GCM computes right"),
        ("C_Decrypt corrupt=flip", "CKM_AES_GCM computes right"),
        ("C_WrapKey corrupt=flip", "CKM_AES_KEY_WRAP computes right"),
        ("C_Sign corrupt=flip", "CKM_SHA256_HMAC computes right"),
        ("C_GenerateRandom corrupt=constant", "random numbers differ"),
        ("C_GenerateRandom corrupt=repeat", "random numbers differ"), ("reuse handles", "handles tell keys apart"),
    ])
    func aDangerousTokenIsCalledSoAndRefused(fault: String, row: String) throws {
        let daemon = try DaemonHarness()
        let faults = try daemon.useFaultModule()
        try faults.set(fault)
        let found = try daemon.claviger("token", "doctor")
        #expect(found.status == 5, "\(found.status) \(found.text) \(found.errorText)")
        #expect(verdict(found.text, row) == "dangerous", "\(fault): \(found.text)")
        #expect(found.text.contains("the daemon refuses it") && !found.text.contains("is-security-boundary = false"))
        try daemon.start()
        let health = try daemon.wait(for: .needsOperator)
        #expect(health.reason.contains("dangerous") && health.reason.contains(row), "\(health.reason)")
    }

    /// A wrong signature is named before anything is signed with it, so that nothing is to be accepted once it is right again.
    @Test func aWrongSignatureCostsNoCeremony() throws {
        let daemon = try DaemonHarness()
        let faults = try daemon.useFaultModule()
        let fault = "C_Sign mechanism=CKM_ECDSA corrupt=flip"
        try faults.set(fault)
        let found = try daemon.claviger("token", "doctor")
        #expect(found.status == 5 && verdict(found.text, "signing pair ec-p256") == "dangerous", "\(found.text)")
        try daemon.start()
        let health = try daemon.wait(for: .needsOperator)
        #expect(health.reason.contains("the signature of the instance's key 'audit' is wrong"), "\(health.reason)")
        try faults.set()
        try daemon.restart()
        try daemon.wait(for: .ready)
        // One that becomes wrong later is told as long as it lasts, and made good afterwards.
        try faults.set(fault)
        _ = try daemon.client().createKey(name: "unsigned")
        let degraded = try daemon.wait(for: .degraded)
        #expect(degraded.reason.contains("not signed"), "\(degraded.reason)")
        try faults.set()
        try daemon.wait(for: .ready)
        try daemon.restart()
        try daemon.wait(for: .ready)
        #expect(try daemon.client().wrap(.name("unsigned"), [1]).version == 1)
    }

    /// Keys of known value are what the trials need; a token that takes none is neither well nor dangerous.
    @Test func whatCouldNotBeTriedIsSaid() throws {
        let daemon = try DaemonHarness()
        let faults = try daemon.useFaultModule()
        try faults.set("C_CreateObject return=CKR_TEMPLATE_INCONSISTENT")
        let found = try daemon.claviger("token", "doctor")
        #expect(found.status == 6, "\(found.status) \(found.text) \(found.errorText)")
        #expect(verdict(found.text, "CKM_AES_GCM computes right") == "not tried", "\(found.text)")
        #expect(found.text.contains("not tried: CKM_AES_GCM computes right: "))
        #expect(verdict(found.text, "a non-extractable key cannot be wrapped out") == "works")
        try daemon.start()
        try daemon.wait(for: .ready)
        #expect(
            daemon.log.contains("what could not be tried may be safe or not") && daemon.log.contains("CKM_AES_GCM computes right")
        )
    }

    /// A thief who cannot bring a key of his own has the token make one.
    @Test func nssIsNoSecurityBoundaryForAThiefWithoutKeys() throws {
        guard let family = TokenFamily.installedNSS() else { return skip("NSS softokn, thief", "libnss3 is not installed") }
        var settings = DaemonHarness.Settings()
        (settings.family, settings.uri) = (family, family.uri)
        settings.tables = ["[quirks]", "is-security-boundary = true"]
        let daemon = try DaemonHarness(settings, initialised: false)
        #expect(try daemon.claviger("token", "init").status == 0)
        let faults = try daemon.useFaultModule(settings, module: "/usr/lib/x86_64-linux-gnu/libsoftokn3.so")
        try faults.set("C_CreateObject return=CKR_TEMPLATE_INCONSISTENT", "C_CopyObject return=CKR_FUNCTION_NOT_SUPPORTED")
        let found = try daemon.claviger("token", "doctor")
        #expect(found.status == 5, "\(found.status) \(found.text) \(found.errorText)")
        #expect(verdict(found.text, "a non-extractable key cannot be wrapped out") == "dangerous", "\(found.text)")
        #expect(found.text.contains("under a key made to be read") && found.text.contains("is-security-boundary = false"))
        try daemon.start()
        let health = try daemon.wait(for: .needsOperator)
        #expect(health.reason.contains("CKA_EXTRACTABLE=false"), "\(health.reason)")
    }

    /// A refused PIN of the configured source is presented once, whoever comes first.
    @Test func aRefusedPINIsNotRepeated() throws {
        let daemon = try DaemonHarness()
        let faults = try daemon.useFaultModule()
        try writeFile(daemon.pinFile + ".new", "a PIN that is wrong", mode: 0o400)
        #expect(rename(daemon.pinFile + ".new", daemon.pinFile) == 0)
        for _ in 0..<3 {
            let found = try daemon.claviger("token", "doctor")
            #expect(found.status == 1 && found.errorText.contains("PIN"), "\(found.errorText)")
        }
        try daemon.start()
        try daemon.wait(for: .needsOperator)
        #expect(daemon.stop() == 0)
        #expect(try daemon.claviger("token", "doctor").status == 1)
        try daemon.start()
        let health = try daemon.wait(for: .needsOperator)
        #expect(health.reason.contains(daemon.pinFile), "\(health.reason)")
        #expect(try faults.calls("C_Login").count == 1)
    }

    /// Nobody leaves files in the daemon's directories that the daemon cannot read.
    @Test(arguments: [["token", "doctor"], ["token", "status"]]) func anotherUsersStateIsLeftAlone(command: [String]) throws {
        guard geteuid() == 0 else { return skip("the daemon's state of another user", "only root can give files away") }
        let daemon = try DaemonHarness()
        let before = try listDirectory(daemon.state).sorted()
        #expect(chown(daemon.state, 65_534, 65_534) == 0)
        let found = try daemon.claviger(command)
        #expect(found.status != 0 && found.errorText.contains("runuser -u"), "\(found.text) \(found.errorText)")
        #expect(found.errorText.contains("claviger \(command.joined(separator: " "))"))
        #expect(try listDirectory(daemon.state).sorted() == before)
    }

    /// A token that lists GCM and does not do it gets the suite that works, from `token init` on.
    @Test func aMechanismThatIsListedOnlyIsPassedOver() throws {
        let daemon = try DaemonHarness(initialised: false)
        let faults = try daemon.useFaultModule()
        try faults.set("C_EncryptInit mechanism=CKM_AES_GCM return=CKR_MECHANISM_INVALID")
        let made = try daemon.claviger("token", "init")
        #expect(made.status == 0, "\(made.errorText)")
        let found = try daemon.claviger("token", "doctor")
        #expect(found.status == 0, "\(found.status) \(found.text)")
        #expect(found.text.contains("  [token]\n  suite = \"aes-cbc-hmac\""), "\(found.text)")
        try daemon.start()
        try daemon.wait(for: .ready)
        #expect(try daemon.client().createKey(name: "default").suite == .aesCBCWithHMAC)
    }

    /// The configured suite is honoured, and one that the token does not list is refused before the token is touched.
    @Test func initHonoursTheSuite() throws {
        let daemon = try DaemonHarness(initialised: false)
        let faults = try daemon.useFaultModule()
        let text = String(decoding: try readFile(daemon.configuration), as: UTF8.self)
        try writeFile(daemon.configuration, text.replacing("[token]", with: "[token]\nsuite = \"aes-cbc-hmac\""))
        try faults.set("without CKM_AES_CBC")
        let refused = try daemon.claviger("token", "init")
        #expect(refused.status == 1 && refused.errorText.contains("token.suite"), "\(refused.errorText)")
        #expect(try faults.calls("C_InitToken").isEmpty)
        try faults.set()
        #expect(try daemon.claviger("token", "init").status == 0)
        // What has a label is an object of the instance; 0x1082 is CKM_AES_CBC.
        let named = try faults.calls("C_EncryptInit").map(\.line).filter { $0.contains("claviger:") }
        #expect(!named.isEmpty && named.allSatisfy { $0.contains("mechanism=0x1082 ") }, "\(named)")
    }

    /// No suite: exit status 4.
    @Test func noSuite() throws {
        let daemon = try DaemonHarness()
        let faults = try daemon.useFaultModule()
        try faults.set("without CKM_AES_GCM", "without CKM_AES_CBC", "without CKM_AES_KEY_WRAP")
        let found = try daemon.claviger("token", "doctor")
        #expect(found.status == 4 && found.text.contains("no suite works"), "\(found.status) \(found.text) \(found.errorText)")
    }

    /// A token without read-only sessions: found out, and served with the setting.
    @Test func sessionsThatMayReadOnlyAreNotNeeded() throws {
        let daemon = try DaemonHarness()
        let faults = try daemon.useFaultModule()
        try faults.set("without read-only-sessions")
        let found = try daemon.claviger("token", "doctor")
        #expect(found.status == 0 && found.text.contains("  read-only-sessions = false"), "\(found.text) \(found.errorText)")
        var settings = DaemonHarness.Settings()
        settings.tables = ["[quirks]", "read-only-sessions = false", "session-limit = 4"]
        let again = try daemon.useFaultModule(settings)
        try again.set("without read-only-sessions")
        try daemon.start()
        try daemon.wait(for: .ready)
        let client = daemon.client(retries: 50)
        let key = try client.createKey(name: "first").id
        let envelopes = try (0..<8).map { try client.wrap(.id(key), [UInt8($0)]).envelope }
        for (index, envelope) in envelopes.enumerated() { #expect(try client.open(envelope) == [UInt8(index)]) }
    }

    /// As many sessions as the profile allows, though the token gives more.
    @Test func theSessionLimitHolds() throws {
        let daemon = try DaemonHarness()
        var settings = DaemonHarness.Settings()
        settings.tables = ["[quirks]", "session-limit = 3"]
        let faults = try daemon.useFaultModule(settings)
        try daemon.start()
        try daemon.wait(for: .ready)
        let key = try daemon.client(retries: 50).createKey(name: "first").id
        let seen = Observations()
        let threads = Threads(6) { _ in
            for _ in 0..<20 {
                let clock = ContinuousClock()
                let began = clock.now
                do throws(ClientError) {
                    _ = try daemon.client(retries: 50).wrap(.id(key), [1])
                    seen.note(clock.now - began, .success(true))
                } catch {
                    seen.note(clock.now - began, .failure(error))
                }
            }
        }
        threads.join()
        #expect(seen.all.done == 120, "\(seen.all.refused) \(seen.all.wrong)")
        // The one that manages, the one that signs, one worker's.
        #expect(try faults.calls("C_OpenSession").filter { $0.process == daemon.pid && $0.result == "CKR_OK" }.count <= 3)
    }

    /// Sessions that run out are a limit that is told, in the rows and in the figures that could not be had.
    @Test func aShortSupplyOfSessionsIsTold() throws {
        let daemon = try DaemonHarness()
        let faults = try daemon.useFaultModule()
        try faults.set("sessions 4")
        let found = try daemon.claviger("token", "doctor")
        #expect(found.status == 0 && found.text.contains("  session-limit = 4"), "\(found.text) \(found.errorText)")
        #expect(found.text.contains("not measured: C_OpenSession: CKR_SESSION_COUNT"))
    }

    /// A token that destroys nothing gets its report all the same; what stays is counted, and goes when it can.
    @Test func aTokenThatDestroysNothingIsReported() throws {
        let daemon = try DaemonHarness()
        let faults = try daemon.useFaultModule()
        try faults.set("C_DestroyObject return=CKR_ACTION_PROHIBITED")
        for _ in 0..<2 {
            let found = try daemon.claviger("token", "doctor")
            #expect(found.text.contains("conclusion: "), "\(found.status) \(found.text) \(found.errorText)")
            #expect(verdict(found.text, "destroying a key") == "works with limits", "\(found.text)")
            #expect(verdict(found.text, "nothing of the doctor's is left") == "works with limits", "\(found.text)")
        }
        try faults.set()
        let found = try daemon.claviger("token", "doctor")
        #expect(found.status == 0 && found.errorText.contains("objects that a doctor's run left behind"), "\(found.errorText)")
    }

    /// The verdict of a row in a report for people.
    private func verdict(_ text: String, _ row: String) -> String {
        guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix(row + " ") }) else { return "no such row" }
        let rest = line.dropFirst(row.utf8.count).drop { $0 == " " }
        return ["works with limits", "works", "refused", "not tried", "dangerous"].first { rest.hasPrefix($0) } ?? "\(rest)"
    }
}
