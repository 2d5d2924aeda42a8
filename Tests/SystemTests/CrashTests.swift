import ClavigerClient
import ClavigerCore
import ClavigerWire
import Cryptoki
import Glibc
import Support
import Testing

/// kill -9 at random moments: nothing that was acknowledged is ever missing, and nothing is on the token that nobody knows of.
@Suite struct CrashTests {
    /// 25 kills in the everyday check, 500 in the long one; every fifth within 3 ms of the start of C_Login.
    private static let rounds = isLong ? 500 : 25

    @Test func killsLoseNothing() async throws {
        var witness = Witness(daemon: try DaemonHarness(), seed: seed)
        try witness.daemon.start()
        for round in 0..<Self.rounds {
            do {
                try await witness.play(round, isLast: round == Self.rounds - 1)
            } catch {
                // The log goes with the harness, so what it said last is told here.
                let end = witness.daemon.stop() ?? -1
                let log = witness.daemon.log.split(separator: "\n").suffix(40).joined(separator: "\n")
                throw HarnessError("seed \(seed), round \(round): \(error); the daemon ended with \(end) and logged:\n\(log)")
            }
        }
        #expect(witness.acknowledged > 0 && witness.cutOff > 0, "the kills come at useless moments: seed \(seed)")
        print(
            "CrashTests: \(Self.rounds) kills, \(witness.loginKills) in a login; \(witness.acknowledged) changes acknowledged before "
                + "one, \(witness.cutOff) cut off; \(witness.wrapped) envelopes; token file restored \(witness.restored) times")
    }

    /// An object under our name that no record speaks of is reported and left alone.
    @Test func strangeObjectsAreQuarantined() async throws {
        let daemon = try DaemonHarness()
        let instance = try Store(directory: daemon.state, create: false).instance()?.id
        let label = "claviger:\(try #require(instance)):planted:1:cipher"
        try await planted(daemon, label)
        let before = try await TokenVisit.entries(daemon)
        #expect(before.contains { $0.label == label })
        try daemon.start()
        #expect(try daemon.client().status().quarantined == 1)
        #expect(try daemon.health.state == .ready)
        #expect(try daemon.claviger("status").text.contains("quarantined"))
        #expect(daemon.log.contains(label))
        _ = try daemon.client().createKey(name: "beside it")
        try daemon.restart()
        #expect(try daemon.client().status().quarantined == 1)
        daemon.stop()
        #expect(Set(try await TokenVisit.entries(daemon)).isSuperset(of: before))
    }

    private func planted(_ daemon: DaemonHarness, _ label: String) async throws {
        await #expect(processExitsWith: .success) {
            [directory = daemon.directory as String, label = label as String] in
            try TokenVisit.run(directory) { session in
                _ = try session.generateKey(
                    .aesKeyGeneration,
                    [
                        .objectClass(.secretKey), .keyType(.aes), .ulong(.valueLength, 32), .bool(.token, true), .label(label),
                        .id([1, 2, 3]), .bool(.private, true),
                    ])
            }
            exit(EXIT_SUCCESS)
        }
    }
}

/// What a client was told, and so may rely on.
private struct Witness {
    let daemon: DaemonHarness
    private var generator: SeededGenerator
    /// Changes that were answered, with their answers.
    private var answered: [(Change, KeyRecord)] = []
    /// Changes that were sent and not answered before the last kill.
    private var open: [Change] = []
    private var envelopes: [(envelope: [UInt8], plaintext: [UInt8])] = []
    private var number: UInt64 = 0
    /// How long a change took lately, in microseconds.
    private var changeTime = 20_000

    private(set) var loginKills = 0
    private(set) var cutOff = 0
    private(set) var acknowledged = 0
    var wrapped: Int { envelopes.count }
    var restored: Int { daemon.log.split(separator: "\n").count { $0.contains("restored from its copy") } }

