import ClavigerClient
import ClavigerWire
import Support
import Testing

/// What a local service and its admin do every day, through the client library against the real daemon.
@Suite struct MainJobTests {
    /// Create, list, show, versions and rotate agree with each other.
    @Test func keysAreMadeAndFound() throws {
        let daemon = try DaemonHarness.running()
        let client = daemon.client()
        #expect(try client.listKeys().keys.isEmpty)
        let first = try client.createKey(name: "payroll")
        #expect(first.name == "payroll" && first.state == .active && first.version == 1 && first.suite == .aesGCM)
        let second = try client.createKey(name: "Schlüssel für Löhne")
        #expect(try client.showKey(.name("payroll")) == first)
        #expect(try client.showKey(.id(second.id)) == second)
        #expect(try client.listKeys().keys == [first, second])

        let rotated = try client.rotateKey(.name("payroll"))
        #expect(rotated.id == first.id && rotated.version == 2 && rotated.created == first.created)
        let versions = try client.versions(of: .id(first.id))
        #expect(versions.versions.map(\.version) == [2, 1])
        #expect(versions.versions.map(\.isCurrent) == [true, false])
        #expect(versions.versions.allSatisfy { $0.isUsable })
        #expect(try client.listKeys().keys == [rotated, second])
    }

    /// Pages of keys and versions hold each exactly once, in order.
    @Test func pagesAreComplete() throws {
        let daemon = try DaemonHarness.running()
        let client = daemon.client()
        let made = try (0..<7).map { try client.createKey(name: "key \($0)").id }
        var found: [KeyID] = []
        var cursor: [UInt8]?
        repeat {
            let page = try client.listKeys(limit: 3, cursor: cursor)
            #expect(page.keys.count <= 3)
            found += page.keys.map(\.id)
            cursor = page.next
        } while cursor != nil
        #expect(found.sorted() == made.sorted() && Set(found).count == made.count)

        for _ in 0..<4 { _ = try client.rotateKey(.id(made[0])) { $0.reason = "test" } }
        let newest = try client.versions(of: .id(made[0]), limit: 2)
        #expect(newest.versions.map(\.version) == [5, 4] && newest.more)
        let rest = try client.versions(of: .id(made[0]), limit: 100, before: 4)
        #expect(rest.versions.map(\.version) == [3, 2, 1] && !rest.more)
    }

    /// DEKs of every kind of length come back as they went in, and no two envelopes are alike.
    @Test(arguments: [1, 2, 15, 16, 31, 32, 33, 4_095, 4_096]) func givenKeysRoundTrip(length: Int) throws {
        let client = try Shared.client()
        var generator = SeededGenerator(seed: seed &+ UInt64(length))
        let dek = (0..<length).map { _ in UInt8.random(in: 0...255, using: &generator) }
        let wrapped = try client.wrap(.name(Shared.key), dek)
        let opening = try client.opening(wrapped.envelope)
        #expect(opening.plaintext == dek)
        #expect(opening.opened == Opened.Expectation(key: wrapped.key, version: wrapped.version, isStale: false))
        #expect(try client.wrap(.name(Shared.key), dek).envelope != wrapped.envelope)
    }

    /// The token makes DEKs of 16 to 64 bytes, 32 unless asked, and no two alike.
    @Test func generatedKeysRoundTrip() throws {
        let client = try Shared.client()
        for count in [16, 17, 24, 48, 63, 64] {
            let made = try client.making(.name(Shared.key), count, ["a"])
            #expect(made.plaintext.count == count)
            #expect(try client.open(made.envelope, ["a"]) == made.plaintext)
        }
        let one = try client.making(.name(Shared.key))
        let other = try client.making(.name(Shared.key))
        #expect(one.plaintext.count == 32)
        #expect(one.plaintext != other.plaintext)
    }

