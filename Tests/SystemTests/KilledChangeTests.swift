import ClavigerClient
import ClavigerImport
import ClavigerWire
import Cryptoki
import Glibc
import Support
import Testing

@testable import ClavigerCore

/// kill -9 in the midst of each change that makes or ends objects. The token is looked at before the daemon comes back, and afterwards
/// it holds exactly the objects that the database names; what is nobody's stays, and is told of.
@Suite struct KilledChangeTests {
    @Test func theTokenHoldsWhatTheDatabaseNames() async throws {
        let kinds = KilledChange.allCases
        let rounds = isLong ? 25 * kinds.count : kinds.count
        var play = try await KillPlay(try DaemonHarness(), seed: seed)
        for round in 0..<rounds {
            let kind = kinds[round % kinds.count]
            do {
                try await play.round(kind)
            } catch {
                throw HarnessError("seed \(seed), round \(round), \(kind): \(error); the log ends:\n\(play.lastLines)")
            }
        }
        #expect(play.cutOff > 0, "the kills come at useless moments: seed \(seed)")
        #expect(play.leftovers > 0 || !isLong, "no kill left anything to be settled: seed \(seed)")
        print(
            "KilledChangeTests: \(rounds) kills, \(play.cutOff) before the answer, \(play.leftovers) that left an object to be "
                + "settled, \(play.halfMade) of them half-made; in the end \(play.objects) objects")
    }
}

/// The changes that are killed.
private enum KilledChange: CaseIterable {
    case create, plainImport, tokenImport, tokenImportRotation, importToken, rotate, delete, purge, createStandard, rotateStandard
}

/// A daemon, its keys, and objects on its token that are nobody's.
private struct KillPlay {
    private let daemon: DaemonHarness
    private let instance: InstanceID
    private var generator: SeededGenerator
    // What is nobody's: planted, and what a kill in the midst of the token's own writing left half-made.
    private var planted: [TokenVisit.Entry]
    private var orphans: [String]
    /// How many kills left an object half-made.
    private(set) var halfMade = 0
    private var number = 0
    private var generated = KeyID(high: 0, low: 0)
    private var imported = KeyID(high: 0, low: 0)
    private var standard = KeyID(high: 0, low: 0)
    private var importToken = ImportTokenID(high: 0, low: 0)
    /// How long each kind of change takes unharmed, in microseconds.
    private var times: [KilledChange: Int] = [:]
    private(set) var cutOff = 0
    private(set) var leftovers = 0
    private(set) var objects = 0

    init(_ daemon: DaemonHarness, seed: UInt64) async throws {
        self.daemon = daemon
        generator = SeededGenerator(seed: seed &+ 5)
        instance = try #require(try Store(directory: daemon.state, create: false).instance()).id
        let key = KeyID(random: (generator.next(), generator.next()))
        let name = ObjectName(key: key, version: 1, role: .cipher)
        // One under our prefix, one named and numbered as a key of ours would be, and one of somebody else.
        orphans = ["\(ObjectName.labelPrefix(instance: instance))planted", name.label(instance: instance)]
        planted = [
            TokenVisit.Entry(id: [1, 2, 3], objectClass: ObjectClass.secretKey.rawValue, label: orphans[0]),
            TokenVisit.Entry(id: name.objectID, objectClass: ObjectClass.secretKey.rawValue, label: orphans[1]),
            TokenVisit.Entry(id: [9], objectClass: ObjectClass.secretKey.rawValue, label: "somebody else's"),
        ]
        try await KillPlay.plant(planted, daemon)
        try daemon.start()
        try prepare()
    }

