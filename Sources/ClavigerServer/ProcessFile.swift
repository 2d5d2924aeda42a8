import Glibc

/// Reads files of /proc, whose size is not known before they end.
enum ProcessFile {
    /// Bytes read at most: a `status` with 65,536 groups of ten digits, and room.
    static let maximum = 1 << 20

    /// The text of the file at `path`; nil when it cannot be read (the process has gone, or may not be seen), is not UTF-8 or is
    /// longer than ``maximum``.
    static func text(_ path: String) -> String? {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var bytes: [UInt8] = []
        while bytes.count <= maximum {
            var count = 0
            let part = [UInt8](unsafeUninitializedCapacity: 4096) { buffer, filled in
                repeat { count = read(file, buffer.baseAddress, buffer.count) } while count < 0 && errno == EINTR
                filled = max(0, count)
            }
            guard count >= 0 else { return nil }
            if count == 0 { return String(validating: bytes, as: UTF8.self) }
            bytes += part
        }
        return nil
    }

    /// The rest of the first line of `text` that begins with `name` and a colon.
    static func field(_ name: String, of text: String) -> Substring? {
        text.split(separator: "\n").first { $0.hasPrefix(name + ":") }?.dropFirst(name.count + 1)
    }
}
