import CLinux
import ClavigerCore
import Glibc
import Testing

@testable import ClavigerServer

@Suite struct PeerUnitTests {
    @Test(arguments: [
        // What systemd makes for system units.
        ("0::/system.slice/nginx.service", "nginx.service"),
        ("0::/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service"),
        ("0::/system.slice/a\\x2db.service", "a\\x2db.service"), ("0::/init.scope", "init.scope"),
        ("0::/system.slice/docker-0123abcd.scope", "docker-0123abcd.scope"),
        ("0::/system.slice/dev-hugepages.mount", "dev-hugepages.mount"),
        // The first component counts: what is below it is named by users and by services with Delegate=.
        ("0::/user.slice/user-1600.slice/user@1600.service/payments.service", "user@1600.service"),
        ("0::/user.slice/user-1600.slice/user@1600.service/app.slice/payments.service", "user@1600.service"),
        ("0::/user.slice/user-1600.slice/user@1600.service/system.slice/payments.service", "user@1600.service"),
        ("0::/user.slice/user-1600.slice/session-3.scope", "session-3.scope"),
        ("0::/system.slice/deleg.service/system.slice/payments.service", "deleg.service"),
        ("0::/system.slice/deleg.service/init.scope", "deleg.service"),
        // One '_' is systemd's escape.
        ("0::/_cpu.slice/_memory.service", "memory.service"), ("0::/system.slice/__x.service", "_x.service"),
        // Version 1 hierarchies name nothing.
        (
            "12:pids:/system.slice/evil.service\n1:name=systemd:/system.slice/evil.service\n0::/system.slice/true.service\n",
            "true.service"
        ),
    ])
    func units(text: String, unit: String) {
        #expect(PeerUnit.parse(text) == unit)
    }

    @Test(arguments: [
        "", "\n", "0::", "0::/", "0::/system.slice", "0::/system.slice/", "0::relative.service",
        "1:name=systemd:/system.slice/nginx.service", "10::/system.slice/nginx.service",
        // Outside our cgroup namespace, or removed.
        "0::/../system.slice/nginx.service", "0::/system.slice/../x.service", "0::/system.slice/nginx.service (deleted)",
        // Not made by systemd.
        "0::/payload/system.slice/nginx.service", "0::/docker/0123abcd", "0::/lab.17/payload/system.slice/nginx.service",
        "0::/system.slice/nginx", "0::/system.slice/.service", "0::/system.slice/a b.service", "0::/system.slice/nginx.service.",
        "0::/system.slice/\u{e9}.service", "0::/.slice/nginx.service", "0::/system.slice//nginx.service", "0::/__/nginx.service",
    ])
    func noUnits(text: String) {
        #expect(PeerUnit.parse(text) == nil)
    }

    @Test func nameLength() {
        let name = { (count: Int) in String(repeating: "x", count: count - 8) + ".service" }
        #expect(PeerUnit.parse("0::/system.slice/" + name(255)) == name(255))
        #expect(PeerUnit.parse("0::/system.slice/" + name(256)) == nil)
    }
}

@Suite struct PeerIdentityTests {
    @Test func identityMaps() throws {
        #expect(PeerIdentity.isIdentityMap("         0          0 4294967295\n"))
        // None, PrivateUsers=self, a rootless container, a shift, a map cut short.
        for map in [
            nil, "", "1500 1500 1\n", "0 1000 1\n1 100000 65536\n", "0 65536 4294901759\n", "0 0 4294967294\n",
            "0 0 65536\n65536 65536 4294901759\n",
        ] {
            #expect(!PeerIdentity.isIdentityMap(map))
        }
        try PeerIdentity.verifyIdentityUserNamespace()
    }

    @Test func aSocketPairIsThisProcess() throws {
        let pair = try SocketPair()
        let caller = try PeerIdentity.caller(of: pair.left)
        #expect(caller.pid == getpid())
        #expect(caller.uid == geteuid())
        #expect(caller.gid == getegid())
        var groups = [gid_t](repeating: 0, count: PeerIdentity.groupMaximum)
        let count = getgroups(Int32(groups.count), &groups)
        #expect(caller.groups == Set(groups.prefix(Int(count))).sorted())
        #expect(caller.pidfdVerified == pair.kernelHasPeerPidfd)
    }

