import ClavigerClient
import ClavigerWire
import Glibc
import Support
import Testing

/// What callers try in order to pass for somebody else, or to keep what was taken from them. Only root can be several people.
@Suite struct CallerAttackTests {
    private static let service: uid_t = 61_001
    private static let stranger: uid_t = 61_002

    /// A daemon whose socket is open to all, one key, and a grant on it.
    private static func prepared(_ tables: [String] = []) throws -> (daemon: DaemonHarness, grant: String) {
        var settings = DaemonHarness.Settings()
        settings.isOpen = true
        settings.tables = tables
        let daemon = try DaemonHarness.running(settings)
        chmod(daemon.socket, 0o666)
        #expect(try daemon.claviger("key", "create", "payroll").status == 0)
        let made = try daemon.claviger("access", "grant", "user:\(service)", "Reader", "--key", "payroll", "--json")
        let id = try #require(made.text.firstMatch(of: /"id" ?: ?"([0-9a-f-]{36})"/)?.1)
        return (daemon, String(id))
    }

    private static func isRoot(_ name: String) -> Bool {
        if geteuid() != 0 { skip("CallerAttackTests.\(name)", "needs root") }
        return geteuid() == 0
    }

    /// What all scripts share: connecting as somebody, asking, reading an answer.
    private static let prelude = """
        import os, socket, struct, subprocess, sys, array, fcntl, termios, time
        path, claviger, grant = sys.argv[1:4]
        def connect(uid, name=None):
            os.setegid(uid); os.seteuid(uid)
            s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            if name is not None: s.bind(name)
            s.connect(path)
            os.seteuid(0); os.setegid(0)
            return s
        def field(tag, value): return struct.pack('>HI', tag, len(value)) + value
        def frame(opcode, number, body=b''):
            return struct.pack('>IBBHII', 12 + len(body), 1, 0, opcode, number, 60000) + body
        def wrap(number, items=1):
            item = field(1, b'0123456789abcdef')
            many = struct.pack('>I', items) + (struct.pack('>I', len(item)) + item) * items
            return frame(0x10, number, field(1, b'payroll') + field(2, many))
        def read(s, n):
            data = b''
            while len(data) < n:
                part = s.recv(n - len(data))
                if not part: raise SystemExit('the stream ended')
                data += part
            return data
        def answer(s):
            head = read(s, 16)
            return head[5], struct.unpack('>I', head[12:])[0], read(s, struct.unpack('>I', head[:4])[0] - 12)
        # The code of the first item of a batch: a list's header, an item's length, a field's header.
        def code(a):
            if a[0] != 1: return a[1]
            assert a[2][14:20] == b'\\0\\1\\0\\0\\0\\4', a
            return struct.unpack('>I', a[2][20:24])[0]
        def succeeded(a): return code(a) == 0
        def whoami(s):
            s.sendall(frame(4, 1)); a = answer(s)
            return struct.unpack('>I', a[2][6:10])[0]

        """

    private static func run(_ script: String, _ daemon: DaemonHarness, _ grant: String) throws -> Finished {
        let file = daemon.directory + "/attack.py"
        try writeFile(file, prelude + script)
        return try Child.run(
            "/usr/bin/python3", [file, daemon.socket, try Programs.path("claviger"), grant], directory: daemon.directory,
            environment: daemon.environment)
    }

    /// Lesson E2: what a caller binds its own end to says nothing about it.
    @Test func e2_hostileSocketNames() throws {
        guard Self.isRoot("e2_hostileSocketNames") else { return }
        let (daemon, grant) = try Self.prepared()
        let ended = try Self.run(
            """
            names = ['\\0claviger', '\\0uid=0', '\\0/run/claviger/claviger.sock;uid=0;', '\\0pid=1;uid=0;socket=x', '\\0' + 'x' * 100]
            for name in names:
                s = connect(\(Self.stranger), name)
                assert whoami(s) == \(Self.stranger), name
                s.sendall(wrap(2)); a = answer(s)
                assert a[:2] == (2, 33), (name, a)
            print('denied', len(names))
            """, daemon, grant)
        #expect(ended.status == 0 && ended.text == "denied 5\n", "\(ended.text) \(ended.errorText)")
    }

