import Glibc

@testable import ClavigerCore

/// A file that says no more than it must.
let minimal = "[token]\nuri = \"pkcs11:token=claviger\"\n"

/// The configuration in `text`.
func parsed(_ text: String) throws(ConfigurationError) -> Configuration {
    try Configuration.parse(Array(text.utf8), file: "c.toml")
}

/// The problems of `text`, each as an operator reads it; empty when there are none.
func problems(_ text: String) -> [String] {
    do {
        _ = try parsed(text)
        return []
    } catch .invalid(let problems) {
        return problems.map(\.description)
    } catch {
        return ["\(error)"]
    }
}

/// A file in which `key`, a dotted path, has `value`, and everything required stands too.
func file(_ key: String, _ value: String) -> String {
    key == "token.uri" ? "\(key) = \(value)\n" : "\(key) = \(value)\ntoken.uri = \"pkcs11:token=claviger\"\n"
}

/// A directory for one test, removed with everything in it when the value goes.
final class TemporaryDirectory {
    let path: String

    init() throws {
        var template = Array("/tmp/claviger-test-XXXXXX".utf8CString)
        let made = mkdtemp(&template)
        guard let made else { throw TestError.system(errno) }
        path = String(cString: made)
    }

    /// The path of `name` in the directory.
    func file(_ name: String) -> String { path + "/" + name }

    /// Writes a file of `mode` and returns its path.
    func write(_ name: String, _ bytes: [UInt8], mode: mode_t = 0o600) throws -> String {
        let path = file(name)
        let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw TestError.system(errno) }
        defer { close(file) }
        guard Glibc.write(file, bytes, bytes.count) == bytes.count, fchmod(file, mode) == 0 else { throw TestError.system(errno) }
        return path
    }

    deinit {
        guard let directory = opendir(path) else { return }
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { unlink(file(name)) }
        }
        closedir(directory)
        rmdir(path)
    }
}

/// A system call of the test itself failed.
enum TestError: Error {
    case system(Int32)
}

/// SplitMix64: the same numbers for the same seed.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
