import ClavigerWire
import Cryptoki
import Glibc
import SecureMemory
import Support
import Testing

@testable import ClavigerCore

@Suite struct ObjectTemplateTests {
    static let instance = InstanceID(high: 0xaaaa, low: 0xbbbb)

    static func name(_ role: KeyRole) -> ObjectName {
        ObjectName(key: RandomSource.identifier(), version: 1, role: role)
    }

    /// Makes the template's secret key with `change` applied, compares it, and destroys it where the change lets it be destroyed.
    private func difference(_ template: ObjectTemplate, _ change: (Attribute) -> Attribute?) throws -> String? {
        let attributes = template.secretKey.compactMap(change)
        return try SoftToken.shared().withObjects { try difference(template, madeWith: attributes, value: nil) }
    }

    private func difference(_ template: ObjectTemplate, madeWith attributes: [Attribute], value: [UInt8]?) throws -> String? {
        var session = try SoftToken.shared().openSession()
        let mechanism: Mechanism = template.keyType == .aes ? .aesKeyGeneration : .genericSecretKeyGeneration
        let object =
            if let value {
                try session.createObject(attributes, value: value.span.bytes)
            } else {
                try session.generateKey(mechanism, attributes)
            }
        let found = try template.difference(of: object, session: &session)
        try? session.destroyObject(object)
        return found
    }

    @Test(arguments: [KeyRole.cipher, .vault, .canary, .mac, .authentication])
    func everySingleFlagCounts(role: KeyRole) throws {
        let template = ObjectTemplate(
            ObjectTemplateTests.name(role), suite: .aesGCM, instance: ObjectTemplateTests.instance, quirks: TokenQuirks())
        let unchanged = try difference(template) { $0 }
        #expect(unchanged == nil)
        var changed = 0
        for attribute in template.secretKey {
            guard case .bool(let value) = attribute.value else { continue }
            let found = try difference(template) { $0.type == attribute.type ? .bool($0.type, !value) : $0 }
            #expect(found == "\(attribute.type) is not \(value)", "\(attribute.type)")
            changed += 1
        }
        // Two of where it lives and who sees it, two of secrecy, seven uses, three fences.
        #expect(changed == 2 + 2 + 7 + 3)
    }

    @Test func everythingElseCounts() throws {
        let name = ObjectTemplateTests.name(.cipher)
        let template = ObjectTemplate(name, suite: .aesGCM, instance: ObjectTemplateTests.instance, quirks: TokenQuirks())
        let changes: [(AttributeType, Attribute?, String)] = [
            (.id, .id(ObjectTemplateTests.name(.cipher).objectID), "CKA_ID differs"),
            (.id, .id(name.objectID + [0]), "CKA_ID differs"), (.id, .id([]), "CKA_ID differs"),
            (.label, .label(template.label + "x"), "CKA_LABEL differs"), (.label, .label(""), "CKA_LABEL differs"),
            (.valueLength, .ulong(.valueLength, 16), "CKA_VALUE_LEN is not 32"),
            (.allowedMechanisms, .allowedMechanisms([.aesGCM, .aesECB]), "CKA_ALLOWED_MECHANISMS differs"),
            (.allowedMechanisms, .allowedMechanisms([.aesECB]), "CKA_ALLOWED_MECHANISMS differs"),
            (.allowedMechanisms, nil, "CKA_ALLOWED_MECHANISMS differs"),
        ]
        for (type, replacement, expected) in changes {
            let found = try difference(template) { $0.type == type ? replacement : $0 }
            #expect(found == expected, "\(type)")
        }
    }

    /// A key that was put there instead of made there has been known outside.
    @Test func anImportedKeyIsNotAGeneratedOne() throws {
        let template = ObjectTemplate(
            ObjectTemplateTests.name(.cipher), suite: .aesGCM, instance: ObjectTemplateTests.instance, quirks: TokenQuirks())
        let attributes = template.secretKey.filter { $0.type != .valueLength }
        let found = try SoftToken.shared().withObjects {
            try difference(template, madeWith: attributes, value: SuiteGCMTests.secret)
        }
        #expect(found == "CKA_LOCAL is not true")
    }

