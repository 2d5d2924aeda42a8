import ClavigerClient
import ClavigerWire
import Glibc
import Support
import Testing

/// PINs: where they come from, how often they are tried, and where they are never seen.
@Suite struct UnlockTests {
    private static let wrongPIN = "WRONGWRONGWRONGWRONGWRONGWRONG22"

    /// Without a PIN source the daemon starts sealed and says so; `claviger unlock` opens it.
    @Test func aSealedStart() throws {
        var settings = DaemonHarness.Settings()
        settings.hasPINFile = false
        let daemon = try DaemonHarness.running(settings)
        #expect(try daemon.health.state == .sealed)
        let client = daemon.client()
        #expect(refusal { () throws(ClientError) in try client.createKey(name: "early") } == .sealed)
        let status = try daemon.claviger("status")
        #expect(status.status == 0 && status.text.contains("sealed") && status.text.contains("claviger unlock"))
        #expect(try daemon.claviger("health").status == 1)

        let unlocked = try daemon.claviger("unlock", "--pin-file", daemon.pinFile)
        #expect(unlocked.status == 0, "\(unlocked.errorText)")
        #expect(try daemon.health.state == .ready)
        _ = try client.createKey(name: "late")
        let again = try daemon.claviger("unlock", "--pin-file", daemon.pinFile)
        #expect(again.status == 1 && again.errorText.contains("logged in already"))
        // Nothing of it was kept: the next start is sealed again.
        try daemon.restart()
        #expect(try daemon.health.state == .sealed)
    }

    /// A refused PIN is tried once, not again by a restarted daemon, and again when its file changes.
    @Test func aWrongPINIsTriedOnce() throws {
        let daemon = try DaemonHarness()
        let right = try readFile(daemon.pinFile)
        chmod(daemon.pinFile, 0o600)
        try writeFile(daemon.pinFile, Self.wrongPIN)
        try daemon.start()
        let health = try daemon.health
        #expect(health.state == .needsOperator && health.reason.contains("claviger unlock"), "\(health.reason)")
        #expect(String(decoding: try readFile(daemon.loginMarker), as: UTF8.self).contains("result=refused"))
        #expect(try daemon.claviger("token", "status", "--json").text.contains("user-count-low"))
        let client = daemon.client()
        #expect(refusal { () throws(ClientError) in try client.createKey(name: "early") } == .needsOperator)

        // The right PIN in a file that looks unchanged: a daemon that tried it would serve.
        try daemon.replacePIN(right, keepingIdentity: true)
        for isCrash in [false, true] {
            if isCrash { daemon.kill() } else { daemon.stop() }
            try daemon.start()
            #expect(try daemon.health.state == .needsOperator)
        }
        // By hand a wrong one is refused too, and the right one helps.
        let wrong = daemon.directory + "/other-pin"
        try writeFile(wrong, Self.wrongPIN)
        let refused = try daemon.claviger("unlock", "--pin-file", wrong)
        #expect(refused.status == 1 && refused.errorText.contains("pin"), "\(refused.errorText)")
        let unlocked = try daemon.claviger("unlock", "--pin-file", daemon.pinFile)
        #expect(unlocked.status == 0, "\(unlocked.errorText)")
        #expect(try daemon.health.state == .ready)
        // And from then on the file is good for itself.
        try daemon.restart()
        #expect(try daemon.health.state == .ready)
    }

    /// A changed file is a new source: a corrected PIN is tried at the next start.
    @Test func aCorrectedPINFileIsTriedAgain() throws {
        let daemon = try DaemonHarness()
        let right = try readFile(daemon.pinFile)
        chmod(daemon.pinFile, 0o600)
        try writeFile(daemon.pinFile, Self.wrongPIN)
        try daemon.start()
        #expect(try daemon.health.state == .needsOperator)
        daemon.stop()
        try daemon.replacePIN(right, keepingIdentity: false)
        try daemon.start()
        #expect(try daemon.health.state == .ready)
    }

