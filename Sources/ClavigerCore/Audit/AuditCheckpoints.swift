import ClavigerWire
import Glibc

/// Looks through a log, from its end back, for what its checkpoints prove of the database: which epoch it has had.
enum AuditCheckpoints {
    /// How much of a log's end is read at most, in bytes: as much as a segment holds, and many times what is written between two
    /// checkpoints. A newest checkpoint that is further back proves nothing, so that a start does not take the longer the more is there.
    static let mostBytes = 64 << 20
    /// How many checkpoints are looked at, for each costs the verification of a signature: one is enough unless somebody has put others
    /// behind it.
    static let mostCandidates = 1_000
    /// What a file costs at least of the bytes: opening it is work too.
    private static let leastCost = 4_096

    /// The newest checkpoint that says an epoch and that the key has signed for this instance; nil when none is found. One that is not
    /// signed so counts for nothing, nor does it keep from those before it.
    ///
    /// - Parameter mostBytes: how much is read, from the log's end on.
    static func newest(
        in directory: String, of instance: InstanceID, signedBy key: SigningPublicKey, mostBytes: Int = mostBytes
    ) throws(FileError) -> AuditHead? {
        guard Files.status(directory) != nil else {
            guard errno == ENOENT else { throw FileError("examine", directory, errno) }
            return nil
        }
        var search = Search(instance: instance, key: key)
        var rest = mostBytes
        for segment in try AuditSegment.list(directory).reversed() {
            let cost = try AuditBackwards.read(segment.path, atMost: rest) { search.takes($0) }
            rest -= max(cost, leastCost)
            if search.isOver || rest <= 0 { break }
        }
        return search.found
    }

    private struct Search {
        let instance: InstanceID
        let key: SigningPublicKey
        var found: AuditHead?
        var candidates = 0

        var isOver: Bool { found != nil || candidates >= mostCandidates }

        /// Looks at one line.
        ///
        /// - Returns: whether the one before it is wanted.
        mutating func takes(_ line: UnsafeRawBufferPointer) -> Bool {
            guard let parts = AuditLine.parts(line), AuditLine.isEvent("checkpoint", parts, line) else { return true }
            // Those that say no epoch cost no signature: a daemon that doubts its database makes them too.
            guard let head = (try? JSONValue(Array(line)))?["checkpoint"].flatMap({ AuditHead($0) }), head.instance == instance,
                let epoch = head.epoch, epoch < Head.maximumEpoch
            else { return true }
            candidates += 1
            if head.isSigned(by: key) { found = head }
            return !isOver
        }
    }
}

/// Reads a log's file line by line from its end.
enum AuditBackwards {
    private static let block = 1 << 20

    /// Calls `body` with every whole line (without its line break), the last one first, until it returns false. What stands behind the
    /// last line break is left out, and so is a line that is longer than a record can be.
    ///
    /// - Returns: how many bytes were read.
    static func read(
        _ path: String, atMost limit: Int, _ body: (UnsafeRawBufferPointer) -> Bool
    ) throws(FileError) -> Int {
        // Whatever has the name of a segment: a pipe would keep the daemon waiting.
        let file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard file >= 0 else {
            // Old files may be taken away at any time.
            guard errno == ENOENT else { throw FileError("read", path, errno) }
            return 0
        }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0 else { throw FileError("examine", path, errno) }
        guard status.st_mode & S_IFMT == S_IFREG else { return 0 }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: block, alignment: 16)
        defer { buffer.deallocate() }
        var end = Int(status.st_size)
        var count = 0
        while end > 0, count < limit {
            let start = max(0, end - block)
            let held = try fill(buffer, end - start, file, start, path)
            count += held
            let bytes = UnsafeRawBufferPointer(rebasing: buffer[..<held])
            guard let first = lines(in: bytes, isWhole: start == 0, body) else { return count }
            // The line that the block begins in the middle of ends the next one; where the block is no line's end at all, it is damage.
            end = first > 0 && first < held ? start + first : start
        }
        return count
    }

    /// Calls `body` with the lines of a block, the last one first.
    ///
    /// - Parameter isWhole: whether a line begins with the block.
    /// - Returns: where the first line ends that does not begin in the block, with its line break; nil when `body` wants no more.
    private static func lines(
        in bytes: UnsafeRawBufferPointer, isWhole: Bool, _ body: (UnsafeRawBufferPointer) -> Bool
    ) -> Int? {
        var ends: [Int] = []
        var place = 0
        while place < bytes.count, let base = bytes.baseAddress, let found = memchr(base + place, 0x0a, bytes.count - place) {
            ends.append(UnsafeRawPointer(found) - base)
            place = ends[ends.count - 1] + 1
        }
        guard let first = ends.first else { return 0 }
        for index in ends.indices.dropFirst().reversed() {
            guard body(UnsafeRawBufferPointer(rebasing: bytes[(ends[index - 1] + 1)..<ends[index]])) else { return nil }
        }
        guard isWhole else { return first + 1 }
        return body(UnsafeRawBufferPointer(rebasing: bytes[..<first])) ? 0 : nil
    }

    private static func fill(
        _ buffer: UnsafeMutableRawBufferPointer, _ wanted: Int, _ file: Int32, _ start: Int, _ path: String
    ) throws(FileError) -> Int {
        var held = 0
        while held < wanted {
            let count = pread(file, buffer.baseAddress.map { $0 + held }, wanted - held, off_t(start + held))
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw FileError("read", path, errno) }
            if count == 0 { break }
            held += count
        }
        return held
    }
}