    /// An old version still opens; unwrap says that it is stale and refreshes when asked, and rewrap does so without plaintext.
    @Test func oldEnvelopesAreRenewed() throws {
        let daemon = try DaemonHarness.running()
        let client = daemon.client()
        let key = KeyReference.id(try client.createKey(name: "rotating").id)
        let dek: [UInt8] = Array(1...32)
        let old = try client.wrap(key, dek, ["tenant=7"])
        let fresh = try client.opening(old.envelope, ["tenant=7"], refresh: true)
        #expect(fresh.opened == Opened.Expectation(key: old.key, version: 1, isStale: false))
        _ = try client.rotateKey(key)
        _ = try client.rotateKey(key) { $0.reason = "test" }

        let silent = try client.opening(old.envelope, ["tenant=7"])
        #expect(silent.opened == Opened.Expectation(key: old.key, version: 1, isStale: true) && silent.plaintext == dek)
        let opening = try client.opening(old.envelope, ["tenant=7"], refresh: true)
        let refreshed = try #require(opening.opened.refreshed)
        #expect(opening.opened.isStale && opening.opened.version == 1 && refreshed.version == 3 && opening.plaintext == dek)
        let again = try client.opening(refreshed.envelope, ["tenant=7"])
        #expect(again.opened == Opened.Expectation(key: old.key, version: 3, isStale: false) && again.plaintext == dek)

        let rewrapped = try client.rewrap(old.envelope, context: ["tenant=7"], key: key)
        #expect(rewrapped.previousVersion == 1 && rewrapped.wrapped.version == 3)
        #expect(try client.open(rewrapped.wrapped.envelope, ["tenant=7"]) == dek)
        #expect(try client.open(old.envelope, ["tenant=7"]) == dek)
    }

    /// 256 items come back in their order, and each that is wrong is refused alone.
    @Test func batchesAnswerForEachItem() throws {
        let client = try Shared.client()
        var batch = try WrapBatch()
        for number in 0..<256 {
            if number % 5 == 4 {
                try batch.generate(16 + number % 49, context: ["\(number)"])
            } else {
                let dek = [UInt8](repeating: UInt8(number), count: 1 + number)
                try batch.add(dek.span.bytes, context: ["\(number)"])
            }
        }
        let wrapped = try client.wrap(key: .name(Shared.key), batch)
        let results = wrapped.results
        #expect(results.count == 256)
        var items: [SealedItem] = []
        var plaintexts: [[UInt8]] = []
        for (number, result) in results.enumerated() {
            items.append(SealedItem(try result.get().envelope, context: ["\(number)"]))
            let made = wrapped.withPlaintext(number) { $0.array() }
            #expect((made == nil) == (number % 5 != 4))
            plaintexts.append(made ?? [UInt8](repeating: UInt8(number), count: 1 + number))
        }
        items[10].context = ["11"]
        items[20].envelope[60] ^= 1
        items[30].envelope = Array("no envelope".utf8)
        items[40].envelope[10] ^= 1
        let expected: [Int: RefusalCode] = [10: .decryptionFailed, 20: .decryptionFailed, 30: .malformedEnvelope, 40: .denied]
        let opened = try client.unwrap(items)
        let openings = opened.results
        let rewrapped = try client.rewrap(items)
        for number in 0..<256 {
            let plaintext = opened.withPlaintext(number) { $0.array() }
            #expect(plaintext == (expected[number] == nil ? plaintexts[number] : nil))
            #expect(openings[number].refusal == expected[number])
            #expect(rewrapped[number].refusal == expected[number])
        }
    }

