import Foundation
import Support
import Testing

/// The client that was written from the protocol page alone, in Python, against the real daemon.
@Suite struct ProtocolClientTests {
    private static let script = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "protocol_client.py").path

    private func run(_ daemon: DaemonHarness, _ arguments: [String], input: [UInt8] = []) throws -> Finished {
        try Child.run(
            "/usr/bin/env", ["python3", Self.script] + arguments, directory: daemon.directory, input: input,
            environment: daemon.environment)
    }

    @Test func everyStepOfTheExercise() throws {
        let daemon = try Shared.harness()
        let ended = try run(daemon, ["exercise", Shared.key])
        #expect(ended.status == 0, "\(ended.text)\(ended.errorText)")
        #expect(!ended.text.contains("FAILED") && ended.text.split(separator: "\n").count > 30)
    }

    /// Each client opens what the other made.
    @Test func bothClientsSpeakTheSame() throws {
        let daemon = try Shared.harness()
        let dek = Array("sixteen bytes ok".utf8)
        let byPython = try run(daemon, ["wrap", Shared.key, "tenant=7"], input: dek)
        #expect(byPython.status == 0, "\(byPython.errorText)")
        let opened = try daemon.claviger(["unwrap", "--context", "tenant=7"], input: byPython.output)
        #expect(opened.output == dek, "\(opened.errorText)")
        let byClaviger = try daemon.claviger(["wrap", Shared.key, "--context", "tenant=7"], input: dek)
        #expect(try run(daemon, ["unwrap", "tenant=7"], input: byClaviger.output).output == dek)
    }
}