    @Test func whatIsNoUnixSocketIsAnError() throws {
        #expect(throws: PeerIdentityError.socketOption("SO_PEERCRED", code: EBADF)) { try PeerIdentity.caller(of: -1) }
        let directory = try SocketDirectory()
        let file = open(directory.path, O_RDONLY | O_CLOEXEC)
        defer { close(file) }
        #expect(throws: PeerIdentityError.socketOption("SO_PEERCRED", code: ENOTSOCK)) { try PeerIdentity.caller(of: file) }
    }

    /// In a process of its own: the tests beside this one open descriptors as well.
    @Test func descriptorsAreNotLeaked() async {
        await #expect(processExitsWith: .exitCode(7)) {
            let pair = try SocketPair()
            _ = try PeerIdentity.caller(of: pair.left)
            let before = dup(pair.left)
            close(before)
            for _ in 0..<200 { _ = try PeerIdentity.caller(of: pair.left) }
            // The lowest that is free: a leak raises it by 200. This process's own threads may open or close a few meanwhile.
            exit(before >= 0 && dup(pair.left) < before + 100 ? 7 : 1)
        }
    }

    @Test func membership() {
        let caller = Caller(pid: 1, uid: 2, gid: 30, groups: [9, 5, 7, 5], unit: nil, pidfdVerified: true)
        #expect(caller.groups == [5, 7, 9])
        for group: UInt32 in [5, 7, 9, 30] { #expect(caller.isMember(of: group)) }
        for group: UInt32 in [0, 4, 6, 8, 10, 31] { #expect(!caller.isMember(of: group)) }
    }

    @Test func anotherProcess() throws {
        let directory = try SocketDirectory()
        let client = try Client(directory, [])
        let caller = try PeerIdentity.caller(of: client.connection)
        #expect(caller.pid == client.pid)
        #expect(caller.uid == geteuid())
        #expect(caller.pidfdVerified == (try SocketPair()).kernelHasPeerPidfd)
    }

    @Test(
        .enabled(if: geteuid() == 0, "needs root to become another user"),
        arguments: [[], [1502, 1503], Array(2000..<2064), Array(2000..<3000)])
    func anotherUser(groups: [UInt32]) throws {
        let list = groups.map(String.init).joined(separator: ",")
        let directory = try SocketDirectory()
        let asOther = ["setpriv", "--reuid=1500", "--regid=1501", list.isEmpty ? "--clear-groups" : "--groups=\(list)"]
        let client = try Client(directory, asOther)
        let caller = try PeerIdentity.caller(of: client.connection)
        #expect(caller.pid == client.pid)
        #expect(caller.uid == 1500)
        #expect(caller.gid == 1501)
        #expect(caller.groups == groups)
    }

    @Test(.enabled(if: geteuid() == 0, "needs root to set groups"))
    func theMostGroupsThatLinuxAllows() async {
        await #expect(processExitsWith: .exitCode(7)) {
            let groups = (0..<UInt32(PeerIdentity.groupMaximum)).map { $0 + 10_000 }
            guard setgroups(groups.count, groups) == 0 else { exit(1) }
            let pair = try SocketPair()
            exit(try PeerIdentity.caller(of: pair.left).groups == groups ? 7 : 2)
        }
    }

    @Test(.enabled(if: geteuid() == 0, "needs root to become another user"))
    func anUndumpableDaemonStillReadsWhatItNeeds() async {
        // PR_SET_DUMPABLE 0 gives /proc/self to root; the daemon is not root.
        await #expect(processExitsWith: .exitCode(7)) {
            guard setgid(1501) == 0, setuid(1500) == 0, linux_set_undumpable() == 0 else { exit(1) }
            let pair = try SocketPair()
            guard try PeerIdentity.caller(of: pair.left).uid == 1500 else { exit(2) }
            guard ProcessFile.text("/proc/self/fdinfo/\(pair.left)") != nil else { exit(3) }
            for file in ["cgroup", "status", "uid_map"] where ProcessFile.text("/proc/\(getppid())/\(file)") == nil { exit(4) }
            try PeerIdentity.verifyIdentityUserNamespace()
            exit(7)
        }
    }
}

