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
    ///   - witness: what the generator gave after an earlier initialisation; afterwards, what it gave now.
    /// - Throws: only what says that the token is gone; everything else is a row.
    package static func run(
        _ mechanisms: [MechanismType], witness: inout RandomWitness, session: inout Session
    ) throws(CryptokiError) -> [TrialRow] {
        let listed = Set(mechanisms)
        var rows: [TrialRow] = []
        rows.append(try random(&witness, &session))
        if listed.contains(.aesKeyGeneration) {
            rows.append(try sensitivity(&session))
            rows.append(try extraction(listed, &session))
            rows.append(try loosening(&session))
            rows.append(try handles(listed, &session))
        }
        for computation in Computation.allCases where listed.contains(computation.mechanism) {
            rows.append(try correctness(computation, &session))
        }
        return rows
    }

    /// The row that a trial is called by, and what the token answered.
    private static func row(
        _ name: String, _ session: inout Session, _ body: (inout Session) throws(CryptokiError) -> TrialRow
    ) throws(CryptokiError) -> TrialRow {
        do throws(CryptokiError) {
            return try body(&session)
        } catch {
            if error.meansLost { throw error }
            return TrialRow(name, .refused, error.description)
        }
    }

    /// A key as the keys of an instance are, but of the session.
    package static func key(_ uses: [AttributeType], length: UInt = 32) -> [Attribute] {
        [
            .objectClass(.secretKey), .keyType(.aes), .ulong(.valueLength, length), .bool(.token, false), .bool(.private, true),
            .bool(.sensitive, true), .bool(.extractable, false),
        ] + ObjectTemplate.secretKeyUses.map { .bool($0, uses.contains($0)) }
    }

    /// A key whose value is known, which everybody may read.
    private static func known(_ type: KeyType, _ uses: [AttributeType]) -> [Attribute] {
        [
            .objectClass(.secretKey), .keyType(type), .bool(.token, false), .bool(.private, true), .bool(.sensitive, false),
            .bool(.extractable, true),
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

    static let extractionName = "a non-extractable key cannot be wrapped out"
    static let looseningName = "a key stays as closed as it was made"

    /// The way that keys leave a token without anybody reading them: under a key that the thief knows.
    private static func extraction(
        _ listed: Set<MechanismType>, _ session: inout Session
    ) throws(CryptokiError) -> TrialRow {
        let name = extractionName
        return try row(name, &session) { (session) throws(CryptokiError) in
            let object = try session.generateKey(.aesKeyGeneration, key([.encrypt, .decrypt]))
            defer { try? session.destroyObject(object) }
            guard let mechanism = try Thief.wraps(object, listed: listed, session: &session) else {
                return TrialRow(name, .works)
            }
            return TrialRow(name, .dangerous, "\(mechanism) wraps a key with CKA_EXTRACTABLE=false under a known one")
        }
    }

    /// Nobody makes a key readable or extractable afterwards, neither where it is nor in a copy.
    private static func loosening(_ session: inout Session) throws(CryptokiError) -> TrialRow {
        let name = looseningName
        return try row(name, &session) { (session) throws(CryptokiError) in
            let object = try session.generateKey(.aesKeyGeneration, key([.encrypt, .decrypt]))
            defer { try? session.destroyObject(object) }
            if let changed = try Thief.loosens(object, session: &session) {
                return TrialRow(name, .dangerous, "\(changed) of a key can be changed")
            }
            if let widened = try Thief.copies(object, session: &session) {
                return TrialRow(name, .dangerous, "C_CopyObject gives a copy with \(widened) widened")
            }
            return TrialRow(name, .works)
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
            let computation = listed.contains(.aesCBC) ? Computation.cbc : .gcm
            let one = try compute(computation, first, &session)
            let other = try compute(computation, second, &session)
            guard one != other else { return TrialRow(name, .dangerous, "two keys encrypt alike") }
            guard try compute(computation, first, &session) == one else {
                return TrialRow(name, .dangerous, "a handle meant another key after a second one was made")
            }
            return TrialRow(name, .works)
        }
    }

    // MARK: what the token computes is right

    private static let knownValue: [UInt8] = (0..<32).map { $0 }
    private static let plaintext = [UInt8](repeating: 0x2a, count: 32)

    /// Computations with a key of known value, and what they must give (computed with OpenSSL).
    private enum Computation: CaseIterable {
        case gcm, cbc, hmac

        var mechanism: MechanismType {
            switch self {
            case .gcm: .aesGCM
            case .cbc: .aesCBC
            case .hmac: .hmacSHA256
            }
        }

        var expected: [UInt8] {
            let hex =
                switch self {
                case .gcm: "25408c764525fddeecb739aaaa7bdeb18b76a759a2ddab33d49174d02ef41831fc4b6343dab0943582125844cdadd7e3"
                case .cbc: "b385b40dfe455a2572c1248e62938cfa09daa9cc9c560d9a697a041e0343aa1f"
                case .hmac: "6fef267ee2b912bd13435187dfa7648fbfe8a059d3ec18e58356fd20402e7eaa"
                }
            let digits = hex.compactMap(\.hexDigitValue)
            return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
        }

        var type: KeyType {
            switch self {
            case .gcm, .cbc: .aes
            case .hmac: .genericSecret
            }
        }

        var uses: [AttributeType] {
            switch self {
            case .gcm, .cbc: [.encrypt, .decrypt]
            case .hmac: [.sign, .verify]
            }
        }
    }

    private static func compute(
        _ computation: Computation, _ key: ObjectHandle, _ session: inout Session
    ) throws(CryptokiError) -> [UInt8] {
        let iv = [UInt8](repeating: 7, count: computation == .gcm ? 12 : 16)
        let aad = Array("claviger".utf8)
        let input = plaintext
        var output = [UInt8](repeating: 0, count: 64)
        let outcome = output.withUnsafeMutableBytes { buffer in
            Result { () throws(CryptokiError) -> Int in
                switch computation {
                case .gcm:
                    try session.encrypt(
                        .aesGCM(iv: iv.span.bytes, additionalData: aad.span.bytes, tagBits: 128), key: key,
                        plaintext: input.span.bytes, into: buffer)
                case .cbc:
                    try session.encrypt(.aesCBC(iv: iv.span.bytes), key: key, plaintext: input.span.bytes, into: buffer)
                case .hmac: try session.sign(.hmacSHA256, key: key, data: input.span.bytes, into: buffer)
                }
            }
        }
        return Array(output.prefix(try outcome.get()))
    }

    private static func correctness(
        _ computation: Computation, _ session: inout Session
    ) throws(CryptokiError) -> TrialRow {
        let name = "\(computation.mechanism) computes right"
        return try row(name, &session) { (session) throws(CryptokiError) in
            let value = knownValue
            let key = try session.createObject(known(computation.type, computation.uses), value: value.span.bytes)
            defer { try? session.destroyObject(key) }
            guard try compute(computation, key, &session) == computation.expected else {
                return TrialRow(name, .dangerous, "its result for a key of known value is wrong")
            }
            return TrialRow(name, .works)
        }
    }
}
