import ClavigerWire
import SecureMemory
import Support
import Testing

@testable import ClavigerCore

/// Standard keys: secrets that the vault keeps, through the service and on a real token.
@Suite struct StandardKeyTests {
    @Test func secretsOfEveryLengthComeBack() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            let files = try instance.objectFiles()
            var kept: [(KeyID, [UInt8])] = []
            for count in [1, 15, 32, 4_095, 4_096, 4_097, 7_499, 7_500] {
                let secret = TestInstance.material(count, seed: UInt8(truncatingIfNeeded: count))
                let key = try instance.create(secret, kind: .standard, name: "secret-\(count)")
                #expect(key.kind == .standard && key.version == 1 && key.bits == nil)
                kept.append((key.id, secret))
            }
            #expect(try instance.objectFiles() == files, "a standard key has no object on the token")
            let generated = try instance.create("generated") { $0.kind = .standard }
            let secret = try instance.read(generated.id)
            #expect(secret.bytes.count == 32 && Set(secret.bytes).count > 8)
            #expect(try instance.read(instance.create("other") { $0.kind = .standard }.id).bytes != secret.bytes)
            try instance.restart()
            for (key, secret) in kept { #expect(try instance.read(key) == TestInstance.Secret(bytes: secret, version: 1)) }
            #expect(try instance.read(generated.id) == secret)
            // One byte too many is refused by the message itself.
            #expect(try code { try instance.create(TestInstance.material(7_501), kind: .standard) } == .invalidValue)
            #expect(try code { try instance.create([], kind: .standard) } == .invalidValue)
        }
    }

    @Test func versionsStatesAndKinds() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            let key = try instance.create(Array("first".utf8), kind: .standard).id
            #expect(try instance.rotate(key, to: Array("second".utf8)).version == 2)
            #expect(try instance.rotate(key).version == 3)
            #expect(try instance.read(key, version: 1) == TestInstance.Secret(bytes: Array("first".utf8), version: 1))
            #expect(try instance.read(key, version: 2).bytes == Array("second".utf8))
            #expect(try instance.read(key).bytes.count == 32 && instance.read(key).version == 3)
            #expect(try code { try instance.read(key, version: 4) } == .notFound)
            try instance.retire(key, 1)
            #expect(try code { try instance.read(key, version: 1) } == .versionState)
            try instance.retire(key, 1, undo: true)
            #expect(try instance.read(key, version: 1).bytes == Array("first".utf8))
            try instance.retire(key, 1)
            instance.clock.advance(4 * 3_600_000)
            _ = try instance.census(key)
            try instance.destroy(key, 1)
            #expect(try code { try instance.read(key, version: 1) } == .versionState)
            let gone = try instance.service.ledger.read { connection throws(StoreError) in try connection.sealed(key, 1) }
            #expect(gone == nil, "what is destroyed is not in the database any more")

            #expect(try code { try instance.wrap([1], key) } == .rootKeyRequired)
            let root = try instance.create("root").id
            #expect(try code { try instance.read(root) } == .standardKeyRequired)
            try instance.change(.keyDisable, key)
            #expect(try code { try instance.read(key) } == .keyState)
            instance.clock.advance(30_000)
            try instance.change(.keyEnable, key)
            #expect(try instance.read(key).version == 3)
            try instance.delete(key)
            #expect(try code { try instance.read(key) } == .keyDeleted)
            instance.clock.advance(30_000)
            try instance.change(.keyRestore, key)
            #expect(try instance.read(key).version == 3)
            #expect(try code { try instance.read(RandomSource.identifier()) } == .denied)

            // When the time to restore it is over, every version's secret goes.
            try instance.delete(key)
            instance.clock.advance(30 * 86_400_000 + 1)
            try instance.keepHouse()
            let left = try instance.service.ledger.read { connection throws(StoreError) in
                [try connection.sealed(key, 2), try connection.sealed(key, 3)]
            }
            #expect(left == [nil, nil])
        }
    }

    /// Whoever can write the database can put one row's seal into another, or alter it; neither gives anybody a secret.
    @Test func sealsStandWhereTheyWereMade() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            let one = try instance.create(TestInstance.material(5_000), kind: .standard).id
            let other = try instance.create(TestInstance.material(5_000, seed: 3), kind: .standard).id
            try instance.rotate(one, to: TestInstance.material(10))
            let store = try instance.token.store
            func sealed(_ key: KeyID, _ version: UInt32) throws -> [UInt8] {
                try #require(try store.withConnection { connection throws(StoreError) in try connection.sealed(key, version) })
            }
            func write(_ bytes: [UInt8], _ key: KeyID, _ version: UInt32) throws {
                _ = try store.transaction { connection throws(StoreError) in
                    try connection.run(
                        "UPDATE key_version SET sealed = ? WHERE key = ? AND version = ?",
                        [.blob(bytes), .blob(key.bytes), .integer(Int64(version))])
                }
            }
            let honest = try sealed(one, 1)
            let parts = try Vault.split(honest)
            #expect(parts.count == 2)
            func framed(_ parts: [[UInt8]]) -> [UInt8] {
                parts.flatMap { part in withUnsafeBytes(of: UInt32(part.count).bigEndian) { Array($0) } + part }
            }
            var flipped = honest
            flipped[honest.count / 2] ^= 1
            let forgeries: [[UInt8]] = [
                try sealed(other, 1), try sealed(one, 2), flipped, framed([parts[0]]), framed([parts[1]]),
                framed([parts[1], parts[0]]), framed(parts + parts), Array(honest.dropLast()), honest + [0], [0, 0, 0, 200], [],
            ]
            for (index, forgery) in forgeries.enumerated() {
                try write(forgery, one, 1)
                #expect(try code { try instance.read(one, version: 1) } == .decryptionFailed, "forgery \(index)")
                #expect(try instance.status.state == .ready)
            }
            try write(honest, one, 1)
            #expect(try instance.read(one, version: 1).bytes == TestInstance.material(5_000))
        }
    }

    @Test func theDatabaseTellsNothingOfASecret() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            let secret = Array("correct horse battery staple".utf8)
            var message = KeyCreateRequest(name: "password", operation: TestInstance.operation())
            message.kind = .standard
            message.payload = ByteRange(offset: 0, count: secret.count)
            let key = try instance.send(message, payload: secret)
            // A retry is known by the HMAC of its body, and another secret under the same operation is another request.
            #expect(try instance.send(message, payload: secret) == key)
            #expect(
                try code { try instance.send(message, payload: Array("correct horse battery stapl3".utf8)) } == .operationConflict
            )
            let intent = try #require(try instance.token.store.intent(message.operation))
            var body = [UInt8](repeating: 0, count: 4_096)
            let count = body.withUnsafeMutableBytes { memory in
                var writer = BodyWriter(memory)
                message.encode(to: &writer, source: secret.span.bytes)
                return writer.count
            }
            #expect(intent.bodyDigest != SHA256.digest(Array(body.prefix(count)).span.bytes))
            #expect(intent.bodyDigest.count == 32)
            let directory = instance.configuration.stateDirectory
            for name in try Files.list(directory) where name.hasPrefix(Store.fileName) {
                let content = try Files.read(directory + "/" + name)
                #expect(!content.contains(secret), "\(name)")
            }
        }
    }

    /// Every seal counts, a long secret's two, and a restart never counts lower.
    @Test func sealsAreCounted() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            func reserved() throws -> UInt64 {
                try #require(try instance.token.store.instanceKeys().first { $0.role == .vault }).wrapsReserved
            }
            let before = try reserved()
            _ = try instance.create([1], kind: .standard)
            let after = try reserved()
            #expect(after == before + WrapBudget.block, "what the last process may have used counts as used")
            _ = try instance.create(TestInstance.material(7_500), kind: .standard)
            #expect(try reserved() == after)
            try instance.restart()
            _ = try instance.create([1], kind: .standard)
            #expect(try reserved() == after + WrapBudget.block)
        }
    }
}

extension [UInt8] {
    /// Whether `other` stands in it.
    fileprivate func contains(_ other: [UInt8]) -> Bool {
        guard other.count <= count else { return false }
        return (0...(count - other.count)).contains { self[$0..<$0 + other.count].elementsEqual(other) }
    }
}