    /// A create or rotate request, ready to be sent again.
    private enum Change {
        case create(KeyCreateRequest)
        case rotate(KeyRotateRequest)

        func frame(_ id: UInt32) throws -> [UInt8] {
            switch self {
            case .create(let request): try WirePeer.frame(.keyCreate, id: id, request)
            case .rotate(let request): try WirePeer.frame(.keyRotate, id: id, request)
            }
        }
    }

    init(daemon: DaemonHarness, seed: UInt64) {
        self.daemon = daemon
        generator = SeededGenerator(seed: seed)
    }

    /// The third rotation of a key within a minute has a reason.
    private mutating func rotation(of key: KeyID) -> KeyRotateRequest {
        var request = KeyRotateRequest(key: .id(key), operation: operation())
        request.reason = "kill test"
        return request
    }

    private mutating func operation() -> OperationID { OperationID(random: (generator.next(), generator.next())) }

    /// One kill, and what must be so after it.
    mutating func play(_ round: Int, isLast: Bool) async throws {
        if round % 5 == 4 { try killInLogin() } else { try killAtWork() }
        try comeBack(round)
        // The token itself is looked at from outside now and then: that takes a process each time.
        if round % 10 == 9 || isLast {
            try await lookAtToken(round)
            try daemon.start()
        }
    }

    /// Sends changes and wraps, kills the daemon at some moment, and takes down what was answered until then.
    private mutating func killAtWork() throws {
        let peer = try WirePeer(daemon.socket)
        let clock = ContinuousClock()
        let begin = clock.now
        var sent: [UInt32: Change] = [:]
        for id in 1...UInt32(6) {
            number += 1
            let change: Change =
                if let known = answered.randomElement(using: &generator)?.1, Bool.random(using: &generator) {
                    .rotate(rotation(of: known.id))
                } else {
                    .create(KeyCreateRequest(name: "key \(number)", operation: operation()))
                }
            sent[id] = change
            try peer.send(try change.frame(id))
            if let known = answered.randomElement(using: &generator)?.1 {
                let request = WrapRequest(key: .id(known.id), items: [WrapItem(input: .generated(32))])
                try peer.send(try WirePeer.frame(.wrap, id: 100 + id, request))
            }
        }
        // After so many answers, and then somewhere within the next change.
        let answers = Int.random(in: 0..<sent.count, using: &generator)
        let total = sent.count
        while total - sent.count < answers { try note(peer.next(), &sent) }
        if answers > 0 { changeTime = Int((clock.now - begin) / .microseconds(1)) / answers }
        pause(microseconds: Int.random(in: 0...changeTime, using: &generator))
        daemon.kill()
        // What had been sent before the end is still read.
        while let frame = try peer.nextOrEnd() { try note(frame, &sent) }
        acknowledged += total - sent.count
        cutOff += sent.count
        open += sent.sorted { $0.key < $1.key }.map(\.value)
    }

    private mutating func note(_ frame: WireFrame, _ sent: inout [UInt32: Change]) throws {
        if let change = sent.removeValue(forKey: frame.header.requestID) {
            // A change may be refused, as busy; it is asked for again later.
            if frame.header.kind == .reply { answered.append((change, try frame.message())) } else { open.append(change) }
        } else if frame.header.kind == .reply {
            try noteEnvelope(frame)
        }
    }

    private mutating func noteEnvelope(_ frame: WireFrame) throws {
        let reply: CipherReply = try frame.message()
        for item in reply.items where item.code == 0 {
            guard let envelope = item.envelope, let plaintext = item.plaintext else { throw HarnessError("no envelope") }
            let body = frame.body
            envelopes.append((body.span.bytes.part(envelope).array(), body.span.bytes.part(plaintext).array()))
        }
    }

