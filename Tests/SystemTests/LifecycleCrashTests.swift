import ClavigerClient
import ClavigerCore
import ClavigerWire
import Glibc
import Support
import Testing

/// kill -9 in the middle of whole lives of keys: what was acknowledged holds, what was cut off is done by a retry, and the token holds
/// exactly the objects that the database says it holds.
@Suite struct LifecycleCrashTests {
    private static let rounds = isLong ? 300 : 15

    @Test func killsInTheMiddleOfLives() async throws {
        var play = LifePlay(daemon: try DaemonHarness(), seed: seed)
        try play.begin()
        for round in 0..<Self.rounds {
            do {
                try play.round()
                if round % 5 == 4 || round == Self.rounds - 1 {
                    try await play.lookAtToken()
                    try play.daemon.start()
                }
            } catch {
                let end = play.daemon.stop() ?? -1
                let log = play.daemon.log.split(separator: "\n").suffix(40).joined(separator: "\n")
                throw HarnessError("seed \(seed), round \(round): \(error); the daemon ended with \(end) and logged:\n\(log)")
            }
        }
        #expect(play.acknowledged > 0 && play.cutOff > 0, "the kills come at useless moments: seed \(seed)")
        #expect(play.finished > 0, "no life came to its end: seed \(seed)")
        print(
            "LifecycleCrashTests: \(Self.rounds) kills; \(play.acknowledged) steps acknowledged before one, \(play.cutOff) cut off; "
                + "\(play.finished) keys purged; quarantined in the end: \(try play.daemon.client().status().quarantined)")
    }
}

/// Keys that go through their lives one step after the other.
private struct LifePlay {
    /// The steps of a life, in their order.
    enum Step: Int, CaseIterable {
        case create, rotate, retire, destroyVersion, disable, delete, restore, deleteAgain, purge
    }

    /// One key: which step comes next, and what has been made of it.
    struct Life {
        let name: String
        var id: KeyID?
        var next = Step.create
        /// Envelopes of version 1 and 2, with the plaintext.
        var envelopes: [(version: UInt32, envelope: [UInt8], plaintext: [UInt8])] = []
    }

    let daemon: DaemonHarness
    private var generator: SeededGenerator
    private var lives: [Life] = []
    private var number = 0
    /// How long a step took lately, in microseconds.
    private var stepTime = 10_000
    private(set) var acknowledged = 0
    private(set) var cutOff = 0
    private(set) var finished = 0

    init(daemon: DaemonHarness, seed: UInt64) {
        self.daemon = daemon
        generator = SeededGenerator(seed: seed &+ 77)
    }

    mutating func begin() throws {
        try daemon.start()
        // No step waits for time here.
        for name in ["enable-delay", "restore-delay", "purge-delay"] { _ = try daemon.client().setSetting(name, to: 0) }
        for _ in 0..<6 { addLife() }
    }

    private mutating func addLife() {
        number += 1
        lives.append(Life(name: "life \(number)"))
    }

    private mutating func operation() -> OperationID { OperationID(random: (generator.next(), generator.next())) }

    /// The request of a step.
    private mutating func frame(_ step: Step, _ life: Life, id: UInt32) throws -> [UInt8] {
        let operation = operation()
        guard let key = life.id.map({ KeyReference.id($0) }) else {
            return try WirePeer.frame(.keyCreate, id: id, KeyCreateRequest(name: life.name, operation: operation))
        }
        let change = KeyChangeRequest(key: key, operation: operation)
        switch step {
        case .create: throw HarnessError("\(life.name) is created already")
        case .rotate:
            var request = KeyRotateRequest(key: key, operation: operation)
            request.reason = "kill test"
            return try WirePeer.frame(.keyRotate, id: id, request)
        case .retire:
            return try WirePeer.frame(.versionRetire, id: id, VersionRetireRequest(key: key, operation: operation, version: 1))
        case .destroyVersion:
            // What nobody has looked at is not destroyed, and a daemon that was killed does not remember who has.
            _ = try daemon.client().census(of: key)
            return try WirePeer.frame(.versionDestroy, id: id, VersionDestroyRequest(key: key, operation: operation, version: 1))
        case .disable: return try WirePeer.frame(.keyDisable, id: id, change)
        case .delete, .deleteAgain:
            return try WirePeer.frame(.keyDelete, id: id, KeyDeleteRequest(key: key, operation: operation))
        case .restore: return try WirePeer.frame(.keyRestore, id: id, change)
        case .purge: return try WirePeer.frame(.keyPurge, id: id, change)
        }
    }

