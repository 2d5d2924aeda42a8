import ClavigerWire
import Glibc
import SecureMemory
import Support
import Synchronization
import Testing

@testable import ClavigerCore

/// What a log's checkpoints say of the database, and that only signed ones are believed.
@Suite struct AuditCheckpointsTests {
    /// The epoch that the log proves.
    private func proven(_ log: TestLog, of instance: InstanceID = TestLog.instance, mostBytes: Int = AuditCheckpoints.mostBytes)
        throws
        -> UInt64?
    {
        try AuditCheckpoints.newest(in: log.path, of: instance, signedBy: log.signer.publicKey, mostBytes: mostBytes)?.epoch
    }

    /// Three segments; the newest checkpoint, of epoch 9, stands in the second.
    private func sealed() throws -> TestLog {
        let log = try TestLog()
        log.epoch.withLock { $0 = 7 }
        try log.append(5)
        try log.log.seal()
        try #require(log.log.rotate("test") != nil)
        log.epoch.withLock { $0 = 9 }
        try log.append(3)
        try log.log.seal()
        log.signer.isAway.store(true, ordering: .relaxed)
        try log.append(4)
        try #require(log.log.rotate("test") != nil)
        try log.append(4, flushed: true)
        return log
    }

    /// Rewrites a segment's lines so that the chain fits, as whoever has the disk can.
    private func rechain(_ log: TestLog, _ segment: AuditSegment, _ change: (inout [String]) -> Void) throws {
        try log.edit(segment) { lines in
            change(&lines)
            guard let parts = Array(lines[0].utf8).withUnsafeBytes({ AuditLine.parts($0) }) else { return }
            var last = AuditPosition(sequence: parts.sequence - 1, hash: parts.previous)
            for index in lines.indices {
                let line = lines[index]
                let start = line.firstRange(of: "\"eventTime\"")?.lowerBound ?? line.startIndex
                var bytes: [UInt8] = []
                last = AuditLine.append(Array(line[start...].dropLast().utf8), after: last, to: &bytes)
                lines[index] = String(decoding: bytes.dropLast(), as: UTF8.self)
            }
        }
    }

    @Test func theNewestIsFound() throws {
        let log = try sealed()
        #expect(try proven(log) == 9)
        // What a crash left of a last line is no line, and no obstacle.
        let last = try #require(try log.segments.last)
        try log.overwrite(last.path, Array(log.read(last.path).dropLast(10)))
        #expect(try proven(log) == 9)
        // Older files may be removed, newer ones may be: what is left speaks.
        unlink(try log.segments[0].path)
        #expect(try proven(log) == 9)
        for segment in try log.segments { unlink(segment.path) }
        #expect(try proven(log) == nil)
    }

    /// One that was made up, or changed, is passed over: neither it nor what it hides is what counts.
    @Test func aForgedCheckpointIsNotBelieved() throws {
        let log = try sealed()
        let seal = try #require(try log.lines().last { $0.contains("\"checkpoint\":{") })
        for (place, epoch) in [(2, 1_000), (2, 8), (0, 1_000)] {
            let forged = seal.replacing("\"epoch\":9,", with: "\"epoch\":\(epoch),")
            try #require(forged != seal)
            try rechain(log, log.segments[place]) { $0.append(forged) }
            #expect(try proven(log) == 9, "\(epoch)")
        }
        let finding = try #require(log.finding())
        #expect(finding.contains("is not signed by this key"), "\(finding)")
        // Without its epoch it is no older one either: what is signed says which it is.
        let bare = try sealed()
        try rechain(bare, bare.segments[1]) { lines in
            lines = lines.map { $0.replacing("\"epoch\":9,", with: "") }
        }
        #expect(try proven(bare) == 7)
        #expect(try #require(bare.finding()).contains("is not signed by this key"))
        // Another's counts as little, and no more than so many are looked at.
        #expect(try proven(log, of: InstanceID(high: 3, low: 4)) == nil)
        let many = try sealed()
        try rechain(many, many.segments[2]) { lines in
            for _ in 0..<AuditCheckpoints.mostCandidates { lines.append(seal) }
        }
        #expect(try proven(many) == nil)
    }

    /// Checkpoints of before they said an epoch verify as they did, and say none.
    @Test func checkpointsWithoutAnEpochVerify() throws {
        let log = try TestLog()
        try log.append(5)
        try log.log.seal()
        #expect(!(try log.lines().contains { $0.contains("\"epoch\"") }))
        #expect(try log.verify().checkpoint?.epoch == nil && log.verify().checkpoints == 1)
        #expect(try proven(log) == nil)
        // The two kinds in one log, as an update leaves them; one that was kept elsewhere is of the old kind.
        log.epoch.withLock { $0 = 3 }
        try log.append(5)
        try log.log.seal()
        log.epoch.withLock { $0 = nil }
        try log.append(5)
        try log.log.seal()
        #expect(try log.verify().checkpoints == 3)
        #expect(try proven(log) == 3)
        let head = try log.log.signedHead()
        #expect(!head.json.contains("epoch"))
        let read: AuditHead = try #require(AuditHead(json: head.json))
        #expect(try log.verify(head: read).records == 18)
    }

