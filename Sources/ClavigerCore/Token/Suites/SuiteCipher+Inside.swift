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

    /// Opens an envelope into a session object, which the caller destroys; parameters as for `open`.
    package static func openInside(
        _ envelope: Envelope, of bytes: RawSpan, label: EnvelopeLabel, header: [UInt8], context: RawSpan,
        handles: SuiteHandles, session: inout Session, scratch: inout CipherScratch
    ) throws(OpenFailure) -> ObjectHandle {
        guard case .aesKeyWrapWithHMAC(let cipher, let authentication) = handles else { throw .token(wrongSuite) }
        guard envelope.suite == handles.suite else { throw .forged }
        let aad = Envelope.associatedData(label: label, header: header.span.bytes, context: context)
        try EnvelopeMAC.verify(envelope, of: bytes, aad: aad, key: authentication, session: &session, scratch: &scratch)
        return try mapping(OpenFailure.token) { () throws(CryptokiError) in
            try SuiteKeyWrap.unwrapInside(envelope, of: bytes, key: cipher, session: &session)
        }
    }

    /// Makes the envelope of a session object of `count` bytes, which stays; parameters as for `seal`.
    package static func sealInside(
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
