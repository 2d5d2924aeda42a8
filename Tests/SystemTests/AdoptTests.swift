import ClavigerClient
import Glibc
import Support
import Testing

/// `claviger token init` on a token that somebody else initialised: adopted with its PIN, and nothing on it is changed.
@Suite struct AdoptTests {
    private static let userPIN = "adopted-user-pin-0001"

    /// A token made by SoftHSM's own tool, as a vendor's would make it.
    private func prepared() throws -> DaemonHarness {
        var settings = DaemonHarness.Settings()
        settings.hasPINFile = false
        let daemon = try DaemonHarness(settings, initialised: false)
        let made = try daemon.shell(
            "SOFTHSM2_CONF=$PWD/softhsm2.conf softhsm2-util --module \(try SoftToken.modulePath()) --init-token --free "
                + "--label claviger --pin \(Self.userPIN) --so-pin adopted-so-pin-000001")
        #expect(made.status == 0, "\(made.text)\(made.errorText)")
        return daemon
    }

    private func unlockAndUse(_ daemon: DaemonHarness, _ pin: String) throws {
        try daemon.start()
        let unlocked = try daemon.claviger("unlock", "--pin-file", pin)
        #expect(unlocked.status == 0, "\(unlocked.errorText)")
        #expect(try daemon.claviger("key", "create", "adopted").status == 0)
    }

    @Test func withItsPINFromAFile() throws {
        let daemon = try prepared()
        let without = try daemon.claviger("token", "init")
        #expect(without.status == 1 && without.errorText.contains("has a user PIN already"), "\(without.errorText)")
        let file = daemon.directory + "/given"
        try writeFile(file, Array("not-the-right-pin-01".utf8))
        chmod(file, 0o400)
        let wrong = try daemon.claviger("token", "init", "--pin-file", file)
        #expect(wrong.status == 1 && wrong.errorText.contains("refused the user PIN"), "\(wrong.errorText)")
        unlink(file)
        try writeFile(file, Array(Self.userPIN.utf8))
        chmod(file, 0o400)
        let adopted = try daemon.claviger("token", "init", "--pin-file", file)
        #expect(adopted.status == 0 && !adopted.errorText.contains("initialised token"), "\(adopted.errorText)")
        try unlockAndUse(daemon, file)
    }

    @Test func withItsPINFromACredential() throws {
        let daemon = try prepared()
        let missing = try daemon.shell("claviger token init --pin-credential token-pin")
        #expect(missing.status == 1 && missing.errorText.contains("LoadCredential"), "\(missing.errorText)")
        let file = daemon.directory + "/token-pin"
        try writeFile(file, Array(Self.userPIN.utf8))
        chmod(file, 0o400)
        let adopted = try daemon.shell("CREDENTIALS_DIRECTORY=$PWD claviger token init --pin-credential token-pin")
        #expect(adopted.status == 0, "\(adopted.errorText)")
        try unlockAndUse(daemon, file)
    }
}
