import ClavigerClient
import ClavigerCore
import ClavigerWire
import Glibc
import Support
import Testing

/// Keys that are less than they should be, tokens that repeat themselves, PINs: each test is named after the lesson that it keeps.
@Suite struct LessonTests {
    private func objectFiles(_ daemon: DaemonHarness) throws -> Int {
        try TokenFiles(storage: daemon.tokens, stateDirectory: daemon.state).objects().count
    }

    // MARK: A, key separation

    /// Attributes that the token leaves at its defaults are hostile: such a key is refused, and gone.
    @Test func a0_attributeDefaultsAreHostile() throws {
        let faulty = try Faulty()
        let before = try objectFiles(faulty.daemon)
        for name in ["CKA_SENSITIVE", "CKA_WRAP", "CKA_UNWRAP", "CKA_SIGN", "CKA_VERIFY"] {
            try faulty.faults.set("ignore \(name)")
            let code = refusal { () throws(ClientError) in try faulty.daemon.client().createKey(name: name) }
            #expect(code == .tokenUnavailable, "\(name)")
            // For a moment the token may hold two memories of the database's epoch, the new one and the old.
            #expect(eventually { (try? objectFiles(faulty.daemon)) == before }, "\(name): it stayed")
        }
        try faulty.faults.set()
        _ = try faulty.daemon.client().createKey(name: "well")
        #expect(try faulty.daemon.client().status().keys == 2)
    }

    /// A DEK goes through the daemon's memory, and is in none of it once the reply is out: neither one that was made nor one that was
    /// given nor one that was opened. Nobody can search the kernel's secret memory, so the daemon does without it here: what it would
    /// keep there lies in pages that are locked and no more, which root reads.
    @Test func a5c_noDEKStaysInMemory() throws {
        let daemon = try DaemonHarness()
        guard geteuid() == 0, CrashPoints.isPossible else {
            return skip(
                "LessonTests.a5c_noDEKStaysInMemory", "another process's memory is root's to see, and a library is preloaded")
        }
        try daemon.start(environment: [try withoutSecretMemory(daemon)])
        let pid = try #require(daemon.pid)
        let client = daemon.client()
        let key = try client.createKey(name: "first").id
        // What stays in locked memory is found there: the daemon keeps the PIN for the next login.
        let pin = try readFile(daemon.pinFile)
        func findsPIN(_ memory: ProcessMemory) throws -> Bool { try memory.mappings(holding: pin).contains { $0.isLocked } }
        try #require(try eventually { try findsPIN(ProcessMemory(pid)) })
        let made = try client.making(.id(key), 32)
        let given = (0..<64).map { UInt8(truncatingIfNeeded: $0 &* 151 &+ 29) }
        let envelope = try client.wrap(.id(key), given).envelope
        var left: [String] = []
        // An answer is here before what it was made in has been wiped.
        func isGone(_ plaintexts: [UInt8]...) throws -> Bool {
            try eventually {
                let memory = try ProcessMemory(pid)
                left = try plaintexts.flatMap { try memory.mappings(holding: $0).map(\.line) }
                return try left.isEmpty && findsPIN(memory)
            }
        }
        try #require(try isGone(made.plaintext, given), "a DEK that was wrapped is in \(left)")
        #expect(try client.open(made.envelope) == made.plaintext)
        #expect(try client.open(envelope) == given)
        try #require(try isGone(made.plaintext, given), "a DEK that was opened is in \(left)")
        _ = try client.rotateKey(.id(key))
        let renewed = try client.rewrap(envelope).wrapped.envelope
        try #require(try isGone(given), "a DEK that was wrapped anew is in \(left)")
        #expect(try client.open(renewed) == given)
    }