    private static func plant(_ entries: [TokenVisit.Entry], _ daemon: DaemonHarness) async throws {
        let texts = entries.map { "\($0.label)\n\($0.id.map { String($0) }.joined(separator: " "))" }
        try writeFile(daemon.directory + "/planted", texts.joined(separator: "\n"))
        await #expect(processExitsWith: .success) { [directory = daemon.directory as String] in
            let lines = String(decoding: try readFile(directory + "/planted"), as: UTF8.self).split(separator: "\n")
            try TokenVisit.run(directory) { session in
                for place in stride(from: 0, to: lines.count, by: 2) {
                    _ = try session.generateKey(
                        .aesKeyGeneration,
                        [
                            .objectClass(.secretKey), .keyType(.aes), .ulong(.valueLength, 32), .bool(.token, true),
                            .label(String(lines[place])), .id(lines[place + 1].split(separator: " ").compactMap { UInt8($0) }),
                            .bool(.private, true),
                        ])
                }
            }
            exit(EXIT_SUCCESS)
        }
    }

    /// Makes the keys that are rotated, and does each change once in peace, to know how long it takes.
    private mutating func prepare() throws {
        let client = daemon.client()
        for name in ["restore-delay", "purge-delay", "rotation-interval-minimum"] { _ = try client.setSetting(name, to: 0) }
        importToken = try client.createImportToken(ttl: 86_400, uses: 500).id
        generated = try client.createKey(name: "generated").id
        standard = try client.createKey(name: "standard") { $0.kind = .standard }.id
        let clock = ContinuousClock()
        for kind in KilledChange.allCases {
            let frame = try request(kind)
            var reply: WireFrame?
            let time = try clock.measure { reply = try answer(to: frame) }
            times[kind] = Int(time / .microseconds(1))
            try finish(kind, try #require(reply))
        }
    }

    var lastLines: String { daemon.log.split(separator: "\n").suffix(40).joined(separator: "\n") }

    private mutating func operation() -> OperationID { OperationID(random: (generator.next(), generator.next())) }

    // MARK: requests

    private mutating func request(_ kind: KilledChange) throws -> [UInt8] {
        number += 1
        let name = "\(kind) \(number)"
        var create = KeyCreateRequest(name: name, operation: operation())
        var rotate = KeyRotateRequest(key: .id(generated), operation: operation())
        let material = (0..<[16, 24, 32][number % 3]).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
        let payload = ByteRange(offset: 0, count: material.count)
        switch kind {
        case .create: return try WirePeer.frame(.keyCreate, id: 1, create)
        case .plainImport:
            create.payload = payload
            return try WirePeer.frame(.keyCreate, id: 1, create, source: material)
        case .createStandard:
            create.kind = .standard
            create.payload = payload
            return try WirePeer.frame(.keyCreate, id: 1, create, source: material)
        case .tokenImport:
            let key = KeyID(random: (generator.next(), generator.next()))
            let taken = try daemon.client().takeImportToken(importToken)
            let parcel = try parcel(material, taken, key)
            (create.importToken, create.keyID, create.nonce) = (taken.id, key, taken.nonce)
            (create.encryptedPayload, create.proof, create.bits) = (parcel.encryptedPayload, parcel.proof, parcel.bits)
            return try WirePeer.frame(.keyCreate, id: 1, create)
        case .rotate: return try WirePeer.frame(.keyRotate, id: 1, rotate)
        case .rotateStandard:
            rotate.key = KeyReference.id(standard)
            rotate.payload = payload
            return try WirePeer.frame(.keyRotate, id: 1, rotate, source: material)
        case .tokenImportRotation:
            rotate.key = KeyReference.id(imported)
            let taken = try daemon.client().takeImportToken(importToken)
            let parcel = try parcel(material, taken, imported)
            (rotate.importToken, rotate.nonce) = (taken.id, taken.nonce)
            (rotate.encryptedPayload, rotate.proof, rotate.bits) = (parcel.encryptedPayload, parcel.proof, parcel.bits)
            return try WirePeer.frame(.keyRotate, id: 1, rotate)
        case .importToken:
            return try WirePeer.frame(.importTokenCreate, id: 1, ImportTokenCreateRequest(operation: operation()))
        case .delete:
            let key = try daemon.client().createKey(name: name).id
            return try WirePeer.frame(.keyDelete, id: 1, KeyDeleteRequest(key: .id(key), operation: operation()))
        case .purge:
            let key = try daemon.client().createKey(name: name).id
            _ = try daemon.client().rotateKey(.id(key))
            _ = try daemon.client().deleteKey(.id(key))
            return try WirePeer.frame(.keyPurge, id: 1, KeyChangeRequest(key: .id(key), operation: operation()))
        }
    }

    private func parcel(_ material: [UInt8], _ taken: ImportTokenTakeReply, _ key: KeyID) throws -> ImportParcel {
        let (publicKey, nonce) = (taken.publicKey, taken.nonce)
        return try ImportParcel(
            material: material.span.bytes, publicKey: publicKey.span.bytes, digest: taken.oaep, nonce: nonce.span.bytes,
            token: taken.id, key: key)
    }

    private func answer(to frame: [UInt8]) throws -> WireFrame {
        let peer = try WirePeer(daemon.socket)
        try peer.send(frame)
        var answer = try peer.next()
        // What the killed attempt has left may still be on its way out.
        while answer.refusal == .busy {
            pause(microseconds: 10_000)
            try peer.send(frame)
            answer = try peer.next()
        }
        guard answer.header.kind == .reply else { throw HarnessError("refused: \(answer.refusal?.name ?? "?")") }
        return answer
    }

    /// Takes up what a change has made.
    private mutating func finish(_ kind: KilledChange, _ reply: WireFrame) throws {
        switch kind {
        case .tokenImport: imported = try reply.message(KeyRecord.self).id
        case .importToken: try daemon.client().deleteImportToken(try reply.message(ImportTokenRecord.self).id)
        case .create, .plainImport, .tokenImportRotation, .rotate, .delete, .purge, .createStandard, .rotateStandard: break
        }
    }

    // MARK: a kill, and what is looked at

    mutating func round(_ kind: KilledChange) async throws {
        let frame = try request(kind)
        let peer = try WirePeer(daemon.socket)
        try peer.send(frame)
        pause(microseconds: Int.random(in: 0...(times[kind] ?? 0), using: &generator))
        daemon.kill()
        let told = try peer.nextOrEnd()
        if told == nil { cutOff += 1 }
        let begun = try await lookBefore(kind)
        try daemon.start()
        let comment = Comment("seed \(seed), \(kind)")
        #expect(try daemon.wait(for: .ready).state == .ready, comment)
        takeHalfMade(begun)
        #expect(try daemon.client().status().quarantined == UInt32(orphans.count), "\(comment): \(lastLines)")
        for label in orphans { #expect(daemon.log.contains(label), comment) }
        #expect(daemon.stop() == 0, comment)
        try await lookAfter(kind)
        try daemon.start()
        // The very same request does what was cut off, or is answered as the first time.
        let reply = try answer(to: frame)
        if let told { #expect(told.header.kind == .reply && told.body == reply.body, comment) }
        try finish(kind, reply)
    }

    /// What the database of the killed daemon names; a copy is opened, so that the daemon finds all as it was left.
    private func names() throws -> Names {
        let copy = daemon.directory + "/looked-at"
        let copied = try Child.run(
            "/bin/sh", ["-c", "rm -rf \"$2\" && cp -a \"$1\" \"$2\"", "sh", daemon.state, copy], directory: daemon.directory)
        guard copied.status == 0 else { throw HarnessError(copied.errorText) }
        let store = try Store(directory: copy, create: false)
        var names = Names()
        names.there = try store.instanceKeys().map { ObjectName(instance: instance, version: $0.version, role: $0.role) }
        let keys = Dictionary(uniqueKeysWithValues: try store.keys().map { ($0.id, $0) })
        for version in try store.versions() where version.state != .destroyed {
            guard let key = keys[version.key], key.kind == .root, !key.isWiped else { continue }
            names.there += version.suite.names(ObjectName(key: key.id, version: version.version, role: .cipher))
        }
        names.there += try store.withConnection { connection throws(StoreError) in try connection.openImportTokens() }
            .map(\.objectName)
        names.ordered = Set(try store.destroyOrders().map(\.objectID))
        for intent in try store.openIntents() {
            names.begun +=
                intent.opcode == .importTokenCreate
                ? [ObjectName(key: intent.key, version: intent.version, role: .importPair)] : intent.objectNames
        }
        names.quarantined = try store.quarantined().map(\.label)
        return names
    }

    private struct Names {
        var there: [ObjectName] = []
        var begun: [ObjectName] = []
        var ordered: Set<[UInt8]> = []
        var quarantined: [String] = []
    }

    /// The objects on the token beside those that the database says are there, none of which is missing, and those that are nobody's.
    private mutating func rest(_ names: Names, _ comment: Comment) async throws -> [TokenVisit.Entry] {
        var found = try await TokenVisit.entries(daemon).filter { $0.objectClass != ObjectClass.publicKey.rawValue }
        objects = found.count
        for entry in planted {
            let place = found.firstIndex(of: entry)
            #expect(place != nil, "\(comment): '\(entry.label)' is not on the token any more")
            if let place { found.remove(at: place) }
        }
        for name in names.there {
            let place = found.firstIndex { $0.id == name.objectID }
            #expect(place != nil, "\(comment): no object \(name.label(instance: instance))")
            if let place { found.remove(at: place) }
        }
        #expect(Set(names.there.map(\.objectID)).isDisjoint(with: names.ordered), "\(comment): what is in use is to be destroyed")
        return found
    }

    /// The token makes an object attribute by attribute: one that is cut off can be there and be no key. It is nobody's then.
    private mutating func takeHalfMade(_ begun: [TokenVisit.Entry]) {
        let lines = daemon.log.split(separator: "\n")
        for entry in begun where !orphans.contains(entry.label) {
            guard lines.contains(where: { $0.contains("quarantined label=\(entry.label) ") }),
                lines.contains(where: { $0.contains("left nothing usable behind") })
            else { continue }
            planted.append(entry)
            orphans.append(entry.label)
            halfMade += 1
        }
    }

    /// - Returns: the objects that a change which was begun has left.
    private mutating func lookBefore(_ kind: KilledChange) async throws -> [TokenVisit.Entry] {
        let comment = Comment("seed \(seed), \(kind), before the start")
        let names = try names()
        let rest = try await rest(names, comment)
        let begun = Set(names.begun.map(\.objectID))
        for entry in rest {
            #expect(begun.contains(entry.id) || names.ordered.contains(entry.id), "\(comment): \(entry.label)")
        }
        if !rest.isEmpty { leftovers += 1 }
        return rest.filter { begun.contains($0.id) }
    }

    private mutating func lookAfter(_ kind: KilledChange) async throws {
        let comment = Comment("seed \(seed), \(kind), after the start")
        let names = try names()
        let rest = try await rest(names, comment)
        #expect(rest.isEmpty, "\(comment): \(rest.map(\.label))")
        #expect(names.begun.isEmpty && names.ordered.isEmpty, comment)
        #expect(names.quarantined.sorted() == orphans.sorted(), comment)
    }
}
