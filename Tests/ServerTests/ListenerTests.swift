import CLinux
import ClavigerWire
import Glibc
import Logging
import Testing

@testable import ClavigerCore
@testable import ClavigerServer

@Suite struct ListenerTests {
    private static func status(_ path: String) -> stat? {
        var status = stat()
        return lstat(path, &status) == 0 ? status : nil
    }

    /// A socket file whose listener is gone, as a killed daemon leaves it.
    private static func leaveStaleSocket(_ path: String) {
        let descriptor = linux_unix_stream_socket()
        #expect(linux_unix_bind(descriptor, path) == 0)
        close(descriptor)
    }

    @Test func bindsWithModeAndGroup() throws {
        let directory = try TestDirectory()
        let path = directory.path + "/s"
        // Only root may give a file to a group that it is not in.
        let group: UInt32 = geteuid() == 0 ? 4_242 : getegid()
        let listener = try Listener(path: path, group: .number(group), backlog: 4)
        let status = try #require(ListenerTests.status(path))
        #expect(status.st_mode & 0o7777 == 0o660 && status.st_gid == group && status.st_uid == geteuid())
        _ = try TestClient(path)
        listener.unlinkFile()
        #expect(ListenerTests.status(path) == nil)
    }

    @Test func findsTheGroupByName() throws {
        let directory = try TestDirectory()
        let entry = try #require(getgrgid(getegid()))
        let name = String(cString: entry.pointee.gr_name)
        let listener = try Listener(path: directory.path + "/s", group: .name(name), backlog: 4)
        #expect(ListenerTests.status(directory.path + "/s")?.st_gid == getegid())
        listener.unlinkFile()
    }

    @Test func refusesAnUnknownGroupAndMakesNothing() throws {
        let directory = try TestDirectory()
        #expect(throws: ListenerError.unknownGroup("no-such-group-here")) {
            try Listener(path: directory.path + "/s", group: .name("no-such-group-here"), backlog: 4)
        }
        #expect(ListenerTests.status(directory.path + "/s") == nil)
    }

    @Test func replacesAStaleSocket() throws {
        let directory = try TestDirectory()
        let path = directory.path + "/s"
        ListenerTests.leaveStaleSocket(path)
        let listener = try Listener(path: path, group: nil, backlog: 4)
        _ = try TestClient(path)
        listener.unlinkFile()
    }

    @Test func leavesALiveSocketAlone() throws {
        let directory = try TestDirectory()
        let path = directory.path + "/s"
        let first = try Listener(path: path, group: nil, backlog: 1)
        #expect(throws: ListenerError.alreadyServed(path: path)) { try Listener(path: path, group: nil, backlog: 1) }
        // A full backlog (the first attempt still stands in it) does not look like nobody.
        let waiting = try TestClient(path)
        #expect(throws: ListenerError.alreadyServed(path: path)) { try Listener(path: path, group: nil, backlog: 1) }
        #expect(waiting.descriptor >= 0 && ListenerTests.status(path) != nil)
        first.unlinkFile()
    }

    @Test func neverRemovesWhatIsNoSocket() throws {
        let directory = try TestDirectory()
        let path = directory.path + "/s"
        let file = open(path, O_CREAT | O_WRONLY, 0o600)
        #expect(file >= 0)
        close(file)
        #expect(throws: ListenerError.notASocket(path: path)) { try Listener(path: path, group: nil, backlog: 1) }
        #expect(ListenerTests.status(path) != nil)
        unlink(path)
        // Nor a link to a socket: what it points at is another's.
        ListenerTests.leaveStaleSocket(directory.path + "/other")
        #expect(symlink(directory.path + "/other", path) == 0)
        #expect(throws: ListenerError.notASocket(path: path)) { try Listener(path: path, group: nil, backlog: 1) }
        #expect(ListenerTests.status(path) != nil && ListenerTests.status(directory.path + "/other") != nil)
    }

    @Test func saysWhenThePathCannotBe() throws {
        let directory = try TestDirectory()
        let maximum = Int(linux_unix_path_maximum())
        let prefix = directory.path + "/"
        let longest = prefix + String(repeating: "s", count: maximum - prefix.utf8.count)
        try Listener(path: longest, group: nil, backlog: 1).unlinkFile()
        #expect(throws: ListenerError.pathTooLong(path: longest + "s", maximum: maximum)) {
            try Listener(path: longest + "s", group: nil, backlog: 1)
        }
        #expect(throws: ListenerError.noDirectory(path: directory.path + "/no/s")) {
            try Listener(path: directory.path + "/no/s", group: nil, backlog: 1)
        }
    }

    @Test func leavesAnothersSocketAtItsEnd() throws {
        let directory = try TestDirectory()
        let path = directory.path + "/s"
        let first = try Listener(path: path, group: nil, backlog: 1)
        unlink(path)
        let second = try Listener(path: path, group: nil, backlog: 1)
        first.unlinkFile()
        #expect(ListenerTests.status(path) != nil)
        second.unlinkFile()
        #expect(ListenerTests.status(path) == nil)
    }

    @Test func servesAnAdoptedSocketAndLeavesItsFile() throws {
        let directory = try TestDirectory()
        let path = directory.path + "/s"
        let descriptor = linux_unix_stream_socket()
        #expect(linux_unix_bind(descriptor, path) == 0 && listen(descriptor, 4) == 0)
        var configuration = Configuration()
        configuration.workers.count = 1
        let server = try Server(
            configuration: configuration, handler: TestService(), listeners: [Listener(adopting: descriptor)],
            logger: .init(label: "test"), fatal: { _ in })
        try server.start()
        #expect(try TestClient(path).ask(id: 1).header.kind == .reply)
        #expect(server.stop(drainTime: .seconds(Patience.seconds)).stuckThreads == 0)
        #expect(ListenerTests.status(path) != nil)
    }
}
