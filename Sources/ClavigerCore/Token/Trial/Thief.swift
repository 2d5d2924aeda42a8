import ClavigerWire
import Cryptoki
import SecureMemory

/// What a thief with the user PIN tries, to take a key out of the token: one list, for what the daemon tries after each login and for
/// what the doctor tries on keys as an instance makes them.
package enum Thief {
    /// The ways to wrap a key under one that the thief knows.
    package static let wrappings: [MechanismType] = [
        .aesKeyWrap, .aesKeyWrapPad, .aesKeyWrapKWP, .aesECB, .aesCBC, .aesCBCPad,
    ]

    /// Wraps the key under a known one, in each way that the token lists.
    ///
    /// - Returns: the first mechanism that does it, or nil.
    package static func wraps(
        _ key: ObjectHandle, listed: Set<MechanismType>, session: inout Session
    ) throws(CryptokiError) -> MechanismType? {
        // Nobody's secret.
        let value = [UInt8](repeating: 9, count: 32)
        let iv = [UInt8](repeating: 0, count: 16)
        let known = try session.createObject(
            [
                .objectClass(.secretKey), .keyType(.aes), .bool(.token, false), .bool(.private, true), .bool(.sensitive, false),
                .bool(.extractable, true), .bool(.wrap, true), .bool(.unwrap, true), .bool(.encrypt, true), .bool(.decrypt, true),
            ], value: value.span.bytes)
        defer { try? session.destroyObject(known) }
        for type in wrappings where listed.contains(type) {
            var output = [UInt8](repeating: 0, count: 128)
            let parameter = type == .aesCBC || type == .aesCBCPad ? iv.span.bytes : RawSpan()
            let outcome = output.withUnsafeMutableBytes { buffer in
                defer { wipe(buffer) }
                return Result { () throws(CryptokiError) in
                    try session.wrapKey(.other(type, parameter: parameter), wrappingKey: known, key: key, into: buffer)
                }
            }
            if try succeeds(outcome) { return type }
        }
        return nil
    }

    /// Changes the key where it is. On keys of the session or of the doctor only: an interrupted change loses a key of some tokens.
    ///
    /// - Returns: the attribute that can be changed, or nil.
    package static func loosens(_ key: ObjectHandle, session: inout Session) throws(CryptokiError) -> AttributeType? {
        for weaker in [Attribute.bool(.sensitive, false), .bool(.extractable, true)] {
            let outcome = Result { () throws(CryptokiError) in try session.tryChanging(key, [weaker]) }
            if try succeeds(outcome) { return weaker.type }
        }
        return nil
    }

    /// Copies the key with weaker attributes. The copies end with the session: they are not destroyed, since on some tokens a copy is the
    /// original under another handle.
    ///
    /// - Returns: the attribute that a copy has weaker, or nil.
    package static func copies(_ key: ObjectHandle, session: inout Session) throws(CryptokiError) -> AttributeType? {
        for weaker in [
            [Attribute.bool(.extractable, true)], [.bool(.sensitive, false)],
            [.bool(.extractable, true), .bool(.sensitive, false)],
        ] {
            let outcome = Result { () throws(CryptokiError) in
                try session.tryCopying(key, [.bool(.token, false)] + weaker)
            }
            guard try succeeds(outcome) else { continue }
            let readings = try session.bools(weaker.map(\.type), of: try outcome.get())
            let widened = zip(readings, weaker).first { $0 == .value($1.value == .bool(true)) }
            if let widened { return widened.1.type }
        }
        return nil
    }

    /// Whether an attempt succeeded. A refusal is what is hoped for; a token that is gone refuses nothing.
    private static func succeeds<T>(_ outcome: Result<T, CryptokiError>) throws(CryptokiError) -> Bool {
        guard case .failure(let error) = outcome else { return true }
        if error.meansLost { throw error }
        return false
    }
}
