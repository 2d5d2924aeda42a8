import ClavigerWire
import Glibc
import Testing

@testable import ClavigerCore

/// Everything that can be done to a log shows, and the message says where.
@Suite struct AuditVerifierTests {
    /// Two segments of 10 and more records, sealed.
    private func sealed() throws -> TestLog {
        let log = try TestLog()
        try log.append(5)
        try log.log.seal()
        try log.append(4)
        try #require(log.log.rotate("test") != nil)
        try log.append(6)
        try log.log.seal()
        return log
    }

    @Test func aWholeLogIsWhole() throws {
        let log = try sealed()
        let report = try log.verify()
        // 5, a checkpoint, 4, a checkpoint; rotation, 6, a checkpoint.
        #expect(report.records == 19 && report.first == 1 && report.checkpoints == 3)
        #expect(report.last?.sequence == 19 && report.checkpoint?.position.sequence == 18)
        #expect(report.unsealed == 1)
        #expect(try log.segments.map(\.first) == [1, 12])
    }

    /// A number that leaves no room for the next is damage like another, for the verifier and for the daemon that takes up the log.
    @Test(arguments: ["18446744073709551615", "4611686018427387905", "9223372036854775807"])
    func aNumberBeyondAllBoundsIsDamage(number: String) throws {
        let log = try sealed()
        let segment = try log.segments[1]
        try log.reopen { try log.edit(segment) { $0[0] = $0[0].replacing("\"seq\":12,", with: "\"seq\":\(number),") } }
        #expect(log.finding() == "this is no record of an audit log")
        // The daemon went on under a number of its own.
        #expect(log.log.failure == nil && log.log.warning != nil)
        #expect(try log.segments.map(\.first) == [1, 12, 20])
        try log.append(1, flushed: true)
        // Nor is anything counted on from it.
        let other = try sealed()
        try other.edit(other.segments[0]) { $0[0] = $0[0].replacing("\"seq\":1,", with: "\"seq\":\(number),") }
        #expect(other.finding() == "this is no record of an audit log")
    }

    /// Nor does such a number end the numbering when it stands where the newest record or file is looked for.
    @Test func aGreatNumberDoesNotEndTheNumbering() throws {
        for name in ["audit-18446744073709551615.jsonl", "audit-04611686018427387904.jsonl"] {
            let log = try sealed()
            try log.reopen { try log.overwrite(log.path + "/" + name, []) }
            try log.append(1, flushed: true)
            #expect(log.log.position.sequence == 20 && log.log.warning == nil, "\(name)")
        }
        let log = try sealed()
        let last = try #require(try log.lines().last)
        let text = last.replacing("\"seq\":19,", with: "\"seq\":4611686018427387904,") + "\n"
        try log.reopen { try log.overwrite(log.path + "/audit-04611686018427387904.jsonl", Array(text.utf8)) }
        try log.append(1, flushed: true)
        #expect(log.log.position.sequence == 20)
    }

    @Test func anEditedRecordShows() throws {
        let log = try sealed()
        try log.edit(log.segments[0]) { $0[2] = $0[2].replacing("success", with: "failure") }
        #expect(log.finding() == "record 4 does not continue record 3: one of the two was changed or replaced")
    }

    @Test func aDeletedRecordShows() throws {
        let log = try sealed()
        try log.edit(log.segments[0]) { $0.remove(at: 2) }
        #expect(log.finding() == "record 4 follows record 2: record 3 is missing")
        try log.edit(log.segments[0]) { $0.removeSubrange(2..<5) }
        #expect(log.finding() == "record 7 follows record 2: records 3 to 6 are missing")
    }

    @Test func anInsertedRecordShows() throws {
        let log = try sealed()
        try log.edit(log.segments[0]) { $0.insert($0[1], at: 4) }
        #expect(log.finding() == "record 2 stands after record 4: it was inserted, repeated or moved")
    }

    @Test func swappedRecordsShow() throws {
        let log = try sealed()
        try log.edit(log.segments[0]) { $0.swapAt(2, 3) }
        #expect(log.finding() == "record 4 follows record 2: record 3 is missing")
    }

    @Test func aSegmentFromTheMiddleIsMissed() throws {
        let log = try sealed()
        try #require(log.log.rotate("test") != nil)
        try log.append(2)
        unlink(try log.segments[1].path)
        #expect(log.finding() == "record 20 follows record 11: records 12 to 19 are missing")
    }

    @Test func oldSegmentsMayBeRemovedAndThatIsTold() throws {
        let log = try sealed()
        unlink(try log.segments[0].path)
        let report = try log.verify()
        #expect(report.first == 12 && report.records == 8)
    }