@Suite(.enabled(if: Cgroup.available, "needs root, mount namespaces and cgroup2"), .serialized) struct PeerUnitOfProcessTests {
    @Test func theUnitIsTheFirstComponentBelowTheSlices() throws {
        for (path, unit) in [
            ("a.slice/a-b.slice/x.service", "x.service"), ("a.slice/user@1500.service/payments.service", "user@1500.service"),
            ("plain/x.service", nil),
        ] {
            let directory = try SocketDirectory()
            let cgroup = Cgroup(path)
            do {
                let client = try Client(directory, cgroup.entering(directory.path))
                let caller = try PeerIdentity.caller(of: client.connection)
                #expect(caller.unit == unit && !caller.isForeign, "\(path)")
            }
            cgroup.remove(directory.path)
        }
    }

    @Test(arguments: [["unshare", "--user", "--map-root-user"], ["unshare", "--pid", "--fork"]])
    func otherNamespacesHaveNoUnit(unshare: [String]) throws {
        let directory = try SocketDirectory()
        let cgroup = Cgroup("ns.slice/x.service")
        defer { cgroup.remove(directory.path) }
        let client = try Client(directory, cgroup.entering(directory.path) + unshare)
        let caller = try PeerIdentity.caller(of: client.connection)
        #expect(caller.unit == nil && caller.isForeign)
        #expect(caller.uid == geteuid())
    }

    @Test func aProcessThatHasGoneHasNoUnit() throws {
        let directory = try SocketDirectory()
        let cgroup = Cgroup("gone.slice/x.service")
        defer { cgroup.remove(directory.path) }
        let client = try Client(directory, cgroup.entering(directory.path), forks: true)
        client.reap()
        let caller = try PeerIdentity.caller(of: client.connection)
        #expect(caller.unit == nil && caller.isForeign)
        #expect(caller.uid == geteuid())
    }

    /// A client connects, leaves the connection to a child and dies; a process of the unit that is to be impersonated gets its number.
    @Test func aReusedNumberLendsNoUnit() throws {
        let directory = try SocketDirectory()
        let cgroup = Cgroup("reuse.slice/payments.service")
        defer { cgroup.remove(directory.path) }
        let attacker = try Client(directory, ["setpriv", "--reuid=1500", "--regid=1501", "--clear-groups"], forks: true)
        let number = attacker.pid
        attacker.reap()
        let victim = try Client(directory, cgroup.entering(directory.path), number: number)
        // The attack is real: the number now belongs to the unit.
        #expect(try PeerIdentity.caller(of: victim.connection).pid == number)
        #expect(try PeerIdentity.caller(of: victim.connection).unit == "payments.service")
        #expect(PeerUnit.parse(ProcessFile.text("/proc/\(number)/cgroup") ?? "") == "payments.service")
        let caller = try PeerIdentity.caller(of: attacker.connection)
        #expect(caller.unit == nil && caller.isForeign)
        #expect(caller.uid == 1500)
    }
}

/// Two connected Unix stream sockets.
private final class SocketPair {
    let left: Int32
    private let right: Int32

    init() throws {
        var pair: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &pair) == 0 else { throw PeerTestError.system(errno) }
        left = pair[0]
        right = pair[1]
    }

    /// Whether SO_PEERPIDFD works here (Linux 6.5).
    var kernelHasPeerPidfd: Bool {
        let pidfd = linux_peer_pidfd(left)
        if pidfd >= 0 { close(pidfd) }
        return pidfd >= 0
    }

    deinit {
        close(left)
        close(right)
    }
}

/// A directory with a listening socket that anybody may connect to, removed with the value.
private final class SocketDirectory {
    let path: String
    let listener: Int32
    var socket: String { path + "/s" }

    init() throws {
        var template = Array("/tmp/claviger-test-XXXXXX".utf8CString)
        guard let made = mkdtemp(&template) else { throw PeerTestError.system(errno) }
        path = String(cString: made)
        listener = linux_unix_stream_socket()
        guard chmod(path, 0o755) == 0, linux_unix_bind(listener, path + "/s") == 0, chmod(path + "/s", 0o666) == 0,
            listen(listener, 8) == 0
        else { throw PeerTestError.system(errno) }
    }

    /// The next connection; fails after a deadline that only catches hangs.
    func accept() throws -> Int32 {
        var request = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
        guard poll(&request, 1, 20_000) == 1 else { throw PeerTestError.noConnection }
        let connection = linux_accept(listener)
        guard connection >= 0 else { throw PeerTestError.system(errno) }
        return connection
    }