    /// The variable with which a program has no memfd_secret(2).
    private func withoutSecretMemory(_ daemon: DaemonHarness) throws -> String {
        let source = """
            #define _GNU_SOURCE
            #include <dlfcn.h>
            #include <errno.h>
            #include <stdarg.h>
            #include <stddef.h>
            #include <unistd.h>
            long syscall(long number, ...) {
                static long (*next)(long, ...);
                va_list list;
                va_start(list, number);
                long words[6];
                for (size_t index = 0; index < 6; index += 1) words[index] = va_arg(list, long);
                va_end(list);
                if (number == 447) { errno = ENOSYS; return -1; }
                if (next == NULL) next = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
                return next(number, words[0], words[1], words[2], words[3], words[4], words[5]);
            }
            """
        try writeFile(daemon.directory + "/plain.c", source)
        let arguments = "-shared -fPIC -o plain.so plain.c -ldl"
        let built = try daemon.shell("cc \(arguments) || clang \(arguments)")
        try #require(built.status == 0, "\(built.errorText)")
        return "LD_PRELOAD=\(daemon.directory)/plain.so"
    }

    // MARK: B, envelopes

    /// A token whose random numbers repeat themselves makes neither an IV nor a DEK twice.
    @Test func b1_noIVComesTwice() throws {
        for rule in ["C_GenerateRandom corrupt=constant", "C_GenerateRandom corrupt=repeat"] {
            let faulty = try Faulty()
            try faulty.faults.set(rule)
            var ivs: Set<[UInt8]> = []
            var deks: Set<[UInt8]> = []
            for _ in 0..<60 {
                let made = try faulty.daemon.client().making(.id(faulty.key))
                ivs.insert(Array(made.envelope[27..<39]))
                deks.insert(made.plaintext)
            }
            #expect(ivs.count == 60 && deks.count == 60, "\(rule)")
        }
    }

    /// The key named is not the one that the envelope names.
    @Test func b6_anotherKeyThanStated() throws {
        let faulty = try Faulty()
        let other = try faulty.daemon.client().createKey(name: "other").id
        let code = refusal { () throws(ClientError) in try faulty.daemon.client().opening(faulty.envelope, key: .id(other)) }
        #expect(code == .keyMismatch)
    }

    /// A key that cannot open what it sealed first is not acknowledged, and no trace of it is left.
    @Test func b7_aKeyIsProvenBeforeItIsAcknowledged() throws {
        let faulty = try Faulty()
        for damage in ["flip", "zero", "shorten", "lengthen"] {
            try faulty.faults.set("C_Encrypt corrupt=\(damage)")
            let code = refusal { () throws(ClientError) in try faulty.daemon.client().createKey(name: damage) }
            #expect(code == .tokenUnavailable, "\(damage)")
        }
        try faulty.faults.set()
        var names: [String] = []
        try faulty.daemon.client().forEachKey { (key) throws(ClientError) in names.append(key.name) }
        #expect(names == ["first"])
    }

    /// The same plaintext never makes the same envelope.
    @Test func b10_equalPlaintextsDiffer() throws {
        let client = try Shared.client()
        let made = try (0..<50).map { _ in try client.wrap(.name(Shared.key), [1, 2, 3]).envelope }
        #expect(Set(made).count == made.count)
    }

    // MARK: C8

    /// Nothing that the daemon holds open would pass to a child.
    @Test func c8_noDescriptorIsInherited() throws {
        let daemon = try DaemonHarness.running()
        let peer = try WirePeer(daemon.socket)
        _ = try peer.ask(.ping, id: 1)
        let pid = try #require(daemon.pid)
        guard let names = try? listDirectory("/proc/\(pid)/fdinfo") else {
            return skip("LessonTests.c8_noDescriptorIsInherited", "the daemon's descriptors are root's to see")
        }
        #expect(names.count > 5)
        for name in names where (Int(name) ?? 0) > 2 {
            // SoftHSM opens its files without, for as long as a call takes; what stays open has it.
            let isClosed = eventually {
                guard let info = try? readFile("/proc/\(pid)/fdinfo/\(name)") else { return true }
                let line = String(decoding: info, as: UTF8.self).split(separator: "\n").first { $0.hasPrefix("flags:") }
                let flags = Int(line?.split(separator: "\t").last ?? "", radix: 8) ?? 0
                // O_CLOEXEC of <asm-generic/fcntl.h>, in octal as the kernel shows it.
                return flags & 0o2000000 != 0
            }
            #expect(isClosed, "descriptor \(name)")
        }
    }

