import ClavigerClient
import ClavigerCore
import ClavigerWire
import Cryptoki
import Glibc
import Support
import Testing

/// Every object that Claviger makes, attribute for attribute, and what a thief of the user PIN can do to it.
///
/// C_Initialize and the login belong to a process, so each look at a token happens in a child process.
@Suite struct ObjectTests {
    /// A token with the instance's keys and three versions of root keys, and nobody who runs it.
    private static func prepared() throws -> DaemonHarness {
        let daemon = try DaemonHarness.running()
        let client = daemon.client()
        _ = try client.rotateKey(.id(try client.createKey(name: "first").id))
        _ = try client.createKey(name: "second")
        #expect(daemon.stop() == 0)
        return daemon
    }

    /// All attributes of all objects are as ordered, and there are no other objects.
    @Test func a3_a5b_everyAttributeOfEveryObject() async throws {
        let daemon = try Self.prepared()
        await #expect(processExitsWith: .success) { [directory = daemon.directory as String] in
            let (found, memory) = try TokenVisit.run(directory) { session in
                (
                    try ObjectAttributes.readAll(&session),
                    try session.findObjects(matching: [.objectClass(.data), .bool(.private, true)], limit: 10).count
                )
            }
            // Beside the keys one private data object, in which the token remembers the database's epoch.
            #expect(memory == 1)
            // Four keys of the instance, one of them a pair, and three versions of root keys.
            #expect(found.count == 8)
            let roles = found.map(\.role).sorted()
            #expect(roles == ["audit", "audit", "canary", "cipher", "cipher", "cipher", "mac", "vault"])
            for object in found {
                let expected = ObjectAttributes.expected(object)
                for (type, value) in expected {
                    #expect(object.values[type] == value, "\(type) of \(object.label)")
                }
                // Nothing was read that nothing is expected of, and nothing expected that was not read.
                #expect(Set(object.values.keys) == Set(expected.keys), "\(object.label)")
            }
            exit(EXIT_SUCCESS)
        }
    }

    /// With the user PIN alone no key comes out and none changes: neither by attributes, copies nor wrapping.
    @Test func a1_a2_a7_aStolenPINGetsNoKey() async throws {
        let daemon = try Self.prepared()
        await #expect(processExitsWith: .success) { [directory = daemon.directory as String] in
            let attacks = try TokenAttacks(directory)
            let objects = try attacks.privateObjects()
            #expect(objects.count == 7)
            for object in objects {
                for (name, code) in attacks.attributeChanges(of: object) { #expect(code != 0, "\(name) of object \(object)") }
                for (name, code) in attacks.copies(of: object) { #expect(code != 0, "\(name) of object \(object)") }
                for (name, code) in attacks.wraps(of: object) { #expect(code != 0, "\(name) of object \(object)") }
                for (name, code) in attacks.misuses(of: object) { #expect(code != 0, "\(name) of object \(object)") }
                #expect(attacks.value(of: object) != 0)
            }
            // The attacks themselves work, where an object permits them.
            #expect(attacks.worksOnAnOpenKey())
            exit(EXIT_SUCCESS)
        }
        // Whatever was tried, the daemon finds its keys as they were.
        try daemon.start()
        #expect(try daemon.health.state == .ready)
        #expect(try daemon.client().status().quarantined == 0)
    }
}

/// A look at a harness's token in a process of its own.
enum TokenVisit {
    /// Logs in as the user and runs `body`.
    static func run<R>(_ directory: String, _ body: (inout Session) throws -> R) throws -> R {
        setenv("SOFTHSM2_CONF", directory + "/softhsm2.conf", 1)
        let pin = try readFile(directory + "/pin")
        let module = try Module(path: try SoftToken.modulePath())
        try module.initialize()
        let slot = try TokenURI("pkcs11:token=claviger").select(in: module)
        var session = try module.openSession(slot, readWrite: true)
        try session.login(.user, pin: pin.span.bytes)
        return try body(&session)
    }

    /// What an enumeration is taken down as: CKA_ID, class and label.
    struct Entry: Hashable, Sendable {
        var id: [UInt8]
        var objectClass: UInt
        var label: String
    }

    /// All token objects of a harness whose daemon does not run, found in a child process.
    static func entries(_ daemon: DaemonHarness) async throws -> [Entry] {
        let result = try await #require(processExitsWith: .success, observing: [\.standardOutputContent]) {
            [directory = daemon.directory as String] in
            try TokenVisit.run(directory) { session in
                for handle in try session.findObjects(matching: [.bool(.token, true)], limit: 100_000) {
                    // The token's memory of the database's epoch is no key, and another one after each change.
                    if try session.ulong(.objectClass, of: handle) == ObjectClass.data.rawValue { continue }
                    let id = try session.bytes(.id, of: handle)
                    let label = String(decoding: try session.bytes(.label, of: handle), as: UTF8.self)
                    let digits = id.map { String($0, radix: 16) }.joined(separator: ".")
                    print("object \(digits) \(try session.ulong(.objectClass, of: handle)) \(label)")
                }
            }
            exit(EXIT_SUCCESS)
        }
        return String(decoding: result.standardOutputContent, as: UTF8.self).split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ", maxSplits: 3, omittingEmptySubsequences: false)
            guard words.count == 4, words[0] == "object", let objectClass = UInt(words[2]) else { return nil }
            return Entry(
                id: words[1].split(separator: ".").compactMap { UInt8($0, radix: 16) }, objectClass: objectClass,
                label: String(words[3]))
        }
    }
}

