import ClavigerWire
import Glibc
import Support
import Synchronization
import Testing

@testable import ClavigerCore

@Suite struct AuditLogTests {
    @Test func recordsOfManyThreadsMakeOneChain() throws {
        let log = try TestLog()
        let audit = log.log
        let workers = (0..<8).map { worker in
            Worker {
                for index in 0..<50 {
                    var record = AuditRecord(event: "unwrap", time: 1)
                    record.target.key = KeyID(high: UInt64(worker), low: UInt64(index))
                    let place = try? audit.append(record.body(TestLog.instance), flushed: index % 2 == 0)
                    #expect(place != nil)
                }
            }
        }
        for worker in workers { worker.join() }
        try audit.flush()
        #expect(try log.verify().records == 400)
        #expect(audit.position.sequence == 400)
    }

    @Test func aLogGoesOnWhereItEnded() throws {
        let log = try TestLog()
        try log.append(3, flushed: true)
        try log.reopen()
        try log.append(2, flushed: true)
        let report = try log.verify()
        #expect(report.records == 6 && report.incidents == [.init(sequence: 4, event: "log-unproven")])
        #expect(try log.segments.count == 1)
    }

    /// The chain holds no secret: whoever may write the files can go on with it. The daemon does not, and its seal does not cover it.
    @Test func aForgedRecordIsNotTakenOver() throws {
        let log = try TestLog()
        try log.append(5, flushed: true)
        try log.forge(1)
        log.log.look()
        #expect(log.log.failure == nil)
        #expect(
            log.log.condition.warning == "record 6 was not written by the daemon: it wrote up to record 5")
        try log.append(1, flushed: true)
        try log.log.seal()
        #expect(try log.segments.map(\.first) == [1, 7])
        #expect(log.finding() == "record 7 does not continue record 6: one of the two was changed or replaced")
        #expect(try log.lines().contains { $0.contains("log-gap") })
    }

    /// What was forged while nobody wrote, the daemon cannot tell from what a crash left: it says what nothing vouches for.
    @Test func whatNothingVouchesForIsNamed() throws {
        let log = try TestLog()
        try log.append(5, flushed: true)
        try log.log.seal()
        try log.reopen()
        #expect(try log.verify().incidents.isEmpty)
        try log.reopen { try log.forge(2) }
        #expect(try log.verify().incidents == [.init(sequence: 9, event: "log-unproven")])
        #expect(try log.lines()[8].contains(#""responseData":{"first":"7","last":"8"}"#))
    }

    @Test func aTornLastLineIsSetAsideAndTold() throws {
        let log = try TestLog()
        try log.append(3, flushed: true)
        let segment = try log.segments[0]
        let whole = try log.read(segment.path)
        for torn in [Array("{\"seq\":4,\"prev\":\"00".utf8), [0, 0, 0, 0], [UInt8(ascii: "{")]] {
            try log.reopen { try log.overwrite(segment.path, log.read(segment.path) + torn) }
            #expect(log.log.failure == nil)
        }
        let report = try log.verify()
        let incidents = report.incidents.map(\.event)
        #expect(report.records == 9 && incidents == Array(repeating: ["log-repaired", "log-unproven"], count: 3).flatMap(\.self))
        #expect(try log.read(segment.path + ".torn-\(whole.count)") == Array("{\"seq\":4,\"prev\":\"00".utf8))
    }

    @Test func aCutWhileStoppedIsFoundByTheAnchor() throws {
        let log = try TestLog()
        try log.append(5, flushed: true)
        try log.log.seal()
        try log.append(5, flushed: true)
        try log.log.seal()
        let segment = try log.segments[0]
        try log.reopen { try log.edit(segment) { $0.removeLast(4) } }
        #expect(log.log.failure == nil)
        #expect(log.log.condition.warning == "the log went to record 12, but record 8 is the newest")
        try log.append(1)
        // Numbers never come twice, and the verifier sees the hole.
        #expect(try log.segments.map(\.first) == [1, 13])
        #expect(log.finding() == "record 13 follows record 8: records 9 to 12 are missing")
        // Said once: the next start goes on.
        try log.log.seal()
        try log.reopen()
        #expect(log.log.condition.warning == nil)
    }

    @Test func aDeletedLogIsFoundByTheAnchor() throws {
        let log = try TestLog()
        try log.append(5, flushed: true)
        try log.log.seal()
        let segment = try log.segments[0]
        try log.reopen { unlink(segment.path) }
        #expect(log.log.condition.warning == "the log went to record 6, but there are no records")
        #expect(try log.lines().count == 1)
        #expect(try log.segments.map(\.first) == [7])
    }

    @Test func anotherLogInItsPlaceIsFound() throws {
        let log = try TestLog()
        try log.append(5, flushed: true)
        try log.log.seal()
        let segment = try log.segments[0]
        try log.reopen { try log.edit(segment) { $0[5] = $0[5].replacing("checkpoint", with: "checkpuint") } }
        #expect(log.log.condition.warning == "record 6 is another than the one that was written")
    }

    @Test func aRemovedFileIsPutBack() throws {
        let log = try TestLog()
        try log.append(5, flushed: true)
        let segment = try log.segments[0]
        let before = try log.read(segment.path)
        unlink(segment.path)
        try log.append(1)
        log.log.look()
        #expect(log.log.failure == nil)
        try log.append(1, flushed: true)
        #expect(try log.read(segment.path).starts(with: before))
        let report = try log.verify()
        #expect(report.records == 8 && report.incidents.map(\.event) == ["log-restored"])
    }

    @Test func aReplacedFileIsPutBackAndTheOtherKept() throws {
        let log = try TestLog()
        try log.append(5, flushed: true)
        let segment = try log.segments[0]
        let foreign = segment.path + ".x"
        try log.overwrite(foreign, [1, 2, 3])
        rename(foreign, segment.path)
        log.log.look()
        try log.append(1, flushed: true)
        #expect(try log.verify().records == 7)
        let aside = try Files.list(log.path).filter { $0.contains(".foreign-") }
        #expect(aside.count == 1)
        #expect(try Files.read(log.path + "/" + aside[0]) == [1, 2, 3])
    }

    @Test func aRemovedDirectoryIsPutBack() throws {
        let log = try TestLog()
        try log.append(5, flushed: true)
        for name in try Files.list(log.path) { unlink(log.path + "/" + name) }
        rmdir(log.path)
        log.log.look()
        try log.append(1, flushed: true)
        #expect(try log.verify().records == 7)
    }

    @Test(arguments: [false, true])
    func aFileThatOthersWriteToIsLeft(isCut: Bool) throws {
        let log = try TestLog()
        try log.append(5, flushed: true)
        let segment = try log.segments[0]
        if isCut {
            truncate(segment.path, 700)
        } else {
            let file = open(segment.path, O_WRONLY | O_APPEND)
            write(file, "foreign\n", 8)
            close(file)
        }
        log.log.look()
        #expect(log.log.failure == nil)
        try log.append(1, flushed: true)
        #expect(try log.segments.map(\.first) == [1, 6])
        #expect(log.finding() != nil)
        #expect(log.log.condition.warning != nil)
    }

    /// The file system takes nothing more: everything is refused at once, and goes on by itself when there is room.
    @Test func aFullFileSystemStopsTheLogAndRoomStartsIt() async {
        await #expect(processExitsWith: .success) {
            let log = try TestLog()
            try log.append(5, flushed: true)
            // Files of this process cannot grow any more.
            signal(SIGXFSZ, SIG_IGN)
            var limit = rlimit()
            getrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)
            let before = limit.rlim_cur
            limit.rlim_cur = rlim_t(try log.read(log.segments[0].path).count + 300)
            setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)
            #expect(throws: AuditFailure.self) { try log.append(3, flushed: true) }
            let failure = try #require(log.log.failure)
            #expect(failure.reason.hasSuffix("File too large"))
            #expect(throws: failure) { try log.append(1) }
            log.log.look()
            #expect(log.log.failure != nil)
            limit.rlim_cur = before
            setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)
            log.log.look()
            #expect(log.log.failure == nil)
            try log.append(2, flushed: true)
            #expect(try log.lines().contains { $0.contains("log-resumed") })
            #expect(try log.verify().records == 8)
        }
    }

    @Test func segmentsFollowByAge() throws {
        let log = try TestLog { $0.segmentAge = 3_600_000 }
        try log.append(2)
        log.clock.pass(3_599_999)
        log.log.look()
        #expect(try log.segments.count == 1)
        log.clock.pass(1)
        log.log.look()
        #expect(try log.segments.count == 2)
        // The next one's age counts from its own beginning.
        log.clock.pass(3_599_999)
        log.log.look()
        #expect(try log.segments.count == 2)
        log.clock.pass(1)
        log.log.look()
        #expect(try log.segments.count == 3)
        #expect(try log.verify().first == 1)
    }

    /// Where no new file can be made, what was flushed for it counts all the same: nobody waits for it any longer.
    @Test func whatWasFlushedForANewFileCounts() throws {
        let meanwhile = Shared(Mutex<(@Sendable () -> Void)?>(nil))
        let log = try TestLog {
            $0.sync = { file in
                meanwhile.value.withLock { $0.take() }?()
                return fdatasync(file) == 0 ? 0 : errno
            }
        }
        let audit = log.log
        log.signer.isAway.store(true, ordering: .relaxed)
        try log.append(3)
        // While the records before the new file are flushed for a checkpoint, another comes.
        let body = AuditRecord(event: "wrap", time: 1).body(TestLog.instance)
        meanwhile.value.withLock { $0 = { _ = try? audit.append(body, flushed: false) } }
        // Its name is taken.
        let next = AuditSegment(directory: log.path, first: 5).path
        try #require(mkdir(next, 0o700) == 0)
        #expect(audit.rotate("asked for") == nil)
        #expect(audit.failure == nil && audit.position.sequence == 4)
        rmdir(next)
        #expect(audit.rotate("asked for") != nil)
        #expect(try log.segments.count == 2)
    }

    @Test func checkpointsComeByTime() throws {
        let log = try TestLog { $0.checkpointInterval = 60_000_000_000 }
        func checkpoints() throws -> UInt64 { try log.verify().checkpoints }
        try log.append(1)
        log.clock.pass(59_999)
        log.log.look()
        #expect(try checkpoints() == 0)
        log.clock.pass(1)
        log.log.look()
        #expect(try checkpoints() == 1)
        // Nothing new to seal: none comes, however long it takes.
        log.clock.pass(600_000)
        log.log.look()
        #expect(try checkpoints() == 1)
        try log.append(1)
        log.log.look()
        #expect(try checkpoints() == 2)
    }

    @Test func segmentsFollowBySize() throws {
        let log = try TestLog { $0.segmentBytes = 1_500 }
        try log.append(4)
        log.log.look()
        #expect(try log.segments.count == 2)
        try log.append(4)
        log.log.look()
        #expect(try log.segments.count == 3)
        log.log.look()
        #expect(try log.segments.count == 3)
        let report = try log.verify()
        #expect(report.checkpoints == 2 && report.first == 1)
    }

    @Test func checkpointsComeByNumberAndWaitForTheToken() throws {
        let log = try TestLog { $0.checkpointRecords = 10 }
        log.log.look()
        let first = try log.lines().count { $0.contains("\"checkpoint\"") }
        try log.append(10)
        log.signer.isAway.store(true, ordering: .relaxed)
        log.log.look()
        #expect(log.log.condition.sealFailure == "the token cannot sign now: away")
        #expect(try log.lines().count { $0.contains("\"checkpoint\"") } == first)
        log.signer.isAway.store(false, ordering: .relaxed)
        try log.log.seal()
        #expect(log.log.condition.sealFailure == nil)
        #expect(try log.verify().unsealed == 1)
        // Nothing new: no further checkpoint.
        let count = try log.lines().count
        log.log.look()
        #expect(try log.lines().count == count)
    }
}