    /// Lesson E3: groups are those of the process at connect, not those of an account's entry.
    @Test func e3_droppedAndGainedGroups() throws {
        guard Self.isRoot("e3_droppedAndGainedGroups") else { return }
        let (daemon, grant) = try Self.prepared()
        #expect(try daemon.claviger("access", "grant", "group:62001", "Wrapper").status == 0)
        let ended = try Self.run(
            """
            def may(groups):
                os.setgroups(groups); s = connect(\(Self.stranger)); os.setgroups([0])
                s.sendall(wrap(1)); return succeeded(answer(s))
            assert may([62001]) and may([5, 62001, 7])
            assert not may([]) and not may([62000, 62002]) and not may([0])
            # Dropped after the connection was made: it stays the connector's.
            os.setgroups([62001]); s = connect(\(Self.stranger)); os.setgroups([])
            s.sendall(wrap(1)); assert succeeded(answer(s))
            print('ok')
            """, daemon, grant)
        #expect(ended.status == 0 && ended.text == "ok\n", "\(ended.text) \(ended.errorText)")
    }

    /// Lesson E6: a connection that is handed on stays the connector's, whoever writes to it, to its end.
    @Test func e6_passedSocketsStayTheConnectors() throws {
        guard Self.isRoot("e6_passedSocketsStayTheConnectors") else { return }
        let (daemon, grant) = try Self.prepared()
        let ended = try Self.run(
            """
            mine, theirs = socket.socketpair()
            s = connect(\(Self.service)); t = connect(\(Self.stranger))
            socket.send_fds(mine, [b'x'], [s.fileno(), t.fileno()])
            if os.fork() == 0:
                os.setgroups([]); os.setgid(\(Self.stranger)); os.setuid(\(Self.stranger))
                _, fds, _, _ = socket.recv_fds(theirs, 1, 2)
                granted, own = [socket.socket(fileno=fd) for fd in fds]
                assert whoami(granted) == \(Self.service) and whoami(own) == \(Self.stranger)
                granted.sendall(wrap(2)); assert succeeded(answer(granted))
                own.sendall(wrap(2)); assert answer(own)[:2] == (2, 33)
                print('as said', flush=True); os._exit(0)
            assert os.wait()[1] == 0
            """, daemon, grant)
        #expect(ended.status == 0 && ended.text == "as said\n", "\(ended.text) \(ended.errorText)")
    }

