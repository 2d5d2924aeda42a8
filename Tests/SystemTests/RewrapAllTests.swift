import ClavigerClient
import Glibc
import Support
import Testing

/// `claviger rewrap --all`: files and streams by the hundred, against the real daemon.
@Suite struct RewrapAllTests {
    let daemon: DaemonHarness
    let client: Client

    init() throws {
        daemon = try DaemonHarness.running()
        client = daemon.client()
        _ = try client.createKey(name: "payroll")
    }

    /// Envelopes of the numbers from 0 on, each with its context.
    private func envelopes(_ count: Int, _ context: (Int) -> [String]) throws -> [[UInt8]] {
        var envelopes: [[UInt8]] = []
        while envelopes.count < count {
            var batch = try WrapBatch()
            let first = envelopes.count
            for number in first..<min(count, first + Limits.maximumItems) {
                try batch.add(plaintext(number).span.bytes, context: context(number))
            }
            envelopes += try client.wrap(key: KeyReference("payroll"), batch).results.map { try $0.get().envelope }
        }
        return envelopes
    }

    private func plaintext(_ number: Int) -> [UInt8] { Array("data key \(number)".utf8) }

    private func text(_ envelope: [UInt8]) -> String { EnvelopeText.encode(envelope.span.bytes) }

    private func path(_ number: Int) -> String { "\(daemon.directory)/\(number).clv" }

    /// The envelope in a file, in whichever form.
    private func envelope(_ number: Int) throws -> [UInt8] {
        let bytes = try readFile(path(number))
        return EnvelopeText.hasPrefix(bytes.span.bytes) ? try EnvelopeText.decode(bytes.span.bytes) : bytes
    }

    private func version(_ envelope: [UInt8]) throws -> UInt32 { try Envelope(envelope.span.bytes).version }

    @Test func filesAreReplacedInTheirPlaceAndForm() throws {
        let count = 300
        for (number, envelope) in try envelopes(count, { _ in ["tenant=7"] }).enumerated() {
            // Every third one as bytes; every fifth one private.
            try writeFile(path(number), number % 3 == 0 ? envelope : Array((text(envelope) + "\n").utf8))
            chmod(path(number), number % 5 == 0 ? 0o600 : 0o644)
        }
        _ = try client.rotateKey(KeyReference("payroll"))
        let files = (0..<count).map(path)
        let made = try daemon.claviger(["rewrap", "--all", "--context", "tenant=7", "--json"] + files)
        #expect(made.status == 0, "\(made.errorText)")
        #expect(made.text == #"{"current":0,"failed":[],"rewrapped":300}"# + "\n")
        for number in 0..<count {
            let new = try envelope(number)
            #expect(try version(new) == 2)
            #expect(try client.open(new, ["tenant=7"]) == plaintext(number))
            #expect(try readFile(path(number)).starts(with: "clv1.".utf8) == (number % 3 != 0))
            var status = stat()
            #expect(stat(path(number), &status) == 0)
            #expect(status.st_mode & 0o7777 == (number % 5 == 0 ? 0o600 : 0o644))
        }
        // Again: nothing is left to do, and no file is touched.
        let before = try (0..<count).map { try readFile(path($0)) }
        let again = try daemon.claviger(["rewrap", "--all", "--context", "tenant=7"] + files)
        #expect(again.text == "0 rewrapped, 300 current already, 0 failed\n")
        #expect(try (0..<count).map { try readFile(path($0)) } == before)
        // Nothing half-made lies about.
        let left = try daemon.shell("ls -a | grep -c tmp$ || true")
        #expect(left.text == "0\n")
    }

    @Test func whatFailsIsNamedAndLeftAsItIs() throws {
        let made = try envelopes(4) { number in [number == 2 ? "tenant=8" : "tenant=7"] }
        for (number, envelope) in made.enumerated() { try writeFile(path(number), Array(text(envelope).utf8)) }
        try writeFile(path(4), Array("no envelope".utf8))
        symlink(path(0), path(5))
        _ = try client.rotateKey(KeyReference("payroll"))
        let missing = path(6)
        let result = try daemon.claviger(["rewrap", "--all", "--context", "tenant=7"] + (0...5).map(path) + [missing, path(1)])
        #expect(result.status == 1)
        #expect(result.text == "3 rewrapped, 0 current already, 4 failed\n")
        let lines = result.errorText.split(separator: "\n")
        #expect(lines.count == 4)
        for (number, word) in [(2, "decryption-failed"), (4, "malformed"), (5, "not a regular file"), (6, "cannot read")] {
            #expect(lines.contains { $0.contains(path(number)) && $0.contains(word) }, "\(number): \(result.errorText)")
        }
        #expect(try readFile(path(2)) == Array(text(made[2]).utf8))
        #expect(try version(envelope(0)) == 2)
        // A link is neither followed nor replaced.
        var status = stat()
        #expect(lstat(path(5), &status) == 0)
        #expect(status.st_mode & S_IFMT == S_IFLNK)

        _ = try client.createKey(name: "other")
        let foreign = try daemon.claviger(["rewrap", "--all", "--key", "other", "--context", "tenant=7", "--json", path(0)])
        #expect(foreign.status == 1)
        #expect(foreign.text.contains(#""code":"key-mismatch""#))
    }

