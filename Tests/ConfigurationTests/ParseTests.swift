import Testing

@testable import ClavigerCore

@Suite struct ParseTests {
    @Test func aFileWithOnlyATokenHasTheDefaults() throws {
        var expected = Configuration()
        expected.token.uri = "pkcs11:token=claviger"
        #expect(try parsed(minimal) == expected)
        #expect(expected.stateDirectory == "/var/lib/claviger")
        #expect(expected.socket.path == "/run/claviger/claviger.sock")
        #expect(expected.workers.count == nil)
        #expect(expected.requests.defaultDeadline == .seconds(10))
        #expect(expected.log.level == .info)
    }

    @Test func everyKeyIsRead() throws {
        let read = try parsed(
            """
            state-directory = "/srv/claviger"
            [module]
            path = "/usr/lib/softhsm/libsofthsm2.so"
            initialize-arguments = "configdir='/x'"
            storage-path = "/srv/tokens"
            storage-format = "attribute-files"
            software-token = true
            [module.environment]
            SOFTHSM2_CONF = "/etc/softhsm2.conf"
            _a1 = ""
            [token]
            uri = "pkcs11:token=x;serial=1"
            pin-file = "/etc/pin"
            [socket]
            path = "/run/x.sock"
            group = "clients"
            backlog = 5
            max-connections = 6
            [unlock]
            group = "1234"
            [workers]
            count = 3
            queue = 7
            [requests]
            default-deadline-ms = 8
            max-deadline-ms = 9
            idle-frame-timeout-ms = 100
            [log]
            level = "debug"
            """)
        #expect(read.stateDirectory == "/srv/claviger")
        #expect(read.module.path == "/usr/lib/softhsm/libsofthsm2.so")
        #expect(read.module.initializeArguments == "configdir='/x'")
        #expect(read.module.storagePath == "/srv/tokens")
        #expect(read.module.storageFormat == .attributeFiles)
        #expect(read.module.softwareToken)
        #expect(
            read.module.environment == [
                Configuration.EnvironmentVariable(name: "SOFTHSM2_CONF", value: "/etc/softhsm2.conf"),
                Configuration.EnvironmentVariable(name: "_a1", value: ""),
            ])
        #expect(read.token.uri == "pkcs11:token=x;serial=1")
        #expect(read.token.pin == .file("/etc/pin"))
        #expect(read.socket.path == "/run/x.sock")
        #expect(read.socket.group == .name("clients"))
        #expect(read.socket.backlog == 5)
        #expect(read.socket.maximumConnections == 6)
        #expect(read.unlock.group == .number(1234))
        #expect(read.workers.count == 3)
        #expect(read.workers.queue == 7)
        #expect(read.requests.defaultDeadline == .milliseconds(8))
        #expect(read.requests.maximumDeadline == .milliseconds(9))
        #expect(read.requests.idleFrameTimeout == .milliseconds(100))
        #expect(read.log.level == .debug)
        #expect(try parsed(file("token.pin-credential", "\"pin\"")).token.pin == .credential("pin"))
    }

    @Test func allProblemsAreToldAtOnceFromTopToBottom() {
        let text = """
            state-directory = "var/lib"
            nonsense = 1
            [modul]
            path = "/x"
            [socket]
            path = 5
            max-conections = 10
            backlog = 0
            [workers]
            count = "many"
            [requests]
            default-deadline-ms = 2000
            max-deadline-ms = 1000
            [log]
            level = "loud"
            """
        #expect(
            problems(text) == [
                "c.toml:1: state-directory must be an absolute path (begin with '/')",
                "c.toml:2: unknown key nonsense",
                "c.toml:3: unknown table [modul]; did you mean module?",
                "c.toml:6: socket.path must be a string, not an integer",
                "c.toml:7: unknown key socket.max-conections; did you mean socket.max-connections?",
                "c.toml:8: socket.backlog is 0; it must be from 1 to 4096",
                "c.toml:10: workers.count must be an integer, not a string",
                "c.toml:13: requests.default-deadline-ms must not exceed requests.max-deadline-ms",
                "c.toml:15: log.level must be one of \"debug\", \"info\", \"notice\", \"warning\", \"error\"",
                "c.toml: token.uri is missing: the PKCS#11 URI of the token, such as \"pkcs11:token=claviger\"",
            ])
    }

    @Test(arguments: [
        ("max-connections", "socket.max-connections"), ("socket.level", "log.level"), ("unlok.group", "unlock"),
        ("token.pinfile", "token.pin-file"), ("Token.uri", "token"),
    ])
    func unknownKeysGetASuggestion(written: String, meant: String) {
        let told = problems(file(written, "1"))
        #expect(told.count == 1)
        #expect(told.first?.hasSuffix("; did you mean \(meant)?") == true, "\(told)")
    }

    @Test func aQuotedNameWithADotIsNotAPath() {
        #expect(
            problems("\"socket.backlog\" = 1\n\(minimal)").first?.hasPrefix("c.toml:1: unknown key \"socket.backlog\"") == true)
        #expect(problems("\"log\".\"level\" = \"info\"\n\(minimal)").isEmpty)
    }

    @Test(arguments: Configuration.keys)
    func noKeyTakesAnArrayADateOrAFraction(key: String) {
        for (value, kind) in [("[1]", "an array"), ("1979-05-27", "a date or time"), ("0.5", "a number with a fraction")] {
            let told = problems(file(key, value))
            #expect(told.count == 1 && told.first?.hasPrefix("c.toml:1: \(key) must be ") == true, "\(told)")
            #expect(told.first?.hasSuffix("not \(kind)") == true, "\(told)")
        }
    }

    @Test func anArrayOfTablesIsRefusedOnce() {
        #expect(
            problems("[[socket]]\nbacklog = 1\n[[socket]]\nnonsense = 2\n\(minimal)") == [
                "c.toml:1: socket must be a table, [socket], not an array"
            ])
    }

    @Test func anUnknownTableIsReportedWithoutItsContents() {
        #expect(problems("\(minimal)[x]\na = 1\n[x.y]\nb = 2\n") == ["c.toml:3: unknown table [x]"])
    }

    @Test(arguments: ["token.pin-file", "module.path", "module.storage-path", "socket.path", "state-directory"])
    func relativePathsAreRefused(key: String) {
        #expect(problems(file(key, "\"a/b\"")) == ["c.toml:1: \(key) must be an absolute path (begin with '/')"])
        #expect(problems(file(key, "\"\"")) == ["c.toml:1: \(key) is empty; leave the line out to have the default"])
        #expect(problems(file(key, "\"/a\\u0000b\"")) == ["c.toml:1: \(key) holds a control character"])
    }

    @Test func thePINIsNotInTheURIAndNotInTheMessage() {
        for attribute in ["pin-value=hunter2", "pin-source=file:/hunter2"] {
            let told = problems("token.uri = \"pkcs11:token=x?\(attribute)\"\n")
            #expect(told.count == 1 && told.first?.contains("token.pin-file") == true)
            #expect(told.first?.contains("hunter2") == false)
        }
        #expect(problems("token.uri = \"token=hunter2\"\n").first?.contains("hunter2") == false)
    }

    @Test func onePINSourceAtMost() {
        let told = problems("token.pin-file = \"/a\"\ntoken.pin-credential = \"b\"\ntoken.uri = \"pkcs11:\"\n")
        #expect(told == ["c.toml:2: token.pin-file and token.pin-credential: at most one of both"])
        for name in ["a/b", ".", ".."] {
            #expect(problems(file("token.pin-credential", "\"\(name)\"")).count == 1)
        }
    }

    @Test func whoUnlocksMustReachTheAdminSocket() {
        let (group, path) = ("unlock.group = \"ops\"\n", "socket.admin-path = \"/a\"\n")
        let token = "token.uri = \"pkcs11:\"\n"
        #expect(
            problems(group + path + token) == [
                "c.toml:1: unlock.group cannot connect to socket.admin-path: set socket.admin-group too"
            ])
        #expect(problems(group + path + "socket.admin-group = \"ops\"\n" + token).isEmpty)
        #expect(problems(group + token).isEmpty)
    }

    @Test func aStorageFormatNeedsItsPath() {
        #expect(problems(file("module.storage-format", "\"attribute-files\"")).count == 1)
        #expect(
            problems(file("module.storage-format", "\"ext4\"") + "module.storage-path = \"/x\"") == [
                "c.toml:1: module.storage-format must be \"attribute-files\""
            ])
    }

    @Test(arguments: ["4294967295", "99999999999999999999", "a b", "a:b"])
    func impossibleGroupsAreRefused(group: String) {
        #expect(problems(file("socket.group", "\"\(group)\"")).count == 1)
        #expect(problems(file("unlock.group", "\"\(group)\"")).count == 1)
    }

    @Test(arguments: ["1A", "A-B", "\"A B\"", "\"\"", "\"A.B\"", "\"A=B\"", "\"\u{e9}\""])
    func environmentNamesAreNames(name: String) {
        let told = problems("[module.environment]\n\(name) = \"x\"\n\(minimal)")
        #expect(told.count == 1 && told.first?.contains("not a variable's name") == true, "\(told)")
    }

    @Test func environmentValuesAreStrings() {
        #expect(
            problems("[module.environment]\nA = 1\n[module.environment.B]\nC = \"x\"\n\(minimal)") == [
                "c.toml:2: module.environment.A must be a string, not an integer",
                "c.toml:3: module.environment.B must be a string, not a table",
            ])
    }

    @Test func syntaxErrorsHaveTheirPlace() {
        for text in ["a = \n", "[a\n", "a = 1\na = 2\n", "a = \"\u{fffd}", "= 1\n"] {
            let told = problems("# one\n" + text)
            #expect(told.count == 1 && told.first?.contains(": column ") == true, "\(told)")
        }
        #expect(problems("# one\n# two\na = \n").first?.hasPrefix("c.toml:3: column ") == true)
        // Beginnings that toml++ itself takes for granted never happen.
        for header in ["[", "[#x]", "[.a]", "[ /x]", "[\u{fe00}]"] {
            #expect(problems("a = 1\n\n\(header)\nb = 2\n").first?.hasPrefix("c.toml:3: column ") == true, "\(header)")
        }
        #expect(throws: ConfigurationError.self) { try Configuration.parse([0x61, 0xff, 0xfe], file: "c.toml") }
    }

    @Test func manyProblemsAreCounted() {
        let unknown = (0...ConfigurationLimits.listedProblems).map { "k\($0) = 1\n" }.joined()
        let told = problems(unknown + minimal)
        #expect(told.count == ConfigurationLimits.listedProblems + 1)
        #expect(told.last == "c.toml: and 1 more problems")
    }
}
