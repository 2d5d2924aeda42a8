import Foundation
import Support
import Testing

/// `hsm-config/sandbox`, which other projects' test suites use: a daemon for the time of one command, and nothing left of it.
@Suite struct SandboxTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// Runs a line of shell in a sandbox whose temporary directory is `folder`.
    private func sandbox(_ folder: String, _ line: String) throws -> Finished {
        try Child.run(
            Self.root.appending(path: "hsm-config/sandbox").path, ["--", "/bin/sh", "-c", line], directory: folder,
            environment: [
                "PATH=/usr/local/bin:/usr/bin:/bin", "HOME=\(folder)", "TMPDIR=\(folder)",
                "CLAVIGER_BIN=\(try Programs.directory.get())",
            ])
    }

    @Test func aDaemonForOneCommand() throws {
        let daemon = try DaemonHarness()
        let folder = daemon.directory + "/sb"
        #expect(mkdir(folder, 0o700) == 0)
        let client = Self.root.appending(path: "Tests/SystemTests/protocol_client.py").path
        let done = try sandbox(folder, "claviger key create payroll >/dev/null && python3 -B '\(client)' exercise payroll")
        #expect(done.status == 0 && done.text.contains("ok"), "\(done.text)\(done.errorText)")
        #expect(!done.text.contains("FAILED"))
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
    }

    @Test func theCommandsStatusIsItsOwn() throws {
        let daemon = try DaemonHarness()
        let folder = daemon.directory + "/sb"
        #expect(mkdir(folder, 0o700) == 0)
        let failed = try sandbox(folder, "test -S \"$CLAVIGER_SOCKET\" && test -f \"$CLAVIGER_CONFIG\" && exit 7")
        #expect(failed.status == 7, "\(failed.errorText)")
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
    }
}
