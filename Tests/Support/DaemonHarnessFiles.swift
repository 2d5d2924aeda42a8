import Glibc

/// The text of an errno.
public func systemText(_ code: Int32) -> String {
    var buffer = [CChar](repeating: 0, count: 256)
    guard strerror_r(code, &buffer, buffer.count) == 0 else { return "error \(code)" }
    return String(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
}

/// Gives others the processor for a moment, within a loop that polls.
public func pause(milliseconds: Int) { pause(microseconds: milliseconds * 1_000) }

/// Lets time pass: the random moments of kill tests.
public func pause(microseconds: Int) {
    var time = timespec(tv_sec: microseconds / 1_000_000, tv_nsec: microseconds % 1_000_000 * 1_000)
    var left = timespec()
    while nanosleep(&time, &left) != 0 && errno == EINTR { time = left }
}

/// Polls until `condition` holds; false when it still does not after the harness's patience.
public func eventually(_ condition: () throws -> Bool) rethrows -> Bool {
    let clock = ContinuousClock()
    let limit = clock.now + DaemonHarness.patience
    while try !condition() {
        guard clock.now < limit else { return false }
        pause(milliseconds: 2)
    }
    return true
}

/// The whole content of a file.
public func readFile(_ path: String) throws -> [UInt8] {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw HarnessError("open \(path): \(systemText(errno))") }
    defer { close(file) }
    var content: [UInt8] = []
    var block = [UInt8](repeating: 0, count: 1 << 16)
    while true {
        let count = read(file, &block, block.count)
        guard count >= 0 else { throw HarnessError("read \(path): \(systemText(errno))") }
        if count == 0 { return content }
        content += block[..<count]
    }
}

/// Makes a file of mode 0600, or replaces its content.
public func writeFile(_ path: String, _ text: String, mode: mode_t = 0o600) throws {
    try writeFile(path, Array(text.utf8), mode: mode)
}

/// Makes a file of mode 0600, or replaces its content.
public func writeFile(_ path: String, _ bytes: [UInt8], mode: mode_t = 0o600) throws {
    let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
    guard file >= 0 else { throw HarnessError("open \(path): \(systemText(errno))") }
    defer { close(file) }
    guard write(file, bytes, bytes.count) == bytes.count else { throw HarnessError("write \(path): \(systemText(errno))") }
}

/// Makes a directory of mode 0700.
public func makeDirectory(_ path: String) throws {
    guard mkdir(path, 0o700) == 0 else { throw HarnessError("mkdir \(path): \(systemText(errno))") }
}

/// The names in a directory, ascending.
public func listDirectory(_ path: String) throws -> [String] {
    guard let directory = opendir(path) else { throw HarnessError("opendir \(path): \(systemText(errno))") }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
        // In place: the record ends with its name, and a copy of the whole field would read beyond it.
        let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted()
}

/// Removes a directory with all that is in it, or a file. A symbolic link is not followed.
func removeTree(_ path: String) {
    if unlink(path) == 0 || errno == ENOENT { return }
    for name in (try? listDirectory(path)) ?? [] { removeTree("\(path)/\(name)") }
    rmdir(path)
}

/// A generator that gives the same numbers for the same seed (SplitMix64), so that a failure can be run again.
public struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    /// A generator for this seed.
    public init(seed: UInt64) { state = seed }

    /// The next number.
    public mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}