/// An object's attributes, read one by one.
struct ObjectAttributes {
    /// One value in a comparable form; nil where the object has no such attribute.
    enum Value: Equatable {
        case bool(Bool)
        case number(UInt)
        case bytes([UInt8])
        case mechanisms([MechanismType])
        /// The token does not show it: sensitive.
        case hidden
    }

    var label: String
    var id: [UInt8]
    var objectClass: ObjectClass
    var values: [AttributeType: Value]

    /// The last part of the label.
    var role: String { label.split(separator: ":").last.map(String.init) ?? "" }

    private static let keyUses: [AttributeType] = [
        .encrypt, .decrypt, .sign, .signRecover, .verify, .verifyRecover, .wrap, .unwrap, .derive,
    ]
    private static let secretUses = keyUses.filter { $0 != .signRecover && $0 != .verifyRecover }
    private static let privateUses: [AttributeType] = [.decrypt, .sign, .signRecover, .unwrap, .derive]
    private static let publicUses: [AttributeType] = [.encrypt, .verify, .verifyRecover, .wrap, .derive]
    private static let storage: [AttributeType] = [.token, .private, .modifiable, .copyable, .destroyable, .local]
    private static let secrecy: [AttributeType] = [.sensitive, .extractable, .alwaysSensitive, .neverExtractable]

    private static func uses(_ objectClass: ObjectClass) -> [AttributeType] {
        switch objectClass {
        case .publicKey: publicUses
        case .privateKey: privateUses
        case _: secretUses
        }
    }

    /// All objects of the token with all of their attributes that matter.
    static func readAll(_ session: inout Session) throws -> [ObjectAttributes] {
        var all: [ObjectAttributes] = []
        for handle in try session.findObjects(matching: [.bool(.token, true)], limit: 1_000) {
            let objectClass = ObjectClass(rawValue: try session.ulong(.objectClass, of: handle))
            if objectClass == .data { continue }
            let label = String(decoding: try session.bytes(.label, of: handle), as: UTF8.self)
            var object = ObjectAttributes(
                label: label, id: try session.bytes(.id, of: handle), objectClass: objectClass, values: [:])
            for type in uses(objectClass) + storage + (objectClass == .publicKey ? [] : secrecy) {
                object.values[type] = .bool(try session.bool(type, of: handle))
            }
            object.values[.keyType] = .number(try session.ulong(.keyType, of: handle))
            if objectClass == .secretKey {
                object.values[.valueLength] = .number(try session.ulong(.valueLength, of: handle))
            }
            if objectClass == .publicKey {
                object.values[.ecParameters] = .bytes(try session.bytes(.ecParameters, of: handle))
            } else {
                object.values[.allowedMechanisms] = .mechanisms(try session.mechanisms(.allowedMechanisms, of: handle))
                // The value itself: a secret key's, or a private key's exponent.
                do throws(CryptokiError) {
                    object.values[.value] = .bytes(try session.bytes(.value, of: handle))
                } catch {
                    object.values[.value] = .hidden
                }
            }
            all.append(object)
        }
        return all
    }

    /// What DESIGN asks of an object of this role: stated here by hand, not taken from the code that makes it.
    static func expected(_ object: ObjectAttributes) -> [AttributeType: Value] {
        let used: Set<AttributeType>
        let keyType: KeyType
        let mechanism: MechanismType
        switch (object.role, object.objectClass) {
        case ("audit", .publicKey): (used, keyType, mechanism) = ([.verify], .ec, .ecdsa)
        case ("audit", _): (used, keyType, mechanism) = ([.sign], .ec, .ecdsa)
        case ("mac", _): (used, keyType, mechanism) = ([.sign, .verify], .genericSecret, .hmacSHA256)
        case (_, _): (used, keyType, mechanism) = ([.encrypt, .decrypt], .aes, .aesGCM)
        }
        let isPublic = object.objectClass == .publicKey
        var values: [AttributeType: Value] = [
            .token: .bool(true), .private: .bool(!isPublic), .modifiable: .bool(false), .copyable: .bool(false),
            .destroyable: .bool(true), .local: .bool(true), .keyType: .number(keyType.rawValue),
        ]
        for use in uses(object.objectClass) { values[use] = .bool(used.contains(use)) }
        if isPublic {
            // P-256, 1.2.840.10045.3.1.7.
            values[.ecParameters] = .bytes([0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07])
            return values
        }
        values[.sensitive] = .bool(true)
        values[.extractable] = .bool(false)
        values[.alwaysSensitive] = .bool(true)
        values[.neverExtractable] = .bool(true)
        values[.allowedMechanisms] = .mechanisms([mechanism])
        values[.value] = .hidden
        if object.objectClass == .secretKey { values[.valueLength] = .number(32) }
        return values
    }
}
