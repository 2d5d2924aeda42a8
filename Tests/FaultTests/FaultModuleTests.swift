import Cryptoki
import Glibc
import Support
import Testing

/// The fault module itself: without rules it changes nothing, and each rule does what it says, when it says.
@Suite struct FaultModuleTests {
    @Test func withoutRulesItIsTheRealModule() async {
        await #expect(processExitsWith: .success) {
            let bench = try Bench.opened()
            let key = try bench.key()
            let sealed = try bench.encrypt([1, 2, 3], key)
            #expect(try bench.decrypt(sealed, key) == [1, 2, 3])
            #expect(try bench.label(of: key) == "key")
            // The trace has them all, in order, and none with a rule.
            let functions = try bench.faults.calls().map(\.function)
            #expect(functions.first == "C_Initialize")
            #expect(functions.filter { $0 == "C_Encrypt" || $0 == "C_Decrypt" } == ["C_Encrypt", "C_Decrypt"])
            #expect(try bench.faults.calls().allSatisfy { !$0.isInjected && $0.process == getpid() })
            #expect(try bench.faults.calls("C_DecryptInit").first?.line.contains("label=key") == true)
        }
    }

    @Test func rulesFireWhenTheyAreDue() async {
        await #expect(processExitsWith: .success) {
            let bench = try Bench.opened()
            let key = try bench.key()
            try bench.faults.set("C_Encrypt nth=3 count=1 return=CKR_DEVICE_ERROR")
            #expect(bench.codes(5, key) == [nil, nil, .deviceError, nil, nil])
            try bench.faults.set("C_Encrypt nth=2 every=2 count=2 return=0x30")
            #expect(bench.codes(7, key) == [nil, .deviceError, nil, .deviceError, nil, nil, nil])
            // A rule that stays goes on counting, beside a new one.
            try bench.faults.set(
                "C_Encrypt nth=2 every=2 count=2 return=0x30", "C_Encrypt nth=2 count=1 return=CKR_DEVICE_MEMORY")
            #expect(bench.codes(3, key) == [nil, .deviceMemory, nil])
            // A mechanism and a label; the real one is asked first where it says so.
            try bench.faults.set("C_Encrypt label=other return=CKR_DEVICE_ERROR", "C_Encrypt mechanism=CKM_AES_CBC return=0x30")
            #expect(bench.codes(1, key) == [nil])
            try bench.faults.set("C_Encrypt label=key mechanism=CKM_AES_GCM when=after return=CKR_DEVICE_REMOVED")
            #expect(bench.codes(1, key) == [.deviceRemoved])
            try bench.faults.set()
            #expect(bench.codes(1, key) == [nil])
            // A share of all calls, the same with the same seed.
            try bench.faults.set("C_Encrypt percent=30 return=CKR_DEVICE_ERROR")
            let first = bench.codes(100, key)
            try bench.faults.set()
            _ = bench.codes(1, key)
            try bench.faults.set("C_Encrypt percent=30 return=CKR_DEVICE_ERROR")
            #expect(bench.codes(100, key) == first)
            #expect((15...45).contains(first.count { $0 != nil }))
        }
    }

    /// Faults by chance are the seed's and nothing else's: of three seeds each gives its own, and the same again.
    @Test func theSeedDecides() async {
        await #expect(processExitsWith: .success) {
            let bench = try Bench.opened()
            let key = try bench.key()
            let rounds = try [2, 3, 4, 2, 3, 4].map { seed in
                try bench.faults.set()
                _ = bench.codes(1, key)
                try bench.faults.set("seed \(seed)", "C_Encrypt percent=50 return=CKR_DEVICE_ERROR")
                return bench.codes(64, key)
            }
            #expect(Array(rounds[..<3]) == Array(rounds[3...]))
            #expect(Set(rounds).count == 3)
        }
    }

    @Test func onceIsOnceForAllProcesses() async throws {
        let daemon = try DaemonHarness(initialised: false)
        let faults = try daemon.useFaultModule()
        try faults.set("C_Initialize once return=CKR_HOST_MEMORY")
        let first = try daemon.initialise()
        #expect(first.status == 1 && first.errorText.contains("CKR_HOST_MEMORY"), "\(first.errorText)")
        #expect(try daemon.initialise().status == 0)
    }

    @Test func outputsAreDamaged() async {
        await #expect(processExitsWith: .success) {
            let bench = try Bench.opened()
            let key = try bench.key()
            let good = try bench.encrypt([UInt8](repeating: 9, count: 32), key)
            try bench.faults.set("C_Encrypt count=1 corrupt=flip")
            let flipped = try bench.encrypt([UInt8](repeating: 9, count: 32), key)
            #expect(zip(good, flipped).map { ($0 ^ $1).nonzeroBitCount }.reduce(0, +) == 1)
            try bench.faults.set("C_Encrypt corrupt=zero")
            #expect(try bench.encrypt([1], key) == [UInt8](repeating: 0, count: 17))
            try bench.faults.set("C_Encrypt corrupt=shorten")
            #expect(try bench.encrypt([1], key).count == 16)
            try bench.faults.set("C_Encrypt corrupt=lengthen")
            #expect(try bench.encrypt([1], key).count == 18)
            try bench.faults.set("C_GenerateRandom corrupt=constant")
            #expect(try bench.random(8) == [UInt8](repeating: 0xa5, count: 8))
            // The same stream after each initialisation, as from a machine that is resumed.
            try bench.faults.set("C_GenerateRandom corrupt=repeat")
            let stream = try bench.random(16)
            #expect(try bench.random(16) != stream)
            try bench.reopen()
            #expect(try bench.random(16) == stream)
        }
    }

    @Test func aTokenIsTakenAwayAndPutBack() async {
        await #expect(processExitsWith: .success) {
            let bench = try Bench.opened()
            let key = try bench.key(token: true)
            let slot = try bench.slot()
            try bench.faults.set("absent")
            #expect(caught { () throws(CryptokiError) in _ = try bench.encrypt([1], key) } == .deviceRemoved)
            #expect(try bench.module.slots(withToken: true).isEmpty)
            #expect(caught { () throws(CryptokiError) in _ = try bench.module.tokenInfo(slot) } == .tokenNotPresent)
            #expect(
                caught { () throws(CryptokiError) in _ = try bench.module.openSession(slot, readWrite: true) } == .tokenNotPresent
            )
            try bench.faults.set()
            // The old session is dead, and nobody is logged in.
            #expect(caught { () throws(CryptokiError) in _ = try bench.encrypt([1], key) } == .sessionHandleInvalid)
            // Logging in again works, since the removal has logged everybody out.
            try bench.logIn()
            #expect(try bench.handles(["key"]).count == 1)
        }
    }

    @Test func handlesAreRenumbered() async {
        await #expect(processExitsWith: .success) {
            let bench = try Bench()
            try bench.faults.set("renumber objects", "renumber slots")
            try bench.open()
            for label in ["a", "b", "c"] { _ = try bench.key(label, token: true) }
            let before = try bench.handles(["a", "b", "c"])
            let slot = try bench.slot()
            #expect(Set(before.values).count == 3)
            try bench.reopen()
            let after = try bench.handles(["a", "b", "c"])
            #expect(try bench.slot() != slot)
            // A handle kept from before is another object's now: the trap that it is for.
            let others = before.filter { label, handle in after.contains { $0.value == handle && $0.key != label } }
            #expect(!others.isEmpty)
            for (label, handle) in after { #expect(try bench.label(of: handle) == label) }
        }
    }

    @Test func handlesAreReused() async {
        await #expect(processExitsWith: .success) {
            let bench = try Bench()
            try bench.faults.set("reuse handles")
            try bench.open()
            let first = try bench.key("a")
            #expect(try bench.label(of: first) == "a")
            let second = try bench.key("b")
            #expect(second == first)
            #expect(try bench.label(of: first) == "b")
        }
    }

    @Test func tokensAreLessThanTheyShouldBe() async {
        await #expect(processExitsWith: .success) {
            let bench = try Bench()
            try bench.faults.set(
                "sessions 2", "ignore CKA_SENSITIVE", "without CKM_AES_GCM",
                "C_GetTokenInfo flags=CKF_USER_PIN_FINAL_TRY|CKF_USER_PIN_COUNT_LOW serial=0123456789abcdef")
            try bench.open()
            let second = try bench.anotherSession()
            #expect(caught { () throws(CryptokiError) in try bench.visit() } == .sessionCount)
            try second.close()
            try bench.visit()
            let key = try bench.key()
            #expect(try bench.use { (session) throws(CryptokiError) in try session.bool(.sensitive, of: key) } == false)
            #expect(caught { () throws(CryptokiError) in _ = try bench.encrypt([1], key) } == .mechanismInvalid)
            let info = try bench.module.tokenInfo(try bench.slot())
            #expect(info.flags.contains(.userPINFinalTry) && info.flags.contains(.userPINCountLow))
            #expect(info.serial == "0123456789abcdef")
        }
    }

    /// What SoftHSM does on a full disk: success, and an empty file.
    @Test func writesAreSwallowed() async {
        await #expect(processExitsWith: .success) {
            let bench = try Bench.opened()
            try bench.faults.set("C_GenerateKey swallow")
            _ = try bench.key(token: true)
            let home = bench.store.tokens + "/" + (try listDirectory(bench.store.tokens).first { !$0.hasPrefix(".") } ?? "")
            let sizes = try listDirectory(home).filter { $0.hasSuffix(".object") && $0 != "token.object" }.map {
                try readFile(home + "/" + $0).count
            }
            #expect(sizes == [0])
        }
    }

    @Test func processesEndOnCue() async {
        await #expect(processExitsWith: .signal(SIGSEGV)) {
            let bench = try Bench()
            try bench.faults.set("C_OpenSession crash")
            try bench.open()
        }
        await #expect(processExitsWith: .signal(SIGKILL)) {
            let bench = try Bench()
            try bench.faults.set("C_Login when=after kill")
            try bench.open()
        }
        await #expect(processExitsWith: .exitCode(5)) {
            let bench = try Bench()
            try bench.faults.set("C_Initialize exit=5")
            try bench.open()
        }
    }

    @Test func aHangEndsWithItsRule() async {
        await #expect(processExitsWith: .success) {
            let bench = try Bench.opened()
            try bench.faults.set("C_GenerateRandom hang")
            // The trace tells that the call hangs; then it is let go.
            let faults = bench.faults
            var thread = pthread_t()
            let box = Unmanaged.passRetained(faults)
            pthread_create(
                &thread, nil,
                { context in
                    guard let context else { return nil }
                    let faults = Unmanaged<FaultModule>.fromOpaque(context).takeRetainedValue()
                    _ = try? eventually { try faults.calls("C_GenerateRandom").contains(where: \.isInjected) }
                    try? faults.set()
                    return nil
                }, box.toOpaque())
            let bytes = try bench.random(8)
            pthread_join(thread, nil)
            #expect(bytes.count == 8)
            let hung = try bench.faults.calls("C_GenerateRandom")
            #expect(hung.count == 2, "one line when it began to hang and one at its end")
        }
    }

    /// A control file that is not understood is no rehearsal without faults.
    @Test func mistakesInTheControlFileAreErrors() async {
        await #expect(processExitsWith: .success) {
            let bench = try Bench()
            let wrong = [
                "C_Decrypt", "C_Decript return=CKR_OK", "C_Decrypt return=CKR_NONSENSE", "C_Decrypt nth=0 hang",
                "C_Decrypt hang sometimes", "C_Decrypt delay=5", "C_Decrypt percent=101 hang", "absent yes", "sessions 0",
                "renumber everything", "reuse everything", "ignore CKA_NONSENSE", "without GCM", "trace", "nonsense",
                "C_Decrypt label=\(String(repeating: "x", count: 128)) hang", String(repeating: "x", count: 512),
            ]
            for line in wrong {
                try bench.faults.set(line)
                #expect(
                    caught { () throws(CryptokiError) in try bench.module.initialize() } == .argumentsBad, "taken: \(line)")
            }
            try bench.faults.set((0..<65).map { "C_Decrypt nth=\($0 + 1) hang" })
            #expect(caught { () throws(CryptokiError) in try bench.module.initialize() } == .argumentsBad)
            try bench.faults.set(
                ["# a comment", "", "  C_Decrypt   nth=2\thang  "] + (0..<63).map { "C_Sign nth=\($0 + 1) hang" })
            try bench.open()
            // Once it runs, what held before goes on holding.
            let key = try bench.key()
            try bench.faults.set("C_Encrypt return=CKR_DEVICE_ERROR")
            #expect(caught { () throws(CryptokiError) in _ = try bench.encrypt([1], key) } == .deviceError)
            try bench.faults.set("nonsense")
            #expect(caught { () throws(CryptokiError) in _ = try bench.encrypt([1], key) } == .deviceError)
        }
    }

    /// The control file's name in pReserved, before what the real module gets.
    @Test func theControlFileComesInReserved() async {
        await #expect(processExitsWith: .success) {
            let bench = try Bench()
            unsetenv("CLAVIGER_FAULT")
            #expect(caught { () throws(CryptokiError) in try bench.module.initialize() } == .argumentsBad)
            try bench.module.initialize(reserved: "claviger-fault:\(bench.faults.control)")
            #expect(try bench.faults.calls("C_Initialize").count == 1)
        }
    }

    /// Many threads, rules that come and go, a token that vanishes: the module keeps its own order.
    @Test func threadsShareIt() async {
        await #expect(processExitsWith: .success) {
            let bench = try Bench.opened()
            let work = Work(module: bench.module, slot: try bench.slot())
            var threads: [pthread_t] = []
            for _ in 0..<4 {
                var thread = pthread_t()
                pthread_create(
                    &thread, nil,
                    { context in
                        guard let context else { return nil }
                        Unmanaged<Work>.fromOpaque(context).takeUnretainedValue().run()
                        return nil
                    }, Unmanaged.passUnretained(work).toOpaque())
                threads.append(thread)
            }
            for round in 0..<200 {
                try bench.faults.set(
                    round % 2 == 0 ? "C_Encrypt percent=20 return=CKR_DEVICE_ERROR" : "C_GenerateRandom percent=20 delay=50us")
            }
            for thread in threads { pthread_join(thread, nil) }
            let sealed = try bench.faults.calls("C_Encrypt")
            #expect(sealed.count == 4 * Work.rounds)
            #expect(sealed.allSatisfy { $0.result == "CKR_OK" || ($0.isInjected && $0.result == "CKR_DEVICE_ERROR") })
        }
    }

    private final class Work: Sendable {
        static let rounds = 200
        let module: Module
        let slot: SlotID

        init(module: Module, slot: SlotID) {
            self.module = module
            self.slot = slot
        }

        func run() {
            do {
                var session = try module.openSession(slot, readWrite: false)
                let key = try Bench.key("key", token: false, &session)
                for _ in 0..<Work.rounds {
                    _ = try Bench.random(16, &session)
                    _ = try? Bench.encrypt([1], key, &session)
                }
            } catch {
                Issue.record("\(error)")
            }
        }
    }
}
