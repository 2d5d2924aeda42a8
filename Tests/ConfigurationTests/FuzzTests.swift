import Testing

@testable import ClavigerCore

/// Bytes of any kind give a configuration or a typed error, and never crash.
@Suite struct FuzzTests {
    /// A file with every construct of TOML that the settings or their neighbours use.
    private static let rich = Array(
        """
        state-directory = '/srv/claviger' # comment
        module = { path = "/x.so", environment = { A = "\\u00e9\\n" }, "quoted key" = [1, 2.5e3, [true], {a.b = 0x1F}] }
        [token]
        uri = \"\"\"pkcs11:\\
            token=x\"\"\"
        when = 1979-05-27T07:32:00.5-07:00
        [[array.of.tables]]
        x = inf
        [socket]
        path = '''/run/x'''
        backlog = 1_000
        [log]
        level = "info"
        """.utf8)
    /// Bytes that mean something to TOML, and some that mean trouble.
    private static let spice =
        Array("[]{}=.,\"'\\#\n\r\t -+_0123456789eETZ:xobinfantruefals".utf8) + [0, 0x7f, 0x80, 0xc0, 0xed, 0xff]

    @Test(arguments: 0..<40)
    func alteredFilesNeverCrash(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<50 {
            var bytes = Self.rich
            for _ in 0..<Int.random(in: 1...12, using: &generator) {
                let place = Int.random(in: 0...bytes.count, using: &generator)
                let byte = Self.spice[Int.random(in: 0..<Self.spice.count, using: &generator)]
                switch Int.random(in: 0..<4, using: &generator) {
                case 0: bytes.insert(byte, at: place)
                case 1 where place < bytes.count: bytes.remove(at: place)
                case 2 where place < bytes.count: bytes[place] = byte
                default: bytes.removeSubrange(place..<min(bytes.count, place + 40))
                }
            }
            check(bytes)
        }
    }

    @Test(arguments: 0..<20)
    func randomBytesNeverCrash(seed: UInt64) {
        var generator = SeededGenerator(seed: seed ^ 0xC1A7)
        for _ in 0..<100 {
            let count = Int.random(in: 0...200, using: &generator)
            let anyByte = Bool.random(using: &generator)
            check(
                (0..<count).map { _ in
                    anyByte
                        ? UInt8.random(in: 0...255, using: &generator)
                        : Self.spice[Int.random(in: 0..<Self.spice.count, using: &generator)]
                })
        }
    }

    @Test func everyPrefixIsHandled() {
        for count in 0...Self.rich.count { check(Array(Self.rich[..<count])) }
    }

    private func check(_ bytes: [UInt8]) {
        do {
            let configuration = try Configuration.parse(bytes, file: "f")
            // What parses has gone through every bound.
            #expect(configuration.token.uri.hasPrefix("pkcs11:"), "\(bytes)")
            #expect(configuration.stateDirectory.hasPrefix("/"), "\(bytes)")
        } catch .invalid(let problems) {
            #expect(!problems.isEmpty && problems.allSatisfy { $0.line ?? 1 >= 1 && !$0.message.isEmpty }, "\(bytes)")
        } catch {
            Issue.record("\(error) for \(bytes)")
        }
    }
}
