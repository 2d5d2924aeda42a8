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

    /// What makes the daemon's flushes of its log fail while the file `cue` is there: a setting of its environment; nil without a compiler.
    private func brokenDisk(_ daemon: DaemonHarness, _ cue: String, _ code: String = "EIO") throws -> String? {
        let shim = daemon.directory + "/eio.so"
        let source = """
            #define _GNU_SOURCE
            #include <dlfcn.h>
            #include <errno.h>
            #include <stdio.h>
            #include <string.h>
            #include <unistd.h>
            /* Flushes of the audit log fail while the cue is there. */
            int fdatasync(int file) {
                char name[64], path[4096];
                snprintf(name, sizeof name, "/proc/self/fd/%d", file);
                ssize_t length = readlink(name, path, sizeof path - 1);
                path[length < 0 ? 0 : length] = 0;
                if (strstr(path, "/audit/audit-") && access("\(cue)", F_OK) == 0) { errno = \(code); return -1; }
                int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
                return next(file);
            }

            """
        try writeFile(daemon.directory + "/eio.c", source)
        let built = try daemon.shell("cc -shared -fPIC -o eio.so eio.c -ldl || clang -shared -fPIC -o eio.so eio.c -ldl")
        return built.status == 0 ? "LD_PRELOAD=\(shim)" : nil
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