    deinit {
        close(listener)
        unlink(socket)
        rmdir(path)
    }
}

/// A process that connects to a ``SocketDirectory`` and stays until its connection is closed.
private final class Client {
    let pid: pid_t
    let connection: Int32
    private var isReaped = false

    /// Runs `prefix` (a command that runs another) in front of the client. A client that `forks` leaves its connection to a child and
    /// exits; one with a `number` connects from a process that has been given that number.
    init(_ directory: SocketDirectory, _ prefix: [String], forks: Bool = false, number: pid_t = 0) throws {
        let script = """
            my ($path, $forks, $number) = @ARGV;
            if ($number) {
                # clone3(2) with set_tid; 17 is SIGCHLD.
                my $tid = pack("i", $number);
                my $args = pack("Q11", 0, 0, 0, 0, 17, 0, 0, 0, unpack("Q", pack("P", $tid)), 1, 0);
                my $child = syscall(435, $args, 88);
                die "clone3: $!" if $child < 0;
                if ($child) { waitpid($child, 0); exit 0 }
            }
            socket(my $s, PF_UNIX, SOCK_STREAM, 0) or die "socket: $!";
            connect($s, sockaddr_un($path)) or die "connect: $!";
            if ($forks && fork) { exit 0 }
            sysread($s, my $byte, 1);
            """
        let arguments = prefix + ["perl", "-MSocket", "-e", script, directory.socket, forks ? "1" : "0", "\(number)"]
        pid = try spawned(arguments)
        connection = try directory.accept()
    }

    /// Waits until the process has exited.
    func reap() {
        guard !isReaped else { return }
        isReaped = true
        waitpid(pid, nil, 0)
    }

    deinit {
        close(connection)
        reap()
    }
}

/// A cgroup of the unified hierarchy, seen through a mount in a mount namespace of its own.
private struct Cgroup {
    let path: String
    private let top: String

    init(_ path: String) {
        // A prefix that leaves the kind of the first component as it is.
        self.path = "claviger-test-\(getpid())-\(path)"
        top = String(self.path.prefix { $0 != "/" })
    }

    static let available: Bool = {
        guard geteuid() == 0, let directory = try? SocketDirectory() else { return false }
        let cgroup = Cgroup("probe.slice/x.service")
        let works = (try? run(cgroup.entering(directory.path) + ["true"])) == 0
        cgroup.remove(directory.path)
        return works
    }()

    /// A command that puts the command after it into this cgroup; `mountPoint` is an existing directory.
    func entering(_ mountPoint: String) -> [String] {
        let script = """
            set -e; mount -t cgroup2 none "$0"; mkdir -p "$0/$1"; echo 0 > "$0/$1/cgroup.procs"; umount "$0"; shift; exec "$@"
            """
        return ["unshare", "--mount", "sh", "-c", script, mountPoint, path]
    }

    /// Removes the cgroup once the processes in it have gone.
    func remove(_ mountPoint: String) {
        // A cgroup stays busy for a moment after its last process was reaped.
        let script = """
            mount -t cgroup2 none "$0"; i=0
            while [ -d "$0/$1" ] && [ $i -lt 200 ]; do find "$0/$1" -depth -type d -exec rmdir {} + 2>/dev/null; i=$((i+1)); sleep 0.05; done
            """
        _ = try? run(["unshare", "--mount", "sh", "-c", script, mountPoint, top])
    }
}

private enum PeerTestError: Error {
    case system(Int32)
    case noConnection
}

/// Runs a command to its end; returns its exit status.
private func run(_ arguments: [String]) throws -> Int32 {
    let pid = try spawned(arguments)
    var status: Int32 = 0
    waitpid(pid, &status, 0)
    return status >> 8
}

/// Starts a command with none of this process's descriptors but standard output and error.
private func spawned(_ arguments: [String]) throws -> pid_t {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    _ = linux_spawn_close_from(&actions, 3)
    var vector = arguments.map { strdup($0) }
    vector.append(nil)
    defer { vector.forEach { free($0) } }
    var pid: pid_t = 0
    let code = posix_spawnp(&pid, arguments[0], &actions, nil, vector, environ)
    guard code == 0 else { throw PeerTestError.system(code) }
    return pid
}
