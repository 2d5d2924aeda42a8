import CLinux
import Glibc
import Logging
import Testing

@testable import ClavigerCore

/// The second sink: it goes on where it ended, and nothing holds it up for ever.
@Suite struct AuditCollectorTests {
    /// A log with a collector that listens for datagrams.
    private final class Listening {
        let log: TestLog
        let socket: Int32
        let path: String
        let place: String

        init() throws {
            log = try TestLog()
            path = log.directory.file("collector")
            place = log.directory.file("place")
            socket = linux_unix_datagram_socket()
            try #require(linux_unix_bind(socket, path) == 0)
        }

        deinit { close(socket) }

        func collector(sendBuffer: Int32 = AuditCollector.defaultSendBuffer) -> AuditCollector {
            AuditCollector(
                path: path, directory: log.path, place: place, log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
                sendBuffer: sendBuffer, bound: log.log.bound)
        }

        /// The numbers of the next `count` records, while `collector` runs.
        func take(_ count: Int, _ collector: AuditCollector) throws -> [UInt64] {
            let worker = Worker { collector.run() }
            defer {
                collector.stop()
                worker.join()
                // Its last word: what it sent meanwhile.
                collector.stop()
            }
            return try (0..<count).map { _ in
                var buffer = [UInt8](repeating: 0, count: 1 << 19)
                var poll = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
                try #require(Glibc.poll(&poll, 1, 60_000) == 1)
                let received = recv(socket, &buffer, buffer.count, 0)
                try #require(received > 0 && buffer[received - 1] == 0x0a)
                return try #require(AuditEntry(Array(buffer[..<(received - 1)]))).sequence
            }
        }
    }

    @Test func aRestartGoesOnWhereItEnded() throws {
        let listening = try Listening()
        try listening.log.append(5, flushed: true)
        // A first start tells of what is there.
        #expect(try listening.take(5, listening.collector()) == [1, 2, 3, 4, 5])
        // While nobody sends, and over a change of files.
        try listening.log.append(2, flushed: true)
        listening.log.log.rotate("a test")
        try listening.log.append(1, flushed: true)
        let next = listening.collector()
        #expect(next.state.sent == 5)
        #expect(try listening.take(5, next) == [6, 7, 8, 9, 10])
        #expect(next.state.sent == 10 && listening.collector().state.sent == 10)
    }

    /// A place that is not this log's leaves nothing out.
    @Test(arguments: ["", "nonsense", "3 " + String(repeating: "ab", count: 32), "99 " + String(repeating: "ab", count: 32)])
    func aPlaceThatIsNotThere(text: String) throws {
        let listening = try Listening()
        try listening.log.append(4, flushed: true)
        try Files.replace(listening.place, with: Array(text.utf8).span.bytes)
        #expect(try listening.take(4, listening.collector()) == [1, 2, 3, 4])
    }

    /// Files that were taken away meanwhile are gone; what is left follows.
    @Test func aPlaceInAFileThatWasTakenAway() throws {
        let listening = try Listening()
        try listening.log.append(2, flushed: true)
        _ = try listening.take(2, listening.collector())
        listening.log.log.rotate("a test")
        try listening.log.append(1, flushed: true)
        let segments = try listening.log.segments
        #expect(segments.map(\.first) == [1, 4])
        unlink(segments[0].path)
        #expect(try listening.take(2, listening.collector()) == [4, 5])
    }

    @Test func aRecordTooLongForADatagramHoldsUpNothing() throws {
        let listening = try Listening()
        var record = AuditRecord(event: "wrap", time: 1)
        record.reason = String(repeating: "x", count: 100_000)
        try listening.log.append(1, flushed: true)
        try listening.log.log.append(record.body(TestLog.instance), flushed: true)
        try listening.log.append(1, flushed: true)
        let small = listening.collector(sendBuffer: 8_192)
        #expect(try listening.take(2, small) == [1, 3])
        #expect(small.state.skipped == 1 && small.state.concern?.contains("1 records are longer") == true)
        // With room enough it goes through.
        unlink(listening.place)
        #expect(try listening.take(3, listening.collector()) == [1, 2, 3])
    }
}
