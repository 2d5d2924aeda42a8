import CLinux
import ClavigerClient
import ClavigerCore
import ClavigerWire
import Glibc
import Support
import Testing

/// A log that cannot be written: keys are not used, the state says why, and it goes on by itself.
@Suite struct AuditFailureTests {
    /// The log on a small file system of its own, filled up by somebody else.
    @Test func aFullFileSystem() throws {
        guard geteuid() == 0 else { return skip("AuditFailureTests.aFullFileSystem", "needs root") }
        let daemon = try DaemonHarness()
        let directory = daemon.directory + "/log-disk"
        try makeDirectory(directory)
        try daemon.configure(DaemonHarness.audit("directory = \"\(directory)\""))
        // Mounted where only the daemon sees it.
        let script = "mount -t tmpfs -o size=1m,mode=700 tmpfs '\(directory)' && exec \"$@\""
        try daemon.start(through: ["/usr/bin/unshare", "--mount", "/bin/sh", "-c", script, "sh"])
        let inside = "/proc/\(try #require(daemon.pid))/root" + directory
        let client = daemon.client()
        let key = try client.createKey(name: "full").id
        let before = try client.wrap(.id(key), [1]).envelope

        try fill(inside + "/filler")
        // Records fit into the last block until it is full.
        var used = 0
        let isRefused = eventually {
            used += 1
            guard used < 5_000 else { return true }
            do throws(ClientError) {
                _ = try client.open(before)
                return false
            } catch {
                guard case .refused(let refusal) = error else { return false }
                return refusal.code == .auditUnavailable
            }
        }
        #expect(isRefused && used < 5_000)
        #expect(refusal { () throws(ClientError) in try client.wrap(.id(key), [1]) } == .auditUnavailable)
        let health = try daemon.health
        #expect(health.state == .needsOperator && health.reason.contains("No space left"), "\(health.reason)")
        // Diagnosis works.
        #expect(try client.auditStatus().failure?.contains("No space left") == true)
        _ = try client.tokenStatus()
        _ = try client.status()

        unlink(inside + "/filler")
        #expect(try eventually { try client.health().state == .ready })
        #expect(try client.open(before) == [1])
        let events = try daemon.auditRecords(inside).map(\.event)
        #expect(events.contains("log-stopped") && events.contains("log-resumed"))
        try daemon.verifyAudit(inside)
    }

