import ClavigerWire
import Cryptoki
import SecureMemory

/// Making and checking of known answers.
///
/// A known answer is an envelope of 32 random bytes under a label of its own, with the SHA-256 of these bytes beside it: only the
/// very keys that made it open it, and it tells nothing of them. (The encryption of a zero block would: it is GCM's hash key.)
package enum KnownAnswerProof {
    private static let randomLength = 32

    /// Makes the known answer of a fresh key version. It counts as one wrap.
    ///
    /// - Parameter name: the AES key's.
    package static func make(
        for name: ObjectName, _ handles: SuiteHandles, session: inout Session, scratch: inout CipherScratch
    ) throws(CryptokiError) -> KnownAnswer {
        let header = header(name, handles.suite)
        let context = Context.empty
        var digest: [UInt8] = []
        var envelope = [UInt8](repeating: 0, count: Envelope.length(handles.suite, plaintext: randomLength))
        let capacity = envelope.count
        // Sealed into plain memory: what is sealed is ciphertext.
        var failure: CryptokiError?
        let count = envelope.withUnsafeMutableBytes { output -> Int in
            do throws(CryptokiError) {
                return try SuiteCipher.seal(
                    .generated(count: randomLength, show: { digest = SHA256.digest($0) }), label: .knownAnswer,
                    header: header, context: context.span.bytes, handles: handles, session: &session,
                    scratch: &scratch, into: output)
            } catch {
                failure = error
                return 0
            }
        }
        if let failure { throw failure }
        guard count == capacity else { throw .malformedReply(.encrypt) }
        return KnownAnswer(ciphertext: envelope, digest: digest)
    }

    /// Whether these are the keys that made the known answer.
    ///
    /// - Throws: what the token gave; for a token that says GENERAL_ERROR to everything this may mean "no" as well.
    package static func holds(
        _ answer: KnownAnswer, for name: ObjectName, _ handles: SuiteHandles, session: inout Session,
        scratch: inout CipherScratch
    ) throws(OpenFailure) -> Bool {
        let ciphertext = answer.ciphertext
        let context = Context.empty
        guard let envelope = try? Envelope(ciphertext.span.bytes) else { return false }
        let digest = try SuiteCipher.open(
            envelope, of: ciphertext.span.bytes, label: .knownAnswer, header: header(name, handles.suite),
            context: context.span.bytes, handles: handles, session: &session, scratch: &scratch
        ) { SHA256.digest($0) }
        return digest == answer.digest
    }

    // What no request begins with: bodies begin with a field's tag and length.
    private static let text = Array("claviger known answer 1".utf8)

    /// The known answer of an HMAC key: of what it says to a fixed text.
    package static func make(hmac handle: ObjectHandle, session: inout Session) throws(CryptokiError) -> KnownAnswer {
        var mac = [UInt8](repeating: 0, count: SHA256.byteCount)
        let outcome = mac.withUnsafeMutableBytes { output in
            Result { () throws(CryptokiError) in
                try session.sign(.hmacSHA256, key: handle, data: text.span.bytes, into: output)
            }
        }
        guard try outcome.get() == mac.count else { throw .malformedReply(.sign) }
        return KnownAnswer(ciphertext: [], digest: SHA256.digest(mac.span.bytes))
    }

    private static func header(_ name: ObjectName, _ suite: Suite) -> [UInt8] {
        Envelope.header(suite: suite, keyID: name.key, version: name.version)
    }
}
