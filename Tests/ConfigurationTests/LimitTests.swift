import Testing

@testable import ClavigerCore

/// Every bound at its limit and one past it.
@Suite struct LimitTests {
    @Test(arguments: [
        ("socket.backlog", ConfigurationLimits.backlog), ("socket.max-connections", ConfigurationLimits.connections),
        ("workers.count", ConfigurationLimits.workers), ("workers.queue", ConfigurationLimits.queue),
        ("requests.max-deadline-ms", ConfigurationLimits.deadline),
        ("requests.default-deadline-ms", ConfigurationLimits.deadline),
        ("requests.idle-frame-timeout-ms", ConfigurationLimits.idleFrame),
    ])
    func integers(key: String, range: ClosedRange<Int>) {
        func told(_ value: String) -> [String] {
            // The two deadlines bound each other: the other one stands where it does not matter.
            let other = ["requests.max-deadline-ms": "requests.default-deadline-ms = 1\n"][key]
            let most = ["requests.default-deadline-ms": "requests.max-deadline-ms = 3600000\n"][key]
            return problems(file(key, value) + (other ?? most ?? ""))
        }
        #expect(told("\(range.lowerBound)").isEmpty)
        #expect(told("\(range.upperBound)").isEmpty)
        for value in [range.lowerBound - 1, range.upperBound + 1, Int.min, Int.max] {
            #expect(
                told("\(value)") == ["c.toml:1: \(key) is \(value); it must be from \(range.lowerBound) to \(range.upperBound)"])
        }
    }

    @Test func socketPathsFitTheKernel() {
        let path = { (count: Int) in "\"/" + String(repeating: "s", count: count - 1) + "\"" }
        #expect(problems(file("socket.path", path(107))).isEmpty)
        #expect(
            problems(file("socket.path", path(108))) == [
                "c.toml:1: socket.path is 108 bytes long; at most 107 fit (the kernel's sun_path)"
            ])
        // Two bytes a letter: bytes count, not letters.
        #expect(problems(file("socket.path", "\"/" + String(repeating: "\u{e9}", count: 54) + "\"")).count == 1)
    }

    @Test(arguments: [
        ("state-directory", "/", ConfigurationLimits.pathBytes), ("module.path", "/", ConfigurationLimits.pathBytes),
        ("module.storage-path", "/", ConfigurationLimits.pathBytes), ("token.pin-file", "/", ConfigurationLimits.pathBytes),
        ("token.pin-credential", "", ConfigurationLimits.nameBytes), ("socket.group", "", ConfigurationLimits.nameBytes),
        ("unlock.group", "", ConfigurationLimits.nameBytes), ("token.uri", "pkcs11:token=", ConfigurationLimits.uriBytes),
        ("module.initialize-arguments", "", ConfigurationLimits.textBytes),
        ("module.environment.A", "", ConfigurationLimits.textBytes),
    ])
    func texts(key: String, prefix: String, maximum: Int) {
        let fits = prefix + String(repeating: "x", count: maximum - prefix.utf8.count)
        #expect(problems(file(key, "\"\(fits)\"")).isEmpty)
        let told = problems(file(key, "\"\(fits)x\""))
        #expect(
            told.count == 1 && told.first?.hasPrefix("c.toml:1: \(key) is \(maximum + 1) bytes long; at most \(maximum)") == true)
    }

    @Test func environment() {
        func told(_ count: Int) -> [String] {
            problems("[module.environment]\n" + (0..<count).map { "A\($0) = \"\"\n" }.joined() + minimal)
        }
        #expect(told(ConfigurationLimits.environmentVariables).isEmpty)
        #expect(
            told(ConfigurationLimits.environmentVariables + 1) == [
                "c.toml:1: module.environment has 65 variables; at most 64 are allowed"
            ])
        let name = String(repeating: "A", count: ConfigurationLimits.environmentNameBytes)
        #expect(problems(file("module.environment.\(name)", "\"\"")).isEmpty)
        #expect(problems(file("module.environment.\(name)A", "\"\"")).count == 1)
    }

    @Test func groupNumbers() throws {
        #expect(try parsed(file("socket.group", "\"4294967294\"")).socket.group == .number(4_294_967_294))
        #expect(try parsed(file("socket.group", "\"0\"")).socket.group == .number(0))
    }

    @Test func fileSize() throws {
        let padding = ConfigurationLimits.fileBytes - minimal.utf8.count
        let full = Array(minimal.utf8) + [UInt8](repeating: UInt8(ascii: "\n"), count: padding)
        #expect(try Configuration.parse(full, file: "c.toml").token.uri == "pkcs11:token=claviger")
        #expect(throws: ConfigurationError.tooLarge(path: "c.toml")) { try Configuration.parse(full + [10], file: "c.toml") }
    }

    @Test func nestingIsBounded() {
        // 128 dots in a line make tables 129 deep; one more is refused before it is parsed.
        let deep = { (dots: Int) in String(repeating: "a.", count: dots) + "a = 1\n" }
        #expect(problems(deep(128) + minimal) == ["c.toml:1: unknown table [a]"])
        #expect(problems(deep(129) + minimal) == ["c.toml:1: column 1: more than 128 dots in one line"])
        #expect(problems("# " + String(repeating: ".", count: 500) + "\n" + minimal).isEmpty)
        let nested = { (depth: Int) in "a = " + String(repeating: "[", count: depth) + String(repeating: "]", count: depth) + "\n"
        }
        #expect(problems(nested(8) + minimal) == ["c.toml:1: unknown key a"])
        #expect(problems(nested(9) + minimal).first?.hasPrefix("c.toml:1: column ") == true)
        // The deepest document that both bounds let through: inline tables in arrays, a full line of dots on each level.
        let level = "[\n{" + String(repeating: "a.", count: 128) + "a = "
        let worst = "x = " + String(repeating: level, count: 3) + "1" + String(repeating: "}]", count: 3) + "\n"
        #expect(problems(worst + minimal) == ["c.toml:1: unknown key x"])
        let megabyte = String(repeating: "a.", count: (1 << 19) - 8) + "a = 1\n"
        #expect(problems(megabyte).count == 1)
    }
}