    /// Lesson E10: no denial asks the token for anything, whatever it denies.
    @Test func e10_denialsAskNothingOfTheToken() throws {
        guard Self.isRoot("e10_denialsAskNothingOfTheToken") else { return }
        var settings = DaemonHarness.Settings()
        settings.isOpen = true
        let daemon = try DaemonHarness(settings)
        let faults = try daemon.useFaultModule()
        try daemon.start()
        chmod(daemon.socket, 0o666)
        for (name, ring) in [("payroll", "default"), ("mine", "default"), ("far", "other")] {
            if ring != "default" { #expect(try daemon.claviger("ring", "create", ring).status == 0) }
            #expect(try daemon.claviger("key", "create", name, "--ring", ring).status == 0)
        }
        #expect(try daemon.claviger("access", "grant", "user:\(Self.stranger)", "Reader", "--key", "mine").status == 0)
        // The envelopes of keys, as root makes them; and one of a key that is not there.
        let made = try Self.run(
            """
            s = connect(0)
            for name in [b'payroll', b'far', b'mine']:
                item = field(1, b'0123456789abcdef')
                s.sendall(frame(0x10, 1, field(1, name) + field(2, struct.pack('>II', 1, len(item)) + item)))
                rest, fields = answer(s)[2][14:], []
                while len(rest) >= 6:
                    size = struct.unpack('>I', rest[2:6])[0]; fields.append(rest[6:6 + size]); rest = rest[6 + size:]
                print(max(fields, key=len).hex())
            """, daemon, "none")
        var envelopes = made.text.split(separator: "\n").map(String.init)
        try #require(envelopes.count == 3, "\(made.text)\(made.errorText)")
        envelopes.insert(String(envelopes[0].prefix(20)) + "ffffffff" + String(envelopes[0].dropFirst(28)), at: 0)
        for (place, envelope) in envelopes.enumerated() {
            for opcode in [0x11, 0x12] {
                let before = try faults.calls().count
                let ended = try Self.run(
                    """
                    s = connect(\(Self.stranger))
                    item = field(1, bytes.fromhex('\(envelope)'))
                    s.sendall(frame(\(opcode), 1, field(2, struct.pack('>II', 1, len(item)) + item))); a = answer(s)
                    print(succeeded(a), struct.unpack('>I', a[2][20:24])[0] if a[0] == 1 else a[1])
                    """, daemon, "none")
                let calls = try faults.calls().dropFirst(before).filter(isOfRequest).map(\.function)
                let isOwn = place == envelopes.count - 1
                #expect(ended.text == (isOwn ? "True 0\n" : "False 33\n"), "\(place): \(ended.text)\(ended.errorText)")
                #expect(calls.isEmpty == !isOwn, "\(place): \(calls)")
            }
        }
        for name in ["payroll", "far", "absent", "6f1d3c5a-9b7e-4a02-8c41-d2e3f4a5b6c7", "mine"] {
            let before = try faults.calls().count
            let ended = try Self.run(
                """
                s = connect(\(Self.stranger))
                item = field(1, b'0123456789abcdef')
                many = struct.pack('>II', 1, len(item)) + item
                s.sendall(frame(0x10, 1, field(1, b'\(name)') + field(2, many))); a = answer(s)
                print(a[0], a[1])
                """, daemon, "none")
            // A worker opens its session with its first request, whatever that is.
            let calls = try faults.calls().dropFirst(before).filter(isOfRequest).map(\.function)
            #expect(ended.text == (name == "mine" ? "1 0\n" : "2 33\n"), "\(name): \(ended.text)\(ended.errorText)")
            #expect(calls.isEmpty == (name != "mine"), "\(name): \(calls)")
        }
    }

    /// Lesson E9: with 1,000 requests in flight, none succeeds once the revoke, or the disable, is acknowledged.
    @Test(arguments: ["revoke", "disable"], ["wrap", "unwrap", "rewrap"])
    func e9_nothingAfterTheAcknowledgement(what: String, operation: String) throws {
        guard Self.isRoot("e9_nothingAfterTheAcknowledgement") else { return }
        var counts: [Int] = []
        // Where everything was answered before the acknowledgement, nothing was seen.
        for _ in 0..<5 where counts.count < 3 || counts[2] == 0 { counts = try Self.takeBack(what, operation) }
        try #require(counts.count > 4, "\(counts)")
        #expect(counts[1] == 0, "\(counts[1]) answers after the acknowledgement")
        #expect(counts[2] > 0 && counts[0] + counts[2] + counts[3] == 1_000)
        // For that reason and no other. What there was no memory for, of so many at once, says nothing about it and is counted apart.
        let code: RefusalCode = what == "revoke" ? .denied : .keyState
        #expect(counts.dropFirst(4).map { UInt32($0) } == [code.rawValue])
        print(
            "CallerAttackTests: \(what), \(operation): \(counts[0]) answered before, \(counts[2]) refused after, \(counts[3]) busy, of 1,000 in flight"
        )
    }

    /// How many were answered before, and late, and refused, and turned away; and the codes of those that were refused.
    private static func takeBack(_ what: String, _ operation: String) throws -> [Int] {
        // So many that nobody's share is what ends them.
        let (daemon, grant) = try Self.prepared(["[quota]", "in-flight = 4096", "[workers]", "queue = 4096"])
        let ended = try Self.run(
            """
            # 40 connections with 25 requests of 16 wraps each: every reply fits its socket's buffer, so what was queued before the
            # acknowledgement can be read then, and whatever comes behind it was queued afterwards.
            conns = [connect(\(Self.service)) for _ in range(40)]
            opcode = {'wrap': 0x10, 'unwrap': 0x11, 'rewrap': 0x12}['\(operation)']
            conns[0].sendall(wrap(1)); first = answer(conns[0]); assert succeeded(first), first
            # The one item's fields, of which the envelope is the longest.
            rest, fields = first[2][14:], []
            while len(rest) >= 6:
                tag, size = struct.unpack('>HI', rest[:6]); fields.append(rest[6:6 + size]); rest = rest[6 + size:]
            envelope = max(fields, key=len)
            def ask(number, items=1):
                if opcode == 0x10: return wrap(number, items)
                item = field(1, envelope)
                return frame(opcode, number, field(2, struct.pack('>I', items) + (struct.pack('>I', len(item)) + item) * items))
            for s in conns: s.sendall(b''.join(ask(n, 16) for n in range(1, 26)))
            command = ['access', 'revoke', grant] if '\(what)' == 'revoke' else ['key', 'disable', 'payroll']
            subprocess.run([claviger] + command, check=True, stdout=subprocess.DEVNULL)
            before = late = refused = busy = 0
            codes = set()
            for s in conns:
                size = array.array('i', [0]); fcntl.ioctl(s, termios.FIONREAD, size); left = size[0]
                for n in range(25):
                    is_before = left > 0
                    a = answer(s); left -= 16 + len(a[2])
                    if succeeded(a):
                        if is_before: before += 1
                        else: late += 1
                    elif a[:2] == (2, 64): busy += 1
                    else: refused += 1; codes.add(code(a))
            for s in conns[:5]:
                s.sendall(ask(99)); codes.add(code(answer(s)))
            print(before, late, refused, busy, *codes)
            """, daemon, grant)
        #expect(ended.status == 0, "\(ended.text) \(ended.errorText)")
        return ended.text.split(whereSeparator: \.isWhitespace).compactMap { Int($0) }
    }

    /// Management on a socket of its own: the other one refuses it to everybody, and takes all else.
    @Test func managementHasASocketOfItsOwn() throws {
        var settings = DaemonHarness.Settings()
        let daemon = try DaemonHarness(settings)
        let admin = daemon.directory + "/admin"
        settings.socketLines = ["admin-path = \"\(admin)\""]
        try daemon.configure(settings)
        try daemon.start()
        try daemon.wait(for: .ready)
        var status = stat()
        #expect(stat(admin, &status) == 0 && status.st_mode & 0o7777 == 0o600)
        let refused = try daemon.claviger("key", "create", "payroll")
        #expect(refused.status == 1 && refused.errorText.contains("admin-socket-only"), "\(refused.errorText)")
        #expect(refused.errorText.contains(admin), "\(refused.errorText)")
        #expect(try daemon.claviger("key", "create", "payroll", "--socket", admin).status == 0)
        try writeFile(daemon.directory + "/dek", "0123456789abcdef")
        #expect(try daemon.shell("claviger wrap payroll < dek | claviger unwrap").text == "0123456789abcdef")
        #expect(try daemon.claviger("status", "--socket", admin).status == 0)
        // Every opcode that administers, by the table.
        let peer = try WirePeer(daemon.socket)
        for (number, opcode) in Opcode.allCases.enumerated() where opcode.entry.isManagement {
            #expect(try peer.ask(opcode, id: UInt32(number)).refusal == .adminSocketOnly, "\(opcode)")
        }
        // What a service does with its own secret and for its own resources is no management.
        for (number, opcode) in [Opcode.keyRead, .registrationSet, .registrationRelease, .registrationList].enumerated() {
            #expect(try peer.ask(opcode, id: 1_000 + UInt32(number)).refusal != .adminSocketOnly, "\(opcode)")
        }
        daemon.stop()
        #expect(access(admin, F_OK) != 0)
    }

    /// An admin socket from systemd must be the configured one, or the other socket would take management too, and must not be open to all.
    @Test func aPassedAdminSocketIsTheConfiguredOne() throws {
        var settings = DaemonHarness.Settings()
        let daemon = try DaemonHarness(settings)
        let admin = daemon.directory + "/admin"
        let wrapper = daemon.directory + "/pass.py"
        try writeFile(
            wrapper,
            """
            import os, socket, sys
            s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            if os.path.exists(sys.argv[1]): os.unlink(sys.argv[1])
            s.bind(sys.argv[1]); os.chmod(sys.argv[1], int(sys.argv[2], 8)); s.listen(8)
            if s.fileno() != 3: os.dup2(s.fileno(), 3)
            os.set_inheritable(3, True)
            os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1', LISTEN_FDNAMES='claviger-admin')
            os.execv(sys.argv[3], sys.argv[3:])
            """)
        func start(_ mode: String) throws { try daemon.start(through: ["/usr/bin/python3", wrapper, admin, mode]) }
        func failure(_ mode: String) -> String {
            do { try start(mode) } catch { return "\(error)" }
            daemon.stop()
            return "it started"
        }
        #expect(failure("600").contains("socket.admin-path is not set"))
        settings.socketLines = ["admin-path = \"\(admin)\""]
        try daemon.configure(settings)
        #expect(failure("666").contains("everybody may connect"))
        try start("600")
        try daemon.wait(for: .ready)
        #expect(try daemon.claviger("key", "create", "payroll").errorText.contains("admin-socket-only"))
        #expect(try daemon.claviger("key", "create", "payroll", "--socket", admin).status == 0)
    }
}
