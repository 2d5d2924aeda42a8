import ClavigerClient
import ClavigerCore
import ClavigerWire
import Glibc
import Support
import Testing

/// Modules that hang, crash and end the process, and stores that are damaged.
@Suite struct ModuleLifeTests {
    /// A call that hangs costs its caller the deadline and the daemon one thread, which is replaced; past the bound it starts anew.
    @Test func c10_hungCallsAreBounded() throws {
        var settings = DaemonHarness.Settings()
        settings.tables = ["[workers]", "count = 2"]
        let faulty = try Faulty(settings)
        let client = faulty.daemon.client()
        let other = try client.createKey(name: "other").id
        let good = try client.wrap(.id(other), [7]).envelope
        try faulty.faults.set("C_DecryptInit label=\(faulty.key) hang")
        let clock = ContinuousClock()
        let began = clock.now
        try faulty.expire(700)
        print("ModuleLifeTests: a hung call was refused \((clock.now - began).milliseconds) ms after it was sent, of 700 allowed")
        #expect(clock.now - began < .seconds(10))
        // Health is red, and the others go on.
        let health = try faulty.daemon.wait(for: .degraded)
        #expect(health.reason.contains("stuck"), "\(health.reason)")
        #expect(try client.open(good) == [7])
        let isReplaced = try eventually { try faulty.metric("claviger_workers_replaced_total") == 1 }
        #expect(isReplaced)
        #expect(try client.open(good) == [7])
        // The next one is one too many.
        try faulty.expire(700)
        #expect(try faulty.daemon.waitForEnd() == 70)
        try faulty.faults.set()
        try faulty.daemon.start()
        #expect(try faulty.daemon.client().open(faulty.envelope) == Faulty.plaintext)
    }

    /// A hung call that comes back after all gives its thread back, also when another has taken its place: there is one each time.
    @Test func c10_aLateReturnHealsAll() throws {
        let faulty = try Faulty()
        try faulty.faults.set("C_DecryptInit label=\(faulty.key) hang")
        try faulty.expire(300)
        try faulty.daemon.wait(for: .degraded)
        try faulty.faults.set()
        try faulty.daemon.wait(for: .ready)
        #expect(try faulty.daemon.client().open(faulty.envelope) == Faulty.plaintext)
        for number in UInt64(1)...2 {
            try faulty.faults.set("C_DecryptInit label=\(faulty.key) hang")
            try faulty.expire(300)
            #expect(try eventually { try faulty.metric("claviger_workers_replaced_total") ?? 0 >= number })
            try faulty.faults.set()
            try faulty.daemon.wait(for: .ready)
            #expect(try faulty.daemon.client().open(faulty.envelope) == Faulty.plaintext)
        }
    }

    /// A module that crashes or ends the process takes the daemon with it; the next is there at once, and clients do not notice.
    @Test(arguments: ["crash", "exit=5", "abort"]) func c11_crashesCostOneRestart(way: String) async throws {
        let faulty = try Faulty()
        try faulty.faults.set("C_DecryptInit label=\(faulty.key) once \(way)")
        let seen = Observations()
        let (socket, envelope) = (faulty.daemon.socket, faulty.envelope)
        let call = Threads(1) { _ in
            let client = Client(ClientOptions(socketPath: socket, deadline: .seconds(60), retries: 100))
            observe(seen) { () throws(ClientError) in try client.open(envelope) == Faulty.plaintext }
        }
        #expect(try faulty.daemon.waitForEnd() != 0)
        // The service manager's part.
        let clock = ContinuousClock()
        let began = clock.now
        try faulty.daemon.start()
        try faulty.daemon.wait(for: .ready)
        #expect(clock.now - began < .seconds(10))
        print("ModuleLifeTests: \(way): ready again \((clock.now - began).milliseconds) ms after the start")
        call.join()
        #expect(seen.all.done == 1, "\(seen.all.refused) \(seen.all.wrong)")
    }

    /// What the module does when it is initialised happens to a probe first; the daemon stays, says so, and goes on when it is mended.
    @Test(arguments: ["exit=5", "crash"]) func f_initialisationIsProbed(way: String) throws {
        let faulty = try Faulty()
        try faulty.faults.set("C_Initialize \(way)", "absent")
        let health = try faulty.daemon.wait(for: .lost)
        #expect(!health.reason.isEmpty)
        let isNamed = try eventually { try faulty.daemon.health.reason.contains("process that initialises it") }
        #expect(isNamed)
        try faulty.faults.set()
        try faulty.daemon.wait(for: .ready)
        #expect(try faulty.daemon.client().open(faulty.envelope) == Faulty.plaintext)
    }

