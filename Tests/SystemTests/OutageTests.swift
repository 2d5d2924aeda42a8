import ClavigerClient
import ClavigerWire
import Glibc
import Support
import Testing

/// Tokens that go away, hang, crash and come back. Each test is named after the lesson that it keeps.
@Suite struct OutageTests {
    /// Sessions, random numbers and session information go on working without a token; health must not.
    @Test func c3_shallowHealthLies() throws {
        let daemon = try DaemonHarness.running()
        #expect(rename(daemon.tokens, daemon.tokens + ".away") == 0)
        // Nobody asks for anything.
        try daemon.wait(for: .lost)
        #expect(refusal { () throws(ClientError) in try daemon.client().createKey(name: "no") } == .tokenUnavailable)
        #expect(rename(daemon.tokens + ".away", daemon.tokens) == 0)
        try daemon.wait(for: .ready)
        #expect(try daemon.client().createKey(name: "yes").version == 1)
    }

    /// The module never recovers by itself; one new initialisation does it, and one only.
    @Test func c4_onlyANewInitialisationBringsItBack() throws {
        let faulty = try Faulty()
        #expect(rename(faulty.daemon.tokens, faulty.daemon.tokens + ".away") == 0)
        try faulty.daemon.wait(for: .lost)
        let before = try faulty.calls("C_Login").count
        #expect(rename(faulty.daemon.tokens + ".away", faulty.daemon.tokens) == 0)
        try faulty.daemon.wait(for: .ready)
        #expect(try faulty.daemon.client().open(faulty.envelope) == Faulty.plaintext)
        // The supervisor has looked after the token twice more; each binding would ask the canary as well.
        func asked() throws -> Int { try faulty.calls("C_DecryptInit").count { $0.line.contains(":canary") } }
        let soFar = try asked()
        #expect(try eventually { try asked() >= soFar + 2 })
        #expect(try faulty.calls("C_Login").count == before + 1)
    }

