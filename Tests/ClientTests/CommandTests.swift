import ClavigerClient
import Glibc
import Testing

/// The command line, without and with a server that behaves.
@Suite struct CommandTests {
    let folder: FolderBox
    let claviger: String

    init() throws {
        folder = try FolderBox()
        claviger = try clavigerPath()
    }

    private func run(_ arguments: [String], input: [UInt8]? = nil) throws -> Child.Result {
        try Child.run([claviger] + arguments, input: input, environment: ["CLAVIGER_SOCKET=\(folder.folder.socket)"])
    }

    // MARK: Without a daemon

    @Test func noDaemonIsStatusThree() throws {
        let result = try run(["status"])
        #expect(result.status == 3)
        #expect(result.output == [])
        let lines = result.errors.split(separator: "\n")
        #expect(lines.count == 2)
        #expect(lines.allSatisfy { $0.hasPrefix("claviger: ") })
        #expect(result.errors.contains(folder.folder.socket))

        let json = try run(["wrap", "payroll", "--json"], input: [1, 2, 3])
        #expect(json.status == 3)
        #expect(json.errors.hasPrefix(#"{"error":{"#))
        #expect(json.errors.contains(#""kind":"unreachable""#))
        #expect(json.errors.contains(#""key":"payroll""#))
        #expect(json.errors.contains(#""exit":3"#))
        // An option comes before the environment.
        #expect(try run(["status", "--socket", "/nonexistent/s"]).errors.contains("/nonexistent/s"))
    }

    @Test(arguments: [
        ["frobnicate"], ["status", "--frobnicate"], ["wrap"], ["key", "create"], ["status", "--timeout", "0"],
        ["status", "--timeout", "4000"], ["status", "--socket", ""], ["wrap", "k", "--bytes", "15"],
        ["wrap", "k", "--bytes", "65"],
        ["wrap", "k", "--generate", "--in", "f"], ["wrap", "k", "--plaintext-out", "f"],
        ["wrap", "k", "--generate", "--plaintext-out", "-"], ["unwrap", "--refresh"], ["unwrap", "--raw"],
        ["unlock", "--pin-stdin", "--pin-file", "f"], ["bench", "--connections", "0"], ["bench", "--depth", "1001"],
    ])
    func wrongUsageIsStatusTwo(_ arguments: [String]) throws {
        let result = try run(arguments)
        #expect(result.status == 2)
        #expect(result.errors.hasPrefix("claviger: "))
        // JSON takes stdout, and wants a file for the plaintext; the error is another, the status the same.
        let json = try run(arguments + ["--json"])
        #expect(json.status == 2)
        #expect(json.errors.hasPrefix(#"{"error":{"#))
    }

    @Test func everyCommandExplainsItself() throws {
        let commands = [
            ["status"], ["health"], ["whoami"], ["unlock"], ["key"], ["key", "create"], ["key", "list"], ["key", "show"],
            ["key", "versions"], ["key", "rotate"], ["wrap"], ["unwrap"], ["rewrap"], ["bench"], ["token"], ["token", "status"],
        ]
        for command in commands {
            let result = try run(command + ["--help"])
            #expect(result.status == 0)
            #expect(result.text.contains("Examples:"), "\(command)")
            #expect(result.text.contains("claviger " + command.joined(separator: " ")), "\(command)")
        }
    }

    @Test func inputIsBounded() throws {
        let long = try run(["wrap", "k"], input: [UInt8](repeating: 1, count: 4_097))
        #expect(long.status == 1)
        #expect(long.errors.contains("more than 4096 bytes"))
        // The longest that is allowed gets as far as the missing daemon.
        #expect(try run(["wrap", "k"], input: [UInt8](repeating: 1, count: 4_096)).status == 3)
        let empty = try run(["wrap", "k"], input: [])
        #expect(empty.status == 1)
        #expect(empty.errors.contains("empty"))
        let foreign = try run(["unwrap"], input: Array("hello\n".utf8))
        #expect(foreign.status == 1)
        #expect(foreign.errors.contains("malformed"))
        // Too much input is an error, and nothing of the plaintext is in it.
        let secret = try run(["wrap", "k"], input: Array(String(repeating: "SECRET", count: 1_000).utf8))
        #expect(!secret.errors.contains("SECRET"))
    }