    /// One step of every life, a kill somewhere among them, and what must be so afterwards.
    mutating func round() throws {
        let clock = ContinuousClock()
        let begin = clock.now
        var sent: [UInt32: (place: Int, frame: [UInt8])] = [:]
        let peer = try WirePeer(daemon.socket)
        for place in lives.indices.shuffled(using: &generator) {
            let id = UInt32(place) + 1
            let frame = try frame(lives[place].next, lives[place], id: id)
            sent[id] = (place, frame)
            try peer.send(frame)
        }
        let total = sent.count
        let answers = Int.random(in: 0..<total, using: &generator)
        while total - sent.count < answers { try note(peer.next(), &sent) }
        if answers > 0 { stepTime = Int((clock.now - begin) / .microseconds(1)) / answers }
        pause(microseconds: Int.random(in: 0...stepTime, using: &generator))
        daemon.kill()
        while let frame = try peer.nextOrEnd() { try note(frame, &sent) }
        acknowledged += total - sent.count
        cutOff += sent.count
        try daemon.start()
        let health = try daemon.health
        guard health.state == .ready else { throw HarnessError("the daemon is \(health.state.name): \(health.reason)") }
        // A retry does what was cut off, or says that it was done.
        let again = try WirePeer(daemon.socket)
        for id in sent.keys.sorted() {
            guard let (_, frame) = sent[id] else { continue }
            try again.send(frame)
            // What the killed attempt has left may still be on its way out.
            var answer = try again.next()
            while answer.refusal == .busy || answer.refusal == .versionState {
                pause(microseconds: 10_000)
                // Nor does the daemon remember who has looked at a version that is to be destroyed.
                if answer.refusal == .versionState { try look(sent[id]?.place) }
                try again.send(frame)
                answer = try again.next()
            }
            try note(answer, &sent)
        }
        for place in lives.indices { try check(place) }
        finished += lives.count { $0.next == .create && $0.id != nil }
        lives.removeAll { $0.next == .create && $0.id != nil }
        while lives.count < 6 { addLife() }
    }

    /// Looks at the uses of a life's versions, of which one is to be destroyed.
    private func look(_ place: Int?) throws {
        guard let place, lives[place].next == .destroyVersion, let id = lives[place].id else {
            throw HarnessError("version-state, though no version is to be destroyed")
        }
        _ = try daemon.client().census(of: .id(id))
    }

    /// Takes an answer down: the life goes on to its next step; past the last it stands at `create` with its id.
    private mutating func note(_ frame: WireFrame, _ sent: inout [UInt32: (place: Int, frame: [UInt8])]) throws {
        guard let (place, _) = sent.removeValue(forKey: frame.header.requestID) else { throw HarnessError("a strange answer") }
        let step = lives[place].next
        guard frame.header.kind == .reply else {
            throw HarnessError("\(lives[place].name), \(step): \(frame.refusal?.name ?? "?")")
        }
        if step == .create { lives[place].id = try frame.message(KeyRecord.self).id }
        lives[place].next = Step(rawValue: step.rawValue + 1) ?? .create
    }

    /// Whether a key is as its answers said, and what it sealed opens as far as it may.
    private mutating func check(_ place: Int) throws {
        let client = daemon.client()
        let life = lives[place]
        guard let id = life.id else { return }
        let key = KeyReference.id(id)
        let comment = Comment("seed \(seed), \(life.name), next \(life.next)")
        guard life.next != .create else {
            #expect(refusal { () throws(ClientError) in _ = try client.showKey(key) } == .denied, comment)
            return
        }
        let record = try client.showKey(key)
        let states: [KeyState] = [.active, .active, .active, .active, .active, .suspended, .destroyed, .suspended, .destroyed]
        #expect(record.state == states[life.next.rawValue] && record.name == life.name, comment)
        #expect(record.version == (life.next.rawValue > Step.rotate.rawValue ? 2 : 1), comment)
        let first = try client.versions(of: key).versions.last
        let expected: VersionState =
            life.next.rawValue > Step.destroyVersion.rawValue
            ? .destroyed : life.next.rawValue > Step.retire.rawValue ? .retired : .inUse
        #expect(first?.state == expected, comment)
        for (version, envelope, plaintext) in life.envelopes {
            let opens = record.state == .active && (version == 2 || expected == .inUse)
            if opens {
                #expect(try client.open(envelope) == plaintext, comment)
            } else {
                let code = refusal { () throws(ClientError) in try client.open(envelope) }
                let wanted: RefusalCode =
                    record.state == .suspended ? .keyState : record.state == .destroyed ? .keyDeleted : .versionState
                #expect(code == wanted, comment)
            }
        }
        if record.state == .active, !life.envelopes.contains(where: { $0.version == record.version }) {
            let made = try client.making(key)
            lives[place].envelopes.append((record.version, made.envelope, made.plaintext))
        }
    }

    /// Stops the daemon and compares the token's objects with what the database says: exactly these, what is ordered to go, and what is
    /// quarantined.
    func lookAtToken() async throws {
        let comment = Comment("seed \(seed)")
        #expect(daemon.stop() == 0, comment)
        let entries = try await TokenVisit.entries(daemon)
        let store = try Store(directory: daemon.state, create: false)
        let instance = try #require(try store.instance())
        var known = try store.instanceKeys().map {
            ObjectName(instance: instance.id, version: $0.version, role: $0.role).objectID
        }
        let wiped = Set(try store.keys().filter(\.isWiped).map(\.id))
        for version in try store.versions() where version.state != .destroyed && !wiped.contains(version.key) {
            known.append(ObjectName(key: version.key, version: version.version, role: .cipher).objectID)
        }
        var found = entries.filter { $0.objectClass != 2 }
        for id in known {
            let place = found.firstIndex { $0.id == id }
            #expect(place != nil, "\(comment): no object of id \(id)")
            if let place { found.remove(at: place) }
        }
        let ordered = Set(try store.destroyOrders().map(\.objectID))
        let quarantined = Set(try store.quarantined().map(\.objectID))
        #expect(found.allSatisfy { ordered.contains($0.id) || quarantined.contains($0.id) }, comment)
        #expect(Set(known).isDisjoint(with: ordered), "\(comment): what is in use is ordered to be destroyed")
        #expect(try store.openIntents().isEmpty, comment)
    }
}