    /// The disk of log and database is full: what takes away works all the same, and is recorded when there is room again.
    @Test func aFullDiskKeepsNobodyFromTakingAway() throws {
        guard geteuid() == 0 else { return skip("AuditFailureTests.aFullDiskKeepsNobodyFromTakingAway", "needs root") }
        let daemon = try DaemonHarness()
        let aside = daemon.directory + "/aside"
        let script = """
            cp -a '\(daemon.state)' '\(aside)' && mount -t tmpfs -o size=24m,mode=700 tmpfs '\(daemon.state)' \
            && cp -a '\(aside)/.' '\(daemon.state)' && exec "$@"
            """
        try daemon.start(through: ["/usr/bin/unshare", "--mount", "/bin/sh", "-c", script, "sh"])
        let inside = "/proc/\(try #require(daemon.pid))/root" + daemon.state
        let client = daemon.client()
        let keys = try (0..<40).map { try client.createKey(name: "full\($0)").id }
        let grants = try (0..<10).map { try client.grant("Reader", to: "user:\(50_000 + $0)", on: "instance").id }
        try fill(inside + "/filler")
        for key in keys { _ = try client.disableKey(.id(key), reason: "the disk is full") }
        for grant in grants { _ = try client.revokeGrant(grant) }
        #expect(refusal { () throws(ClientError) in try client.createKey(name: "more") } == .auditUnavailable)
        unlink(inside + "/filler")
        #expect(try eventually { try client.health().state == .ready })
        #expect(try eventually { try client.auditStatus().outbox == 0 })
        for key in keys { #expect(try client.showKey(.id(key)).state == .suspended) }
        let records = try daemon.auditRecords(inside + "/audit")
        #expect(records.filter { $0.event == "key-disable" && $0.outcome == "success" }.count == 40)
        #expect(records.filter { $0.event == "access-revoke" && $0.outcome == "success" }.count == 10)
        try daemon.verifyAudit(inside + "/audit")
    }

    private func fill(_ path: String) throws {
        let file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
        try #require(file >= 0)
        defer { close(file) }
        let block = [UInt8](repeating: 1, count: 4_096)
        while write(file, block, block.count) > 0 {}
    }

    /// The disk reports an error at a flush (a bad block, or the kernel has made the file system read-only after one): what waited is
    /// refused, and the log goes on when the disk does.
    @Test(arguments: [("EIO", "Input/output error"), ("EROFS", "Read-only file system")])
    func anInputOutputError(code: String, text: String) throws {
        let daemon = try DaemonHarness()
        let cue = daemon.directory + "/eio"
        guard let shim = try brokenDisk(daemon, cue, code) else {
            return skip("AuditFailureTests.anInputOutputError", "needs a C compiler")
        }
        try daemon.start(environment: [shim])
        let client = daemon.client()
        let key = try client.createKey(name: "disk").id
        try writeFile(cue, "")
        #expect(refusal { () throws(ClientError) in try client.wrap(.id(key), [1]) } == .auditUnavailable)
        #expect(try daemon.health.reason.contains(text))
        // It stays so while the disk does.
        #expect(refusal { () throws(ClientError) in try client.wrap(.id(key), [1]) } == .auditUnavailable)
        #expect(try client.auditStatus().failure != nil)
        unlink(cue)
        #expect(try eventually { try client.health().state == .ready })
        _ = try client.wrap(.id(key), [1])
        #expect(try daemon.auditRecords().contains { $0.event == "log-resumed" })
        try daemon.verifyAudit()
    }

    /// What is refused during an outage is counted and recorded when there is a log again: who probes then leaves a trace.
    @Test func refusalsDuringAnOutageAreRecordedAfterIt() throws {
        let daemon = try DaemonHarness()
        let cue = daemon.directory + "/eio"
        guard let shim = try brokenDisk(daemon, cue) else {
            return skip("AuditFailureTests.refusalsDuringAnOutageAreRecordedAfterIt", "needs a C compiler")
        }
        try daemon.start(environment: [shim])
        let client = daemon.client()
        let key = try client.createKey(name: "probed").id
        try writeFile(cue, "")
        for _ in 0..<7 { #expect(refusal { () throws(ClientError) in try client.wrap(.id(key), [1]) } == .auditUnavailable) }
        unlink(cue)
        #expect(try eventually { try client.health().state == .ready })
        let isTold = try eventually {
            let refused = try daemon.auditRecords().filter { $0.event == "wrap" && $0.reasonType == "audit-unavailable" }
            return refused.reduce(0) { $0 + (Int($1.count) ?? 0) } >= 6
        }
        // The first met the broken flush itself: it is in the file as what was done, and its answer never left.
        #expect(isTold)
        try daemon.verifyAudit()
    }

    /// A disk that does not answer: who waits for it is refused in time, the state is told at once, what must work does, and a caller who
    /// was told `deadline` is recorded as that.
    @Test func aDiskThatDoesNotAnswer() throws {
        let daemon = try DaemonHarness()
        let cue = daemon.directory + "/hang"
        guard let shim = try stuckDisk(daemon, cue) else {
            return skip("AuditFailureTests.aDiskThatDoesNotAnswer", "needs a C compiler")
        }
        try daemon.start(environment: [shim])
        let client = daemon.client()
        let key = try client.createKey(name: "disk").id
        _ = try client.wrap(.id(key), [1])
        try writeFile(cue, "")
        let item = WrapItem(input: .given(ByteRange(offset: 0, count: 1)))
        let hasty = try WirePeer(daemon.socket).ask(
            .wrap, id: 1, WrapRequest(key: .id(key), items: [item]), source: [1], deadline: 1_000)
        #expect(hasty.refusal == .deadline)
        // Nobody waits longer than it takes to find out.
        #expect(refusal { () throws(ClientError) in try client.wrap(.id(key), [1]) } == .auditUnavailable)
        let health = try client.health()
        #expect(health.state == .needsOperator && health.reason.contains("has not answered"), "\(health.reason)")
        #expect(try client.auditStatus().failure?.contains("has not answered") == true)
        _ = try client.tokenStatus()
        let began = Clock.monotonic()
        let disabled = try daemon.claviger("key", "disable", "disk")
        #expect(disabled.status == 0, "\(disabled.errorText)")
        #expect(Clock.monotonic() - began < 60_000_000_000)
        unlink(cue)
        #expect(try eventually { try client.health().state == .ready })
        let isTold = try eventually {
            let records = try daemon.auditRecords()
            return records.contains { $0.event == "wrap" && $0.reasonType == "deadline" }
                && records.contains { $0.event == "key-disable" && $0.outcome == "success" }
        }
        #expect(isTold)
        try daemon.verifyAudit()
    }

    /// A worker that has to do with a disk that hangs does not get stuck in it, so no change waits for one.
    @Test func aDiskThatHangsHoldsUpNoChange() throws {
        let daemon = try DaemonHarness()
        let cue = daemon.directory + "/hang"
        guard let shim = try stuckDisk(daemon, cue) else {
            return skip("AuditFailureTests.aDiskThatHangsHoldsUpNoChange", "needs a C compiler")
        }
        try daemon.start(environment: [shim])
        let client = Client(ClientOptions(socketPath: daemon.socket, deadline: .seconds(120), retries: 0))
        for round in 0..<2 {
            let key = try client.createKey(name: "quiet\(round)").id
            let grant = try client.grant("Wrapper", to: "user:61001", on: "key:quiet\(round)").id
            // Nobody is at the disk yet: first there is a change, or a question that is refused.
            let peer = try WirePeer(daemon.socket)
            try writeFile(cue, "")
            if round == 1 { try peer.send(WirePeer.frame(opcode: Opcode.ping.rawValue, id: 1, body: WirePeer.field(99, []))) }
            _ = try client.disableKey(.id(key))
            _ = try client.revokeGrant(grant)
            #expect(try client.health().reason.contains("has not answered"))
            if round == 1 { #expect(try peer.next().header.detail == RefusalCode.unknownField.rawValue) }
            unlink(cue)
            #expect(try eventually { try client.health().state == .ready })
            #expect(try eventually { try client.auditStatus().outbox == 0 })
            let records = try daemon.auditRecords()
            #expect(records.filter { $0.event == "key-disable" && $0.outcome == "success" }.count == round + 1)
            #expect(records.filter { $0.event == "access-revoke" && $0.outcome == "success" }.count == round + 1)
        }
        #expect(try eventually { try daemon.auditRecords().filter { $0.event == "ping" }.count == 1 })
        try daemon.verifyAudit()
    }

    /// Nor does it keep the daemon from ending; what waited is in the log after the next start.
    @Test func aDiskThatHangsKeepsNoDaemon() throws {
        let daemon = try DaemonHarness()
        let cue = daemon.directory + "/hang"
        guard let shim = try stuckDisk(daemon, cue) else {
            return skip("AuditFailureTests.aDiskThatHangsKeepsNoDaemon", "needs a C compiler")
        }
        try daemon.start(environment: [shim])
        let key = try daemon.client().createKey(name: "left").id
        try writeFile(cue, "")
        let patient = Client(ClientOptions(socketPath: daemon.socket, deadline: .seconds(120), retries: 0))
        #expect(refusal { () throws(ClientError) in try patient.showKey(.name("absent")) } == .denied)
        _ = try patient.disableKey(.id(key))
        #expect(daemon.stop() == 70)
        #expect(daemon.log.contains("a thread is stuck, in a disk perhaps"))
        unlink(cue)
        try daemon.start()
        let client = daemon.client()
        #expect(try client.showKey(.id(key)).state == .suspended)
        #expect(try eventually { try client.auditStatus().outbox == 0 })
        let records = try daemon.auditRecords()
        #expect(records.filter { $0.event == "key-disable" && $0.outcome == "success" }.count == 1)
        #expect(records.filter { $0.event == "key-show" && $0.outcome == "failure" }.count == 1)
        try daemon.verifyAudit()
    }

    /// What makes the daemon's writes of its log hang while the file `cue` is there; nil without a compiler.
    private func stuckDisk(_ daemon: DaemonHarness, _ cue: String) throws -> String? {
        try shim(
            daemon, "stuck",
            """
            /* Writes to the audit log do not return while the cue is there. */
            ssize_t write(int file, const void *bytes, size_t count) {
                while (is_log(file) && access("\(cue)", F_OK) == 0) usleep(1000);
                ssize_t (*next)(int, const void *, size_t) = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
                return next(file, bytes, count);
            }

            """)
    }

    /// A change whose record meets a broken disk on its way from the database to the log is there once in the end.
    @Test func aChangeThatMetABrokenDiskIsThereOnce() throws {
        let daemon = try DaemonHarness()
        let cue = daemon.directory + "/eio"
        guard let shim = try brokenDisk(daemon, cue) else {
            return skip("AuditFailureTests.aChangeThatMetABrokenDiskIsThereOnce", "needs a C compiler")
        }
        try daemon.start(environment: [shim])
        let client = daemon.client()
        for round in 0..<3 {
            try writeFile(cue, "")
            // Made, and its record waits in the database; what reads only is refused.
            let made = try client.createKey(name: "made\(round)").id
            #expect(refusal { () throws(ClientError) in try client.showKey(.id(made)) } == .auditUnavailable)
            unlink(cue)
            #expect(try eventually { try client.health().state == .ready })
            #expect(try eventually { try client.auditStatus().outbox == 0 })
        }
        _ = try client.listKeys()
        let created = try daemon.auditRecords().filter { $0.event == "key-create" }
        #expect(created.count == 3 && Set(created.map(\.key)).count == 3, "\(created.map(\.sequence))")
        try daemon.verifyAudit()
    }

    /// Nor is a refusal recorded twice: its record is in the file when the flush fails, and the file is kept.
    @Test func aRefusalThatMetABrokenDiskIsThereOnce() throws {
        let daemon = try DaemonHarness()
        let cue = daemon.directory + "/eio"
        guard let shim = try brokenDisk(daemon, cue) else {
            return skip("AuditFailureTests.aRefusalThatMetABrokenDiskIsThereOnce", "needs a C compiler")
        }
        try daemon.start(environment: [shim])
        let client = daemon.client()
        for round in 0..<3 {
            try writeFile(cue, "")
            #expect(refusal { () throws(ClientError) in try client.showKey(.name("absent\(round)")) } == .denied)
            #expect(try eventually { try client.health().state != .ready })
            unlink(cue)
            #expect(try eventually { try client.health().state == .ready })
        }
        // What waits is recorded within a second.
        #expect(
            try eventually {
                let text = try daemon.auditText()
                return (0..<3).allSatisfy { text.contains("absent\($0)") }
            })
        daemon.stop()
        let refused = try daemon.auditRecords().filter { $0.event == "key-show" }
        #expect(refused.count == 3, "\(refused.map(\.sequence))")
        try daemon.verifyAudit()
    }

    /// What makes the daemon's flushes of its log fail while the file `cue` is there: a setting of its environment; nil without a compiler.
    func brokenDisk(_ daemon: DaemonHarness, _ cue: String, _ code: String = "EIO") throws -> String? {
        try shim(
            daemon, "eio",
            """
            /* Flushes of the audit log fail while the cue is there. */
            int fdatasync(int file) {
                if (is_log(file) && access("\(cue)", F_OK) == 0) { errno = \(code); return -1; }
                int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
                return next(file);
            }

            """)
    }

    private func shim(_ daemon: DaemonHarness, _ name: String, _ body: String) throws -> String? {
        let source = """
            #define _GNU_SOURCE
            #include <dlfcn.h>
            #include <errno.h>
            #include <stdio.h>
            #include <string.h>
            #include <unistd.h>
            static int is_log(int file) {
                char name[64], path[4096];
                snprintf(name, sizeof name, "/proc/self/fd/%d", file);
                ssize_t length = readlink(name, path, sizeof path - 1);
                path[length < 0 ? 0 : length] = 0;
                return strstr(path, "/audit/audit-") != 0;
            }

            """
        try writeFile(daemon.directory + "/\(name).c", source + body)
        let arguments = "-shared -fPIC -o \(name).so \(name).c -ldl"
        let built = try daemon.shell("cc \(arguments) || clang \(arguments)")
        return built.status == 0 ? "LD_PRELOAD=\(daemon.directory)/\(name).so" : nil
    }

    /// A collector that takes nothing holds up nothing, and is told.
    @Test func aStalledCollector() throws {
        let daemon = try DaemonHarness()
        let path = daemon.directory + "/collector"
        let listener = linux_unix_stream_socket()
        defer { close(listener) }
        try #require(linux_unix_bind(listener, path) == 0 && listen(listener, 1) == 0)
        try daemon.configure(DaemonHarness.audit("collector = \"\(path)\""))
        try daemon.start()
        let client = daemon.client()
        let key = try client.createKey(name: "collected").id
        // Far more than a socket holds.
        for _ in 0..<1_500 { _ = try client.wrap(.id(key), [1]) }
        #expect(try eventually { try client.auditStatus().collectorFailure == "it takes no more for now" })
        #expect(try #require(try client.auditStatus().collectorLag) > 0)
        // It gets all that it missed as soon as it takes it.
        let accepted = accept(listener, nil, nil)
        defer { close(accepted) }
        var patience = timeval(tv_sec: Int(DaemonHarness.patience.components.seconds), tv_usec: 0)
        setsockopt(accepted, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        var received: [UInt8] = []
        var block = [UInt8](repeating: 0, count: 1 << 16)
        let last = try client.auditStatus().sequence
        while !String(decoding: received.suffix(2_000), as: UTF8.self).contains("{\"seq\":\(last),") {
            let count = recv(accepted, &block, block.count, 0)
            try #require(count > 0)
            received += block[..<count]
        }
        let numbers = received.split(separator: 0x0a).compactMap { AuditEntry(Array($0))?.sequence }
        #expect(numbers.first == 1, "the start of the daemon is among them")
        #expect(numbers.count > 1_500 && zip(numbers, numbers.dropFirst()).allSatisfy { $0 + 1 == $1 })
        #expect(try eventually { try client.auditStatus().collectorLag ?? 9 < 9 })
        #expect(daemon.stop() == 0)
    }
}
