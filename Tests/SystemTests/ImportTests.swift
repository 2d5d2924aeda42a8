import ClavigerClient
import ClavigerImport
import ClavigerWire
import Cryptoki
import Glibc
import Support
import Testing

/// Imports by the programs that people use, what a thief of the PIN finds of them, and kills in their midst.
@Suite struct ImportTests {
    private static func material(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: 17 &* $0 &+ 3) } }

    /// A request to import material, of what an import token gave.
    private static func request(
        _ material: [UInt8], _ taken: ImportTokenTakeReply, name: String, key: KeyID, operation: OperationID
    ) throws -> KeyCreateRequest {
        let (publicKey, nonce) = (taken.publicKey, taken.nonce)
        let parcel = try ImportParcel(
            material: material.span.bytes, publicKey: publicKey.span.bytes, digest: taken.oaep, nonce: nonce.span.bytes,
            token: taken.id, key: key)
        var message = KeyCreateRequest(name: name, operation: operation)
        message.importToken = taken.id
        message.encryptedPayload = parcel.encryptedPayload
        message.proof = parcel.proof
        message.bits = parcel.bits
        message.nonce = taken.nonce
        message.keyID = key
        return message
    }

    @Test func oneCommandImports() throws {
        let daemon = try DaemonHarness.running()
        func does(_ line: String, sourceLocation: SourceLocation = #_sourceLocation) throws -> String {
            let ended = try daemon.shell(line)
            #expect(ended.status == 0, "\(line): \(ended.errorText)", sourceLocation: sourceLocation)
            return ended.text
        }
        func fails(_ line: String, _ text: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
            let ended = try daemon.shell(line)
            #expect(
                ended.status != 0 && ended.errorText.contains(text), "\(line): \(ended.errorText)", sourceLocation: sourceLocation
            )
        }
        try writeFile(daemon.directory + "/k32", Self.material(32))
        try writeFile(daemon.directory + "/k16", Self.material(16))
        try writeFile(daemon.directory + "/dek", "a data key")
        // What cannot be a key is told before the token makes anything.
        for count in [0, 1, 15, 17, 31, 33] {
            try writeFile(daemon.directory + "/bad", Self.material(count))
            try fails("claviger key import x --from bad", "16, 24 or 32")
        }
        try writeFile(daemon.directory + "/bad", Self.material(100))
        try fails("claviger key import x --from bad", "more than a key")
        try fails("claviger key import x --from nothing", "cannot read")
        try fails("claviger key import x --from k32 --encoding hex", "hex")
        #expect(try daemon.client().listImportTokens().tokens.isEmpty)

        let record = try does("claviger key import payroll --from k32 --ring default --tag imported --json")
        #expect(record.contains("\"imported\":true") || record.contains("\"imported\" : true"), "\(record)")
        let key = try daemon.client().showKey(.name("payroll"))
        #expect(key.isImported && key.bits == 256 && key.tags == ["imported"])
        _ = try does("claviger wrap payroll < dek > dek.clv")
        #expect(try does("claviger unwrap < dek.clv") == "a data key")
        // Its import token was made for it alone, and is gone with it.
        #expect(try daemon.client().listImportTokens().tokens.map(\.state) == [.ended])

        // With an import token of one's own: no other is made, and its nonces end one by one.
        let token = try daemon.client().createImportToken(uses: 2).id
        _ = try does("od -An -tx1 k16 | tr -d ' \\n' | claviger key import hexed --from - --encoding hex --import-token \(token)")
        #expect(try daemon.client().showKey(.name("hexed")).bits == 128)
        try fails("claviger key rotate payroll", "payload-required")
        _ = try does("base64 k16 > k16.b64; claviger key rotate payroll --from k16.b64 --encoding base64 --import-token \(token)")
        let rotated = try daemon.client().showKey(.name("payroll"))
        #expect(rotated.version == 2 && rotated.bits == 128)
        #expect(try does("claviger unwrap < dek.clv 2> note") == "a data key")
        #expect(try daemon.client().listImportTokens().tokens.map(\.state) == [.ended, .ended])
        try fails("claviger key import late --from k16 --import-token \(token)", "import-token")

        _ = try does("claviger key import plain --from k32 --plain")
        #expect(try daemon.client().showKey(.name("plain")).isImported)
        _ = try does("claviger key create generated")
        try fails("claviger key rotate generated --from k32", "generated in the token")

        // Standard keys.
        _ = try does("claviger key create password --standard --from dek")
        #expect(try does("claviger key read password") == "a data key")
        _ = try does("printf next | claviger key rotate password --from - --emergency test")
        #expect(try does("claviger key read password") == "next")
        #expect(try does("claviger key read password --version 1") == "a data key")
        try fails("claviger key read payroll", "standard")
        // No material stands in the log or in the database.
        for file in [daemon.logFile, daemon.state + "/claviger.db", daemon.state + "/claviger.db-wal"] {
            guard access(file, F_OK) == 0 else { continue }
            let content = try readFile(file)
            let text = Self.material(16)
            #expect(!(0..<max(0, content.count - 16)).contains { content[$0..<$0 + 16].elementsEqual(text) }, "\(file)")
        }
    }

    /// With the user PIN and an import's blob: nothing readable comes of it, and the pair does not change.
    @Test func a4_aStolenPINOpensNoImport() async throws {
        let daemon = try DaemonHarness.running()
        let client = daemon.client()
        let token = try client.createImportToken(ttl: 86_400, uses: 2)
        let taken = try client.takeImportToken(token.id)
        let key = KeyID(random: (11, 12))
        let message = try Self.request(
            Self.material(32), taken, name: "imported", key: key, operation: OperationID(random: (13, 14)))
        let made: KeyRecord = try WirePeer(daemon.socket).ask(.keyCreate, id: 1, message).message()
        #expect(made.id == key && made.isImported)
        try writeFile(daemon.directory + "/blob", try #require(message.encryptedPayload))
        #expect(daemon.stop() == 0)
        await #expect(processExitsWith: .success) { [directory = daemon.directory as String] in
            let attacks = try TokenAttacks(directory)
            for object in try attacks.privateObjects() {
                for (name, code) in attacks.attributeChanges(of: object) { #expect(code != 0, "\(name) of object \(object)") }
                for (name, code) in attacks.copies(of: object) { #expect(code != 0, "\(name) of object \(object)") }
                for (name, code) in attacks.wraps(of: object) { #expect(code != 0, "\(name) of object \(object)") }
                for (name, code) in attacks.misuses(of: object) { #expect(code != 0, "\(name) of object \(object)") }
                #expect(attacks.value(of: object) != 0)
            }
            exit(EXIT_SUCCESS)
        }
        await #expect(processExitsWith: .success) { [directory = daemon.directory as String] in
            let blob = try readFile(directory + "/blob")
            try TokenVisit.run(directory) { session in
                let pairs = try session.findObjects(
                    matching: [.objectClass(.privateKey), .keyType(.rsa), .bool(.token, true)], limit: 10)
                #expect(pairs.count == 1)
                let base: [Attribute] = [
                    .objectClass(.secretKey), .keyType(.aes), .bool(.token, false), .bool(.private, true),
                ]
                let wishes: [[Attribute]] = [
                    [.bool(.sensitive, false), .bool(.extractable, true)], [.bool(.sensitive, true), .bool(.extractable, true)],
                    [], [.bool(.sensitive, true), .bool(.extractable, false), .bool(.wrap, true)],
                ]
                let asOrdered: [Attribute] = [
                    .objectClass(.secretKey), .keyType(.aes), .bool(.token, false), .bool(.private, true),
                    .bool(.sensitive, true), .bool(.extractable, false), .bool(.encrypt, false), .bool(.decrypt, true),
                    .bool(.sign, false), .bool(.verify, false), .bool(.wrap, false), .bool(.unwrap, false), .bool(.derive, false),
                    .allowedMechanisms([.aesGCM]), .bool(.copyable, false), .bool(.modifiable, false),
                ]
                // As the daemon asks for it the blob opens: what is refused below is refused for what is changed.
                let taken = try session.unwrapKey(
                    .rsaOAEP(.sha1), unwrappingKey: pairs[0], wrapped: blob.span.bytes, asOrdered)
                try session.destroyObject(taken)
                let changes: [[Attribute]] = [
                    [.bool(.sensitive, false)], [.bool(.extractable, true)],
                    [.bool(.sensitive, false), .bool(.extractable, true)], [.bool(.private, false)], [.bool(.wrap, true)],
                    [.bool(.unwrap, true)], [.bool(.sign, true)], [.bool(.verify, true)], [.bool(.derive, true)],
                    [.allowedMechanisms([.aesECB])], [.bool(.copyable, true)], [.bool(.modifiable, true)],
                ]
                for change in changes {
                    let template = asOrdered.map { attribute in change.first { $0.type == attribute.type } ?? attribute }
                    #expect(throws: CryptokiError.self, "\(change)") {
                        _ = try session.unwrapKey(
                            .rsaOAEP(.sha1), unwrappingKey: pairs[0], wrapped: blob.span.bytes, template)
                    }
                }
                for wish in wishes {
                    #expect(throws: CryptokiError.self) {
                        _ = try session.unwrapKey(
                            .rsaOAEP(.sha1), unwrappingKey: pairs[0], wrapped: blob.span.bytes, base + wish)
                    }
                }
                #expect(throws: CryptokiError.failed(.decryptInit, .keyFunctionNotPermitted)) {
                    var output = [UInt8](repeating: 0, count: 512)
                    _ = try output.withUnsafeMutableBytes { output in
                        try session.decrypt(.rsaOAEP(.sha1), key: pairs[0], ciphertext: blob.span.bytes, into: output)
                    }
                }
            }
            exit(EXIT_SUCCESS)
        }
        try daemon.start()
        #expect(try daemon.health.state == .ready)
        #expect(try daemon.client().status().quarantined == 0)
        #expect(try daemon.client().listImportTokens().tokens.map(\.state) == [.open])
        #expect(try daemon.client().open(try daemon.client().wrap(.id(key), [1, 2]).envelope) == [1, 2])
    }

    /// kill -9 in the midst of imports: afterwards the token holds what the database says and nothing else, and the very same request,
    /// sent again, is answered as if nothing had happened, though its nonce is used.
    @Test func killsInTheMidstOfImports() throws {
        let rounds = isLong ? 200 : 8
        let daemon = try DaemonHarness.running()
        let token = try daemon.client().createImportToken(ttl: 86_400, uses: UInt32(rounds)).id
        var generator = SeededGenerator(seed: seed)
        var cutOff = 0
        for round in 0..<rounds {
            let taken = try daemon.client().takeImportToken(token)
            let key = KeyID(random: (generator.next(), generator.next()))
            let message = try Self.request(
                Self.material([16, 24, 32][round % 3]), taken, name: "round-\(round)", key: key,
                operation: OperationID(random: (generator.next(), generator.next())))
            let peer = try WirePeer(daemon.socket)
            try peer.send(try WirePeer.frame(.keyCreate, id: 1, message))
            usleep(UInt32.random(in: 0..<250_000, using: &generator))
            daemon.kill()
            // Whatever was answered before the kill is what the same request is answered afterwards.
            let told = (try? peer.nextOrEnd()).flatMap { $0 }
            if told == nil { cutOff += 1 }
            try daemon.start()
            #expect(try daemon.health.state == .ready, "seed \(seed), round \(round)")
            let made: KeyRecord = try WirePeer(daemon.socket).ask(.keyCreate, id: 2, message).message()
            #expect(made.id == key && made.isImported && made.name == "round-\(round)", "seed \(seed), round \(round)")
            if let told { #expect(try told.message(KeyRecord.self) == made, "seed \(seed), round \(round)") }
            #expect(try daemon.client().open(try daemon.client().wrap(.id(key), [9]).envelope) == [9])
            #expect(try daemon.client().status().quarantined == 0, "seed \(seed), round \(round): \(daemon.log.suffix(2_000))")
        }
        #expect(cutOff > 0, "the kills come at useless moments: seed \(seed)")
        // Taken as often as it may be, and every nonce used.
        let ended = try eventually { try daemon.client().listImportTokens().tokens.map(\.state) == [.ended] }
        #expect(ended)
        print("ImportTests: \(rounds) kills, \(cutOff) before the answer")
    }
}