    /// A context is an ordered list of byte strings: nothing else than the very same opens.
    @Test func b4_contextsAreExact() throws {
        let client = try Shared.client()
        let dek: [UInt8] = [7, 8, 9]
        let contexts: [[String]] = [
            [], [""], ["", ""], ["a", "b"], ["b", "a"], ["ab"], ["a"], ["a", "b", ""], ["tenant=7"], ["Tenant=7"],
            // One letter twice: composed and decomposed are different bytes.
            ["\u{e9}"], ["e\u{301}"],
        ]
        let envelopes = try contexts.map { try client.wrap(.name(Shared.key), dek, $0).envelope }
        for (made, envelope) in envelopes.enumerated() {
            for (given, context) in contexts.enumerated() {
                // Compared as bytes: Swift takes composed and decomposed for the same string.
                if made == given {
                    #expect(try client.open(envelope, context) == dek)
                } else {
                    let code = refusal { () throws(ClientError) in try client.open(envelope, context) }
                    #expect(code == .decryptionFailed, "\(contexts[made]) with \(context)")
                }
            }
        }
    }

    /// A name that two keys carry is refused with both ids, wherever a key can be named, and ids still work.
    @Test func ambiguousNamesNameBothKeys() throws {
        let daemon = try DaemonHarness.running()
        let client = daemon.client()
        let ids = try (0..<2).map { _ in try client.createKey(name: "twin").id }
        let envelope = try client.wrap(.id(ids[0]), [1, 2, 3]).envelope
        let calls: [(Client) throws -> Void] = [
            { _ = try $0.showKey(.name("twin")) },
            { _ = try $0.versions(of: .name("twin")) },
            { _ = try $0.rotateKey(.name("twin")) },
            { _ = try $0.wrap(.name("twin"), [1]) },
            { _ = try $0.opening(envelope, key: .name("twin")) },
            { _ = try $0.rewrap(envelope, key: .name("twin")) },
        ]
        for call in calls {
            let error = #expect(throws: ClientError.self) { try call(client) }
            guard case .refused(let refusal)? = error else {
                Issue.record("\(String(describing: error))")
                continue
            }
            #expect(refusal.code == .ambiguousName)
            #expect(ids.allSatisfy { refusal.message.contains($0.description) })
        }
        #expect(try client.open(envelope) == [1, 2, 3])
        let mismatch = refusal { () throws(ClientError) in try client.opening(envelope, key: .id(ids[1])) }
        #expect(mismatch == .keyMismatch)
    }

    /// A clean restart loses nothing, and neither does one that nobody announced.
    @Test func restartsKeepEverything() throws {
        let daemon = try DaemonHarness.running()
        let client = daemon.client(retries: 8)
        let key = try client.createKey(name: "lasting")
        let first = try client.wrap(.id(key.id), [1, 1, 2, 3, 5], ["x"])
        let rotated = try client.rotateKey(.id(key.id))
        let second = try client.wrap(.id(key.id), [8, 13], ["y"])
        let keys = try client.listKeys().keys
        for isCrash in [false, true] {
            if isCrash { daemon.kill() } else { #expect(daemon.stop() == 0) }
            try daemon.start()
            #expect(try client.health().state == .ready)
            #expect(try client.listKeys().keys == keys && keys == [rotated])
            #expect(try client.open(first.envelope, ["x"]) == [1, 1, 2, 3, 5])
            #expect(try client.open(second.envelope, ["y"]) == [8, 13])
            #expect(try client.versions(of: .id(key.id)).versions.map(\.isUsable) == [true, true])
        }
        #expect(try client.status().quarantined == 0)
    }
}

/// A running daemon with one key, shared by the tests that change nothing.
enum Shared {
    /// The key's name.
    static let key = "shared"

    private static let daemon = Result { () throws -> DaemonHarness in
        let daemon = try DaemonHarness.running()
        _ = try daemon.client().createKey(name: key)
        return daemon
    }

    /// The daemon.
    static func harness() throws -> DaemonHarness { try daemon.get() }

    /// A client of it.
    static func client() throws -> Client { try daemon.get().client() }
}

extension Result where Failure == ServerRefusal {
    /// The code that an item was refused with.
    var refusal: RefusalCode? {
        switch self {
        case .success: nil
        case .failure(let refusal): refusal.code
        }
    }
}
