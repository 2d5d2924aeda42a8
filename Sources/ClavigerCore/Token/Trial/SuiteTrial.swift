import ClavigerWire
import Cryptoki
import SecureMemory

/// Which suites a token carries, tried with keys of the session: tokens list more than they do.
package struct SuiteTrial: Sendable {
    /// The suites that work, best first.
    package private(set) var suites: [Suite] = []
    /// A row for each suite whose mechanisms are listed.
    package private(set) var rows: [TrialRow] = []

    /// Tries each suite whose mechanisms the token lists.
    ///
    /// - Throws: only what says that the token is gone; everything else is a row.
    package init(
        _ mechanisms: [MechanismType], session: inout Session, scratch: inout CipherScratch
    ) throws(CryptokiError) {
        for suite in SuiteChoice(mechanisms: mechanisms).suites {
            let row = try SuiteTrial.examine(suite, &session, &scratch)
            if row.verdict == .works { suites.append(suite) }
            rows.append(row)
        }
    }

    /// The first suite that works for the instance's own keys: suite 3 cannot hold secrets of every length.
    package var forInstanceKeys: Suite? { suites.first { $0 != .aesKeyWrapWithHMAC } }

    /// How the row of a suite is called.
    package static func name(_ suite: Suite) -> String { "\(suite.name) opens what it sealed, and nothing else" }

    private static func examine(
        _ suite: Suite, _ session: inout Session, _ scratch: inout CipherScratch
    ) throws(CryptokiError) -> TrialRow {
        let name = name(suite)
        var made: [ObjectHandle] = []
        defer { for object in made { try? session.destroyObject(object) } }
        let object = ObjectName(key: RandomSource.identifier(), version: 1, role: .cipher)
        let handles: SuiteHandles
        let answer: KnownAnswer
        do throws(CryptokiError) {
            made.append(try session.generateKey(.aesKeyGeneration, TokenTrial.key(suite.cipherUses)))
            if suite.hasAuthenticationKey {
                made.append(
                    try session.generateKey(
                        .genericSecretKeyGeneration, TokenTrial.key([.sign, .verify], type: .genericSecret)))
            }
            guard let whole = SuiteHandles(suite, made) else { return TrialRow(name, .refused, "it has other objects") }
            handles = whole
            answer = try KnownAnswerProof.make(for: object, handles, session: &session, scratch: &scratch)
        } catch {
            if error.meansLost { throw error }
            return TrialRow(name, .refused, error.description)
        }
        // From here on a refusal is as bad as a wrong answer: what was sealed is lost.
        var failure: CryptokiError?
        guard try holds(answer, object, handles, &failure, &session, &scratch) else {
            let detail = "what it has sealed does not open as what it was" + (failure.map { ": \($0)" } ?? "")
            var row = TrialRow(name, .dangerous, detail)
            row.mayPass = failure != nil
            return row
        }
        var forged = answer
        for place in [Envelope.headerLength + 1, forged.ciphertext.count / 2, forged.ciphertext.count - 1] {
            forged.ciphertext = answer.ciphertext
            forged.ciphertext[place] ^= 1
            guard !opens(forged, object, handles, &session, &scratch) else {
                return TrialRow(name, .dangerous, "a forged envelope opens")
            }
        }
        let other = ObjectName(key: object.key, version: 2, role: .cipher)
        guard !opens(answer, other, handles, &session, &scratch) else {
            return TrialRow(name, .dangerous, "an envelope opens as another version's: what it is bound to does not count")
        }
        return TrialRow(name, .works)
    }

    private static func holds(
        _ answer: KnownAnswer, _ name: ObjectName, _ handles: SuiteHandles, _ failure: inout CryptokiError?,
        _ session: inout Session, _ scratch: inout CipherScratch
    ) throws(CryptokiError) -> Bool {
        do throws(OpenFailure) {
            return try KnownAnswerProof.holds(answer, for: name, handles, session: &session, scratch: &scratch)
        } catch {
            guard case .token(let cause) = error else { return false }
            if cause.meansLost { throw cause }
            failure = cause
            return false
        }
    }

    /// Whether an envelope opens at all, as whatever it may be. Any error will do as a refusal: a token that is gone says so again.
    private static func opens(
        _ answer: KnownAnswer, _ name: ObjectName, _ handles: SuiteHandles, _ session: inout Session,
        _ scratch: inout CipherScratch
    ) -> Bool {
        (try? KnownAnswerProof.holds(answer, for: name, handles, session: &session, scratch: &scratch)) != nil
    }
}

extension Suite {
    /// What the AES key of a version is used for.
    var cipherUses: [AttributeType] {
        switch self {
        case .aesGCM, .aesCBCWithHMAC: [.encrypt, .decrypt]
        case .aesKeyWrapWithHMAC: [.wrap, .unwrap]
        }
    }
}
