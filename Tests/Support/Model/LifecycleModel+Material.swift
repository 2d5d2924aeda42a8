import ClavigerWire

/// Where the material of a key version comes from.
public enum ModelMaterial: Sendable {
    /// The daemon makes it.
    case generated
    /// It comes as it is.
    case given([UInt8])
    /// It comes by an import token; `isProven` is whether the proof is of this very import.
    case wrapped(bits: UInt32, ImportTokenID, nonce: [UInt8], isProven: Bool)

    var isGenerated: Bool {
        if case .generated = self { return true }
        return false
    }

    func requireUsable(for kind: KeyKind) throws(ModelRefusal) {
        switch (self, kind) {
        case (.generated, _), (.given, .standard), (.wrapped, .root): return
        case (.wrapped, .standard): throw ModelRefusal(.invalidValue)
        case (.given(let bytes), .root):
            guard [16, 24, 32].contains(bytes.count) else { throw ModelRefusal(.invalidValue) }
        }
    }

    /// The version made of it.
    func version(of kind: KeyKind, at now: UInt64) -> ModelKey.Version {
        var version = ModelKey.Version(created: now)
        version.isImported = !isGenerated
        switch (self, kind) {
        case (.given(let bytes), .standard): version.secret = bytes
        case (.generated, .standard), (.wrapped, .standard): break
        case (.generated, .root): version.bits = 256
        case (.given(let bytes), .root): version.bits = UInt32(bytes.count * 8)
        case (.wrapped(let bits, _, _, _), .root): version.bits = bits
        }
        return version
    }
}

/// Which keys the instance's policy lets be made.
public struct ModelAccess: Equatable, Sendable {
    var createRoot = true
    var createStandard = true
    var importRoot = true
    var importStandard = true
    var enforceToken = false

    /// After a change; nil where it says nothing of this.
    func patched(_ values: PolicyValues) -> ModelAccess? {
        var next = self
        next.createRoot = values.createRoot ?? createRoot
        next.createStandard = values.createStandard ?? createStandard
        next.importRoot = values.importRoot ?? importRoot
        next.importStandard = values.importStandard ?? importStandard
        next.enforceToken = values.enforceToken ?? enforceToken
        let given = [values.createRoot, values.createStandard, values.importRoot, values.importStandard, values.enforceToken]
        return given.contains { $0 != nil } ? next : nil
    }
}

/// One import token as the model knows it.
public struct ModelImportToken: Equatable, Sendable {
    public var record: ImportTokenRecord
    /// Whether its end is written down.
    var isEnded = false
    /// The nonces that it gave, and which of them are used.
    var nonces: [[UInt8]: Bool] = [:]

    public var expires: UInt64 { record.expires }

    func isOpen(at now: UInt64) -> Bool { !isEnded && now < expires }

    mutating func end() {
        isEnded = true
        for nonce in nonces.keys { nonces[nonce] = true }
    }
}

extension ModelKey {
    /// Only the token makes new material by itself.
    func requireRotatedByPolicy() throws(ModelRefusal) {
        guard kind == .root else { throw ModelRefusal(.rootKeyRequired) }
        guard !isImported else { throw ModelRefusal(.payloadRequired) }
    }
}

// Material from outside, secrets, and what was shown of versions.
extension LifecycleModel {
    func requireAllowed(_ kind: KeyKind, _ material: ModelMaterial, isNew: Bool) throws(ModelRefusal) {
        guard policies.isAccess, let access = policies.access else { return }
        let isAllowed: Bool
        switch (material, kind) {
        case (.generated, .root): isAllowed = access.createRoot
        case (.generated, .standard): isAllowed = access.createStandard
        case (.given, .root): isAllowed = access.importRoot
        case (.given, .standard): isAllowed = access.importStandard
        case (.wrapped, _): isAllowed = access.enforceToken || (kind == .root ? access.importRoot : access.importStandard)
        }
        if case .given = material, access.enforceToken { throw ModelRefusal(.policyVeto) }
        guard isAllowed || !isNew else { throw ModelRefusal(.policyVeto) }
    }

    func openToken(_ id: ImportTokenID, at now: UInt64) throws(ModelRefusal) -> ModelImportToken {
        guard let token = importTokens[id] else { throw ModelRefusal(.notFound) }
        guard token.isOpen(at: now) else { throw ModelRefusal(.importTokenExpired) }
        return token
    }

    func requireNonce(_ material: ModelMaterial, at now: UInt64) throws(ModelRefusal) {
        guard case .wrapped(_, let id, let nonce, _) = material else { return }
        guard try openToken(id, at: now).nonces[nonce] == false else { throw ModelRefusal(.incorrectNonce) }
    }

