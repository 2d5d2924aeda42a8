import ClavigerClient
import Glibc
import Support
import Testing

/// `claviger token init`: once, twice, and killed in between.
@Suite struct InitTests {
    private static let rounds = isLong ? 100 : 8

    // How long a whole run takes here, in microseconds, so that the kills come in all of its steps.
    private static let duration = Result { () throws -> Int in
        let daemon = try DaemonHarness(initialised: false)
        let clock = ContinuousClock()
        let begin = clock.now
        let made = try daemon.initialise()
        guard made.status == 0 else { throw HarnessError(made.errorText) }
        return Int((clock.now - begin) / .microseconds(1))
    }

    /// What it makes: PIN files for their owners only, and nothing left of its own.
    @Test func makesEverythingAndSaysSo() throws {
        let daemon = try DaemonHarness(initialised: false)
        let made = try daemon.initialise()
        #expect(made.status == 0, "\(made.errorText)")
        #expect(made.text.contains("\"changed\":true"))
        for file in [daemon.pinFile, daemon.securityOfficerPINFile] {
            var status = stat()
            #expect(stat(file, &status) == 0 && status.st_mode & 0o7777 == 0o400)
            #expect(try readFile(file).count == 32)
        }
        #expect(try readFile(daemon.pinFile) != (try readFile(daemon.securityOfficerPINFile)))
        #expect(access(daemon.state + "/token-init", F_OK) != 0)
        try daemon.start()
        #expect(try daemon.health.state == .ready)
    }

    /// A second run changes nothing, on the token and beside it, and says so.
    @Test func twiceChangesNothing() async throws {
        let daemon = try DaemonHarness()
        let pin = try readFile(daemon.pinFile)
        let before = try await TokenVisit.entries(daemon)
        let again = try daemon.initialise()
        #expect(again.status == 0 && again.text.contains("\"changed\":false"), "\(again.text)")
        #expect(try daemon.claviger("token", "init").text.contains("nothing to do"))
        #expect(try await TokenVisit.entries(daemon) == before)
        #expect(try readFile(daemon.pinFile) == pin)
    }

    /// Weak PINs are refused on a software token, and accepted when the admin insists.
    @Test func weakPINs() throws {
        let daemon = try DaemonHarness(initialised: false)
        let file = daemon.directory + "/weak"
        try writeFile(file, "123456789012345")
        let refused = try daemon.claviger("token", "init", "--pin-file", file, "--so-pin-out", daemon.securityOfficerPINFile)
        #expect(refused.status == 1 && refused.errorText.contains("--weak-pin"), "\(refused.errorText)")
        chmod(file, 0o644)
        let open = try daemon.claviger("token", "init", "--pin-file", file, "--weak-pin")
        #expect(open.status == 1 && open.errorText.contains("chmod 0400"), "\(open.errorText)")
        chmod(file, 0o600)
        let made = try daemon.claviger(
            "token", "init", "--pin-file", file, "--weak-pin", "--so-pin-out", daemon.securityOfficerPINFile)
        #expect(made.status == 0, "\(made.errorText)")
    }

    /// No PIN can be given where others would see it.
    @Test func noPINOnTheCommandLine() throws {
        let daemon = try DaemonHarness(initialised: false)
        for arguments in [["--pin", "1234567890123456"], ["--so-pin", "1234567890123456"], ["1234567890123456"]] {
            #expect(try daemon.claviger(["token", "init"] + arguments).status == 2)
        }
    }

    /// Killed at any moment, even several times, the next run goes on where it stopped.
    @Test(arguments: 0..<rounds) func killsAreResumed(round: Int) throws {
        var generator = SeededGenerator(seed: seed &+ UInt64(round))
        let daemon = try DaemonHarness(initialised: false)
        let arguments = ["token", "init", "--so-pin-out", daemon.securityOfficerPINFile]
        var kills: [Int] = []
        for _ in 0..<Int.random(in: 1...3, using: &generator) {
            let delay = Int.random(in: 0...(try Self.duration.get()), using: &generator)
            let command = try Child.spawn(
                try Programs.path("claviger"), arguments, output: daemon.directory + "/out", error: daemon.directory + "/out",
                environment: daemon.environment)
            pause(microseconds: delay)
            command.end(SIGKILL)
            kills.append(delay)
        }
        let comment = Comment("seed \(seed), round \(round), killed after \(kills) us")
        let resumed = try daemon.claviger(arguments)
        try #require(resumed.status == 0, "\(comment.rawValue): \(resumed.errorText)")
        let again = try daemon.claviger(arguments)
        #expect(again.status == 0 && again.text.contains("nothing to do"), comment)
        for file in [daemon.pinFile, daemon.securityOfficerPINFile] { #expect(try readFile(file).count == 32, comment) }
        try daemon.start()
        let health = try daemon.health
        #expect(health.state == .ready, "\(comment.rawValue): \(health.reason)")
        let key = try daemon.client().createKey(name: "after all").id
        let envelope = try daemon.client().wrap(.id(key), [1, 2, 3]).envelope
        #expect(try daemon.client().open(envelope) == [1, 2, 3], comment)
        // What a kill left half made is reported, a piece for each kill at most (two for the pair), and does no harm.
        #expect(try daemon.client().status().quarantined <= UInt32(2 * kills.count), comment)
    }
}
