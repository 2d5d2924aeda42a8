import Glibc
import Testing

@testable import ClavigerCore

/// Following a log from file to file.
@Suite struct AuditFollowerTests {
    /// Who lags behind goes on with what is left when an old file is taken away under it.
    @Test func aFileTakenAwayStopsNobody() throws {
        let directory = try TemporaryDirectory()
        defer { withExtendedLifetime(directory) {} }
        let first = directory.file("audit-00000000000000000001.jsonl")
        try Files.replace(first, with: Array("one\ntwo\n".utf8).span.bytes)
        var follower = try AuditFollower(directory.path, skipping: false)
        var lines: [String] = []
        // The reader is slow: it takes one line and no more.
        #expect(
            try follower.next { line in
                guard lines.isEmpty else { return false }
                lines.append(String(decoding: line, as: UTF8.self))
                return true
            } == false)
        try Files.replace(
            directory.file("audit-00000000000000000003.jsonl"), with: Array("three\nfour\n".utf8).span.bytes)
        #expect(unlink(first) == 0)
        #expect(
            try follower.next { line in
                lines.append(String(decoding: line, as: UTF8.self))
                return true
            })
        #expect(lines == ["one", "three", "four"])
        // Nothing is left at all, and nothing comes twice.
        #expect(unlink(directory.file("audit-00000000000000000003.jsonl")) == 0)
        #expect(try follower.next { _ in false })
    }

    private final class Reader {
        var follower: AuditFollower

        init(_ log: TestLog) throws { follower = try AuditFollower(log.path, skipping: false, bound: log.log.bound) }

        /// The numbers of the lines that have come, or what is wrong.
        func follow() -> String {
            var seen: [UInt64] = []
            do {
                try follower.next { line in
                    seen.append(AuditLine.parts(line)?.sequence ?? 0)
                    return true
                }
            } catch {
                return "\(error)"
            }
            return "\(seen)"
        }
    }

    /// Another file in the log's place, and lines behind what the log has written, are nobody's records: they are not sent on, and those
    /// that are follow when the log has its file back.
    @Test func onlyTheLogsOwnIsFollowed() throws {
        let log = try TestLog()
        try log.append(3, flushed: true)
        let reader = try Reader(log)
        #expect(reader.follow() == "[1, 2, 3]")
        let segment = try log.segments[0]
        let bytes = try log.read(segment.path)
        try Files.replace(segment.path, with: bytes.span.bytes)
        try log.forge(2)
        try log.append(2, flushed: true)
        let stale = "\(FileError("follow", segment.path, ESTALE))"
        #expect(reader.follow() == stale)
        log.log.look()
        #expect(reader.follow() == "[4, 5, 6]")
        try log.forge(1)
        #expect(reader.follow() == "[]")
        // A file that the log has not begun is none of its own.
        let foreign = AuditSegment(directory: log.path, first: 7)
        try Files.replace(foreign.path, with: bytes.span.bytes)
        #expect(reader.follow() == "[]")
        unlink(foreign.path)
        // When the log has left the file for another, what was put into it is passed over.
        log.log.look()
        #expect(try log.segments.map(\.first) == [1, 8])
        #expect(reader.follow() == "[8, 9]")
        // A pipe keeps nobody waiting.
        let newest = try log.segments[1].path
        unlink(newest)
        #expect(mkfifo(newest, 0o600) == 0)
        #expect(reader.follow() == "\(FileError("follow", newest, ESTALE))")
    }
}