    /// Uses a nonce up, whether or not its proof holds.
    mutating func useUp(_ material: ModelMaterial) throws(ModelRefusal) {
        guard case .wrapped(_, let id, let nonce, let isProven) = material else { return }
        importTokens[id]?.nonces[nonce] = true
        for (id, token) in importTokens where token.record.used >= token.record.uses && !token.nonces.values.contains(false) {
            importTokens[id]?.end()
        }
        guard isProven else { throw ModelRefusal(.incorrectNonce) }
    }

    // MARK: import tokens

    /// - Parameter made: what the daemon has answered: the id and the digest are its choice.
    public mutating func createImportToken(
        _ message: ImportTokenCreateRequest, made: ImportTokenRecord, by person: ModelPerson, at now: UInt64
    ) throws(ModelRefusal) -> ImportTokenRecord {
        let day: UInt64 = 86_400_000
        importTokens = importTokens.filter { !($0.value.isEnded && $0.value.expires + day < now) }
        let record = ImportTokenRecord(
            id: made.id, created: now, expires: now + UInt64(message.ttl ?? 600) * 1_000, uses: message.uses ?? 1, used: 0,
            state: .open, oaep: made.oaep, createdBy: person.label)
        importTokens[made.id] = ModelImportToken(record: record)
        return record
    }

    /// - Parameter taken: what the daemon has answered: nonce and public key are its choice.
    public mutating func takeImportToken(
        _ id: ImportTokenID, taken: ImportTokenTakeReply?, at now: UInt64
    ) throws(ModelRefusal) -> ImportTokenTakeReply {
        var token = try openToken(id, at: now)
        guard token.record.used < token.record.uses else { throw ModelRefusal(.importTokenExpired) }
        token.record.used += 1
        if let taken { token.nonces[taken.nonce] = false }
        importTokens[id] = token
        return ImportTokenTakeReply(
            id: id, publicKey: taken?.publicKey ?? [], nonce: taken?.nonce ?? [], oaep: token.record.oaep,
            remaining: token.record.uses - token.record.used, expires: token.expires)
    }

    public mutating func deleteImportToken(_ id: ImportTokenID, at now: UInt64) throws(ModelRefusal) -> EmptyMessage {
        _ = try openToken(id, at: now)
        importTokens[id]?.end()
        return EmptyMessage()
    }

    /// All import tokens as they are listed.
    public func importTokens(at now: UInt64) -> [ImportTokenRecord] {
        importTokens.values.map { token in
            var record = token.record
            record.state = token.isOpen(at: now) ? .open : .ended
            return record
        }.sorted { ($0.created, $0.id) < ($1.created, $1.id) }
    }

    // MARK: secrets and the census

    /// Which version of a standard key is read.
    public func read(_ reference: KeyReference, _ number: UInt32?, at now: UInt64) throws(ModelRefusal) -> (KeyID, UInt32) {
        let key = try resolve(reference)
        guard key.kind == .standard else { throw ModelRefusal(.standardKeyRequired) }
        try require(.active, .deactivated, of: key, at: now)
        let number = number ?? UInt32(key.versions.count)
        guard number >= 1, Int(number) <= key.versions.count else { throw ModelRefusal(.notFound) }
        guard key.versions[Int(number) - 1].state == .inUse else { throw ModelRefusal(.versionState) }
        return (key.id, number)
    }

    /// Takes down what the daemon has made up, and compares it with what was read before.
    public mutating func learn(_ secret: [UInt8], of id: KeyID, _ number: UInt32) -> Bool {
        guard let known = keys[id]?.versions[Int(number) - 1].secret else {
            keys[id]?.versions[Int(number) - 1].secret = secret
            return secret.count == 32
        }
        return known == secret
    }

    public mutating func census(_ reference: KeyReference) throws(ModelRefusal) -> KeyCensusReply {
        let key = try resolve(reference)
        for index in key.versions.indices where key.versions[index].state == .retired {
            keys[key.id]?.versions[index].isShown = true
        }
        let versions = key.versions.enumerated().reversed().map { index, version in
            CensusRecord(
                version: UInt32(index + 1), state: version.state, wraps: 0, unwraps: 0,
                isRetirable: version.state == .inUse && index != key.versions.count - 1)
        }
        return KeyCensusReply(id: key.id, versions: versions, more: false)
    }

    /// What the daemon keeps in its memory only.
    mutating func forgetWhatWasShown() {
        for (id, key) in keys {
            for index in key.versions.indices { keys[id]?.versions[index].isShown = false }
        }
    }
}
