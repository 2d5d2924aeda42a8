import ClavigerClient
import Foundation
import Support
import Testing

/// The command line as people and scripts use it, against the real daemon.
@Suite struct CLITests {
    /// The everyday calls, letter for letter as they are documented.
    @Test func everydayCalls() throws {
        let daemon = try DaemonHarness.running()
        func does(_ line: String, sourceLocation: SourceLocation = #_sourceLocation) throws -> Finished {
            let ended = try daemon.shell(line)
            #expect(ended.status == 0, "\(line): \(ended.errorText)", sourceLocation: sourceLocation)
            return ended
        }
        func file(_ name: String) throws -> [UInt8] { try readFile(daemon.directory + "/" + name) }
        try writeFile(daemon.directory + "/dek.bin", (0..<32).map { $0 })
        #expect(try does("claviger key create payroll").text.contains("payroll"))
        _ = try does("claviger wrap payroll --context tenant=7 < dek.bin > dek.clv")
        let text = String(decoding: try file("dek.clv"), as: UTF8.self)
        #expect(text.hasPrefix("clv1.") && text.hasSuffix("\n") && text.split(separator: "\n").count == 1)
        _ = try does("claviger unwrap --context tenant=7 < dek.clv > out.bin")
        #expect(try file("out.bin") == (0..<32).map { $0 })
        _ = try does("claviger rewrap --context tenant=7 < dek.clv > new.clv")
        _ = try does("claviger unwrap --context tenant=7 < new.clv > out.bin")
        #expect(try file("out.bin") == (0..<32).map { $0 })

        _ = try does("claviger wrap payroll --generate --plaintext-out dek.bin > dek.clv")
        var status = stat()
        #expect(stat(daemon.directory + "/dek.bin", &status) == 0 && status.st_mode & 0o7777 == 0o600)
        _ = try does("claviger unwrap payroll < dek.clv > out.bin")
        #expect(try file("dek.bin").count == 32)
        #expect(try file("dek.bin") == file("out.bin"))

        // Through pipes, and with the context's order kept.
        let piped = try does(
            "head -c 16 /dev/zero | claviger wrap payroll --context a --context b | claviger unwrap --context a --context b | od -An -tx1"
        )
        #expect(piped.text.replacing(" ", with: "") == String(repeating: "0", count: 32) + "\n")
        let swapped = try daemon.shell(
            "head -c 16 /dev/zero | claviger wrap payroll --context a --context b | claviger unwrap --context b --context a")
        #expect(swapped.status == 1 && swapped.output.isEmpty && swapped.errorText.contains("context"))

        let bench = try does("claviger bench --connections 8 --depth 16 --seconds 0.2 --json")
        #expect(bench.text.contains("perSecond"))
    }

    /// Raw envelopes, files, stale notes and refreshing.
    @Test func filesAndVersions() throws {
        let daemon = try DaemonHarness.running()
        try writeFile(daemon.directory + "/dek.bin", "a data key")
        _ = try daemon.client().setSetting("rotation-interval-minimum", to: 0)
        for line in [
            "claviger key create payroll", "claviger wrap payroll --in dek.bin --raw --out dek.raw",
            "claviger key rotate payroll",
            "claviger unwrap --in dek.raw --plaintext-out out.bin --refreshed-out new.clv", "claviger key rotate payroll",
            "claviger unwrap --in new.clv --plaintext-out again.bin 2> note", "cmp dek.bin out.bin", "cmp dek.bin again.bin",
            "grep -q 'version 2' note", "claviger wrap payroll --bytes 64 --out g.clv",
            "test \"$(claviger unwrap < g.clv | wc -c)\" = 64",
        ] {
            let ended = try daemon.shell(line)
            #expect(ended.status == 0, "\(line): \(ended.errorText)")
        }
        #expect(try readFile(daemon.directory + "/dek.raw").prefix(4).elementsEqual([0x43, 0x4c, 0x56, 1]))
        let versions = try daemon.claviger("key", "versions", "payroll")
        #expect(versions.text.split(separator: "\n").count == 4, "\(versions.text)")
    }