    /// Bits that flip in a key's file: the right key or none, and never a daemon that does not start.
    @Test func f_flippedBitsInAKeysFile() throws {
        let daemon = try DaemonHarness()
        func files() throws -> Set<String> {
            let home = daemon.tokens + "/" + (try listDirectory(daemon.tokens).first { !$0.hasPrefix(".") } ?? "")
            return Set(try listDirectory(home).filter { $0.hasSuffix(".object") }.map { home + "/" + $0 })
        }
        try daemon.start()
        let well = try daemon.client().createKey(name: "well").id
        let good = try daemon.client().wrap(.id(well), [8]).envelope
        let before = try files()
        let ill = try daemon.client().createKey(name: "ill").id
        let envelope = try daemon.client().wrap(.id(ill), [9]).envelope
        daemon.stop()
        let file = try #require(try files().subtracting(before).first)
        let content = try readFile(file)
        var generator = SeededGenerator(seed: seed)
        var outcome: [String: Int] = [:]
        // The first length of all is among those at which SoftHSM ends the process.
        for position in sample(content.count, isLong ? .max : 10, using: &generator) {
            var flipped = content
            flipped[position - 1] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
            try writeFile(file, flipped)
            try daemon.start()
            let comment = Comment("byte \(position - 1), seed \(seed)")
            let state = try daemon.health.state
            if state.serves {
                #expect(try daemon.client().open(good) == [8], comment)
                do throws(ClientError) {
                    #expect(try daemon.client().open(envelope) == [9], comment)
                    outcome["unharmed", default: 0] += 1
                } catch {
                    guard case .refused(let refusal) = error else { throw error }
                    #expect(refusal.code == .keyUnavailable, comment)
                    outcome["this key alone", default: 0] += 1
                }
            } else {
                #expect(state == .lost || state == .needsOperator, comment)
                outcome["\(state.name)", default: 0] += 1
            }
            daemon.stop()
        }
        try writeFile(file, content)
        try daemon.start()
        #expect(try daemon.client().open(envelope) == [9])
        print("ModuleLifeTests: flipped bits in a key's file: \(outcome)")
    }

    /// A write error that the token swallows: the key is not acknowledged.
    @Test func f_swallowedWritesAreSeen() throws {
        let faulty = try Faulty()
        try faulty.faults.set("C_GenerateKey swallow")
        #expect(refusal { () throws(ClientError) in try faulty.daemon.client().createKey(name: "lost") } == .tokenUnavailable)
        try faulty.faults.set()
        #expect(try faulty.daemon.client().status().keys == 1)
        try faulty.daemon.restart()
        try faulty.daemon.wait(for: .ready)
        #expect(try faulty.daemon.client().status().keys == 1)
    }

