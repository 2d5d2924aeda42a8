import ClavigerWire
import Cryptoki
import SecureMemory

/// What a thief with the user PIN tries, to take a key out of the token: one list, for what the daemon tries after each login and for
/// what the doctor tries on keys as an instance makes them.
package enum Thief {
    /// What came of it.
    package enum Finding: Sendable, Equatable {
        /// It worked, in this way.
        case open(String)
        /// It was tried and refused.
        case closed
        /// The token refused what the thief needs first: nobody knows.
        case notTried(String)
    }

    /// Wraps the key under each key that a thief can get hold of, in each way that the token lists. That the call succeeds is enough.
    package static func wraps(
        _ key: ObjectHandle, listed: Set<MechanismType>, session: inout Session
    ) throws(CryptokiError) -> Finding {
        var isTried = false
        var refusals: [String] = []
        for accomplice in Accomplice.allCases {
            let ways = accomplice.wrappings.filter(listed.contains)
            guard !ways.isEmpty else { continue }
            let wrapper: ObjectHandle
            do throws(CryptokiError) {
                wrapper = try accomplice.make(listed, &session)
            } catch {
                if error.meansLost { throw error }
                refusals.append("no \(accomplice.text): \(error)")
                continue
            }
            defer { try? session.destroyObject(wrapper) }
            isTried = true
            for type in ways where try wraps(key, type, wrapper, &session) {
                return .open("\(type) wraps it under \(accomplice.text)")
            }
        }
        return isTried || refusals.isEmpty ? .closed : .notTried(refusals.joined(separator: "; "))
    }

    private static func wraps(
        _ key: ObjectHandle, _ type: MechanismType, _ wrapper: ObjectHandle, _ session: inout Session
    ) throws(CryptokiError) -> Bool {
        var output = [UInt8](repeating: 0, count: 256)
        let iv = [UInt8](repeating: 0, count: 16)
        let way: Mechanism =
            switch type {
            case .rsaOAEP: .rsaOAEP(.sha1)
            case .aesCBC, .aesCBCPad: .other(type, parameter: iv.span.bytes)
            case _: .other(type, parameter: RawSpan())
            }
        let outcome = output.withUnsafeMutableBytes { buffer in
            defer { wipe(buffer) }
            return Result { () throws(CryptokiError) in
                try session.wrapKey(way, wrappingKey: wrapper, key: key, into: buffer)
            }
        }
        return try succeeds(outcome)
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
        try copies(
            key,
            [
                [.bool(.extractable, true)], [.bool(.sensitive, false)], [.bool(.extractable, true), .bool(.sensitive, false)],
            ], &session)
    }

    /// Copies the key with a use added that it was not made for.
    ///
    /// - Returns: the use that a copy has and the key has not, or nil.
    package static func copiesForMore(_ key: ObjectHandle, session: inout Session) throws(CryptokiError) -> AttributeType? {
        let uses = ObjectTemplate.secretKeyUses
        let readings = try session.bools(uses, of: key)
        let missing = zip(uses, readings).filter { $0.1 == .value(false) }.map { [Attribute.bool($0.0, true)] }
        return try copies(key, missing, &session)
    }

    private static func copies(
        _ key: ObjectHandle, _ changes: [[Attribute]], _ session: inout Session
    ) throws(CryptokiError) -> AttributeType? {
        for weaker in changes {
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

    /// Encrypts a block with the key by a mechanism that it was not made for.
    package static func misuses(_ key: ObjectHandle, by type: MechanismType, session: inout Session) -> Bool {
        let block = [UInt8](repeating: 0, count: 16)
        let parameter = type == .aesCBC ? block.span.bytes : RawSpan()
        var output = [UInt8](repeating: 0, count: 32)
        return output.withUnsafeMutableBytes { buffer in
            (try? session.encrypt(.other(type, parameter: parameter), key: key, plaintext: block.span.bytes, into: buffer)) != nil
        }
    }

    /// Whether an attempt succeeded. A refusal is what is hoped for; a token that is gone refuses nothing.
    private static func succeeds<T>(_ outcome: Result<T, CryptokiError>) throws(CryptokiError) -> Bool {
        guard case .failure(let error) = outcome else { return true }
        if error.meansLost { throw error }
        return false
    }
}