    /// 0 done, 1 refused, 2 usage, 3 unreachable; with helpful words each.
    @Test func exitStatuses() throws {
        let daemon = try DaemonHarness.running()
        #expect(try daemon.claviger("health").status == 0)
        let refused: [([String], [UInt8], [String])] = [
            (["key", "show", "nobody"], [], ["nobody", "no such key"]),
            (["wrap", "nobody"], [1], ["nobody"]),
            (["unwrap"], Array("clv1.AAAA".utf8), ["not a Claviger envelope"]),
            (["unwrap"], [], ["empty"]),
            (["key", "create", "x"], [], ["2 to 90"]),
        ]
        for (arguments, input, words) in refused {
            let ended = try daemon.claviger(arguments, input: input)
            #expect(ended.status == 1 && ended.output.isEmpty, "\(arguments): \(ended.text)")
            for word in words { #expect(ended.errorText.contains(word), "\(arguments): \(ended.errorText)") }
        }
        for arguments in [
            ["nonsense"], ["key"], ["key", "create"], ["wrap", "a", "--bytes", "15"], ["status", "--timeout", "0"],
        ] {
            // A command that only groups others shows its help instead.
            let ended = try daemon.claviger(arguments)
            #expect(ended.status == (arguments == ["key"] ? 0 : 2), "\(arguments)")
        }
        let pin = daemon.pinFile
        daemon.stop()
        for arguments in [["status"], ["key", "list"], ["unlock", "--pin-file", pin]] {
            let ended = try daemon.claviger(arguments)
            #expect(ended.status == 3 && ended.errorText.contains(daemon.socket), "\(arguments): \(ended.errorText)")
            #expect(ended.errorText.contains("start the daemon"), "\(ended.errorText)")
        }
    }

    /// A result that cannot be written fails the command: it may be the only copy.
    @Test func resultsThatCannotBeWritten() throws {
        let daemon = try DaemonHarness.running()
        #expect(try daemon.claviger("key", "create", "full").status == 0)
        for line in ["status", "key list --json", "wrap full --generate --plaintext-out dek.bin --json"] {
            let full = try daemon.shell("claviger \(line) > /dev/full")
            #expect(full.status == 1 && full.errorText.contains("No space left"), "\(line): \(full.errorText)")
        }
        let same = try daemon.shell("claviger wrap full --generate --plaintext-out one --out one")
        #expect(same.status == 2 && same.errorText.contains("same file"))
    }

    /// Two contexts that are not text must not be taken for one and the same.
    @Test func argumentsThatAreNotText() throws {
        let daemon = try DaemonHarness.running()
        #expect(try daemon.claviger("key", "create", "text").status == 0)
        let wrapped = try daemon.shell("echo dek | claviger wrap text --context \"$(printf 'a\\377')\"")
        #expect(wrapped.status == 2 && wrapped.errorText.contains("UTF-8"), "\(wrapped.errorText)")
    }

    /// A second key of a name is allowed, and said.
    @Test func aNameGivenTwiceIsSaid() throws {
        let daemon = try DaemonHarness.running()
        let first = try daemon.claviger("key", "create", "twin")
        #expect(first.status == 0 && first.errorText.isEmpty)
        let second = try daemon.claviger("key", "create", "twin")
        #expect(second.status == 0 && second.errorText.contains("another key is named 'twin'"))
    }

    /// `--json` gives one document of JSON everywhere, for errors too.
    @Test func everythingSpeaksJSON() throws {
        let daemon = try DaemonHarness.running()
        func parse(_ bytes: [UInt8]) throws -> [String: Any] {
            let value = try JSONSerialization.jsonObject(with: Data(bytes))
            return try #require(value as? [String: Any])
        }
        let made = try parse(daemon.claviger("key", "create", "payroll", "--json").output)
        let id = try #require(made["id"] as? String)
        #expect(made["name"] as? String == "payroll" && made["version"] as? Int == 1 && made["state"] as? String == "active")
        let wrapped = try parse(daemon.claviger(["wrap", "payroll", "--json"], input: [1, 2, 3]).output)
        let envelope = Array((try #require(wrapped["envelope"] as? String)).utf8)
        #expect(wrapped["key"] as? String == id)
        _ = try parse(daemon.claviger("key", "rotate", "payroll", "--json").output)
        let rewrapped = try parse(daemon.claviger(["rewrap", "--json"], input: envelope).output)
        #expect(rewrapped["version"] as? Int == 2 && rewrapped["previousVersion"] as? Int == 1)
        let out = daemon.directory + "/out"
        let opened = try parse(
            daemon.claviger(["unwrap", "--json", "--plaintext-out", out, "--refresh"], input: envelope).output)
        #expect(opened["stale"] as? Bool == true && (opened["refreshed"] as? [String: Any])?["version"] as? Int == 2)
        #expect(try readFile(out) == [1, 2, 3])
        let list = try parse(daemon.claviger("key", "list", "--json").output)
        #expect((list["keys"] as? [[String: Any]])?.map { $0["id"] as? String } == [id])
        let versions = try parse(daemon.claviger("key", "versions", id, "--json").output)
        #expect((versions["versions"] as? [[String: Any]])?.map { $0["version"] as? Int } == [2, 1], "\(versions)")
        for arguments in [["status"], ["health"], ["whoami"], ["token", "status"], ["key", "show", id]] {
            _ = try parse(daemon.claviger(arguments + ["--json"]).output)
        }
        let refused = try daemon.claviger("key", "show", "nobody", "--json")
        let error = try #require(parse(refused.error)["error"] as? [String: Any])
        #expect(refused.status == 1 && error["code"] as? String == "denied" && error["exit"] as? Int == 1)
        let usage = try daemon.claviger("key", "show", "--json")
        #expect(try parse(usage.error)["error"] != nil && usage.status == 2)
        daemon.stop()
        let direct = try daemon.claviger("token", "status", "--json")
        #expect(try parse(direct.output)["loggedIn"] as? Bool == false)
        _ = try parse(daemon.claviger("token", "init", "--json").output)
        let unreachable = try daemon.claviger("key", "list", "--json")
        #expect(try parse(unreachable.error)["error"] != nil && unreachable.status == 3)
    }

    /// Plaintext is not shown on a terminal unless that is asked for in so many words.
    @Test func noPlaintextOnATerminal() throws {
        let daemon = try Shared.harness()
        let wrapped = try daemon.claviger(["wrap", Shared.key], input: Array("for no eyes".utf8))
        let terminal = try PseudoTerminal()
        func run(_ arguments: [String]) throws -> (status: Int32, shown: String, error: String) {
            let directory = try DaemonHarness(initialised: false)
            try writeFile(directory.directory + "/in", wrapped.output)
            let command = try Child.spawn(
                try Programs.path("claviger"), arguments, input: directory.directory + "/in", output: terminal.path,
                error: directory.directory + "/err", environment: daemon.environment)
            let status = try command.wait(DaemonHarness.patience)
            let error = String(decoding: try readFile(directory.directory + "/err"), as: UTF8.self)
            return (status, terminal.shown(), error)
        }
        let refused = try run(["unwrap"])
        #expect(refused.status == 2 && refused.shown.isEmpty)
        #expect(refused.error.contains("--plaintext-out"))
        let insisted = try run(["unwrap", "--plaintext-out", "-"])
        #expect(insisted.status == 0 && insisted.shown.contains("for no eyes"))
        // A generated key is not shown either, and raw envelopes are not thrown at a person.
        let raw = try run(["wrap", Shared.key, "--generate", "--raw"])
        #expect(raw.status == 2 && raw.shown.isEmpty)
        let text = try run(["wrap", Shared.key, "--generate"])
        #expect(text.status == 0 && text.shown.hasPrefix("clv1."))
    }
}

/// A pseudo-terminal for a program's output.
private final class PseudoTerminal {
    private let master: Int32
    /// The terminal's device, for the program.
    let path: String
    // Held open, so that what a program wrote stays readable when it has ended.
    private let slave: Int32

    init() throws {
        // ioctl_tty(2): TIOCSPTLCK unlocks, TIOCGPTN gives the number. Swift's Glibc module lacks posix_openpt(3) and the rest.
        master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK)
        var lock: Int32 = 0
        var number: UInt32 = 0
        guard master >= 0, ioctl(master, UInt(0x4004_5431), &lock) == 0, ioctl(master, UInt(0x8004_5430), &number) == 0 else {
            throw HarnessError("no pseudo-terminal: \(systemText(errno))")
        }
        path = "/dev/pts/\(number)"
        slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC)
    }

    deinit {
        close(slave)
        close(master)
    }

    /// What has been shown since the last look.
    func shown() -> String {
        var bytes = [UInt8](repeating: 0, count: 1 << 16)
        let count = read(master, &bytes, bytes.count)
        return String(decoding: bytes[..<max(0, count)], as: UTF8.self)
    }
}