    // MARK: D, PINs

    /// A wrong PIN is tried once, whoever restarts the daemon however often; a locked one and the final try are left alone.
    @Test func d1_onePINOneAttempt() throws {
        let daemon = try DaemonHarness()
        let faults = try daemon.useFaultModule()
        let right = try readFile(daemon.pinFile)
        try daemon.replacePIN(Array("wrong-pin-of-the-tests".utf8), keepingIdentity: false)
        for _ in 0..<3 {
            try daemon.start()
            try daemon.wait(for: .needsOperator)
            daemon.stop()
        }
        #expect(try faults.calls("C_Login").count == 1)
        try daemon.replacePIN(right, keepingIdentity: false)
        try daemon.restart()
        try daemon.wait(for: .ready)
        #expect(try faults.calls("C_Login").count == 2)
        // On the final try nobody is let near.
        try faults.set("C_GetTokenInfo flags=CKF_USER_PIN_FINAL_TRY")
        try daemon.restart()
        #expect(try daemon.wait(for: .needsOperator).reason.contains("lock"))
        #expect(try daemon.claviger("unlock", "--pin-file", daemon.pinFile).status == 1)
        #expect(try faults.calls("C_Login").count == 2)
        // A token that locks the PIN has had its last attempt.
        try faults.set("C_Login return=CKR_PIN_LOCKED")
        for _ in 0..<2 {
            try daemon.restart()
            try daemon.wait(for: .needsOperator)
        }
        #expect(try faults.calls("C_Login").count == 3)
        // Not even for another PIN, though no flag of the token says so: somebody has to look first.
        try faults.set()
        try daemon.replacePIN(right, keepingIdentity: false)
        try daemon.restart()
        #expect(try daemon.wait(for: .needsOperator).reason.contains("lock"))
        #expect(try faults.calls("C_Login").count == 3)
        #expect(try daemon.claviger("unlock", "--pin-file", daemon.pinFile).status == 0)
        #expect(try faults.calls("C_Login").count == 4)
    }

    /// A refused PIN is not tried again because somebody has tried another one in between, and failed.
    @Test func d1_aTypoInBetweenGivesNoSecondTry() throws {
        let daemon = try DaemonHarness()
        let faults = try daemon.useFaultModule()
        let right = try readFile(daemon.pinFile)
        let (typo, good) = (daemon.directory + "/typo", daemon.directory + "/good")
        try writeFile(typo, Array("another-wrong-pin".utf8), mode: 0o400)
        try writeFile(good, right, mode: 0o400)
        try daemon.replacePIN(Array("wrong-pin-of-the-tests".utf8), keepingIdentity: false)
        try daemon.start()
        try daemon.wait(for: .needsOperator)
        for round in 1...2 {
            #expect(try daemon.claviger("unlock", "--pin-file", typo).status == 1)
            try daemon.restart()
            try daemon.wait(for: .needsOperator)
            // The file's once, and each typo.
            #expect(try faults.calls("C_Login").count == 1 + round)
        }
        // Nor because somebody has given the right one: the file is as it was.
        #expect(try daemon.claviger("unlock", "--pin-file", good).status == 0)
        try daemon.restart()
        #expect(try daemon.wait(for: .needsOperator).reason.contains(daemon.pinFile))
        #expect(try faults.calls("C_Login").count == 4)
        // Corrected it is tried.
        #expect(try daemon.claviger("unlock", "--pin-file", good).status == 0)
        try daemon.replacePIN(right, keepingIdentity: false)
        try daemon.restart()
        try daemon.wait(for: .ready)
        #expect(try faults.calls("C_Login").count == 6)
    }

