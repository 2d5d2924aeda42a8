import Glibc

/// One file of an audit log: `audit-` and the number of its first record in 20 digits, so that names sort as records do.
package struct AuditSegment: Sendable, Equatable {
    package let directory: String
    /// The number of its first record.
    package let first: UInt64

    package init(directory: String, first: UInt64) {
        self.directory = directory
        self.first = first
    }

    private static let prefix = "audit-"
    private static let suffix = ".jsonl"
    private static let digits = 20

    /// The file's name.
    package var name: String {
        let number = String(first)
        let zeroes = String(repeating: "0", count: AuditSegment.digits - number.utf8.count)
        return AuditSegment.prefix + zeroes + number + AuditSegment.suffix
    }

    /// The file's path.
    package var path: String { directory + "/" + name }

    /// The segment of a file's name; nil for another sort of file.
    package init?(directory: String, name: String) {
        guard name.hasPrefix(AuditSegment.prefix), name.hasSuffix(AuditSegment.suffix) else { return nil }
        let number = name.dropFirst(AuditSegment.prefix.count).dropLast(AuditSegment.suffix.count)
        guard number.utf8.count == AuditSegment.digits, number.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            let first = UInt64(number), (1...AuditLine.greatest).contains(first)
        else { return nil }
        self.init(directory: directory, first: first)
    }

    /// The segments in a directory, oldest first.
    package static func list(_ directory: String) throws(FileError) -> [AuditSegment] {
        try Files.list(directory).compactMap { AuditSegment(directory: directory, name: $0) }.sorted { $0.first < $1.first }
    }
}

/// Reads a log's file line by line, in one pass and little memory.
package enum AuditLines {
    private static let chunk = 1 << 20

    /// What stands after the last whole line.
    package struct End: Sendable, Equatable {
        /// Where the last whole line ends.
        package var offset: Int
        /// How many bytes follow without a line break.
        package var rest: Int
    }

    /// Calls `body` with every whole line (without its line break) and its offset.
    ///
    /// A line of more than `AuditLine.maximum` bytes is handed over cut: it is none of ours.
    @discardableResult
    package static func read<E: Error>(
        _ path: String, from start: Int = 0, failed: (FileError) -> E,
        _ body: (UnsafeRawBufferPointer, Int) throws(E) -> Void
    ) throws(E) -> End {
        // Whatever has the name of a segment: a pipe would keep who reads waiting.
        let file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard file >= 0 else { throw failed(FileError("read", path, errno)) }
        defer { close(file) }
        return try read(file, path, from: start, failed: failed, body)
    }

    /// The same of an open file.
    @discardableResult
    static func read<E: Error>(
        _ file: Int32, _ path: String, from start: Int, failed: (FileError) -> E,
        _ body: (UnsafeRawBufferPointer, Int) throws(E) -> Void
    ) throws(E) -> End {
        let capacity = chunk + AuditLine.maximum
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: capacity, alignment: 16)
        defer { buffer.deallocate() }
        // The buffer's bytes from `offset` in the file on.
        var offset = start
        var held = 0
        while true {
            let count = pread(file, buffer.baseAddress.map { $0 + held }, capacity - held, off_t(offset + held))
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw failed(FileError("read", path, errno)) }
            if count == 0 { return End(offset: offset, rest: held) }
            held += count
            var place = 0
            while let found = newline(buffer, place, held) {
                try body(UnsafeRawBufferPointer(rebasing: buffer[place..<found]), offset + place)
                place = found + 1
            }
            if place == 0 && held == capacity {
                try body(UnsafeRawBufferPointer(rebasing: buffer[..<AuditLine.maximum]), offset)
                place = AuditLine.maximum
            }
            held -= place
            offset += place
            if held > 0, place > 0, let base = buffer.baseAddress { memmove(base, base + place, held) }
        }
    }

    private static func newline(_ buffer: UnsafeMutableRawBufferPointer, _ place: Int, _ end: Int) -> Int? {
        guard place < end, let base = buffer.baseAddress, let found = memchr(base + place, 0x0a, end - place) else { return nil }
        return UnsafeRawPointer(found) - UnsafeRawPointer(base)
    }
}