    @Test func streamsKeepTheirOrderAndContexts() throws {
        let made = try envelopes(600) { number in number % 2 == 0 ? ["tenant=\(number)", "wages"] : ["all"] }
        var input = ""
        for (number, envelope) in made.enumerated() {
            input += text(envelope) + (number % 2 == 0 ? "\ttenant=\(number)\twages" : "") + "\n"
            if number == 100 { input += "\n" }
            if number == 200 { input += "no envelope\n" }
        }
        try writeFile(daemon.directory + "/in", Array(input.utf8))
        _ = try client.rotateKey(KeyReference("payroll"))
        let result = try daemon.shell("claviger rewrap --all --context all - < in > out")
        #expect(result.status == 1)
        #expect(result.errorText.contains("600 rewrapped, 0 current already, 1 failed"))
        #expect(result.errorText.contains("line 203: malformed"))
        let output = String(decoding: try readFile(daemon.directory + "/out"), as: UTF8.self)
        var lines = output.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        #expect(lines.removeLast().isEmpty)
        #expect(lines.count == 602)
        #expect(lines.remove(at: 202) == "no envelope")
        #expect(lines.remove(at: 101).isEmpty)
        for (number, line) in lines.enumerated() {
            let parts = line.split(separator: "\t").map(String.init)
            let envelope = try EnvelopeText.decode(Array(parts[0].utf8).span.bytes)
            #expect(try version(envelope) == 2)
            let context = number % 2 == 0 ? ["tenant=\(number)", "wages"] : ["all"]
            #expect(parts.dropFirst().elementsEqual(number % 2 == 0 ? context : []))
            #expect(try client.open(envelope, context) == plaintext(number))
        }
        // What came out goes in again, and comes out the same.
        let same = try daemon.shell(
            "grep clv1 out > good; claviger rewrap --all --context all - < good > good2 && cmp good good2")
        #expect(same.status == 0, "\(same.errorText)")

        let long = try daemon.shell("head -c 100000 /dev/zero | tr '\\0' a | claviger rewrap --all -")
        #expect(long.status == 1)
        #expect(long.errorText.contains("line 1 of stdin is longer"))
    }

    /// Ended at any moment, a run leaves every file old or new, and the next run does the rest. One that is asked to end leaves nothing
    /// else behind either.
    @Test(arguments: [SIGKILL, SIGTERM, SIGINT])
    func anEndedRunLeavesEveryFileOldOrNew(_ signal: Int32) throws {
        let count = 200
        for (number, envelope) in try envelopes(count, { _ in [] }).enumerated() {
            try writeFile(path(number), Array((text(envelope) + "\n").utf8))
        }
        let files = (0..<count).map(path)
        var generator = SeededGenerator(seed: seed ^ UInt64(signal))
        for round in UInt32(2)...4 {
            _ = try client.rotateKey(KeyReference("payroll")) { $0.reason = "another round" }
            // Ended once a certain file is new, which another each time is.
            let target = Int.random(in: 0..<count - 20, using: &generator)
            let output = daemon.directory + "/output"
            let child = try Child.spawn(
                Programs.path("claviger"), ["rewrap", "--all"] + files, output: output, error: output,
                environment: daemon.environment)
            _ = try eventually { try child.statusIfEnded() != nil || version(envelope(target)) == round }
            child.end(signal)
            if signal != SIGKILL {
                #expect(try daemon.shell("ls -a | grep -c tmp$ || true").text == "0\n")
            }
            for number in 0..<count {
                let envelope = try envelope(number)
                #expect([round - 1, round].contains(try version(envelope)))
                #expect(try client.open(envelope) == plaintext(number), "seed \(seed)")
            }
            #expect(try version(envelope(target)) == round)
            let rest = try daemon.claviger(["rewrap", "--all"] + files)
            #expect(rest.status == 0, "\(rest.errorText)")
            #expect(try (0..<count).allSatisfy { try version(envelope($0)) == round })
        }
    }
}
