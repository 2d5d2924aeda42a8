import ClavigerWire
import Cryptoki
import SecureMemory

// What only suite 3 can: envelopes of DEKs that stay in the token as session objects. The caller has looked at the suite.
extension SuiteCipher {
    private static let wrongSuite = CryptokiError.failed(.wrapKey, .mechanismInvalid)

    /// Makes a DEK in the token and its envelope; parameters as for `seal`.
    package static func generateInside(
        _ count: Int, label: EnvelopeLabel, header: [UInt8], context: RawSpan, handles: SuiteHandles,
        session: inout Session, into output: UnsafeMutableRawBufferPointer
    ) throws(CryptokiError) -> Int {
        let object = try SuiteKeyWrap.generate(count, session: &session)
        return try SuiteKeyWrap.consume(object, session: &session) { (session) throws(CryptokiError) in
            try sealInside(
                object, count: count, label: label, header: header, context: context, handles: handles, session: &session,
                into: output)
        }
    }

    /// Checks the MAC of an envelope that is to be rewrapped, before anything is done with it; parameters as for `open`.
    package static func verifyInside(
        _ envelope: Envelope, of bytes: RawSpan, label: EnvelopeLabel, header: [UInt8], context: RawSpan,
        handles: SuiteHandles, session: inout Session, scratch: inout CipherScratch
    ) throws(OpenFailure) {
        guard case .aesKeyWrapWithHMAC(cipher: _, let authentication) = handles else { throw .token(wrongSuite) }
        guard envelope.suite == handles.suite else { throw .forged }
        let aad = Envelope.associatedData(label: label, header: header.span.bytes, context: context)
        try EnvelopeMAC.verify(envelope, of: bytes, aad: aad, key: authentication, session: &session, scratch: &scratch)
    }

    /// Makes an envelope anew whose MAC fits, its DEK being a session object in between. All of it with one session: a handle means
    /// nothing in another.
    ///
    /// - Parameters:
    ///   - opening: the objects of the version that made `envelope`.
    ///   - whenOpened: called once the DEK is unwrapped; what fails before is the envelope's version's matter, what fails after is not.
    package static func rewrapInside(
        _ envelope: Envelope, of bytes: RawSpan, opening: SuiteHandles, whenOpened: () -> Void, label: EnvelopeLabel,
        header: [UInt8], context: RawSpan, handles: SuiteHandles, session: inout Session,
        into output: UnsafeMutableRawBufferPointer
    ) throws(CryptokiError) -> Int {
        let object = try SuiteKeyWrap.unwrapInside(envelope, of: bytes, key: opening.cipher, session: &session)
        whenOpened()
        return try SuiteKeyWrap.consume(object, session: &session) { (session) throws(CryptokiError) in
            try sealInside(
                object, count: envelope.plaintextBound, label: label, header: header, context: context, handles: handles,
                session: &session, into: output)
        }
    }

    /// Makes the envelope of a session object of `count` bytes, which stays; parameters as for `seal`.
    private static func sealInside(
        _ object: ObjectHandle, count: Int, label: EnvelopeLabel, header: [UInt8], context: RawSpan, handles: SuiteHandles,
        session: inout Session, into output: UnsafeMutableRawBufferPointer
    ) throws(CryptokiError) -> Int {
        guard case .aesKeyWrapWithHMAC(let cipher, let authentication) = handles else { throw wrongSuite }
        precondition(handles.suite.allows(plaintextLength: count) && header.count == Envelope.headerLength)
        precondition(output.count >= Envelope.length(handles.suite, plaintext: count))
        output.copyBytes(from: header)
        let aad = Envelope.associatedData(label: label, header: header.span.bytes, context: context)
        return try SuiteKeyWrap.wrap(
            object, of: count, aad: aad, cipher: cipher, authentication: authentication, session: &session, into: output)
    }
}
