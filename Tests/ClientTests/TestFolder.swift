import Glibc
import Synchronization

/// A directory of a test's own, removed with everything in it.
struct TestFolder: ~Copyable {
    let path: String

    init() throws {
        var template = Array("/tmp/claviger-client-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw TestFailure("mkdtemp: \(errno)") }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit {
        // The tests make plain files and sockets only, no directories within.
        if let directory = opendir(path) {
            while let entry = readdir(directory) {
                let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                    pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                }
                if name != ".", name != ".." { unlink("\(path)/\(name)") }
            }
            closedir(directory)
        }
        rmdir(path)
    }

    var socket: String { "\(path)/s" }

    func file(_ name: String) -> String { "\(path)/\(name)" }

    func write(_ name: String, _ bytes: [UInt8], mode: mode_t = 0o600) throws -> String {
        let file = open(self.file(name), O_WRONLY | O_CREAT | O_TRUNC, mode)
        guard file >= 0 else { throw TestFailure("open: \(errno)") }
        defer { close(file) }
        fchmod(file, mode)
        guard Glibc.write(file, bytes, bytes.count) == bytes.count else { throw TestFailure("write: \(errno)") }
        return self.file(name)
    }

    func read(_ name: String) -> [UInt8]? {
        let file = open(self.file(name), O_RDONLY)
        guard file >= 0 else { return nil }
        defer { close(file) }
        return readToEnd(file)
    }

    /// The names in it, in order.
    var names: [String] {
        guard let directory = opendir(path) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            names.append(
                withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                    pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                })
        }
        return names.filter { $0 != "." && $0 != ".." }.sorted()
    }
}

/// Everything up to the end of a file or pipe.
func readToEnd(_ file: Int32) -> [UInt8] {
    var all: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 65_536)
    while true {
        let count = Glibc.read(file, &part, part.count)
        if count > 0 { all += part[..<count] } else if count == 0 || errno != EINTR { return all }
    }
}

/// Waits until something holds; the deadline only catches hangs.
func eventually(_ condition: () -> Bool) -> Bool {
    for _ in 0..<20_000 {
        if condition() { return true }
        usleep(500)
    }
    return condition()
}

/// Collects what comes from many threads.
final class Collector<Element: Sendable>: Sendable {
    private let elements = Mutex<[Element]>([])

    func add(_ element: Element) { elements.withLock { $0.append(element) } }

    /// Adds; once `count` are there, takes all of them.
    func add(_ element: Element, takingAt count: Int) -> [Element] {
        elements.withLock { elements in
            elements.append(element)
            guard elements.count >= count else { return [] }
            defer { elements.removeAll() }
            return elements
        }
    }

    var all: [Element] { elements.withLock { $0 } }
}