    @Test func modifiableStandsLastAndNothingIsLeftToDefaults() {
        for role in KeyRole.allCases {
            let template = ObjectTemplate(
                ObjectTemplateTests.name(role), suite: .aesGCM, instance: ObjectTemplateTests.instance, quirks: TokenQuirks())
            for attributes in [template.secretKey, template.privateKey, template.publicKey] {
                #expect(attributes.last == .bool(.modifiable, false))
                #expect(Set(attributes.map(\.type)).count == attributes.count)
            }
            #expect(template.secretKey.contains(.bool(.extractable, false)))
            #expect(template.privateKey.contains(.bool(.extractable, false)))
            let uses: [AttributeType] = [.encrypt, .decrypt, .sign, .verify, .wrap, .unwrap, .derive]
            #expect(Set(uses).isSubset(of: Set(template.secretKey.map(\.type))))
            // No key has both of what Clulow's attack needs.
            for attributes in [template.secretKey, template.privateKey] {
                #expect(!attributes.contains(.bool(.wrap, true)))
                #expect(attributes.contains(.bool(.unwrap, true)) == (role == .importPair))
            }
        }
    }
}

/// A factory with a session of its own on the shared token. Used within `withObjects`.
private struct Workbench: ~Copyable {
    let factory: ObjectFactory
    private var session: Session
    private var scratch: CipherScratch

    private init(_ factory: ObjectFactory, _ session: consuming Session, _ scratch: consuming CipherScratch) {
        self.factory = factory
        self.session = session
        self.scratch = scratch
    }

    static func make(_ files: TokenFiles?) throws -> Workbench {
        let session = try SoftToken.shared().openSession()
        let factory = ObjectFactory(instance: ObjectTemplateTests.instance, files: files, quirks: TokenQuirks())
        return Workbench(factory, session, try CipherScratch())
    }

    mutating func make(_ name: ObjectName) throws(ObjectFailure) -> ObjectHandle {
        try factory.make(name, .aesGCM, session: &session)
    }

    mutating func findOrMake(_ name: ObjectName) throws -> KnownAnswer? {
        try factory.findOrMake(name, .aesGCM, session: &session, scratch: &scratch)
    }

    mutating func existing(_ name: ObjectName, isFromDisk: Bool = false) throws -> ObjectHandle? {
        try factory.existing(name, .aesGCM, isFromDisk: isFromDisk, session: &session)
    }

    mutating func isProven(_ name: ObjectName, _ handle: ObjectHandle) throws -> Bool {
        let answer = try factory.proof(name, .aesGCM(cipher: handle), session: &session, scratch: &scratch)
        return try KnownAnswerProof.holds(answer, for: name, .aesGCM(cipher: handle), session: &session, scratch: &scratch)
    }

    mutating func count(_ name: ObjectName) throws -> Int {
        try session.findObjects(matching: [.id(name.objectID)], limit: 10).count
    }

    mutating func destroy(_ handle: ObjectHandle) throws { try session.destroyObject(handle) }

    mutating func destroyAll(_ name: ObjectName) throws {
        for object in try session.findObjects(matching: [.id(name.objectID)], limit: 10) { try session.destroyObject(object) }
    }
}

@Suite struct ObjectFactoryTests {
    /// An import pair takes seconds to make and has tests of its own.
    @Test(arguments: KeyRole.allCases.filter { $0 != .importPair })
    func makesEveryRoleDurablyAndFindsItAgain(role: KeyRole) throws {
        let directory = try TemporaryDirectory()
        let files = TokenFiles(storage: try SoftToken.shared().store.tokens, stateDirectory: directory.path)
        try SoftToken.shared().withObjects { try makeAndFind(role, files) }
    }