    /// A PIN file that others may read, that is empty or not there: not used, and each named.
    @Test func badPINFiles() throws {
        let daemon = try DaemonHarness()
        let right = try readFile(daemon.pinFile)
        chmod(daemon.pinFile, 0o440)
        try daemon.start()
        #expect(try daemon.health.state == .needsOperator)
        #expect(try daemon.health.reason.contains("chmod 0400"))
        daemon.stop()
        chmod(daemon.pinFile, 0o600)
        try writeFile(daemon.pinFile, "\n")
        try daemon.start()
        #expect(try daemon.health.state == .needsOperator)
        #expect(try daemon.health.reason.contains("holds no PIN"))
        daemon.stop()
        unlink(daemon.pinFile)
        try daemon.start()
        #expect(try !daemon.health.state.serves)
        #expect(try daemon.health.reason.contains(daemon.pinFile))
        daemon.stop()
        // None of these was an attempt: the right PIN is tried at once.
        try writeFile(daemon.pinFile, right, mode: 0o400)
        try daemon.start()
        #expect(try daemon.health.state == .ready)
    }

    /// A token of the same label that is not ours is refused before any login, and nothing is touched.
    @Test func c16_aForeignToken() throws {
        let daemon = try DaemonHarness()
        let ours = try #require(try listDirectory(daemon.tokens).first { !$0.hasPrefix(".") })
        #expect(rename(daemon.tokens + "/" + ours, daemon.directory + "/away") == 0)
        let store = try DaemonHarness(initialised: false)
        #expect(try store.initialise().status == 0)
        let copied = try Child.run("/bin/cp", ["-a", store.tokens + "/.", daemon.tokens], directory: daemon.directory)
        #expect(copied.status == 0)
        let marker = try readFile(daemon.loginMarker)
        let theirs = try #require(try listDirectory(daemon.tokens).first { !$0.hasPrefix(".") })
        let object = daemon.tokens + "/" + theirs + "/token.object"
        let before = try readFile(object)

        try daemon.start()
        let health = try daemon.health
        #expect(health.state == .needsOperator && health.reason.contains("another token"), "\(health.reason)")
        #expect(try readFile(daemon.loginMarker) == marker)
        #expect(try readFile(object) == before)
        daemon.stop()
        // Ours is back, beside the other: the serial decides between two tokens of one label.
        #expect(rename(daemon.directory + "/away", daemon.tokens + "/" + ours) == 0)
        try daemon.start()
        let both = try daemon.health
        #expect(both.state == .ready || both.reason.contains("serial"), "\(both.reason)")
        daemon.stop()
        #expect(rename(daemon.tokens + "/" + theirs, daemon.directory + "/away") == 0)
        try daemon.start()
        #expect(try daemon.health.state == .ready)
    }

    /// No token at all: the daemon stays up, says so, and serves by itself as soon as it is there.
    @Test func aMissingToken() throws {
        let daemon = try DaemonHarness()
        let ours = try #require(try listDirectory(daemon.tokens).first { !$0.hasPrefix(".") })
        #expect(rename(daemon.tokens + "/" + ours, daemon.directory + "/away") == 0)
        try daemon.start()
        let health = try daemon.health
        #expect(health.state == .lost && !health.reason.isEmpty, "\(health)")
        #expect(rename(daemon.directory + "/away", daemon.tokens + "/" + ours) == 0)
        try daemon.wait(for: .ready)
        _ = try daemon.client().createKey(name: "back")
    }

    /// An older copy of the token, without the instance's keys, is not ours either.
    @Test func aTokenWithoutOurKeys() throws {
        let daemon = try DaemonHarness()
        let ours = try #require(try listDirectory(daemon.tokens).first { !$0.hasPrefix(".") })
        let directory = daemon.tokens + "/" + ours
        for name in try listDirectory(directory) where name.hasSuffix(".object") && name != "token.object" {
            unlink(directory + "/" + name)
        }
        try daemon.start()
        let health = try daemon.health
        #expect(health.state == .needsOperator && health.reason.contains("missing"), "\(health.reason)")
    }

    /// SoftHSM rewrites its token file at logins; one that a kill left empty or cut off is put back from the copy, and reported.
    @Test(arguments: [0, 1, 100]) func aDamagedTokenFileIsRestored(length: Int) throws {
        let daemon = try DaemonHarness.running()
        let key = try daemon.client().createKey(name: "survivor").id
        let envelope = try daemon.client().wrap(.id(key), [4, 5, 6]).envelope
        daemon.kill()
        let ours = try #require(try listDirectory(daemon.tokens).first { !$0.hasPrefix(".") })
        let file = daemon.tokens + "/" + ours + "/token.object"
        #expect(truncate(file, length) == 0)
        try daemon.start()
        #expect(try daemon.health.state == .ready)
        #expect(daemon.log.contains("restored from its copy") && daemon.log.contains(file))
        // What it was put back over is kept: it may have been newer.
        let kept = "\(daemon.state)/token-copies/\(ours)/token.object.damaged"
        #expect(length == 0 ? access(kept, F_OK) != 0 : try readFile(kept).count == length)
        #expect(try daemon.client().open(envelope) == [4, 5, 6])
    }