    /// Files that a killed creation left are reported, and left alone.
    @Test func f_orphanFilesAreReported() throws {
        let daemon = try DaemonHarness()
        let home = daemon.tokens + "/" + (try #require(try listDirectory(daemon.tokens).first { !$0.hasPrefix(".") }))
        for length in [0, 8] {
            try writeFile("\(home)/00000000-0000-0000-0000-00000000000\(length).object", [UInt8](repeating: 0, count: length))
        }
        try daemon.start()
        try daemon.wait(for: .ready)
        #expect(try daemon.client().metrics().contains("claviger_token_files_damaged 2\n"))
        #expect(daemon.log.contains("hold no key that was acknowledged"))
        let status = try daemon.claviger("status")
        #expect(status.text.contains("2 in the token's storage; no key is missing"), "\(status.text)")
        daemon.stop()
        #expect(access("\(home)/00000000-0000-0000-0000-000000000000.object", F_OK) == 0)
    }

    /// An acknowledged key's file that is cut off is never called nobody's: log, state and status say that a key may be in it.
    @Test func f_aKeysDamagedFileIsNoOrphan() throws {
        let daemon = try DaemonHarness()
        let files = TokenFiles(storage: daemon.tokens, stateDirectory: daemon.state)
        try daemon.start()
        let before = try files.objects()
        let key = try daemon.client().createKey(name: "ill").id
        let envelope = try daemon.client().wrap(.id(key), [9]).envelope
        daemon.stop()
        let fresh = try files.objects().subtracting(before).filter { !TokenFiles.isDataObject($0) }
        let file = try #require(fresh.first)
        let whole = try readFile(file)
        try writeFile(file, Array(whole.dropLast(60)))
        try daemon.start()
        let health = try daemon.health
        #expect(health.state == .degraded && health.reason.contains(file), "\(health.reason)")
        #expect(daemon.log.contains("missing key versions may be in them") && daemon.log.contains(file))
        #expect(!daemon.log.contains("hold no key that was acknowledged"))
        let status = try daemon.claviger("status")
        #expect(status.text.contains("do not remove"), "\(status.text)")
        #expect(try daemon.claviger("status", "--json").text.contains("damagedFiles"))
        // Put back, it is served again, by itself.
        try writeFile(file, whole)
        try daemon.wait(for: .ready)
        #expect(try daemon.client().open(envelope) == [9])
    }

    /// A login that never comes back, with nobody there to notice: the daemon ends itself for a restart.
    @Test(.enabled(if: isLong, "waits for the bound of half a minute: only with --long")) func c10_aHungLoginIsBounded() throws {
        let daemon = try DaemonHarness()
        let faults = try daemon.useFaultModule()
        try faults.set("C_Login hang")
        try daemon.launch()
        #expect(try daemon.waitForEnd() == 70)
    }

    /// Rounds of outages under load: nothing wrong is ever returned, it is refused at once, and it comes back by itself.
    @Test func c3_outagesUnderLoad() throws {
        let rounds = isLong ? 20 : 2
        let daemon = try DaemonHarness.running()
        let key = try daemon.client().createKey(name: "first").id
        let envelope = try daemon.client().wrap(.id(key), [1, 2, 3]).envelope
        let seen = Observations()
        let socket = daemon.socket
        let load = Threads(4) { number in
            let client = Client(ClientOptions(socketPath: socket, deadline: .seconds(30), retries: 0))
            while !seen.hasEnded {
                if number % 2 == 0 {
                    observe(seen) { () throws(ClientError) in try client.open(envelope) == [1, 2, 3] }
                } else {
                    observe(seen) { () throws(ClientError) in
                        let made = try client.making(.id(key))
                        return try client.open(made.envelope) == made.plaintext
                    }
                }
                pause(microseconds: 500)
            }
        }
        let clock = ContinuousClock()
        var (lost, back): ([Duration], [Duration]) = ([], [])
        for _ in 0..<rounds {
            pause(milliseconds: 300)
            let away = clock.now
            #expect(rename(daemon.tokens, daemon.tokens + ".away") == 0)
            try daemon.wait(for: .lost)
            lost.append(clock.now - away)
            pause(milliseconds: isLong ? 1_500 : 500)
            let there = clock.now
            #expect(rename(daemon.tokens + ".away", daemon.tokens) == 0)
            try daemon.wait(for: .ready)
            back.append(clock.now - there)
        }
        seen.end()
        load.join()
        let all = seen.all
        #expect(all.wrong.isEmpty, "\(all.wrong.prefix(3))")
        #expect(Set(all.refused.keys).isSubset(of: [.tokenUnavailable, .keyUnavailable, .denied]), "\(all.refused)")
        #expect(all.refused[.denied] == nil && all.done > 0)
        // Ten times what is promised, to catch what hangs: a call fails within a second, the token is back within five.
        #expect((all.durations.max() ?? .zero) < .seconds(10), "a call took \(all.durations.max()?.milliseconds ?? 0) ms")
        #expect((back.max() ?? .zero) < .seconds(50), "back after \(back.max()?.milliseconds ?? 0) ms")
        print(
            "ModuleLifeTests: \(rounds) outages, \(all.done) done, \(all.refused); noticed in at most \(lost.max()?.milliseconds ?? 0) ms, "
                + "back in \(back.quantile(0.5).milliseconds) ms (at most \(back.max()?.milliseconds ?? 0)), calls took at most "
                + "\(all.durations.max()?.milliseconds ?? 0) ms")
    }
}
