import ClavigerWire
import Cryptoki
import SecureMemory

// DEKs that never leave the token: made there, and moved from one version to the next there (suite 3).
extension ServiceWorker {
    /// Makes a DEK inside the token and its envelope under the key's newest version.
    func generateSealed(
        _ count: Int, _ context: [UInt8], _ key: KeyEntry, _ session: TokenSession
    ) throws(Refusal) -> [UInt8] {
        let version = key.current
        guard version.suite == .aesKeyWrapWithHMAC else {
            throw Refusal(
                .suiteUnsupported,
                "key \(key.id) wraps with \(version.suite.name): a sealed data key needs one made with AES key wrap")
        }
        let header = Envelope.header(suite: version.suite, keyID: key.id, version: version.number)
        return try makeEnvelope(of: count, key, session) { (handles, live, _, output) throws(CryptokiError) in
            try SuiteCipher.generateInside(
                count, label: .wrap, header: header, context: context.span.bytes, handles: handles, session: &live, into: output)
        }
    }

    /// Makes an envelope anew under the key's newest version without its DEK leaving the token.
    ///
    /// - Returns: nil when the suites of the two versions do not let it.
    func rewrapInside(
        _ target: Target, _ item: OpenItem, _ context: [UInt8], _ session: TokenSession, _ body: UnsafeRawBufferPointer
    ) throws(Refusal) -> [UInt8]? {
        let key = target.key
        guard let version = key.version(target.envelope.version), version.suite == target.envelope.suite,
            version.suite == .aesKeyWrapWithHMAC, key.current.suite == .aesKeyWrapWithHMAC
        else { return nil }
        guard let handles = version.handles else {
            service.token.wantRefind()
            throw Refusal(.keyUnavailable, retryAfter: 5_000)
        }
        let bytes = body.bytes.part(item.envelope)
        let opening = Envelope.header(suite: version.suite, keyID: key.id, version: version.number)
        let sealing = Envelope.header(suite: key.current.suite, keyID: key.id, version: key.current.number)
        var isForged = false
        try service.token.retrying(key, version, session, .openingBehindMAC) { (live, scratch) throws(CryptokiError) in
            do throws(OpenFailure) {
                try SuiteCipher.verifyInside(
                    target.envelope, of: bytes, label: .wrap, header: opening, context: context.span.bytes, handles: handles,
                    session: &live, scratch: &scratch)
            } catch {
                switch error {
                case .forged: isForged = true
                case .token(let cause): throw cause
                }
            }
        }
        guard !isForged else { throw Refusal(.decryptionFailed) }
        if version.use.noteUnwrap(at: service.time.now()) { service.ledger.alarm.setForUses() }
        // A retry begins at the unwrapping again: what a session held is gone with it.
        var isOpened = false
        return try makeEnvelope(
            of: target.envelope.plaintextBound, key, session,
            blaming: { isOpened ? (key.current, .sealing) : (version, .openingBehindMAC) }
        ) { (fresh, live, _, output) throws(CryptokiError) in
            isOpened = false
            return try SuiteCipher.rewrapInside(
                target.envelope, of: bytes, opening: handles, whenOpened: { isOpened = true }, label: .wrap, header: sealing,
                context: context.span.bytes, handles: fresh, session: &live, into: output)
        }
    }
}