    /// Files are removed whole: one that lacks its beginning is no older file that is gone.
    @Test func aBeheadedFileShows() throws {
        let log = try sealed()
        try log.edit(log.segments[0]) { $0.removeFirst(4) }
        #expect(
            log.finding()
                == "the file begins with record 5, and by its name with record 1: records 1 to 4 are missing")
        unlink(try log.segments[0].path)
        try log.edit(log.segments[0]) { $0.removeFirst() }
        #expect(log.finding() == "the file begins with record 13, and by its name with record 12: record 12 is missing")
    }

    /// A true checkpoint of records that are gone speaks for nothing that is made up behind them.
    @Test(arguments: [0, 3]) func anOldCheckpointSealsNothing(between: UInt64) throws {
        let log = try sealed()
        let head = try log.log.signedHead()
        let old = try #require(try log.lines().last { $0.contains("\"checkpoint\"") })
        let body = try #require(old.firstRange(of: "\"eventTime\"")).lowerBound
        let sealed = try #require(try log.verify().checkpoint?.position)
        for segment in try log.segments { unlink(segment.path) }
        var lines: [UInt8] = []
        var place = AuditPosition(sequence: sealed.sequence + between, hash: sealed.hash)
        for record in [AuditRecord(event: "wrap", time: 1).body(TestLog.instance), Array(old[body...].dropLast().utf8)] {
            place = AuditLine.append(record, after: place, to: &lines)
        }
        let forged = AuditSegment(directory: log.path, first: sealed.sequence + between + 1)
        try log.overwrite(forged.path, lines)
        let report = try log.verify()
        #expect(report.checkpoint == nil && report.unsealed == 2)
        if between > 0 { #expect(log.finding(head: head)?.contains("no checkpoint speaks for the records") == true) }
    }

    @Test func aCutEndShowsByAHead() throws {
        let log = try sealed()
        let head = try log.log.signedHead()
        #expect(try log.verify(head: head).last == head.position)
        try log.edit(log.segments[1]) { $0.removeLast(3) }
        // The chain by itself cannot know.
        #expect(try log.verify().unsealed > 0)
        let finding = try #require(log.finding(head: head))
        #expect(finding.hasPrefix("the log ends with record 16, but the head proves that it went to record 19"))
    }

    @Test func aCutInTheMiddleOfALineShows() throws {
        let log = try sealed()
        let segment = try log.segments[1]
        try log.overwrite(segment.path, Array(log.read(segment.path).dropLast(10)))
        #expect(log.finding() == "the file ends in the middle of a record")
    }

    @Test func anOlderStateOfTheWholeLogShowsByAHead() throws {
        let log = try TestLog()
        try log.append(5)
        try log.log.seal()
        let segment = try log.segments[0]
        let old = try log.read(segment.path)
        try log.append(5)
        try log.log.seal()
        let head = try log.log.signedHead()
        try log.overwrite(segment.path, old)
        #expect(try log.verify().records == 6)
        #expect(try #require(log.finding(head: head)).contains("its end was cut off"))
    }

    /// Whoever has the disk can chain anew, but not sign.
    @Test func aRewrittenChainFailsAtTheNextCheckpoint() throws {
        let log = try sealed()
        try log.edit(log.segments[0]) { lines in
            var last = AuditPosition.beginning(of: TestLog.instance)
            for index in lines.indices {
                var line = lines[index]
                if index == 2 { line = line.replacing("\"wrap\"", with: "\"unwrap\"") }
                let start = line.firstRange(of: "\"eventTime\"")?.lowerBound ?? line.startIndex
                let body = line[start...]
                var bytes: [UInt8] = []
                last = AuditLine.append(Array(body.dropLast().utf8), after: last, to: &bytes)
                lines[index] = String(decoding: bytes.dropLast(), as: UTF8.self)
            }
        }
        #expect(log.finding() == "checkpoint 6 was signed for another record 5: records before it were replaced")
    }

    @Test func anotherKeyOrInstanceShows() throws {
        let log = try sealed()
        let other = try TestLog()
        try other.append(3)
        try other.log.seal()
        #expect(throws: AuditVerifier.Finding.self) {
            var verifier = try AuditVerifier(key: other.signer.publicKey)
            for segment in try log.segments { try verifier.feed(segment.path) }
        }
        #expect(throws: AuditVerifier.Finding.self) {
            _ = try AuditVerifier(key: log.signer.publicKey, head: try other.log.signedHead())
        }
    }

    @Test func whatIsNoRecordIsNamed() throws {
        let log = try sealed()
        let segment = try log.segments[0]
        for line in ["", "x", "{}", "{\"seq\":0,\"prev\":\"\"}", "{\"seq\":99999999999999999999,\"prev\":\"", "\0\0\0"] {
            let whole = try log.read(segment.path)
            try log.overwrite(segment.path, whole + Array((line + "\n").utf8))
            do throws(AuditVerifier.Finding) {
                _ = try log.verify()
                Issue.record("taken: \(line)")
            } catch {
                #expect(error.reason == "this is no record of an audit log" && error.line == 12)
            }
            try log.overwrite(segment.path, whole)
        }
        // A line that never ends is not read into memory whole.
        let endless = [UInt8](repeating: UInt8(ascii: "a"), count: 3 << 20)
        try log.overwrite(segment.path, endless)
        #expect(log.finding() == "this is no record of an audit log")
    }

    @Test func aHeadSurvivesItsText() throws {
        let head = try sealed().log.signedHead()
        #expect(AuditHead(json: head.json) == head)
        #expect(AuditHead(json: head.json.replacing("hash", with: "hush")) == nil)
        #expect(AuditHead(json: "") == nil)
    }
}
