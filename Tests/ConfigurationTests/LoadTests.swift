import Glibc
import Testing

@testable import ClavigerCore

@Suite struct LoadTests {
    @Test func aGoodFileLoads() throws {
        let directory = try TemporaryDirectory()
        for mode: mode_t in [0o400, 0o600, 0o640, 0o644] {
            let path = try directory.write("c-\(mode).toml", Array(minimal.utf8), mode: mode)
            #expect(try Configuration.load(path: path).token.uri == "pkcs11:token=claviger")
        }
    }

    @Test func problemsNameTheFile() throws {
        let directory = try TemporaryDirectory()
        let path = try directory.write("c.toml", Array("x = 1\n".utf8))
        let error = #expect(throws: ConfigurationError.self) { try Configuration.load(path: path) }
        #expect(error?.description.hasPrefix("\(path):1: unknown key x\n\(path): token.uri is missing") == true)
    }

    @Test func whatIsNoReadableFileIsToldApart() throws {
        let directory = try TemporaryDirectory()
        #expect(throws: ConfigurationError.missing(path: directory.file("none"))) {
            try Configuration.load(path: directory.file("none"))
        }
        #expect(throws: ConfigurationError.notAFile(path: directory.path)) { try Configuration.load(path: directory.path) }
        let pipe = directory.file("pipe")
        #expect(mkfifo(pipe, 0o600) == 0)
        #expect(throws: ConfigurationError.notAFile(path: pipe)) { try Configuration.load(path: pipe) }
        let file = try directory.write("file", [])
        #expect(throws: ConfigurationError.unreadable(path: file + "/x", code: ENOTDIR)) {
            try Configuration.load(path: file + "/x")
        }
    }

    @Test func aFileThatOthersMayWriteIsRefused() throws {
        let directory = try TemporaryDirectory()
        for mode: mode_t in [0o620, 0o602, 0o666] {
            let path = try directory.write("c-\(mode).toml", Array(minimal.utf8), mode: mode)
            #expect(throws: ConfigurationError.writableByOthers(path: path)) { try Configuration.load(path: path) }
        }
    }

    @Test(.enabled(if: geteuid() == 0, "needs root to give a file away"))
    func aFileOfAnotherUserIsRefused() throws {
        let directory = try TemporaryDirectory()
        let path = try directory.write("c.toml", Array(minimal.utf8))
        #expect(chown(path, 1500, 1500) == 0)
        #expect(throws: ConfigurationError.writableByOthers(path: path)) { try Configuration.load(path: path) }
    }

    @Test func fileSize() throws {
        let directory = try TemporaryDirectory()
        let full = Array(minimal.utf8) + [UInt8](repeating: 10, count: ConfigurationLimits.fileBytes - minimal.utf8.count)
        #expect(try Configuration.load(path: directory.write("full", full)).log.level == .info)
        let over = try directory.write("over", full + [10])
        #expect(throws: ConfigurationError.tooLarge(path: over)) { try Configuration.load(path: over) }
    }

    // In a process of its own: the environment belongs to all tests.
    @Test func theEnvironmentIsSet() async {
        await #expect(processExitsWith: .exitCode(7)) {
            setenv("CLAVIGER_TEST_A", "old", 1)
            let text = "[module.environment]\nCLAVIGER_TEST_A = \"new\"\nCLAVIGER_TEST_B = \"\"\n[token]\nuri = \"pkcs11:\"\n"
            let configuration = try Configuration.parse(Array(text.utf8), file: "c.toml")
            try configuration.applyEnvironment()
            guard let a = getenv("CLAVIGER_TEST_A"), String(cString: a) == "new" else { exit(1) }
            guard let b = getenv("CLAVIGER_TEST_B"), String(cString: b) == "" else { exit(2) }
            exit(7)
        }
    }
}