    /// Stops the daemon, starts it, and kills it within 3 ms of the start of C_Login, which the marker's writing announces.
    private mutating func killInLogin() throws {
        daemon.stop()
        let watch = inotify_init1(Int32(O_CLOEXEC))
        guard watch >= 0 else { throw HarnessError("inotify: \(systemText(errno))") }
        defer { close(watch) }
        // The marker is replaced by a rename.
        guard inotify_add_watch(watch, daemon.state, UInt32(IN_MOVED_TO)) >= 0 else {
            throw HarnessError("inotify: \(systemText(errno))")
        }
        let delay = Int.random(in: 0...3_000, using: &generator)
        try daemon.launch()
        var events = [UInt8](repeating: 0, count: 4_096)
        var isMarked = false
        while !isMarked {
            var waited = pollfd(fd: watch, events: Int16(POLLIN), revents: 0)
            guard poll(&waited, 1, Int32(DaemonHarness.patience.components.seconds) * 1_000) > 0 else {
                throw HarnessError("no login marker was written:\n\(daemon.log)")
            }
            let count = read(watch, &events, events.count)
            isMarked = String(decoding: events[..<max(0, count)], as: UTF8.self).contains("login-marker")
        }
        pause(microseconds: delay)
        daemon.kill()
        loginKills += 1
    }

    /// Starts the daemon again and asks for everything that was promised.
    private mutating func comeBack(_ round: Int) throws {
        let comment = Comment("seed \(seed), round \(round)")
        try daemon.start()
        let health = try daemon.health
        guard health.state == .ready else {
            throw HarnessError("\(comment): the daemon is \(health.state.name), \(health.reason):\n\(daemon.log)")
        }
        let peer = try WirePeer(daemon.socket)
        // A retry of what was cut off is done now; one of what was answered gets the same answer.
        for change in open {
            try peer.send(try change.frame(1))
            answered.append((change, try peer.next().message()))
        }
        open = []
        for (change, record) in answered.suffix(8) {
            try peer.send(try change.frame(2))
            #expect(try peer.next().message(KeyRecord.self) == record, comment)
        }
        var keys: [KeyID: KeyRecord] = [:]
        try daemon.client().forEachKey { (key) throws(ClientError) in keys[key.id] = key }
        for (_, record) in answered {
            #expect(keys[record.id].map { $0.version >= record.version && $0.name == record.name } == true, comment)
        }
        let operations = Set(answered.map(\.1.id))
        #expect(Set(keys.keys) == operations, comment)
        for start in stride(from: 0, to: envelopes.count, by: 256) {
            let part = envelopes[start..<min(start + 256, envelopes.count)]
            let reply = try daemon.client().unwrap(part.map { SealedItem($0.envelope) })
            for (index, entry) in part.enumerated() {
                let plaintext = reply.withPlaintext(index) { $0.array() }
                #expect(plaintext == entry.plaintext, comment)
            }
        }
    }

    /// Stops the daemon and compares the token's objects with what the database says: the same, or quarantined.
    private func lookAtToken(_ round: Int) async throws {
        let comment = Comment("seed \(seed), round \(round)")
        #expect(daemon.stop() == 0, comment)
        let entries = try await TokenVisit.entries(daemon)
        let store = try Store(directory: daemon.state, create: false)
        let instance = try #require(try store.instance())
        var known = try store.versions().map { ObjectName(key: $0.key, version: $0.version, role: .cipher).objectID }
        known += try store.instanceKeys().map { ObjectName(instance: instance.id, version: $0.version, role: $0.role).objectID }
        let quarantined = Set(try store.quarantined().map(\.objectID))
        // Public keys are for everybody, and belong to a private one.
        var found = entries.filter { $0.objectClass != 2 }
        for id in known {
            let place = found.firstIndex { $0.id == id }
            #expect(place != nil, "\(comment): no object of id \(id)")
            if let place { found.remove(at: place) }
        }
        let unexplained = found.filter { !quarantined.contains($0.id) }
        #expect(unexplained.isEmpty, comment)
        #expect(try store.openIntents().isEmpty, comment)
    }
}
