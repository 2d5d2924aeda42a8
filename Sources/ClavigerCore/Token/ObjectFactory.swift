import ClavigerWire
import Cryptoki
import SecureMemory

/// Why an object could not be made.
package enum ObjectFailure: Error, Equatable, Sendable, CustomStringConvertible {
    /// The token refused, and may or may not have made the object.
    case token(CryptokiError)
    /// The token made something else than was asked; it was destroyed again.
    case attributes(String)
    /// The token says it made the object, but its file is not whole on the disk; it was destroyed again.
    case storage(String)
    /// A key that was to be brought in has not been proven to be its sender's; nothing was made.
    case unproven

    package var description: String {
        switch self {
        case .unproven: "the proof of possession does not hold"
        case .token(let error): error.description
        case .attributes(let what): "the token made a key that is not as ordered: \(what)"
        case .storage(let what): "the token's storage did not keep the new key: \(what)"
        }
    }
}

/// Makes the objects of an instance, each checked before anybody hears of it. Used under the one lock that serialises creating,
/// finding, reading back and destroying.
package struct ObjectFactory: Sendable {
    /// The instance that the objects belong to.
    package let instance: InstanceID
    /// The token's files, where it keeps such.
    package let files: TokenFiles?
    /// What the token does not do as others do.
    package let quirks: TokenQuirks

    package init(instance: InstanceID, files: TokenFiles?, quirks: TokenQuirks) {
        self.instance = instance
        self.files = files
        self.quirks = quirks
    }

    /// What an object of this name must be like.
    package func template(
        _ name: ObjectName, _ suite: Suite, _ material: KeyMaterial = .generated
    ) -> ObjectTemplate {
        ObjectTemplate(name, suite: suite, material: material, instance: instance, quirks: quirks)
    }

    /// Makes an object: generated in the token, read back attribute for attribute, durable in its file.
    ///
    /// - Returns: its handle, of the private key for a pair.
    package func make(_ name: ObjectName, _ suite: Suite, session: inout Session) throws(ObjectFailure) -> ObjectHandle {
        let template = self.template(name, suite)
        let before = try objectFiles()
        let (handle, companion) = try generate(template, session: &session)
        do throws(ObjectFailure) {
            return try keep(handle, as: template, before: before, newFiles: companion == nil ? 1 : 2, session: &session)
        } catch {
            if let companion { try? session.destroyObject(companion) }
            throw error
        }
    }

    /// Holds a new object to its template and makes it durable; one that is not as ordered is destroyed again.
    ///
    /// - Parameters:
    ///   - before: the token's object files before it was made.
    ///   - newFiles: how many it has added.
    func keep(
        _ handle: ObjectHandle, as template: ObjectTemplate, before: TokenFiles.Moment?, newFiles: Int, session: inout Session
    ) throws(ObjectFailure) -> ObjectHandle {
        do throws(ObjectFailure) {
            try verify(template, handle, session: &session)
            try secure(before: before, expected: newFiles)
            return handle
        } catch {
            // Nobody knows of this object yet; one that is not as ordered must not stay. Should destroying it fail too, it is
            // found and quarantined at the next start, since no record speaks of it.
            try? session.destroyObject(handle)
            throw error
        }
    }

    /// The object of this name that an earlier run left behind, if it is exactly as ordered, or else a new one; and its known answer.
    ///
    /// - Parameter suite: of what encrypts; it then has an HMAC key beside it where the suite wants one.
    /// - Returns: the known answer, `KnownAnswer.absent` for keys that have none; nil when an earlier run left something under the
    ///   name that cannot be used. It stays, is quarantined later, and the key is to be made under another version.
    package func findOrMake(
        _ name: ObjectName, _ suite: Suite, session: inout Session, scratch: inout CipherScratch
    ) throws(ObjectFailure) -> KnownAnswer? {
        var handles: [ObjectHandle] = []
        for part in suite.names(name) {
            if let left = try existing(part, suite, isFromDisk: true, session: &session),
                try hasCompanion(part, suite, session: &session)
            {
                handles.append(left)
            } else {
                guard try isFree(part, session: &session) else { return nil }
                handles.append(try make(part, suite, session: &session))
            }
        }
        switch name.role {
        case .mac:
            return try mapping(ObjectFailure.token) { () throws(CryptokiError) in
                try KnownAnswerProof.make(hmac: handles[0], session: &session)
            }
        case .audit, .authentication, .canaryAuthentication, .vaultAuthentication, .importPair:
            return KnownAnswer.absent
        case .cipher, .canary, .vault:
            guard let handles = SuiteHandles(suite, handles) else { return nil }
            return try proof(name, handles, session: &session, scratch: &scratch)
        }
    }

    /// The one object of this name that is exactly as ordered and whole on the disk; nil when there is none or more than one.
    ///
    /// - Parameter isFromDisk: whether nothing of this name was made since the module was initialised, as for `isAsOrdered`.
    package func existing(
        _ name: ObjectName, _ suite: Suite, material: KeyMaterial = .generated, isFromDisk: Bool, session: inout Session
    ) throws(ObjectFailure) -> ObjectHandle? {
        let template = self.template(name, suite, material)
        let found = try mapping(ObjectFailure.token) { () throws(CryptokiError) in
            try session.findObjects(
                matching: [.objectClass(template.objectClass), .bool(.token, true), .id(name.objectID)], limit: 2)
        }
        guard found.count == 1 else { return nil }
        return try isAsOrdered(name, suite, material: material, found[0], isFromDisk: isFromDisk, session: &session)
            ? found[0] : nil
    }

    /// Whether the public key of a pair is there; true for what is no pair. A creation that was killed may have left the private key
    /// alone, from which no token gives the public one.
    private func hasCompanion(_ name: ObjectName, _ suite: Suite, session: inout Session) throws(ObjectFailure) -> Bool {
        guard name.role == .audit else { return true }
        return try mapping(ObjectFailure.token) { () throws(CryptokiError) in
            let found = try session.findObjects(
                matching: [.objectClass(.publicKey), .bool(.token, true), .id(name.objectID)], limit: 2)
            return found.count == 1
        }
    }

    /// Whether nothing on the token has this name.
    private func isFree(_ name: ObjectName, session: inout Session) throws(ObjectFailure) -> Bool {
        try mapping(ObjectFailure.token) { () throws(CryptokiError) in
            try session.findObjects(matching: [.bool(.token, true), .id(name.objectID)], limit: 1).isEmpty
        }
    }

    /// Whether an object is exactly what was ordered, and durable.
    ///
    /// - Parameter isFromDisk: whether the module has read the object from its file, since nothing of this name was made after it was
    ///   initialised. Files that are not whole are then other objects' (a killed creation leaves such behind) and do not count.
    package func isAsOrdered(
        _ name: ObjectName, _ suite: Suite, material: KeyMaterial = .generated, _ object: ObjectHandle,
        isFromDisk: Bool = true, session: inout Session
    ) throws(ObjectFailure) -> Bool {
        let difference = try mapping(ObjectFailure.token) { () throws(CryptokiError) in
            try template(name, suite, material).difference(of: object, session: &session)
        }
        guard difference == nil else { return false }
        guard let files else { return true }
        return try mapping({ (error: FileError) in ObjectFailure.storage(error.description) }) {
            () throws(FileError) in try files.secure(try files.objects(), passingDamaged: isFromDisk)
        }
    }

    /// Makes a key version's known answer, and proves that the version opens it: one that cannot open what it has just sealed would
    /// lose every DEK given to it.
    ///
    /// - Parameter name: the AES key's.
    package func proof(
        _ name: ObjectName, _ handles: SuiteHandles, session: inout Session, scratch: inout CipherScratch
    ) throws(ObjectFailure) -> KnownAnswer {
        let answer = try mapping(ObjectFailure.token) { () throws(CryptokiError) in
            try KnownAnswerProof.make(for: name, handles, session: &session, scratch: &scratch)
        }
        let holds = try mapping({ (_: OpenFailure) in ObjectFailure.attributes("it cannot open what it sealed") }) {
            () throws(OpenFailure) in
            try KnownAnswerProof.holds(answer, for: name, handles, session: &session, scratch: &scratch)
        }
        guard holds else { throw .attributes("it cannot open what it sealed") }
        return answer
    }

    private func generate(
        _ template: ObjectTemplate, session: inout Session
    ) throws(ObjectFailure) -> (ObjectHandle, ObjectHandle?) {
        do throws(CryptokiError) {
            if template.name.role == .importPair {
                let pair = try session.generateKeyPair(
                    .rsaKeyPairGeneration, publicKey: template.publicKey, privateKey: template.privateKey)
                // The public key has done what it can: its numbers are in the private one too.
                try? session.destroyObject(pair.publicKey)
                return (pair.privateKey, nil)
            }
            if template.isPair {
                let mechanism: Mechanism =
                    switch quirks.auditKey {
                    case .ecP256: .ecKeyPairGeneration
                    case .rsa3072: .rsaKeyPairGeneration
                    }
                let pair = try session.generateKeyPair(
                    mechanism, publicKey: template.publicKey, privateKey: template.privateKey)
                return (pair.privateKey, pair.publicKey)
            }
            switch template.keyType {
            case .aes: return (try session.generateKey(.aesKeyGeneration, template.secretKey), nil)
            case _: return (try session.generateKey(.genericSecretKeyGeneration, template.secretKey), nil)
            }
        } catch {
            throw .token(error)
        }
    }

    private func verify(
        _ template: ObjectTemplate, _ handle: ObjectHandle, session: inout Session
    ) throws(ObjectFailure) {
        let difference: String?
        do throws(CryptokiError) {
            difference = try template.difference(of: handle, session: &session)
        } catch {
            throw .token(error)
        }
        if let difference { throw .attributes(difference) }
    }

    func objectFiles() throws(ObjectFailure) -> TokenFiles.Moment? {
        guard let files else { return nil }
        do throws(FileError) { return try files.moment() } catch { throw .storage(error.description) }
    }

    private func secure(before: TokenFiles.Moment?, expected: Int) throws(ObjectFailure) {
        guard let files, let before else { return }
        let problem: String?
        do throws(FileError) {
            let fresh = try files.objects(since: before)
            if fresh.count != expected {
                problem = "\(fresh.count) new files instead of \(expected)"
            } else {
                problem = try files.secure(fresh) ? nil : "its file is not whole"
            }
        } catch {
            problem = error.description
        }
        if let problem { throw .storage(problem) }
    }
}
