import ClavigerWire
import Cryptoki
import SecureMemory

/// What must hold of every token before a key is trusted to it: tried with session objects alone, in a few milliseconds.
///
/// The daemon does it after each login and refuses a token that fails; the doctor begins with it.
package enum TokenTrial {
    /// Tries it all. What the token has no mechanism for is left out.
    ///
    /// - Parameters:
    ///   - mechanisms: those that the token lists.
    ///   - quirks: what is known of the token; nil when that is still to be found out, and then nothing is tried that depends on it.
    ///   - witness: what the generator gave after an earlier initialisation; afterwards, what it gave now.
    /// - Throws: only what says that the token is gone; everything else is a row.
    package static func run(
        _ mechanisms: [MechanismType], quirks: TokenQuirks?, witness: inout RandomWitness, session: inout Session
    ) throws(CryptokiError) -> [TrialRow] {
        let listed = Set(mechanisms)
        var rows: [TrialRow] = []
        rows.append(try random(&witness, &session))
        if listed.contains(.aesKeyGeneration) {
            rows.append(try sensitivity(&session))
            rows.append(try extraction(listed, &session))
            rows.append(try loosening(&session))
            rows.append(try handles(listed, &session))
            if let quirks, let row = try fence(listed, quirks, &session) { rows.append(row) }
        }
        for computation in KnownComputation.allCases where listed.contains(computation.mechanism) {
            rows.append(
                try row(computation.name, &session) { (session) throws(CryptokiError) in try computation.examine(&session) })
        }
        return rows
    }

    /// The row that a trial is called by, and what the token answered: what a trial needs and does not get leaves it open.
    private static func row(
        _ name: String, _ session: inout Session, _ body: (inout Session) throws(CryptokiError) -> TrialRow
    ) throws(CryptokiError) -> TrialRow {
        do throws(CryptokiError) {
            return try body(&session)
        } catch {
            if error.meansLost { throw error }
            return TrialRow(name, .notTried, error.description)
        }
    }

    /// A key as the keys of an instance are, but of the session.
    package static func key(_ uses: [AttributeType], type: KeyType = .aes, length: UInt = 32) -> [Attribute] {
        [
            .objectClass(.secretKey), .keyType(type), .ulong(.valueLength, length), .bool(.token, false), .bool(.private, true),
            .bool(.sensitive, true), .bool(.extractable, false),
        ] + ObjectTemplate.secretKeyUses.map { .bool($0, uses.contains($0)) }
    }

    private static func random(_ witness: inout RandomWitness, _ session: inout Session) throws(CryptokiError) -> TrialRow {
        let name = "random numbers differ"
        let earlier = witness
        var drawn = RandomWitness()
        let row = try row(name, &session) { (session) throws(CryptokiError) in
            drawn = try RandomWitness(drawingFrom: &session)
            guard drawn.isVaried else {
                return TrialRow(name, .dangerous, "the token's generator repeats itself: IVs and keys would")
            }
            guard !drawn.repeats(earlier) else {
                return TrialRow(
                    name, .dangerous, "the token's generator begins anew with each initialisation: IVs and keys would come again")
            }
            return TrialRow(name, .works)
        }
        witness = drawn
        return row
    }

    private static func sensitivity(_ session: inout Session) throws(CryptokiError) -> TrialRow {
        let name = "a sensitive key cannot be read"
        return try row(name, &session) { (session) throws(CryptokiError) in
            let object = try session.generateKey(.aesKeyGeneration, key([.encrypt, .decrypt]))
            defer { try? session.destroyObject(object) }
            var value = [UInt8](repeating: 0, count: 64)
            let count = value.withUnsafeMutableBytes { buffer -> Int? in
                defer { wipe(buffer) }
                return try? session.read(.value, of: object, into: buffer)
            }
            guard count == nil else { return TrialRow(name, .dangerous, "CKA_VALUE of a key with CKA_SENSITIVE can be read") }
            let readings = try session.bools([.sensitive, .extractable], of: object)
            guard readings == [.value(true), .value(false)] else {
                return TrialRow(name, .dangerous, "the token made another key than was ordered: not sensitive, or extractable")
            }
            return TrialRow(name, .works)
        }
    }

    /// The way that keys leave a token without anybody reading them: under a key that the thief knows.
    private static func extraction(
        _ listed: Set<MechanismType>, _ session: inout Session
    ) throws(CryptokiError) -> TrialRow {
        let name = "a non-extractable key cannot be wrapped out"
        return try row(name, &session) { (session) throws(CryptokiError) in
            let object = try session.generateKey(.aesKeyGeneration, key([.encrypt, .decrypt]))
            defer { try? session.destroyObject(object) }
            return switch try Thief.wraps(object, listed: listed, session: &session) {
            case .closed: TrialRow(name, .works)
            case .notTried(let why): TrialRow(name, .notTried, why)
            case .open(let way): TrialRow(name, .dangerous, "CKA_EXTRACTABLE=false, and yet \(way)", isAboutThieves: true)
            }
        }
    }

    /// Nobody makes a key readable or extractable afterwards, neither where it is nor in a copy.
    private static func loosening(_ session: inout Session) throws(CryptokiError) -> TrialRow {
        let name = "a key stays as closed as it was made"
        return try row(name, &session) { (session) throws(CryptokiError) in
            let object = try session.generateKey(.aesKeyGeneration, key([.encrypt, .decrypt]))
            defer { try? session.destroyObject(object) }
            if let changed = try Thief.loosens(object, session: &session) {
                return TrialRow(name, .dangerous, "\(changed) of a key can be changed", isAboutThieves: true)
            }
            if let widened = try Thief.copies(object, session: &session) {
                return TrialRow(name, .dangerous, "C_CopyObject gives a copy with \(widened) widened", isAboutThieves: true)
            }
            return TrialRow(name, .works)
        }
    }

    /// A key that serves one mechanism serves no other, where the token is said to keep to that.
    private static func fence(
        _ listed: Set<MechanismType>, _ quirks: TokenQuirks, _ session: inout Session
    ) throws(CryptokiError) -> TrialRow? {
        guard quirks.keeps(.allowedMechanisms), let own = [MechanismType.aesGCM, .aesCBC].first(where: listed.contains),
            let other = [MechanismType.aesECB, .aesCBC].first(where: { listed.contains($0) && $0 != own })
        else { return nil }
        let name = "a key serves its one mechanism only"
        return try row(name, &session) { (session) throws(CryptokiError) in
            let key = try session.generateKey(.aesKeyGeneration, key([.encrypt, .decrypt]) + [.allowedMechanisms([own])])
            defer { try? session.destroyObject(key) }
            return Thief.misuses(key, by: other, session: &session)
                ? TrialRow(name, .dangerous, "\(other) works with a key of \(own)", isAboutThieves: true) : TrialRow(name, .works)
        }
    }

    /// Two keys are two keys: other handles, other values.
    private static func handles(_ listed: Set<MechanismType>, _ session: inout Session) throws(CryptokiError) -> TrialRow {
        let name = "handles tell keys apart"
        return try row(name, &session) { (session) throws(CryptokiError) in
            let first = try session.generateKey(.aesKeyGeneration, key([.encrypt, .decrypt]))
            defer { try? session.destroyObject(first) }
            let second = try session.generateKey(.aesKeyGeneration, key([.encrypt, .decrypt]))
            guard first != second else { return TrialRow(name, .dangerous, "two keys have one handle") }
            defer { try? session.destroyObject(second) }
            guard listed.contains(.aesCBC) || listed.contains(.aesGCM) else { return TrialRow(name, .works) }
            let computation = listed.contains(.aesCBC) ? KnownComputation.cbc : .gcm
            let one = try computation.compute(first, &session)
            let other = try computation.compute(second, &session)
            guard one != other else { return TrialRow(name, .dangerous, "two keys encrypt alike") }
            guard try computation.compute(first, &session) == one else {
                return TrialRow(name, .dangerous, "a handle meant another key after a second one was made")
            }
            return TrialRow(name, .works)
        }
    }
}