    /// A token that says nothing of use and counts nothing: a PIN that was never good is tried twice.
    @Test func d1_unclearAnswersAreBounded() throws {
        let daemon = try DaemonHarness()
        let faults = try daemon.useFaultModule()
        try daemon.replacePIN(Array("wrong-pin-of-the-tests".utf8), keepingIdentity: false)
        // CKR_VENDOR_DEFINED and one.
        try faults.set("C_Login return=0x80000001")
        for _ in 0..<2 {
            try daemon.start()
            #expect(try daemon.wait(for: .needsOperator).reason.contains("did not say why"))
            daemon.stop()
            #expect(try faults.calls("C_Login").count == 2)
        }
    }

    /// What speaks of the device says nothing of the PIN: it is tried until that has passed.
    @Test func d1_aDeviceThatFailsCostsNoPIN() throws {
        let daemon = try DaemonHarness()
        let faults = try daemon.useFaultModule()
        try faults.set("C_Login return=CKR_DEVICE_ERROR")
        try daemon.start()
        try daemon.wait(for: .lost)
        #expect(try eventually { try faults.calls("C_Login").count > LoginMarker.maximumPending })
        try faults.set()
        try daemon.wait(for: .ready)
    }

    /// A token may say anything to a wrong PIN: once it counts failed logins, what has no verdict is not tried again either.
    @Test func d1_anUnclearAnswerIsNotRepeated() throws {
        let daemon = try DaemonHarness()
        let faults = try daemon.useFaultModule()
        try faults.set("C_Login return=CKR_FUNCTION_FAILED", "C_GetTokenInfo flags=CKF_USER_PIN_COUNT_LOW")
        try daemon.launch()
        try daemon.waitUntilAnswering()
        try daemon.wait(for: .needsOperator)
        #expect(try faults.calls("C_Login").count == 1)
    }

    /// However a login ends, the marker says what is known, and no refused PIN is tried again.
    @Test func d1_everyWayToDieInALogin() throws {
        let daemon = try DaemonHarness()
        let faults = try daemon.useFaultModule()
        for way in ["crash", "exit=5", "kill", "abort", "when=after crash", "when=after kill"] {
            // Every way of its own: a marker that says pending allows one more attempt, and success settles it.
            try faults.set("C_Login \(way)")
            try daemon.launch()
            _ = try daemon.waitForEnd()
            try faults.set()
            try daemon.start()
            try daemon.wait(for: .ready)
            daemon.stop()
        }
        // Twice in a row with nothing in between: then somebody has to look.
        try faults.set("C_Login kill")
        for _ in 0..<2 {
            try daemon.launch()
            _ = try daemon.waitForEnd()
        }
        try faults.set()
        let logins = try faults.calls("C_Login").count
        try daemon.start()
        #expect(try daemon.wait(for: .needsOperator).reason.contains("cut off"))
        #expect(try faults.calls("C_Login").count == logins)
        #expect(try daemon.claviger("unlock", "--pin-file", daemon.pinFile).status == 0)
    }

