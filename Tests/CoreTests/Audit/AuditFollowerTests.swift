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
}
