import ClavigerWire
import Glibc
import Support
import Synchronization
import Testing

@testable import ClavigerCore

/// Records of changes are found in the log by all that they say.
@Suite struct AuditSearchTests {
    @Test func recordsOfTheOutboxAreFoundAgain() throws {
        let log = try TestLog()
        try log.append(2)
        let ids = (1...4).map { OperationID(high: 5, low: $0) }
        let bodies = Dictionary(uniqueKeysWithValues: ids.map { ($0, Self.change($0, "key-create")) })
        for id in ids.prefix(2) { try log.log.append(#require(bodies[id]), flushed: true) }
        // The id alone does not make it the record.
        try log.log.append(Self.change(ids[2], "key-list"), flushed: true)
        let fresh = AuditLog(
            settings: log.log.settings, instance: TestLog.instance, anchor: nil, surroundings: log.log.surroundings)
        #expect(fresh.open(lookingFor: bodies, after: 2) == Set(ids.prefix(2)))
        #expect(try fresh.find(bodies, after: 3) == [ids[1]])
        // On its way into the file, and in no file yet.
        try fresh.add(#require(bodies[ids[3]]), flushed: false)
        #expect(try !log.lines().contains { $0.contains("\(ids[3])") })
        #expect(try fresh.find(bodies, after: 3) == [ids[1], ids[3]])
    }

    /// A gap that has been recorded is no second one for who looks for a record on both its sides. What stands before it counts as written
    /// when it is found, so it is on the disk by then.
    @Test func recordsOfTheOutboxAreFoundAcrossAGap() throws {
        let synced = Synced()
        let log = try TestLog { $0.sync = { synced.sync($0) } }
        try log.append(2)
        let ids = (1...2).map { OperationID(high: 5, low: $0) }
        let bodies = Dictionary(uniqueKeysWithValues: ids.map { ($0, Self.change($0, "key-create")) })
        try log.log.append(#require(bodies[ids[0]]), flushed: true)
        try log.append(1)
        let path = try #require(try log.segments.last).path
        try writeFile(path, Array(try readFile(path).dropLast(40)))
        synced.files.withLock { $0 = [] }
        log.log.look()
        #expect(try log.lines().count { $0.contains("\"log-gap\"") } == 1)
        #expect(try synced.files.withLock { $0 }.contains(Synced.file(path)))
        try log.log.append(#require(bodies[ids[1]]), flushed: true)
        // A name far beyond what was ever written is no file of the log: nothing is looked for in it.
        let far = AuditSegment(directory: log.path, first: 1 << 60).path
        try #require(mkdir(far, 0o700) == 0)
        let fresh = AuditLog(
            settings: log.log.settings, instance: TestLog.instance, anchor: log.log.position, surroundings: log.log.surroundings)
        #expect(fresh.open(lookingFor: bodies, after: 2) == Set(ids))
        #expect(fresh.warning == nil)
        try #require(rmdir(far) == 0)
        #expect(try log.lines().count { $0.contains("\"log-gap\"") } == 1)
    }

    private static func change(_ id: OperationID, _ event: String) -> [UInt8] {
        var record = AuditRecord(event: event, time: 5)
        record.id = id
        return record.body(TestLog.instance)
    }
}

/// Files that were flushed.
private final class Synced: Sendable {
    let files = Mutex<Set<UInt64>>([])

    func sync(_ file: Int32) -> Int32 {
        var status = stat()
        fstat(file, &status)
        files.withLock { _ = $0.insert(UInt64(status.st_ino)) }
        return fdatasync(file) == 0 ? 0 : errno
    }

    static func file(_ path: String) throws -> UInt64 {
        var status = stat()
        try #require(stat(path, &status) == 0)
        return UInt64(status.st_ino)
    }
}