    @Test func pinFilesOfOthersAreRefused() throws {
        let open = try folder.folder.write("open", Array("1234".utf8), mode: 0o644)
        let result = try run(["unlock", "--pin-file", open])
        #expect(result.status == 1)
        #expect(result.errors.contains("can be read by others"))
        let empty = try folder.folder.write("empty", [10])
        #expect(try run(["unlock", "--pin-file", empty]).errors.contains("empty"))
        #expect(try run(["unlock", "--pin-file", folder.folder.path]).errors.contains("not a regular file"))
        let long = try folder.folder.write("long", [UInt8](repeating: 49, count: 256))
        #expect(try run(["unlock", "--pin-file", long]).errors.contains("longer than 255"))
        // 255 and a newline get as far as the missing daemon; so does mode 0400.
        let longest = try folder.folder.write("longest", [UInt8](repeating: 49, count: 255) + [10], mode: 0o400)
        #expect(try run(["unlock", "--pin-file", longest]).status == 3)
        // Without a terminal there is nobody to ask.
        #expect(try run(["unlock"]).status == 2)
    }

    @Test func aTerminalIsNotShownPlaintext() throws {
        let envelope = try folder.folder.write("e", FakeCipher.envelope([1]))
        let terminal = try Terminal()
        let child = try Child([claviger, "unwrap", "--in", envelope, "--socket", "/nonexistent/s"], terminal: terminal.path)
        let result = child.finish()
        #expect(result.status == 2)
        #expect(result.errors.contains("--plaintext-out"))
        // Asked for, it is done (and gets as far as the missing daemon).
        let asked = try Child(
            [claviger, "unwrap", "--in", envelope, "--plaintext-out", "-", "--socket", "/nonexistent/s"], terminal: terminal.path)
        #expect(asked.finish().status == 3)
        // Nor is a data key typed in.
        let typed = try Child([claviger, "wrap", "k", "--socket", "/nonexistent/s"], terminal: terminal.path)
        let refused = typed.finish()
        #expect(refused.status == 2)
        #expect(refused.errors.contains("terminal"))
    }

    // MARK: With a server

    @Test func theEverydayCalls() throws {
        let server = try TestServer(folder.folder.socket, FakeCipher.answer)
        defer { server.stop() }
        let dek = [UInt8](0..<32)
        let wrapped = try run(["wrap", "payroll", "--context", "tenant=7", "--context", "b"], input: dek)
        #expect(wrapped.status == 0)
        #expect(wrapped.text == EnvelopeText.encode(FakeCipher.envelope(dek).span.bytes) + "\n")
        let request = try #require(server.requests.last)
        let context = try #require(request.message(WrapRequest.self)?.items.first?.context)
        #expect(try Context.decode(request.body.span.bytes.part(context)) == ["tenant=7", "b"])

        let unwrapped = try run(["unwrap", "--context", "tenant=7", "--context", "b"], input: wrapped.output)
        #expect(unwrapped.status == 0)
        #expect(unwrapped.output == dek)
        #expect(unwrapped.errors.contains("newer one"))

        let rewrapped = try run(["rewrap"], input: wrapped.output)
        #expect(rewrapped.text == EnvelopeText.encode(FakeCipher.envelope(dek, version: 2).span.bytes) + "\n")
        let raw = try run(["wrap", "payroll", "--raw"], input: dek)
        #expect(raw.output == FakeCipher.envelope(dek))
        #expect(try run(["unwrap", "payroll"], input: raw.output).output == dek)
        #expect(server.requests.last?.message(UnwrapRequest.self)?.key == .name("payroll"))
    }

    @Test func plaintextFilesAreWrittenWholeAndPrivate() throws {
        let server = try TestServer(folder.folder.socket, FakeCipher.answer)
        defer { server.stop() }
        let dek = folder.folder.file("dek")
        let made = try run(["wrap", "payroll", "--generate", "--plaintext-out", dek])
        #expect(made.status == 0)
        #expect(folder.folder.read("dek") == [UInt8](repeating: 0x5a, count: 32))
        var status = stat()
        #expect(stat(dek, &status) == 0)
        #expect(status.st_mode & 0o7777 == 0o600)

        // A file of one's own is replaced, whatever its mode was.
        _ = try folder.folder.write("old", [1, 2, 3], mode: 0o644)
        let old = folder.folder.file("old")
        let new = folder.folder.file("new")
        let opened = try run(
            ["unwrap", "--plaintext-out", old, "--refreshed-out", new, "--json"], input: FakeCipher.envelope([4, 5]))
        #expect(opened.status == 0)
        #expect(folder.folder.read("old") == [4, 5])
        #expect(stat(old, &status) == 0)
        #expect(status.st_mode & 0o7777 == 0o600)
        #expect(
            folder.folder.read("new") == Array(EnvelopeText.encode(FakeCipher.envelope([4, 5], version: 2).span.bytes).utf8) + [
                10
            ])
        #expect(opened.text.contains(#""stale":true"#))
        #expect(opened.text.contains(#""version":2"#))

