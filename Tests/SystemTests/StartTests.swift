import ClavigerClient
import ClavigerWire
import Glibc
import Support
import Testing

/// Starts that cannot succeed: the daemon says in one line what is wrong and what to do, and changes nothing.
@Suite struct StartTests {
    /// The daemon ends with status 1 after one line that holds all of `words`, and nothing on the disk has changed.
    private func expectFailure(_ daemon: DaemonHarness, _ words: String..., sourceLocation: SourceLocation = #_sourceLocation)
        throws
    {
        let before = try Snapshot(daemon)
        let ended = try daemon.startAndFail()
        let lines = ended.errorText.split(separator: "\n")
        #expect(ended.status == 1, sourceLocation: sourceLocation)
        #expect(lines.count == 1, "\(ended.errorText)", sourceLocation: sourceLocation)
        for word in words { #expect(ended.errorText.contains(word), "\(ended.errorText)", sourceLocation: sourceLocation) }
        #expect(try Snapshot(daemon) == before, sourceLocation: sourceLocation)
        #expect(access(daemon.socket, F_OK) != 0, sourceLocation: sourceLocation)
    }

    @Test func aMissingModule() throws {
        let daemon = try DaemonHarness()
        var settings = DaemonHarness.Settings()
        settings.modulePath = daemon.directory + "/no-module.so"
        try daemon.configure(settings)
        try expectFailure(daemon, "no-module.so")
        // A file that is no module at all.
        settings.modulePath = daemon.configuration
        try daemon.configure(settings)
        try expectFailure(daemon, "claviger.toml")
    }

    @Test func noInstance() throws {
        try expectFailure(try DaemonHarness(initialised: false), "claviger token init")
    }

    @Test func anUnreadableDatabase() throws {
        let daemon = try DaemonHarness()
        for suffix in ["-wal", "-shm"] { unlink(daemon.state + "/claviger.db" + suffix) }
        try writeFile(daemon.state + "/claviger.db", "This is not a database, however long one looks at it.\n")
        try expectFailure(daemon, "claviger.db")
    }

    @Test func aForeignDatabase() throws {
        let daemon = try DaemonHarness()
        try daemon.sql("PRAGMA application_id = 1")
        try expectFailure(daemon, "claviger.db", "not a database of Claviger")
    }

    @Test func aNewerDatabase() throws {
        let daemon = try DaemonHarness()
        try daemon.sql("PRAGMA user_version = 999")
        try expectFailure(daemon, "claviger.db", "999", "newer")
    }

    @Test func aSocketPathThatIsTooLong() throws {
        let daemon = try DaemonHarness()
        var settings = DaemonHarness.Settings()
        let file = String(repeating: "s", count: 107 - daemon.directory.utf8.count)
        let long = try DaemonHarness(settings)
        settings.socket = daemon.directory + "/" + file
        // The configuration's own check finds it, and names the line.
        try writeFile(
            long.configuration,
            String(decoding: try readFile(long.configuration), as: UTF8.self)
                .replacing(line: "path = \"\(long.socket)\"", with: "path = \"\(settings.socket ?? "")\""))
        try expectFailure(long, "socket.path", "107")
        let checked = try Child.run(
            try Programs.path("clavigerd"), ["--check-config", "--config", long.configuration], directory: long.directory)
        #expect(checked.status == 1 && checked.errorText.contains("107"))
    }

    /// The longest path that fits works.
    @Test func aSocketPathThatJustFits() throws {
        let place = try DaemonHarness(initialised: false)
        var settings = DaemonHarness.Settings()
        settings.socket = place.directory + "/" + String(repeating: "s", count: 106 - place.directory.utf8.count)
        let daemon = try DaemonHarness(settings)
        try daemon.start()
        #expect(try daemon.health.state == .ready)
    }

    @Test func aSecondDaemon() throws {
        let daemon = try DaemonHarness.running()
        let pid = try #require(daemon.pid)
        let second = try daemon.startAndFail()
        #expect(second.status == 1)
        #expect(second.errorText.contains("held by clavigerd (process \(pid))"), "\(second.errorText)")
        // The command line is kept off the same way, before it logs in.
        let initialised = try daemon.initialise()
        #expect(initialised.status == 1 && initialised.errorText.contains("held by clavigerd (process \(pid))"))
        #expect(try daemon.health.state == .ready)
    }

    /// Another state directory on the same token: the token's own lock stands in the way.
    @Test func aSecondDaemonOnTheSameToken() throws {
        let daemon = try DaemonHarness.running()
        let pid = try #require(daemon.pid)
        let other = try DaemonHarness()
        let text = String(decoding: try readFile(other.configuration), as: UTF8.self)
        try writeFile(
            other.configuration,
            text.replacing(line: "storage-path = \"\(other.tokens)\"", with: "storage-path = \"\(daemon.tokens)\""))
        let second = try other.startAndFail()
        #expect(second.status == 1 && second.errorText.contains("held by clavigerd (process \(pid))"), "\(second.errorText)")
    }

    @Test func checkingAConfiguration() throws {
        let daemon = try DaemonHarness()
        func check() throws -> Finished {
            try Child.run(
                try Programs.path("clavigerd"), ["--check-config", "--config", daemon.configuration], directory: daemon.directory)
        }
        #expect(try check().status == 0)
        var settings = DaemonHarness.Settings()
        settings.module = ["colour = \"blue\""]
        settings.tables = ["[socked]", "path = \"/x\"", "[log]", "level = \"loud\""]
        try daemon.configure(settings)
        let checked = try check()
        #expect(checked.status == 1)
        // All at once, each with its line.
        for word in ["module.colour", "socked", "log.level"] { #expect(checked.errorText.contains(word), "\(checked.errorText)") }
        #expect(checked.errorText.split(separator: "\n").allSatisfy { $0.contains("claviger.toml:") })
        settings = DaemonHarness.Settings()
        settings.socketLines = ["group = \"no-such-group-here\""]
        try daemon.configure(settings)
        #expect(try check().errorText.contains("socket.group"))
        try expectFailure(daemon, "socket.group")
        chmod(daemon.configuration, 0o622)
        #expect(try check().errorText.contains("chmod go-w"))
    }

    @Test func wrongUsage() throws {
        let daemon = try DaemonHarness()
        for arguments in [["--nonsense"], ["--config"], ["extra"]] {
            let ended = try Child.run(try Programs.path("clavigerd"), arguments, directory: daemon.directory)
            #expect(ended.status == 2 && ended.errorText.contains("Usage"))
        }
    }
}

/// What a start that fails must leave as it was: the token's files and the database, as a reader sees it.
private struct Snapshot: Equatable {
    private var files: [String: [UInt8]] = [:]

    init(_ daemon: DaemonHarness) throws {
        try add(daemon.tokens)
        try add(daemon.state)
    }

    private mutating func add(_ directory: String) throws {
        for name in try listDirectory(directory) {
            let path = directory + "/" + name
            // Locks name their last holder, and SQLite's own bookkeeping beside the database comes and goes.
            if name.hasSuffix(".lock") || name.hasSuffix("-shm") || name.hasSuffix("-wal") { continue }
            if (try? listDirectory(path)) != nil { try add(path) } else { files[path] = try readFile(path) }
        }
    }
}

extension String {
    /// This text with one line in place of another.
    func replacing(line old: String, with new: String) -> String {
        split(separator: "\n", omittingEmptySubsequences: false).map { $0 == old ? new : String($0) }.joined(separator: "\n")
    }
}

extension DaemonHarness {
    /// Runs SQL on the database of a daemon that does not run, and leaves everything in the one file.
    func sql(_ statement: String) throws {
        let done = try Child.run(
            "/usr/bin/env", ["python3", "-c", DaemonHarness.python, state + "/claviger.db", statement], directory: directory)
        guard done.status == 0 else { throw HarnessError("sqlite: \(done.errorText)") }
    }

    private static let python = """
        import sqlite3, sys
        connection = sqlite3.connect(sys.argv[1], isolation_level=None)
        connection.execute(sys.argv[2])
        connection.execute('PRAGMA wal_checkpoint(TRUNCATE)')
        connection.close()
        """
}