    /// A token directory that is put back in pieces: what is there is served, the rest is found when it comes, and nobody has asked.
    @Test func c4_aHalfRestoredTokenBecomesWhole() throws {
        let daemon = try DaemonHarness.running()
        let client = daemon.client()
        let aside = daemon.tokens + ".away"
        let home = try #require(try listDirectory(daemon.tokens).first { !$0.hasPrefix(".") })
        func objects(_ tokens: String) throws -> [String] {
            try listDirectory("\(tokens)/\(home)").filter { $0.hasSuffix(".object") && $0 != "token.object" }
        }
        let well = try client.createKey(name: "well").id
        let before = Set(try objects(daemon.tokens))
        let ill = try client.createKey(name: "ill").id
        let fresh = Set(try objects(daemon.tokens)).subtracting(before)
        let good = try client.wrap(.id(well), [1]).envelope
        let envelope = try client.wrap(.id(ill), [2]).envelope
        let linesBefore = daemon.log.split(separator: "\n").count
        let clock = ContinuousClock()
        var back: [Duration] = []
        // More often than requests alone would have it looked for; first the newest key is late, at last every object.
        for round in 0..<3 {
            #expect(rename(daemon.tokens, aside) == 0)
            try daemon.wait(for: .lost)
            let late = try objects(aside).filter { round == 2 || fresh.contains($0) }
            #expect(mkdir("\(daemon.directory)/late", 0o700) == 0)
            for name in late { #expect(rename("\(aside)/\(home)/\(name)", "\(daemon.directory)/late/\(name)") == 0) }
            #expect(rename(aside, daemon.tokens) == 0)
            if round < 2 {
                try daemon.wait(for: .degraded)
                #expect(try client.open(good) == [1])
                #expect(refusal { () throws(ClientError) in try client.opening(envelope) } == .keyUnavailable)
                // A key of our own is no object that came back.
                _ = try client.createKey(name: "in between \(round)")
            } else {
                try daemon.wait(for: .needsOperator)
            }
            let there = clock.now
            for name in late { #expect(rename("\(daemon.directory)/late/\(name)", "\(daemon.tokens)/\(home)/\(name)") == 0) }
            #expect(rmdir("\(daemon.directory)/late") == 0)
            try daemon.wait(for: .ready)
            back.append(clock.now - there)
            #expect(try client.open(envelope) == [2])
            #expect(try client.open(good) == [1])
        }
        #expect((back.max() ?? .zero) < .seconds(50))
        let lines = daemon.log.split(separator: "\n").count - linesBefore
        #expect(lines <= 40, "\(lines) lines")
        print("OutageTests: the rest of a token served \(back.map(\.milliseconds)) ms after it came, \(lines) log lines")
    }

    /// Handles of before belong to other keys after a new initialisation.
    @Test func c2_oldHandlesNeverReachAnotherKey() throws {
        let daemon = try DaemonHarness()
        let faults = try daemon.useFaultModule()
        try faults.set("renumber objects")
        try daemon.start()
        let client = daemon.client()
        var envelopes: [(KeyID, [UInt8], UInt8)] = []
        for number in UInt8(1)...5 {
            let key = try client.createKey(name: "key \(number)").id
            envelopes.append((key, try client.wrap(.id(key), [number]).envelope, number))
        }
        for _ in 0..<3 {
            try faults.set("renumber objects", "absent")
            try daemon.wait(for: .lost)
            try faults.set("renumber objects")
            try daemon.wait(for: .ready)
            for (key, envelope, number) in envelopes {
                #expect(try client.open(envelope) == [number])
                let fresh = try client.wrap(.id(key), [number, 0])
                #expect(fresh.key == key)
                #expect(try client.opening(fresh.envelope, key: .id(key)).plaintext == [number, 0])
            }
        }
    }

    /// A dead session is replaced and the request done, without a new login: the others keep it.
    @Test func c5_c6_aDeadSessionIsReplaced() throws {
        let faulty = try Faulty()
        for code in ["CKR_SESSION_HANDLE_INVALID", "CKR_SESSION_CLOSED"] {
            try faulty.faults.set(
                "C_Decrypt count=1 return=\(code) label=:cipher", "C_Encrypt count=1 return=\(code) label=:cipher")
            #expect(try faulty.daemon.client().open(faulty.envelope) == Faulty.plaintext)
            #expect(try faulty.daemon.client().wrap(.id(faulty.key), [1]).version == 1)
        }
        #expect(try faulty.calls("C_Login").count == 1)
        #expect(try faulty.daemon.health.state == .ready)
    }

    /// Failures and disconnects in the middle leave no operation active.
    @Test func c7_nothingStaysActive() throws {
        // One session for all requests, so that the next one meets what the last has left.
        var settings = DaemonHarness.Settings()
        settings.tables = ["[workers]", "count = 1"]
        let faulty = try Faulty(settings)
        // By the second one an operation goes on: whoever is told so has to end it.
        for code in ["CKR_FUNCTION_FAILED", "CKR_BUFFER_TOO_SMALL"] {
            try faulty.faults.set("C_Encrypt every=7 return=\(code) label=\(faulty.key)", "C_Decrypt every=5 count=40 delay=1ms")
            for round in 0..<40 {
                let peer = try WirePeer(faulty.daemon.socket)
                let items = (0..<20).map { _ in WrapItem(input: .generated(32)) }
                try peer.send(try WirePeer.frame(.wrap, id: 1, WrapRequest(key: .id(faulty.key), items: items)))
                // Gone before the answer.
                if round % 2 == 0 { _ = try peer.next() }
            }
            #expect(try faulty.faults.calls("C_Encrypt").contains { $0.isInjected && $0.result == code }, "\(code)")
        }
        try faulty.faults.set()
        let client = faulty.daemon.client()
        for _ in 0..<200 { #expect(try client.open(faulty.envelope) == Faulty.plaintext) }
        #expect(try faulty.faults.calls().allSatisfy { $0.result != "CKR_OPERATION_ACTIVE" })
    }

    /// A bad envelope, a key's object gone bad and a passing error of the device are three things.
    @Test func c1_badCiphertextBadKeyAndBadDeviceAreToldApart() throws {
        let faulty = try Faulty()
        let client = faulty.daemon.client()
        let well = try client.createKey(name: "well").id
        let other = try client.wrap(.id(well), [9]).envelope
        // A device error that passes says nothing of a good envelope.
        for code in ["CKR_DEVICE_ERROR", "CKR_DEVICE_MEMORY", "CKR_HOST_MEMORY"] {
            try faulty.faults.set("C_Decrypt label=:cipher count=1 return=\(code)")
            #expect(try client.open(faulty.envelope) == Faulty.plaintext)
        }
        // A forgery, as SoftHSM says it.
        var forged = faulty.envelope
        forged[forged.count - 1] ^= 1
        try faulty.faults.set()
        #expect(refusal { () throws(ClientError) in try client.opening(forged) } == .decryptionFailed)
        #expect(try faulty.calls("C_Initialize").count == 1, "a reset for a forgery")
        // One key's object alone.
        try faulty.faults.set(
            "C_DecryptInit label=\(faulty.key) return=CKR_KEY_HANDLE_INVALID",
            "C_EncryptInit label=\(faulty.key) return=CKR_KEY_HANDLE_INVALID")
        #expect(refusal { () throws(ClientError) in try client.opening(faulty.envelope) } == .keyUnavailable)
        let isServed = eventually { (try? client.open(other)) == [9] }
        #expect(isServed)
        let isToldApart = try eventually { try faulty.daemon.health.state == .degraded }
        #expect(isToldApart)
        #expect(refusal { () throws(ClientError) in try client.wrap(.id(faulty.key), [1]) } == .keyUnavailable)
    }

    /// However many forgeries: no reset, and the others go on.
    @Test func c1_forgedEnvelopesResetNothing() throws {
        let rounds = isLong ? 391 : 3  // of 256
        let faulty = try Faulty()
        let socket = faulty.daemon.socket
        let forged = (0..<256).map { number in
            var copy = faulty.envelope
            copy[27 + number % (copy.count - 27)] ^= UInt8(1 << (number % 8))
            return SealedItem(copy)
        }
        func measure(_ during: () throws -> Void) throws -> [Duration] {
            let seen = Observations()
            let envelope = faulty.envelope
            let load = Threads(1) { _ in
                let client = Client(ClientOptions(socketPath: socket, deadline: .seconds(60), retries: 0))
                while !seen.hasEnded { observe(seen) { () throws(ClientError) in try client.open(envelope) == Faulty.plaintext } }
            }
            try during()
            seen.end()
            load.join()
            #expect(seen.all.wrong.isEmpty && seen.all.refused.isEmpty, "\(seen.all.refused) \(seen.all.wrong.prefix(3))")
            return seen.all.durations
        }
        let quiet = try measure { pause(milliseconds: isLong ? 5_000 : 200) }
        let busy = try measure {
            let client = faulty.daemon.client()
            for _ in 0..<rounds {
                let reply = try client.unwrap(forged)
                #expect((0..<256).allSatisfy { index in (try? reply.results[index].get()) == nil })
            }
        }
        #expect(try faulty.calls("C_Initialize").count == 1)
        #expect(try faulty.daemon.health.state == .ready)
        print(
            "OutageTests: \(rounds * 256) forged envelopes, no reset; another caller's p50/p99 \(quiet.quantile(0.5).milliseconds)/"
                + "\(quiet.quantile(0.99).milliseconds) ms before, \(busy.quantile(0.5).milliseconds)/"
                + "\(busy.quantile(0.99).milliseconds) ms during, behind the fault module")
    }

    /// An outage under load: refused at once, few lines in the log, few attempts, and back by itself.
    @Test func c12_anOutageIsOneFlagAndFewLines() throws {
        let faulty = try Faulty()
        let linesBefore = faulty.daemon.log.split(separator: "\n").count
        let attemptsBefore = try faulty.faults.calls("C_GetSlotList").count
        try faulty.faults.set("absent")
        try faulty.daemon.wait(for: .lost)
        let seen = Observations()
        let (socket, envelope) = (faulty.daemon.socket, faulty.envelope)
        let load = Threads(2) { _ in
            let client = Client(ClientOptions(socketPath: socket, deadline: .seconds(10), retries: 0))
            while !seen.hasEnded {
                observe(seen) { () throws(ClientError) in try client.open(envelope) == Faulty.plaintext }
                pause(microseconds: 1_500)
            }
        }
        pause(milliseconds: isLong ? 60_000 : 4_000)
        seen.end()
        load.join()
        let lines = faulty.daemon.log.split(separator: "\n").count - linesBefore
        let attempts = try faulty.faults.calls("C_GetSlotList").count - attemptsBefore
        #expect(Set(seen.all.refused.keys) == [.tokenUnavailable] && seen.all.wrong.isEmpty && seen.all.done == 0)
        #expect(lines <= 20, "\(lines) lines for \(seen.all.durations.count) requests")
        // An attempt every half second at most, a few calls each, in the probe as well.
        #expect(attempts <= (isLong ? 60 : 8) * 3 * 4, "\(attempts) attempts")
        #expect(seen.all.durations.quantile(0.99) < .seconds(10))
        try faulty.faults.set()
        try faulty.daemon.wait(for: .ready)
        print(
            "OutageTests: \(seen.all.durations.count) requests in an outage, \(lines) log lines, \(attempts) calls of C_GetSlotList, "
                + "refused in p99 \(seen.all.durations.quantile(0.99).milliseconds) ms")
    }

    /// What initialises again initialises as at first: here pReserved, without which the module would not even start.
    @Test func c13_aResetKeepsItsOptions() throws {
        let daemon = try DaemonHarness()
        var settings = DaemonHarness.Settings()
        let faults = try daemon.useFaultModule()
        settings.modulePath = try FaultModule.path()
        settings.module = ["initialize-arguments = \"claviger-fault:\(faults.control)\""]
        try daemon.configure(settings)
        try daemon.start()
        try daemon.wait(for: .ready)
        try faults.set("absent")
        try daemon.wait(for: .lost)
        try faults.set()
        try daemon.wait(for: .ready)
    }

    /// The answer to a change that the token made and said it had not is found by asking again: one object, one key. By one of the errors
    /// the token is lost, so that the next binding finds the object; after the other the repeated request does.
    @Test(arguments: ["CKR_DEVICE_ERROR", "CKR_GENERAL_ERROR"]) func c14_aChangeThatSeemedToFailIsDoneOnce(code: String) throws {
        let faulty = try Faulty()
        try faulty.faults.set("C_GenerateKey count=1 when=after return=\(code)")
        let request = KeyCreateRequest(name: "again", operation: OperationID(high: 1, low: 2))
        let peer = try WirePeer(faulty.daemon.socket)
        #expect(try peer.ask(.keyCreate, id: 1, request).refusal == .tokenUnavailable)
        try faulty.faults.set()
        var made: KeyRecord?
        let isDone = try eventually {
            let frame = try peer.ask(.keyCreate, id: 2, request)
            made = try? frame.message(KeyRecord.self)
            return made != nil
        }
        #expect(isDone)
        #expect(try peer.ask(.keyCreate, id: 3, request).message(KeyRecord.self) == made)
        var names: [String] = []
        try faulty.daemon.client().forEachKey { (key) throws(ClientError) in names.append(key.name) }
        #expect(names.sorted() == ["again", "first"])
        // Whatever lies beside the keys is seen when the token is taken hold of.
        try faulty.blink()
        #expect(try faulty.daemon.client().status().quarantined == 0)
    }

    /// Slot numbers change; the token is chosen by what it is.
    @Test func c15_slotsAreRenumbered() throws {
        let daemon = try DaemonHarness()
        let faults = try daemon.useFaultModule()
        try faults.set("renumber slots")
        try daemon.start()
        let serial = try daemon.client().tokenStatus().serial
        for _ in 0..<2 {
            try faults.set("renumber slots", "absent")
            try daemon.wait(for: .lost)
            try faults.set("renumber slots")
            try daemon.wait(for: .ready)
            #expect(try daemon.client().tokenStatus().serial == serial)
        }
        // Another token in the same place, under the same label, is not ours.
        try faults.set("absent")
        try daemon.wait(for: .lost)
        try faults.set("C_GetTokenInfo serial=ffffffffffffffff")
        let health = try daemon.wait(for: .needsOperator)
        #expect(health.reason.contains("ffffffffffffffff"), "\(health.reason)")
    }

    /// Requests search for nothing and read no attributes, however many objects there are.
    @Test func c17_noSearchInTheRequestPath() throws {
        let faulty = try Faulty()
        let before = try faulty.faults.calls().count
        let client = faulty.daemon.client()
        for _ in 0..<20 {
            let envelope = try client.wrap(.id(faulty.key), [1]).envelope
            #expect(try client.open(envelope) == [1])
        }
        let functions = Set(try faulty.faults.calls().dropFirst(before).map(\.function))
        #expect(
            functions.isSubset(of: [
                "C_OpenSession", "C_GenerateRandom", "C_EncryptInit", "C_Encrypt", "C_DecryptInit", "C_Decrypt",
            ]),
            "\(functions)")
    }

    /// Fewer sessions than workers: the rest waits its turn, and every request is done.
    @Test func c18_fewSessionsAreShared() throws {
        var settings = DaemonHarness.Settings()
        settings.tables = ["[workers]", "count = 4"]
        // One holds the login, one signs; three are left for four workers.
        let faulty = try Faulty(settings, "sessions 5")
        let seen = Observations()
        let (socket, envelope) = (faulty.daemon.socket, faulty.envelope)
        let load = Threads(6) { _ in
            let client = Client(ClientOptions(socketPath: socket, deadline: .seconds(30), retries: 50))
            for _ in 0..<50 where seen.all.refused.isEmpty && seen.all.wrong.isEmpty {
                observe(seen) { () throws(ClientError) in try client.open(envelope) == Faulty.plaintext }
            }
        }
        load.join()
        #expect(seen.all.done == 300 && seen.all.wrong.isEmpty, "\(seen.all.refused) \(seen.all.wrong.prefix(3))")
        #expect(try faulty.calls("C_Initialize").count == 1, "a session too many is no lost token")
        #expect(try faulty.daemon.health.state == .ready)
    }
}

/// Does one call and takes down how long it took and what came of it.
func observe(_ seen: Observations, _ call: () throws(ClientError) -> Bool) {
    let clock = ContinuousClock()
    let began = clock.now
    do throws(ClientError) {
        let isRight = try call()
        seen.note(clock.now - began, .success(isRight))
    } catch {
        seen.note(clock.now - began, .failure(error))
    }
}
