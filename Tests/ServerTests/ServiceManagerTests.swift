import CLinux
import Glibc
import Testing

@testable import ClavigerServer

@Suite struct NotifyTests {
    @Test(arguments: [false, true]) func messagesArrive(abstract: Bool) throws {
        let manager = try NotifySocket(abstract: abstract)
        let service = try ServiceManager(environment: ["NOTIFY_SOCKET": manager.address], pid: 1, firstDescriptor: 3)
        try service.notify(.ready)
        #expect(manager.receive() == "READY=1")
        try service.notify(.stopping, .status("on my way out"))
        #expect(manager.receive() == "STOPPING=1\nSTATUS=on my way out")
        try service.notify(.watchdog)
        #expect(manager.receive() == "WATCHDOG=1")
    }

    @Test func reloadingTellsTheTime() throws {
        let manager = try NotifySocket(abstract: true)
        let service = try ServiceManager(environment: ["NOTIFY_SOCKET": manager.address], pid: 1, firstDescriptor: 3)
        let before = microseconds()
        try service.notify(.reloading)
        let parts = manager.receive()?.split(separator: "\n").map(String.init) ?? []
        #expect(parts.first == "RELOADING=1")
        let told = try #require(parts.last.flatMap { $0.hasPrefix("MONOTONIC_USEC=") ? Int64($0.dropFirst(15)) : nil })
        #expect((before...microseconds()).contains(told))
    }

    @Test func aStatusIsOneBoundedLine() throws {
        let manager = try NotifySocket(abstract: true)
        let service = try ServiceManager(environment: ["NOTIFY_SOCKET": manager.address], pid: 1, firstDescriptor: 3)
        try service.notify(.status("a\nREADY=1\u{0}b\u{85}c"))
        #expect(manager.receive() == "STATUS=a READY=1 b c")
        try service.notify(.status(String(repeating: "x", count: ServiceManager.statusMaximum)))
        #expect(manager.receive()?.utf8.count == 7 + ServiceManager.statusMaximum)
        // Two bytes a letter, behind one: the letter that would cross the bound is left out whole.
        try service.notify(.status("x" + String(repeating: "\u{e9}", count: ServiceManager.statusMaximum)))
        #expect(manager.receive()?.utf8.count == 7 + ServiceManager.statusMaximum - 1)
    }

    @Test func aManagerThatBindsAnewIsFoundAgain() throws {
        let first = try NotifySocket(abstract: false)
        let service = try ServiceManager(environment: ["NOTIFY_SOCKET": first.address], pid: 1, firstDescriptor: 3)
        try service.notify(.ready)
        first.unbind()
        #expect(throws: ServiceManagerError.cannotNotify(code: ENOENT)) { try service.notify(.watchdog) }
        let second = try NotifySocket(address: first.address)
        try service.notify(.watchdog)
        #expect(second.receive() == "WATCHDOG=1")
    }

    @Test func withoutAManagerNothingHappens() throws {
        for environment in [[:], ["NOTIFY_SOCKET": ""]] {
            let service = try ServiceManager(environment: environment, pid: 1, firstDescriptor: 3)
            try service.notify(.ready, .status("x"))
            #expect(service.sockets.isEmpty)
            #expect(service.watchdogInterval == nil)
        }
    }

    @Test(arguments: ["relative", "@", "/", "vsock:2:1234", "/" + String(repeating: "x", count: 107)])
    func impossibleAddressesAreRefused(address: String) {
        #expect(throws: ServiceManagerError.malformed(variable: "NOTIFY_SOCKET", value: address)) {
            try ServiceManager(environment: ["NOTIFY_SOCKET": address], pid: 1, firstDescriptor: 3)
        }
    }

    @Test func theLongestAddressIsAccepted() throws {
        let address = "/" + String(repeating: "x", count: 106)
        let service = try ServiceManager(environment: ["NOTIFY_SOCKET": address], pid: 1, firstDescriptor: 3)
        #expect(throws: ServiceManagerError.cannotNotify(code: ENOENT)) { try service.notify(.ready) }
    }
}

@Suite struct WatchdogTests {
    private func interval(_ environment: [String: String]) throws(ServiceManagerError) -> Duration? {
        try ServiceManager(environment: environment, pid: 42, firstDescriptor: 3).watchdogInterval
    }

    @Test func theIntervalIsHalfThePeriod() throws {
        #expect(try interval(["WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "42"]) == .seconds(1))
        #expect(try interval(["WATCHDOG_USEC": "30000000"]) == .seconds(15))
        #expect(try interval(["WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "43"]) == nil)
        #expect(try interval(["WATCHDOG_PID": "42"]) == nil)
    }