    /// The PIN is in no argument, no environment and no log, neither the daemon's nor the command line's, while they run.
    @Test func thePINIsNowhereToBeSeen() throws {
        let daemon = try DaemonHarness()
        let pin = try readFile(daemon.pinFile)
        #expect(pin.count == 32)
        let text = String(decoding: pin, as: UTF8.self)
        var settings = DaemonHarness.Settings()
        settings.hasPINFile = false
        settings.tables = ["[log]", "level = \"debug\""]
        try daemon.configure(settings)
        try daemon.start()
        // What is looked through is really there.
        let pid = try #require(daemon.pid)
        #expect(Processes.shows(pid, "--config"))
        #expect(geteuid() != 0 || Processes.shows(pid, "PATH="))
        #expect(!Processes.shows(try #require(daemon.pid), text))

        // A command line that has read its PIN and waits for the rest of its input.
        let pipe = daemon.directory + "/pipe"
        #expect(mkfifo(pipe, 0o600) == 0)
        // Opened for both, so that neither side waits for the other to open it.
        let end = open(pipe, O_RDWR | O_CLOEXEC)
        defer { close(end) }
        let command = try Child.spawn(
            try Programs.path("claviger"), ["unlock", "--pin-stdin"], input: pipe, output: daemon.directory + "/out",
            error: daemon.directory + "/err", environment: daemon.environment)
        #expect(write(end, pin, pin.count) == pin.count)
        var unread: Int32 = 1
        // FIONREAD: what the command has not read yet.
        #expect(eventually { ioctl(end, UInt(0x541b), &unread) == 0 && unread == 0 })
        #expect(Processes.shows(command.pid, "--pin-stdin"))
        #expect(!Processes.shows(command.pid, text))
        command.end(SIGKILL)

        #expect(try daemon.claviger("unlock", "--pin-file", daemon.pinFile).status == 0)
        #expect(!Processes.shows(try #require(daemon.pid), text))
        let wrong = daemon.directory + "/wrong"
        try writeFile(wrong, Self.wrongPIN)
        try daemon.restart()
        _ = try daemon.claviger("unlock", "--pin-file", wrong)
        daemon.stop()
        let log = daemon.log
        #expect(!log.isEmpty && !log.contains(text) && !log.contains(Self.wrongPIN))
        let audited = try listDirectory(daemon.state + "/audit").map { "audit/" + $0 }
        #expect(audited.contains { $0.hasSuffix(".jsonl") })
        for name in try listDirectory(daemon.state) + audited where !name.hasPrefix("token-") && name != "audit" {
            let content = try readFile(daemon.state + "/" + name)
            #expect(!String(decoding: content, as: UTF8.self).contains(text), "\(name)")
        }
    }
}

/// What can be seen of a process from outside.
private enum Processes {
    /// Whether a text stands in a process's arguments or, where this user may look, in its environment.
    static func shows(_ pid: pid_t, _ text: String) -> Bool {
        ["cmdline", "environ"].contains { name in
            guard let content = try? readFile("/proc/\(pid)/\(name)") else { return false }
            return String(decoding: content, as: UTF8.self).contains(text)
        }
    }
}

extension DaemonHarness {
    /// Replaces the PIN file's content.
    ///
    /// - Parameter keepingIdentity: whether inode and modification time stay as they are.
    func replacePIN(_ pin: [UInt8], keepingIdentity: Bool) throws {
        guard keepingIdentity else {
            unlink(pinFile)
            return try writeFile(pinFile, pin)
        }
        var before = stat()
        guard stat(pinFile, &before) == 0 else { throw HarnessError("stat: \(systemText(errno))") }
        try writeFile(pinFile, pin)
        let times = [before.st_atim, before.st_mtim]
        guard utimensat(AT_FDCWD, pinFile, times, 0) == 0 else { throw HarnessError("utimensat: \(systemText(errno))") }
    }
}
