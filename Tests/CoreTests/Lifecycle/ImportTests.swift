import ClavigerImport
import ClavigerWire
import Cryptoki
import Support
import Testing

@testable import ClavigerCore

/// Imports through the service, on a real token. Import tokens take seconds to make, so each test does much with one.
@Suite struct ImportTests {
    /// Who has no nonce learns by no id which keys there are; a key's id is no other's; and an import that was cut off is no reason to
    /// doubt the token when its import token has gone meanwhile.
    @Test func idsAndTokensThatAreGone() async {
        await #expect(processExitsWith: .success) {
            try told {
                let instance = try TestInstance()
                let token = try instance.makeImportToken(uses: 3)
                let material = TestInstance.material(32)
                let first = try instance.take(token.id)
                let key = try instance.send(try TestInstance.importing(material, first)).id
                var probe = try TestInstance.importing(material, first, key: key)
                probe.importToken = RandomSource.identifier()
                #expect(try code { try instance.send(probe) } == .notFound)
                try instance.delete(key)
                instance.clock.advance(4 * 3_600_000)
                try instance.purge(key)
                let another = try instance.makeImportToken(uses: 2)
                let second = try instance.take(another.id)
                let again = try TestInstance.importing(material, second, key: key)
                #expect(try code { try instance.send(again) } == .alreadyExists)

                let cut = try TestInstance.importing(material, second)
                try instance.leaveImport(cut, makesObject: false)
                try instance.deleteImportToken(another.id)
                let gone = try code { try instance.send(cut) }
                #expect(gone == .importTokenExpired || gone == .notFound)
                #expect(try instance.status.state == .ready)
                #expect(try code { try instance.send(cut) } == gone)
            }
        }
    }

    @Test func keysComeInByAnImportTokenAndWrap() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            let files = try instance.objectFiles()
            let operation = TestInstance.operation()
            let token = try instance.makeImportToken(uses: 5, ttl: 300, operation: operation)
            #expect(token.uses == 5 && token.used == 0 && token.state == .open && token.oaep == .sha1)
            #expect(token.expires - token.created == 300_000)
            // A retry makes no second pair.
            #expect(try instance.makeImportToken(uses: 5, ttl: 300, operation: operation) == token)
            #expect(try instance.objectFiles().count == files.count + 1)

            // The same take again gives the same nonce and spends nothing.
            let taking = TestInstance.operation()
            let first = try instance.take(token.id, operation: taking)
            #expect(try instance.take(token.id, operation: taking) == first)
            #expect(first.remaining == 4 && first.nonce.count == 12 && first.expires == token.expires)
            let material = TestInstance.material(32)
            let message = try TestInstance.importing(material, first)
            let key = try instance.send(message)
            #expect(key.id == message.keyID && key.isImported && key.bits == 256 && key.version == 1)
            #expect(try instance.send(message) == key, "a retry is answered as the first time")
            let envelope = try instance.wrap([7, 8, 9], key.id)
            #expect(try TestInstance.opens(envelope, with: material) == [7, 8, 9])

            // A nonce is good once, whatever else is new.
            #expect(try code { try instance.send(try TestInstance.importing(material, first)) } == .incorrectNonce)
            // What another nonce, key, length or token would need is refused before and after the nonce is spent.
            let second = try instance.take(token.id)
            var other = try TestInstance.importing(material, second)
            other.keyID = RandomSource.identifier()
            #expect(try code { try instance.send(other) } == .incorrectNonce)
            #expect(try code { try instance.send(try TestInstance.importing(material, second)) } == .incorrectNonce)
            let third = try instance.take(token.id)
            var shorter = try TestInstance.importing(material, third)
            shorter.bits = 128
            #expect(try code { try instance.send(shorter) } == .incorrectNonce)
            var unknown = try TestInstance.importing(material, third)
            unknown.nonce = RandomSource.bytes(12)
            #expect(try code { try instance.send(unknown) } == .incorrectNonce)
            unknown = try TestInstance.importing(material, third)
            unknown.importToken = RandomSource.identifier()
            #expect(try code { try instance.send(unknown) } == .notFound)

            // New material for the key, shorter this time; what it wrapped before opens still.
            let fourth = try instance.take(token.id)
            let rotated = try instance.send(try TestInstance.rotating(key.id, to: TestInstance.material(16, seed: 9), fourth))
            #expect(rotated.version == 2 && rotated.bits == 128)
            let fresh = try instance.wrap([4], key.id)
            #expect(try TestInstance.opens(fresh, with: TestInstance.material(16, seed: 9)) == [4])
            #expect(try instance.unwrap(envelope).plaintext == [7, 8, 9])
            #expect(try code { try instance.rotate(key.id) } == .payloadRequired)
            let versions = try instance.versions(key.id)
            #expect(versions.map(\.bits) == [128, 256] && versions.allSatisfy { $0.isImported && $0.isUsable })

            // After a restart all is as it was: the pair, its nonces, the keys.
            let fifth = try instance.take(token.id)
            #expect(try code { try instance.take(token.id) } == .importTokenExpired)
            try instance.restart()
            #expect(try instance.status.state == .ready && instance.token.quarantinedCount == 0)
            #expect(try instance.unwrap(envelope).plaintext == [7, 8, 9])
            #expect(try code { try instance.send(try TestInstance.importing(material, first)) } == .incorrectNonce)
            #expect(try instance.importTokens().tokens.map(\.state) == [.open])
            let last = try instance.send(try TestInstance.importing(TestInstance.material(24), fifth, name: "last"))
            #expect(last.bits == 192)

            // Taken as often as it may be, and every nonce used: its key is destroyed.
            #expect(try instance.importTokens().tokens.map(\.state) == [.ended])
            try instance.keepHouse()
            #expect(try instance.token.store.destroyOrders().isEmpty)
            #expect(try instance.objectFiles().count == files.count + 3)
            try instance.restart()
            #expect(try instance.status.state == .ready && instance.token.quarantinedCount == 0)
        }
    }

    @Test func importTokensEndByTimeAndByWish() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            let files = try instance.objectFiles()
            let token = try instance.makeImportToken(uses: 2, ttl: 300)
            let taken = try instance.take(token.id)
            instance.clock.advance(299_999)
            #expect(try instance.importTokens().tokens.map(\.state) == [.open])
            // At its moment, though nothing has been written down yet.
            instance.clock.advance(1)
            #expect(try code { try instance.take(token.id) } == .importTokenExpired)
            #expect(
                try code { try instance.send(try TestInstance.importing(TestInstance.material(32), taken)) }
                    == .importTokenExpired)
            #expect(try instance.importTokens().tokens.map(\.state) == [.ended])
            #expect(try instance.objectFiles().count == files.count + 1)
            try instance.keepHouse()
            #expect(try instance.objectFiles() == files)

            let other = try instance.makeImportToken()
            #expect(try instance.importTokens().tokens.count == 2)
            let page = try instance.importTokens(limit: 1)
            #expect(page.tokens.map(\.id) == [token.id])
            let rest = try instance.importTokens(limit: 1, cursor: page.next)
            #expect(rest.tokens.map(\.id) == [other.id] && rest.next == nil)
            try instance.deleteImportToken(other.id)
            #expect(try code { try instance.deleteImportToken(other.id) } == .importTokenExpired)
            #expect(try code { try instance.take(other.id) } == .importTokenExpired)
            #expect(try code { try instance.take(RandomSource.identifier()) } == .notFound)
            try instance.keepHouse()
            #expect(try instance.objectFiles() == files)
        }
    }

    /// Killed while the pair was made: nobody has its public key, so it goes. Killed while a key came in: it is completed, or it can be
    /// sent again.
    @Test func whatACrashLeavesIsSettled() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            let files = try instance.objectFiles()
            let token = try instance.makeImportToken(uses: 3)
            let lost: ImportTokenID = RandomSource.identifier()
            try instance.token.store.begin(
                Intent(
                    operation: TestInstance.operation(), uid: 0, opcode: .importTokenCreate, bodyDigest: [],
                    key: KeyID(high: lost.high, low: lost.low), name: "", version: 1, suite: .aesGCM,
                    created: instance.clock.now, state: .open, reply: []), forgetBefore: 0)

            // Begun, its nonce used, and then killed: before the object and after it.
            let first = try TestInstance.importing(TestInstance.material(32), try instance.take(token.id), name: "first")
            let second = try TestInstance.importing(TestInstance.material(16), try instance.take(token.id), name: "second")
            try instance.leaveImport(first, makesObject: false)
            try instance.leaveImport(second, makesObject: true)
            try instance.restart()
            #expect(try instance.status.state == .ready && instance.token.quarantinedCount == 0)
            let made = try instance.show(try #require(second.keyID))
            #expect(made.name == "second" && made.isImported && made.bits == 128)
            #expect(try instance.send(second).id == made.id)
            #expect(try instance.unwrap(instance.wrap([5], made.id)).plaintext == [5])
            // The request that did not come about, once more; and its nonce in another request.
            #expect(try code { try instance.send(try altered(first)) } == .incorrectNonce)
            #expect(try instance.send(first).name == "first")
            try instance.keepHouse()
            #expect(try instance.objectFiles().count == files.count + 3)
            // Of the pair that was never made nothing was found, which only a look at everything proves.
            try instance.restart()
            #expect(try instance.token.store.destroyOrders().isEmpty)
            #expect(try instance.unwrap(instance.wrap([6], made.id)).plaintext == [6])

            func altered(_ message: KeyCreateRequest) throws -> KeyCreateRequest {
                var other = message
                other.operation = TestInstance.operation()
                return other
            }
        }
    }

    @Test func materialCanComeAsItIsWhereThePolicyLetsIt() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            for count in [16, 24, 32] {
                let material = TestInstance.material(count)
                let key = try instance.create(material, kind: .root)
                #expect(key.isImported && key.bits == UInt32(count * 8))
                #expect(try TestInstance.opens(try instance.wrap([1, 2], key.id), with: material) == [1, 2])
                let next = TestInstance.material(48 - count, seed: 5)
                #expect(try instance.rotate(key.id, to: next).version == 2)
                #expect(try TestInstance.opens(try instance.wrap([3], key.id), with: next) == [3])
            }
            for count in [1, 8, 15, 17, 31, 33, 40] {
                #expect(try code { try instance.create(TestInstance.material(count), kind: .root) } == .invalidValue)
            }
            let generated = try instance.create("generated")
            #expect(try code { try instance.rotate(generated.id, to: TestInstance.material(32)) } == .invalidValue)
            // Fields that only mean something together.
            #expect(try code { try instance.create("x1") { $0.bits = 128 } } == .missingField)
            #expect(try code { try instance.create("x2") { $0.keyID = RandomSource.identifier() } } == .missingField)
            #expect(
                try code { try instance.create(TestInstance.material(16), kind: .root) { $0.suite = .aesKeyWrapWithHMAC } }
                    == .suiteUnsupported)
            // The same material twice is two keys.
            let once = try instance.create(TestInstance.material(32, seed: 77), kind: .root)
            let twice = try instance.create(TestInstance.material(32, seed: 77), kind: .root)
            #expect(once.id != twice.id)
            try instance.restart()
            #expect(try instance.status.state == .ready && instance.token.quarantinedCount == 0)

            var values = PolicyValues()
            values.accessEnabled = true
            values.importRoot = true
            values.enforceToken = true
            try instance.setInstancePolicies(values)
            #expect(try code { try instance.create(TestInstance.material(32), kind: .root) } == .policyVeto)
            #expect(try code { try instance.rotate(once.id, to: TestInstance.material(32)) } == .policyVeto)
        }
    }
}