    /// PINs are bytes: binary ones and UTF-8 go the whole way from a file into the token.
    @Test(arguments: [
        Array("schlüssel-für-den-token-🔑".utf8), [0xff, 0xfe, 0x01, 0x80] + [UInt8](repeating: 0xc3, count: 16),
        Array("with spaces, \"quotes\" and \\".utf8), [UInt8](repeating: 0x7e, count: 255),
        Array(" zero\0byte, line\nand\r\nspaces ".utf8),
    ]) func d3_binaryAndUTF8PINs(pin: [UInt8]) async throws {
        let daemon = try DaemonHarness(initialised: false)
        try writeFile(daemon.pinFile, pin)
        let made = try daemon.claviger("token", "init", "--so-pin-out", daemon.securityOfficerPINFile)
        #expect(made.status == 0, "\(made.errorText)")
        #expect(try readFile(daemon.pinFile) == pin)
        try daemon.start()
        #expect(try daemon.health.state == .ready)
        daemon.stop()
        // The token's PIN is these very bytes, and not what all of Claviger alike takes them for.
        await #expect(processExitsWith: .success) { [directory = daemon.directory as String] in
            try TokenVisit.run(directory) { _ in }
            exit(EXIT_SUCCESS)
        }
    }

    /// An empty PIN is refused before any token hears of it.
    @Test func d3_anEmptyPINIsRefused() throws {
        let daemon = try DaemonHarness()
        let faults = try daemon.useFaultModule()
        try daemon.replacePIN([], keepingIdentity: false)
        try daemon.start()
        try daemon.wait(for: .needsOperator)
        #expect(try faults.calls("C_Login").isEmpty)
    }

    /// `token init` does not keep the SO PIN: while it makes the instance's keys no memory that could be swapped or dumped holds it, and
    /// no file does in the end but the one that it came from.
    @Test func d4_theOfficersPINIsNotKept() throws {
        let daemon = try DaemonHarness(initialised: false)
        let faults = try daemon.useFaultModule()
        let pin = Array("officers-pin-of-the-tests-8531".utf8)
        let file = daemon.directory + "/officer"
        try writeFile(file, pin, mode: 0o400)
        try faults.set("C_GenerateKey count=1 hang")
        let command = try Child.spawn(
            try Programs.path("claviger"), ["token", "init", "--so-pin-file", file], output: daemon.directory + "/out",
            error: daemon.directory + "/err", environment: daemon.environment)
        defer { command.end(SIGKILL) }
        // The officer's login is over, and the user's.
        #expect(try eventually { try faults.calls("C_Login").count >= 2 })
        guard geteuid() == 0, let memory = try? ProcessMemory(command.pid) else {
            return skip("LessonTests.d4_theOfficersPINIsNotKept", "another process's memory is root's to see")
        }
        #expect(try memory.mappings(holding: Array(file.utf8)).isEmpty == false)
        let found = try memory.mappings(holding: pin).filter { !$0.isLocked }
        #expect(found.isEmpty, "the SO PIN is in \(found.map(\.line))")
        try faults.set()
        #expect(try command.wait(DaemonHarness.patience) == 0)
        for path in files(below: daemon.state) { #expect(!contains(try readFile(path), pin), "\(path)") }
    }

    /// In the daemon's memory the user PIN is in locked pages that no dump has, and the SO PIN is nowhere.
    @Test func d2_d4_noPINInMemoryOrState() throws {
        let daemon = try DaemonHarness.running()
        let client = daemon.client()
        _ = try client.createKey(name: "first")
        let pid = try #require(daemon.pid)
        guard geteuid() == 0, let memory = try? ProcessMemory(pid) else {
            return skip("LessonTests.d2_d4_noPINInMemoryOrState", "another process's memory is root's to see")
        }
        let (user, officer) = (try readFile(daemon.pinFile), try readFile(daemon.securityOfficerPINFile))
        // What is looked for is found where it is: the socket's path is in many places.
        #expect(try memory.mappings(holding: Array(daemon.socket.utf8)).isEmpty == false)
        let open = try memory.mappings(holding: user).filter { !$0.isLocked }
        #expect(open.isEmpty, "the user PIN is in \(open.map(\.line))")
        #expect(try memory.mappings(holding: officer).isEmpty)
        // A core could hold locked pages: there is none.
        let limits = String(decoding: try readFile("/proc/\(pid)/limits"), as: UTF8.self)
        let core = try #require(limits.split(separator: "\n").first { $0.hasPrefix("Max core file size") })
        #expect(core.split(separator: " ").dropFirst(4).prefix(2) == ["0", "0"])
        let searched = files(below: daemon.state)
        #expect(searched.count > 3)
        for path in searched {
            // One that the daemon has replaced since it was listed.
            guard let content = try? readFile(path) else { continue }
            for pin in [user, officer] { #expect(!contains(content, pin), "\(path)") }
        }
        let log = try readFile(daemon.logFile)
        #expect(!log.isEmpty)
        for pin in [user, officer] { #expect(!contains(log, pin)) }
    }
}

/// The paths of all files in a directory and those in it.
private func files(below directory: String) -> [String] {
    guard let names = try? listDirectory(directory) else { return [] }
    return names.flatMap { name in
        var status = stat()
        let path = directory + "/" + name
        guard lstat(path, &status) == 0 else { return [] as [String] }
        if status.st_mode & S_IFMT == S_IFDIR { return files(below: path) }
        return status.st_mode & S_IFMT == S_IFREG ? [path] : []
    }
}

/// Whether `needle` stands in `haystack`.
func contains(_ haystack: [UInt8], _ needle: [UInt8]) -> Bool {
    guard let first = needle.first, haystack.count >= needle.count else { return false }
    return haystack.withUnsafeBytes { haystack in
        guard let base = haystack.baseAddress else { return false }
        let last = haystack.count - needle.count
        var place = 0
        // memchr is fast where a loop is not: a process has many megabytes.
        while place <= last, let found = memchr(base + place, Int32(first), last + 1 - place) {
            place = UnsafeRawPointer(found) - base
            if haystack[place..<place + needle.count].elementsEqual(needle) { return true }
            place += 1
        }
        return false
    }
}

/// Another process's memory, mapping for mapping.
struct ProcessMemory {
    struct Mapping {
        var line: String
        var range: Range<UInt>
        /// Neither swapped nor dumped: `lo` and `dd` among VmFlags of /proc/PID/smaps.
        var isLocked: Bool
    }
    private let pid: pid_t
    private let all: [Mapping]

    init(_ pid: pid_t) throws {
        self.pid = pid
        var found: [Mapping] = []
        for line in String(decoding: try readFile("/proc/\(pid)/smaps"), as: UTF8.self).split(separator: "\n") {
            if line.hasPrefix("VmFlags:"), !found.isEmpty {
                let flags = line.split(separator: " ")
                found[found.count - 1].isLocked = flags.contains("lo") && flags.contains("dd")
                continue
            }
            let ends = (line.split(separator: " ").first ?? "").split(separator: "-").compactMap { UInt($0, radix: 16) }
            guard ends.count == 2, ends[0] < ends[1], line.contains(" r") else { continue }
            found.append(Mapping(line: String(line), range: ends[0]..<ends[1], isLocked: false))
        }
        all = found
    }

    /// The mappings in which these bytes stand. What cannot be read, as the kernel's secret memory, holds nothing for anybody.
    func mappings(holding bytes: [UInt8]) throws -> [Mapping] {
        let file = open("/proc/\(pid)/mem", O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw HarnessError("mem: \(systemText(errno))") }
        defer { close(file) }
        return all.filter { mapping in
            var block = [UInt8](repeating: 0, count: 1 << 20)
            var place = mapping.range.lowerBound
            while place < mapping.range.upperBound {
                let wanted = min(block.count, Int(mapping.range.upperBound - place))
                let count = pread(file, &block, wanted, off_t(Int(bitPattern: place)))
                // Gone since it was listed, or nobody's to read: what follows in the mapping may be neither.
                guard count > 0 else {
                    place += UInt(sysconf(Int32(_SC_PAGESIZE)))
                    continue
                }
                if contains(Array(block[..<count]), bytes) { return true }
                if count < bytes.count {
                    place += UInt(count)
                    continue
                }
                // The blocks overlap, so that nothing falls between two.
                place += UInt(
                    count == wanted && place + UInt(count) >= mapping.range.upperBound ? count : count - bytes.count + 1)
            }
            return false
        }
    }
}