    /// The very bytes that a checkpoint of before was signed for: signatures of then are good for ever.
    @Test func whatIsSignedIsFixed() throws {
        let position = AuditPosition(sequence: 258, hash: try #require(AuditHash([UInt8](repeating: 0xab, count: 32))))
        let instance = InstanceID(high: 1, low: 2)
        var bytes: [UInt8] = Array("claviger/audit-head/1".utf8) + [0]
        bytes += [UInt8](repeating: 0, count: 7) + [1] + [UInt8](repeating: 0, count: 7) + [2]
        bytes += [0, 0, 0, 0, 0, 0, 1, 2] + [UInt8](repeating: 0xab, count: 32) + [0, 0, 0, 0, 0, 1, 0, 0]
        #expect(AuditHead.digest(instance, position, 65_536) == SHA256.digest(bytes.span.bytes))
        bytes[20] = UInt8(ascii: "2")
        bytes += [0, 0, 0, 0, 0, 0, 2, 3]
        #expect(AuditHead.digest(instance, position, 65_536, 515) == SHA256.digest(bytes.span.bytes))
    }

    /// Only so much of the end is read.
    @Test func theLookBackIsBounded() throws {
        let log = try sealed()
        // More than a file counts for at least.
        try log.append(20, flushed: true)
        let end = try log.read(log.segments[2].path).count
        #expect(try proven(log, mostBytes: end) == nil)
        #expect(try proven(log, mostBytes: end + 1) == 9)
    }

    /// Checkpoints that say no epoch, as a daemon makes them that does not believe its database, hide none before them.
    @Test func thoseWithoutAnEpochHideNothing() throws {
        let log = try sealed()
        log.signer.isAway.store(false, ordering: .relaxed)
        log.epoch.withLock { $0 = nil }
        for _ in 0...AuditCheckpoints.mostCandidates {
            try log.append(1)
            try log.log.seal()
        }
        #expect(try proven(log) == 9)
    }

    /// No log, an empty one, and what has a segment's name and is none.
    @Test func thereMayBeNothingToFind() throws {
        let log = try TestLog()
        #expect(try proven(log) == nil)
        for segment in try log.segments { try log.overwrite(segment.path, []) }
        #expect(try proven(log) == nil)
        let name = log.path + "/" + AuditSegment(directory: log.path, first: 99).name
        #expect(mkfifo(name, 0o600) == 0)
        #expect(try proven(log) == nil)
        unlink(name)
        #expect(mkdir(name, 0o700) == 0)
        #expect(try proven(log) == nil)
        let key = log.signer.publicKey
        #expect(try AuditCheckpoints.newest(in: log.path + "/none", of: TestLog.instance, signedBy: key) == nil)
        #expect(throws: FileError.self) {
            try AuditCheckpoints.newest(in: try log.segments[0].path, of: TestLog.instance, signedBy: key)
        }
        // What is there and cannot be looked at is not the same as nothing.
        let loop = log.path + "/loop"
        #expect(symlink(loop, loop) == 0)
        #expect(throws: FileError.self) { try AuditCheckpoints.newest(in: loop, of: TestLog.instance, signedBy: key) }
    }

    /// Backwards the same lines come as forwards, wherever blocks begin, and what is longer than any record is left out.
    @Test func backwardsIsForwardsTurnedRound() throws {
        var random = SeededGenerator(seed: 1)
        let directory = try TemporaryDirectory()
        let path = directory.file("lines")
        for longest in [2_000, AuditLine.maximum] {
            var text: [UInt8] = []
            var hasLong = false
            while text.count < 4 << 20 {
                let letter = UInt8.random(in: 0x62...0x7a, using: &random)
                text += [UInt8](repeating: letter, count: Int.random(in: 0...longest, using: &random)) + [0x0a]
                // Once, in the middle.
                if text.count > 2 << 20, !hasLong {
                    hasLong = true
                    text += [UInt8](repeating: 0x61, count: 3 << 20) + [0x0a]
                }
            }
            try Self.write(text + Array("torn".utf8), path)
            var expected: [Int] = []
            try AuditLines.read(path, failed: { $0 }) { (line, _) throws(FileError) in
                // The long one is handed over in parts.
                if line.first != 0x61 { expected.append(Self.sum(line)) }
            }
            var found: [Int] = []
            _ = try AuditBackwards.read(path, atMost: .max) { line in
                found.append(Self.sum(line))
                return true
            }
            #expect(found == expected.reversed(), "lines of \(longest) bytes")
        }
    }

    private static func sum(_ line: UnsafeRawBufferPointer) -> Int { line.count << 8 | Int(line.first ?? 0) }

    private static func write(_ bytes: [UInt8], _ path: String) throws {
        let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        try #require(file >= 0)
        defer { close(file) }
        try #require(Glibc.write(file, bytes, bytes.count) == bytes.count)
    }
}