        // Links and devices are not.
        symlink(old, folder.folder.file("link"))
        for path in [folder.folder.file("link"), "/dev/null"] {
            let refused = try run(["unwrap", "--plaintext-out", path], input: FakeCipher.envelope([6]))
            #expect(refused.status == 1)
            #expect(refused.errors.contains("not a regular file of yours"))
        }
        #expect(folder.folder.read("old") == [4, 5])
        // Nothing half-made is left, after failures neither.
        _ = try run(["unwrap", "--plaintext-out", folder.folder.file("never")], input: [1, 2, 3])
        #expect(folder.folder.names == ["dek", "link", "new", "old", "s"])
    }

    @Test func refusalsAreExplained() throws {
        let server = try TestServer(folder.folder.socket) { $0.refuse(Refusal(.denied)) }
        defer { server.stop() }
        let result = try run(["key", "show", "payroll"])
        #expect(result.status == 1)
        let lines = result.errors.split(separator: "\n")
        #expect(lines.count == 2)
        #expect(lines.first?.hasPrefix("claviger: key \"payroll\": denied: ") == true)
        let json = try run(["key", "show", "payroll", "--json"])
        #expect(json.errors.contains(#""code":"denied""#))
        #expect(json.errors.contains(#""exit":1"#))
    }

    @Test func tablesAreForPeopleAndJSONForPrograms() throws {
        let server = try TestServer(folder.folder.socket, FakeCipher.answer)
        defer { server.stop() }
        let keys = try run(["key", "list"]).text.split(separator: "\n")
        #expect(keys.count == 7)
        #expect(keys.first?.hasPrefix("ID ") == true)
        #expect(keys.last?.contains("key-5") == true)
        #expect(try run(["key", "list", "--json"]).text.contains(#""created":"1970-01-01T00:00:05.000Z""#))
        // A control character of the daemon's text does not reach the terminal.
        let status = try run(["status"])
        #expect(status.text.contains(#"one\u{1b}[31m key"#))
        #expect(!status.output.contains(0x1b))
        #expect(try run(["status", "--json"]).text.contains(#""state":"degraded""#))
        #expect(try run(["health"]).status == 0)
        #expect(try run(["whoami", "--json"]).text.contains(#""groups":[4,5]"#))
        #expect(try run(["token", "status", "--json"]).text.contains(#""pinFlags":["user-count-low"]"#))
        #expect(try run(["key", "versions", "payroll"]).text.contains("<= 65536"))
        #expect(try run(["key", "create", "ledger", "--json"]).text.contains(#""name":"ledger""#))
        #expect(try run(["key", "rotate", "ledger"]).status == 0)
        let bench = try run(["bench", "--connections", "2", "--depth", "4", "--seconds", "0.05", "--json"])
        #expect(bench.status == 0)
        for operation in ["ping", "wrap", "unwrap"] { #expect(bench.text.contains(#""operation":"\#(operation)""#)) }
        #expect(bench.text.contains(#""refused":{}"#))
        #expect(bench.errors.contains("key 'bench'"))
    }

    @Test func theExitStatusOfHealth() throws {
        let server = try TestServer(folder.folder.socket) { $0.reply(HealthReply(state: .sealed, reason: "no PIN yet")) }
        defer { server.stop() }
        let result = try run(["health"])
        #expect(result.status == 1)
        #expect(result.text == "sealed: no PIN yet\n")
    }

    @Test func thePINIsAskedForWithoutEcho() throws {
        let server = try TestServer(folder.folder.socket, FakeCipher.answer)
        defer { server.stop() }
        let terminal = try Terminal()
        let child = try Child([claviger, "unlock", "--socket", server.path], terminal: terminal.path)
        let asked = terminal.show(until: "PIN of the token's user: ")
        // A wrong key is taken back.
        terminal.type("hushx\u{7f}23\r")
        let after = terminal.show(until: "ready")
        #expect(child.finish().status == 0)
        #expect(!asked.contains("hush") && !after.contains("hush"))
        let request = try #require(server.requests.last)
        let range = try #require(request.message(UnlockRequest.self)?.pin)
        #expect(Array(request.body[range.offset..<range.offset + range.count]) == Array("hush23".utf8))

        let interrupted = try Child([claviger, "unlock", "--socket", server.path], terminal: terminal.path)
        _ = terminal.show(until: "PIN of the token's user: ")
        terminal.type("hush\u{3}")
        #expect(interrupted.finish().status == 1)
        #expect(server.requests.count == 1)
    }

    @Test func thePINComesFromStdinOnRequest() throws {
        let server = try TestServer(folder.folder.socket, FakeCipher.answer)
        defer { server.stop() }
        #expect(try run(["unlock", "--pin-stdin"], input: Array("hush\n".utf8)).status == 0)
        let request = try #require(server.requests.last)
        let range = try #require(request.message(UnlockRequest.self)?.pin)
        #expect(Array(request.body[range.offset..<range.offset + range.count]) == Array("hush".utf8))
    }
}