    @Test(arguments: ["0", "-1", "x", "1.5", "99999999999999999999"]) func nonsenseIsRefused(value: String) {
        #expect(throws: ServiceManagerError.malformed(variable: "WATCHDOG_USEC", value: value)) {
            try interval(["WATCHDOG_USEC": value])
        }
        #expect(throws: ServiceManagerError.malformed(variable: "WATCHDOG_PID", value: "me")) {
            try interval(["WATCHDOG_USEC": "1000", "WATCHDOG_PID": "me"])
        }
    }
}

@Suite(.serialized) struct PassedSocketTests {
    /// Numbers that nothing else in this process reaches: near the highest.
    private static let first: Int32 = {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        return Int32(min(limit.rlim_cur, 100_000)) - 64
    }()

    private func take(
        _ count: Int, names: String? = nil, pid: Int32 = 42
    ) throws(ServiceManagerError) -> [ServiceManager.PassedSocket] {
        var environment = ["LISTEN_PID": "\(pid)", "LISTEN_FDS": "\(count)"]
        environment["LISTEN_FDNAMES"] = names
        return try ServiceManager(environment: environment, pid: 42, firstDescriptor: Self.first).sockets
    }

    /// Puts copies of `sockets` where passed ones are looked for, without close-on-exec as the manager does, while `body` runs.
    private func passing(_ sockets: [Int32], _ body: () throws -> Void) throws {
        for (offset, socket) in sockets.enumerated() { #expect(dup2(socket, Self.first + Int32(offset)) >= 0) }
        defer { for offset in sockets.indices { close(Self.first + Int32(offset)) } }
        try body()
    }

    @Test func listenersAreTakenWithTheirNames() throws {
        let listener = try Listener()
        try passing([listener.descriptor, listener.descriptor]) { () throws in
            let sockets = try take(2, names: "api:admin")
            #expect(sockets.map(\.name) == ["api", "admin"])
            #expect(sockets.map(\.descriptor) == [Self.first, Self.first + 1])
            for socket in sockets { #expect(fcntl(socket.descriptor, F_GETFD) & FD_CLOEXEC != 0) }
            #expect(try take(1).map(\.name) == ["unknown"])
        }
    }

    @Test func anotherProcessesSocketsAreLeftAlone() throws {
        let listener = try Listener()
        try passing([listener.descriptor]) { () throws in
            #expect(try take(1, pid: 43).isEmpty)
            #expect(fcntl(Self.first, F_GETFD) & FD_CLOEXEC == 0)
        }
        #expect(try ServiceManager(environment: ["LISTEN_FDS": "1"], pid: 42, firstDescriptor: Self.first).sockets.isEmpty)
        #expect(try take(0).isEmpty)
        #expect(try take(0, names: "").isEmpty)
    }

    @Test func whatIsNotAListeningUnixStreamSocketIsRefused() throws {
        let listener = try Listener()
        var pair: [Int32] = [-1, -1]
        #expect(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &pair) == 0)
        let datagram = linux_unix_datagram_socket()
        let internet = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        let file = open("/dev/null", O_RDONLY | O_CLOEXEC)
        defer { for descriptor in pair + [datagram, internet, file] { close(descriptor) } }
        #expect(listen(internet, 1) == 0)
        for (descriptor, reason) in [
            (pair[0], "does not listen (Accept=yes?)"), (datagram, "is not a stream socket"), (internet, "is not a Unix socket"),
            (file, "is not a socket"),
        ] {
            try passing([listener.descriptor, descriptor]) { () throws in
                let refused = ServiceManagerError.notAListener(descriptor: Self.first + 1, name: "b", reason: reason)
                #expect(throws: refused) { try take(2, names: "a:b") }
            }
        }
        try passing([listener.descriptor]) { () throws in
            let refused = ServiceManagerError.notAListener(descriptor: Self.first + 1, name: "unknown", reason: "is not open")
            #expect(throws: refused) { try take(2) }
        }
    }

    @Test func countsAndNamesAreChecked() throws {
        let listener = try Listener()
        let most = ServiceManager.socketMaximum
        try passing([Int32](repeating: listener.descriptor, count: most + 1)) { () throws in
            #expect(try take(most).count == most)
            for count in [most + 1, -1, Int(Int32.max)] {
                #expect(throws: ServiceManagerError.malformed(variable: "LISTEN_FDS", value: "\(count)")) { try take(count) }
            }
            for names in ["", "a", "a:b:c"] {
                #expect(throws: ServiceManagerError.malformed(variable: "LISTEN_FDNAMES", value: names)) {
                    try take(2, names: names)
                }
            }
        }
        #expect(throws: ServiceManagerError.malformed(variable: "LISTEN_PID", value: "x")) {
            try ServiceManager(environment: ["LISTEN_PID": "x", "LISTEN_FDS": "1"], pid: 42, firstDescriptor: Self.first)
        }
    }