    private func makeAndFind(_ role: KeyRole, _ files: TokenFiles) throws {
        var bench = try Workbench.make(files)
        let name = ObjectTemplateTests.name(role)
        let before = try files.objects()
        let handle = try bench.make(name)
        let fresh = try files.objects().subtracting(before)
        #expect(fresh.count == (role == .audit ? 2 : 1))
        for path in fresh { #expect(TokenFiles.parses(try Files.read(path))) }
        let found = try bench.existing(name)
        #expect(found == handle)
        let other = try bench.existing(ObjectTemplateTests.name(role))
        #expect(other == nil)
        let answer = try bench.findOrMake(name)
        switch role {
        case .cipher, .canary, .vault:
            let isProven = try bench.isProven(name, handle)
            #expect(isProven && answer != .absent)
        case .mac: #expect(answer?.ciphertext == [] && answer?.digest.count == SHA256.byteCount)
        case .audit, .authentication, .canaryAuthentication, .vaultAuthentication, .importPair: #expect(answer == .absent)
        }
        #expect(try files.objects().subtracting(before) == fresh)
        // A second object of the name makes both doubtful: neither is used, neither is destroyed.
        _ = try bench.make(name)
        let doubtful = try bench.findOrMake(name)
        let left = try bench.count(name)
        #expect(doubtful == nil && left == fresh.count * 2)
        try bench.destroyAll(name)
    }

    /// The token says OK, but no file appears: a write that was swallowed. The key must not be acknowledged, and must not stay.
    @Test(arguments: [(KeyRole.cipher, 1), (.audit, 2)])
    func aKeyWhoseFileDoesNotAppearIsRefusedAndDestroyed(role: KeyRole, expected: Int) throws {
        let directory = try TemporaryDirectory()
        let elsewhere = directory.file("storage")
        try Files.makeDirectory(elsewhere)
        try Files.makeDirectory(elsewhere + "/token")
        try overwrite(elsewhere + "/token/token.object", [])
        let files = TokenFiles(storage: elsewhere, stateDirectory: directory.path)
        let (failure, left) = try SoftToken.shared().withObjects {
            var bench = try Workbench.make(files)
            let name = ObjectTemplateTests.name(role)
            var failure: ObjectFailure?
            do throws(ObjectFailure) { _ = try bench.make(name) } catch { failure = error }
            return (failure, try bench.count(name))
        }
        #expect(failure == .storage("0 new files instead of \(expected)"))
        #expect(left == 0)
    }

    /// Only what was not there before is new, and only object files are; asked of the kernel, or found by listing.
    @Test(arguments: [true, false]) func whatIsNewIsTold(isWatched: Bool) throws {
        let directory = try TemporaryDirectory()
        let storage = directory.file("storage")
        let files = TokenFiles(storage: storage, stateDirectory: directory.path, isWatched: isWatched)
        func put(_ names: String...) throws { for name in names { try overwrite(storage + "/" + name, []) } }
        for path in [storage, storage + "/a", storage + "/b"] { try Files.makeDirectory(path) }
        try put("a/token.object", "a/1.object", "a/1.lock", "b/token.object")
        let before = try files.moment()
        #expect(try files.objects(since: before).isEmpty)
        // The same name in another token's directory is another file; one written anew is not new.
        try put("a/1.object", "a/2.object", "a/2.lock", "b/1.object", "b/generation")
        #expect(try files.objects(since: before) == [storage + "/a/2.object", storage + "/b/1.object"])
        #expect(try files.objects(since: files.moment()).isEmpty)
        // A token that came since is new with all it has.
        try Files.makeDirectory(storage + "/c")
        try put("c/token.object", "c/1.object")
        #expect(try files.objects(since: before).contains(storage + "/c/1.object"))
        #expect(try Files.list(storage + "/a") == ["1.lock", "1.object", "2.lock", "2.object", "token.object"])
        // What has gone again is not there.
        #expect(unlink(storage + "/a/2.object") == 0)
        #expect(try !files.objects(since: before).contains(storage + "/a/2.object"))
    }

    @Test func twoObjectsOfOneNameAreNobodysChoice() throws {
        let found = try SoftToken.shared().withObjects {
            var bench = try Workbench.make(nil)
            let name = ObjectTemplateTests.name(.cipher)
            let first = try bench.make(name)
            var found = [try bench.existing(name) == first]
            let second = try bench.make(name)
            found.append(try bench.existing(name) == nil)
            try bench.destroy(first)
            found.append(try bench.existing(name) == second)
            try bench.destroy(second)
            return found
        }
        #expect(found == [true, true, true])
    }

    /// A creation that was killed leaves an empty file of its own, which says nothing of an object read from another one.
    @Test func aDamagedFileOfAnotherObjectHidesNothingReadFromDisk() throws {
        let directory = try TemporaryDirectory()
        let files = TokenFiles(storage: try SoftToken.shared().store.tokens, stateDirectory: directory.path)
        let found = try SoftToken.shared().withObjects {
            var bench = try Workbench.make(files)
            let name = ObjectTemplateTests.name(.cipher)
            let handle = try bench.make(name)
            let home = Files.parent(of: try #require(try files.objects().first))
            // SoftHSM, which shares the directory, skips it as it skips any invalid file.
            let orphan = home + "/00000000-0000-0000-0000-000000000000.object"
            try overwrite(orphan, [])
            defer { unlink(orphan) }
            // Made by this process, the object might be the very one that the empty file belongs to.
            let found = [try bench.existing(name, isFromDisk: true) == handle, try bench.existing(name) == nil]
            try bench.destroy(handle)
            return found
        }
        #expect(found == [true, true])
    }
}

@Suite struct TokenFilesTests {
    /// Real files of both kinds: the token's and each role's key.
    private func samples() throws -> [(String, [UInt8])] {
        let token = try SoftToken.shared()
        let directory = try TemporaryDirectory()
        let files = TokenFiles(storage: token.store.tokens, stateDirectory: directory.path)
        return try token.withObjects {
            var bench = try Workbench.make(nil)
            var samples: [(String, [UInt8])] = []
            for role in [KeyRole.cipher, .mac, .audit] {
                let before = try files.objects()
                let name = ObjectTemplateTests.name(role)
                _ = try bench.make(name)
                for path in try files.objects().subtracting(before) { samples.append((role.name, try Files.read(path))) }
                try bench.destroyAll(name)
            }
            for name in try Files.list(token.store.tokens) {
                let path = token.store.tokens + "/" + name + "/token.object"
                if Files.status(path) != nil { samples.append(("token", try Files.read(path))) }
            }
            return samples
        }
    }

    @Test func everyTruncationIsRefused() throws {
        let samples = try samples()
        #expect(samples.count == 5)
        for (name, whole) in samples {
            #expect(TokenFiles.parses(whole), "\(name)")
            for count in 0..<whole.count {
                #expect(!TokenFiles.parses(Array(whole.prefix(count))), "\(name), \(count) of \(whole.count) bytes")
            }
            #expect(!TokenFiles.parses(whole + [0]), "\(name)")
            #expect(!TokenFiles.parses(whole + whole), "\(name)")
        }
    }

    @Test func noNumberInAFileTrapsOrLeadsOutside() throws {
        let extremes: [[UInt8]] = [
            [UInt8](repeating: 0xff, count: 8), [0x7f] + [UInt8](repeating: 0xff, count: 7), [0x80, 0, 0, 0, 0, 0, 0, 0],
            [0x20, 0, 0, 0, 0, 0, 0, 0], [0x1f] + [UInt8](repeating: 0xff, count: 7), [UInt8](repeating: 0, count: 8),
        ]
        for (name, whole) in try samples() where name != KeyRole.audit.name {
            for position in 0..<whole.count - 8 {
                for extreme in extremes {
                    var damaged = whole
                    damaged.replaceSubrange(position..<position + 8, with: extreme)
                    _ = TokenFiles.parses(damaged)
                }
            }
            for bit in 0..<whole.count * 8 {
                var damaged = whole
                damaged[bit / 8] ^= 1 << UInt8(bit % 8)
                _ = TokenFiles.parses(damaged)
            }
        }
    }

    /// Lengths and kinds that a flip changes lead to another end than the file's.
    @Test func aFlipInTheFirstLengthIsSeen() throws {
        let (_, whole) = try #require(try samples().first { $0.0 == "token" })
        // Generation, then type, kind 3 and the length of the first attribute, the label.
        #expect(Array(whole[16..<24]) == [0, 0, 0, 0, 0, 0, 0, 3])
        for bit in 24 * 8..<32 * 8 {
            var damaged = whole
            damaged[bit / 8] ^= 1 << UInt8(bit % 8)
            #expect(!TokenFiles.parses(damaged), "bit \(bit)")
        }
    }

    @Test func randomBytesAreNoFile() {
        var random = SeededGenerator(seed: 17)
        for _ in 0..<20_000 { #expect(!TokenFiles.parses(random.bytes(Int.random(in: 0...200, using: &random)))) }
        #expect(!TokenFiles.parses([]))
        #expect(!TokenFiles.parses([UInt8](repeating: 0, count: 4_096)))
    }

    // MARK: copies

    /// A storage directory with one token's file in it, taken from the shared token. It lives in `directory`.
    private func storage(
        _ directory: TemporaryDirectory
    ) throws -> (TokenFiles, live: String, copy: String, content: [UInt8]) {
        let (_, content) = try #require(try samples().first { $0.0 == "token" })
        let storage = directory.file("tokens")
        for path in [storage, storage + "/a", storage + "/not-a-token", directory.file("state")] { try Files.makeDirectory(path) }
        try overwrite(storage + "/a/token.object", content)
        try overwrite(storage + "/.claviger.lock", [])
        let files = TokenFiles(storage: storage, stateDirectory: directory.file("state"))
        return (files, storage + "/a/token.object", files.copies + "/a/token.object", content)
    }

    @Test func aTokenFileIsCopiedAndPutBack() throws {
        let directory = try TemporaryDirectory()
        defer { withExtendedLifetime(directory) {} }
        let (files, live, copy, content) = try storage(directory)
        #expect(try files.restore() == [])
        try files.copy()
        #expect(try Files.read(copy) == content)
        #expect(try #require(Files.status(copy)).st_mode & 0o777 == 0o600)
        #expect(try files.restore() == [])
        // What a killed login leaves: nothing, or only the beginning.
        for count in [0, 1, 8, 24, content.count - 96, content.count - 1] {
            try overwrite(live, Array(content.prefix(count)))
            #expect(try files.restore() == [live], "\(count) bytes left")
            #expect(try Files.read(live) == content)
            #expect(try #require(Files.status(live)).st_mode & 0o777 == 0o600)
            #expect(try Files.list(Files.parent(of: live)) == ["token.object"])
        }
    }

    @Test func aDamagedTokenFileNeverReplacesItsCopy() throws {
        let directory = try TemporaryDirectory()
        defer { withExtendedLifetime(directory) {} }
        let (files, live, copy, content) = try storage(directory)
        try files.copy()
        try overwrite(live, [])
        try files.copy()
        #expect(try Files.read(copy) == content)
        // A damaged copy is not put back either.
        try overwrite(copy, [1, 2, 3])
        #expect(try files.restore() == [])
        #expect(try Files.read(live) == [])
    }

    /// A token file can be damaged and still parse, in the PIN's record: the copy of the last login that succeeded outlives all tries.
    @Test func noAttemptReplacesTheCopyOfTheLastSuccess() throws {
        let directory = try TemporaryDirectory()
        defer { withExtendedLifetime(directory) {} }
        let (files, live, copy, content) = try storage(directory)
        let accepted = Files.parent(of: copy) + "/" + TokenFiles.acceptedFile
        try files.copy()
        #expect(Files.status(accepted) == nil)
        try files.copy(accepted: true)
        var damaged = content
        damaged[damaged.count - 1] ^= 1
        #expect(TokenFiles.parses(damaged))
        try overwrite(live, damaged)
        for _ in 0..<3 { try files.copy() }
        #expect(try Files.read(copy) == damaged)
        #expect(try Files.read(accepted) == content)
        #expect(try #require(Files.status(accepted)).st_mode & 0o777 == 0o600)
        try files.destroyCopies()
        #expect(Files.status(accepted) == nil)
    }

    @Test func aTokenThatWasTakenAwayStaysAway() throws {
        let directory = try TemporaryDirectory()
        defer { withExtendedLifetime(directory) {} }
        let (files, live, _, _) = try storage(directory)
        try files.copy()
        unlink(live)
        #expect(try files.restore() == [])
        #expect(Files.status(live) == nil)
        rmdir(Files.parent(of: live))
        #expect(try files.restore() == [])
    }

    @Test func destroyedCopiesBringNothingBack() throws {
        let directory = try TemporaryDirectory()
        defer { withExtendedLifetime(directory) {} }
        let (files, live, copy, _) = try storage(directory)
        try files.destroyCopies()
        try files.copy()
        try files.destroyCopies()
        #expect(Files.status(copy) == nil)
        try overwrite(live, [])
        #expect(try files.restore() == [])
        #expect(try Files.read(live) == [])
    }

    @Test func secureProvesEveryFile() throws {
        let directory = try TemporaryDirectory()
        defer { withExtendedLifetime(directory) {} }
        let (files, live, _, content) = try storage(directory)
        let home = Files.parent(of: live)
        #expect(try files.objects().isEmpty)
        for name in ["a", "b"] { try overwrite(home + "/\(name).object", content) }
        #expect(try files.objects() == [home + "/a.object", home + "/b.object"])
        #expect(try files.secure(files.objects()))
        try overwrite(home + "/b.object", Array(content.dropLast()))
        #expect(try !files.secure(files.objects()))
        #expect(try files.secure(files.objects(), passingDamaged: true))
        #expect(throws: FileError.self) { try files.secure([home + "/c.object"]) }
        try files.syncTokens()
    }
}