    // In a process of its own: the environment belongs to all tests.
    @Test func theEnvironmentIsTakenAndRemoved() async {
        await #expect(processExitsWith: .exitCode(7)) {
            let listener = try Listener()
            guard dup2(listener.descriptor, 700) == 700 else { exit(1) }
            let manager = try NotifySocket(abstract: true)
            setenv("NOTIFY_SOCKET", manager.address, 1)
            setenv("WATCHDOG_USEC", "2000000", 1)
            setenv("WATCHDOG_PID", "\(getpid())", 1)
            setenv("LISTEN_PID", "\(getpid())", 1)
            setenv("LISTEN_FDS", "1", 1)
            setenv("LISTEN_FDNAMES", "api", 1)
            let service = try ServiceManager.takeFromEnvironment(firstDescriptor: 700)
            guard service.sockets == [ServiceManager.PassedSocket(descriptor: 700, name: "api")] else { exit(2) }
            guard service.watchdogInterval == .seconds(1) else { exit(3) }
            for name in ServiceManager.variables where getenv(name) != nil { exit(4) }
            try service.notify(.ready)
            guard manager.receive() == "READY=1" else { exit(5) }
            // Bad values leave nothing behind either.
            setenv("NOTIFY_SOCKET", "nonsense", 1)
            guard (try? ServiceManager.takeFromEnvironment()) == nil, getenv("NOTIFY_SOCKET") == nil else { exit(6) }
            exit(7)
        }
    }
}

private enum ServiceTestError: Error {
    case system(Int32)
}

/// CLOCK_MONOTONIC in microseconds.
private func microseconds() -> Int64 {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return Int64(now.tv_sec) * 1_000_000 + Int64(now.tv_nsec) / 1000
}

/// A path that no other test uses.
private func freshPath() throws -> String {
    var template = Array("/tmp/claviger-test-XXXXXX".utf8CString)
    let file = mkstemp(&template)
    guard file >= 0 else { throw ServiceTestError.system(errno) }
    close(file)
    let path = template.withUnsafeBufferPointer { String(decoding: $0.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self) }
    unlink(path)
    return path
}

/// A listening Unix stream socket that nobody needs to find: its path is gone once it is bound.
private final class Listener {
    let descriptor: Int32

    init() throws {
        let path = try freshPath()
        descriptor = linux_unix_stream_socket()
        guard linux_unix_bind(descriptor, path) == 0, unlink(path) == 0, listen(descriptor, 1) == 0 else {
            throw ServiceTestError.system(errno)
        }
    }

    deinit { close(descriptor) }
}

/// The service manager's end: a bound datagram socket.
private final class NotifySocket {
    /// The value of NOTIFY_SOCKET.
    let address: String
    private let descriptor: Int32

    convenience init(abstract: Bool) throws {
        let path = try freshPath()
        try self.init(address: abstract ? "@" + path : path)
    }

    init(address: String) throws {
        self.address = address
        descriptor = linux_unix_datagram_socket()
        var name = sockaddr_un()
        name.sun_family = sa_family_t(AF_UNIX)
        var bytes = Array(address.utf8)
        if address.hasPrefix("@") { bytes[0] = 0 } else { bytes.append(0) }
        withUnsafeMutableBytes(of: &name.sun_path) { $0.copyBytes(from: bytes) }
        let length = socklen_t(MemoryLayout<sockaddr_un>.offset(of: \.sun_path).map { $0 + bytes.count } ?? 0)
        let bound = withUnsafePointer(to: &name) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, length) }
        }
        guard bound == 0 else { throw ServiceTestError.system(errno) }
    }

    /// The next message; nil after a deadline that only catches hangs.
    func receive() -> String? {
        var request = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        guard poll(&request, 1, 20_000) == 1 else { return nil }
        var bytes = [UInt8](repeating: 0, count: 8192)
        let count = recv(descriptor, &bytes, bytes.count, 0)
        return count < 0 ? nil : String(decoding: bytes.prefix(count), as: UTF8.self)
    }

    /// Takes the address away, so that another socket can have it.
    func unbind() { unlink(address) }

    deinit {
        close(descriptor)
        if address.hasPrefix("/") { unlink(address) }
    }
}
