import ClavigerWire
import Cryptoki
import SecureMemory

/// Where the plaintext of a seal comes from.
package enum SealInput {
    /// So many bytes, written by the closure into locked memory.
    case given(count: Int, copy: (UnsafeMutableRawBufferPointer) -> Void)
    /// So many random bytes, to be shown to the closure once they are sealed.
    case generated(count: Int, show: (UnsafeRawBufferPointer) -> Void)

    var count: Int {
        switch self {
        case .given(let count, copy: _), .generated(let count, show: _): count
        }
    }

    /// Writes the plaintext to `place`.
    func fill(_ place: UnsafeMutableRawBufferPointer, session: inout Session) throws(CryptokiError) {
        switch self {
        case .given(_, let copy): copy(place)
        case .generated: try RandomSource.fill(place, with: &session)
        }
    }

    /// Shows what was generated, after it has been sealed.
    func sealed(_ place: UnsafeMutableRawBufferPointer) {
        switch self {
        case .given: break
        case .generated(_, let show): show(UnsafeRawBufferPointer(place))
        }
    }
}

/// Why an envelope could not be opened.
package enum OpenFailure: Error, Equatable, Sendable {
    /// It is not what an honest wrap makes: its MAC differs, or what came out does not begin with the zero block.
    case forged
    /// The token refused; what that means has to be found out.
    case token(CryptokiError)
}

/// Locked memory of one worker for one operation at a time: what goes into the token and what comes out of it.
package struct CipherScratch: ~Copyable {
    var memory: SecretBytes

    /// The bytes of one half: zero block, the greatest plaintext, padding, tag.
    static let half = Envelope.commitmentLength + Limits.maximumPlaintext + 64

    /// The locked memory that a scratch takes.
    package static let byteCount = (half * 2 + 4095) / 4096 * 4096

    package init() throws(SecureMemoryError) {
        memory = try SecretBytes(count: CipherScratch.half * 2)
    }

    /// Runs `body` with two halves of `count` bytes each, which are wiped afterwards.
    mutating func use<R, E: Error>(
        _ count: Int, _ body: (_ input: UnsafeMutableRawBufferPointer, _ output: UnsafeMutableRawBufferPointer) throws(E) -> R
    ) throws(E) -> R {
        precondition(count <= CipherScratch.half)
        return try memory.withUnsafeMutableBytes { (memory) throws(E) -> R in
            let input = UnsafeMutableRawBufferPointer(rebasing: memory[..<count])
            let output = UnsafeMutableRawBufferPointer(rebasing: memory[CipherScratch.half..<CipherScratch.half + count])
            defer {
                wipe(input)
                wipe(output)
            }
            return try body(input, output)
        }
    }
}

/// Sealing and opening with whatever suite a key version has.
package enum SuiteCipher {
    /// Makes an envelope.
    ///
    /// - Parameters:
    ///   - header: the envelope's first 26 bytes; the handles' suite stands in it.
    ///   - context: the context's encoding.
    ///   - handles: the version's objects.
    ///   - output: at least `Envelope.length(_:plaintext:)` bytes.
    /// - Returns: the envelope's length.
    package static func seal(
        _ input: SealInput, label: EnvelopeLabel, header: [UInt8], context: RawSpan, handles: SuiteHandles,
        session: inout Session, scratch: inout CipherScratch, into output: UnsafeMutableRawBufferPointer
    ) throws(CryptokiError) -> Int {
        precondition(handles.suite.allows(plaintextLength: input.count) && header.count == Envelope.headerLength)
        precondition(output.count >= Envelope.length(handles.suite, plaintext: input.count))
        let aad = Envelope.associatedData(label: label, header: header.span.bytes, context: context)
        output.copyBytes(from: header)
        switch handles {
        case .aesGCM(let cipher):
            return try SuiteGCM.seal(input, aad: aad, key: cipher, session: &session, scratch: &scratch, into: output)
        case .aesCBCWithHMAC(let cipher, let authentication):
            return try SuiteCBC.seal(
                input, aad: aad, cipher: cipher, authentication: authentication, session: &session, scratch: &scratch,
                into: output)
        case .aesKeyWrapWithHMAC(let cipher, let authentication):
            return try SuiteKeyWrap.seal(
                input, aad: aad, cipher: cipher, authentication: authentication, session: &session, scratch: &scratch,
                into: output)
        }
    }

    /// Opens an envelope and shows its plaintext to `show`, in locked memory that is wiped afterwards.
    ///
    /// - Parameters:
    ///   - envelope: where the parts of `bytes` lie; its suite is that of the handles.
    ///   - header: what the database says the header must be.
    package static func open<R>(
        _ envelope: Envelope, of bytes: RawSpan, label: EnvelopeLabel, header: [UInt8], context: RawSpan,
        handles: SuiteHandles, session: inout Session, scratch: inout CipherScratch, show: (UnsafeRawBufferPointer) -> R
    ) throws(OpenFailure) -> R {
        guard envelope.suite == handles.suite else { throw .forged }
        let aad = Envelope.associatedData(label: label, header: header.span.bytes, context: context)
        switch handles {
        case .aesGCM(let cipher):
            return try SuiteGCM.open(
                envelope, of: bytes, aad: aad, key: cipher, session: &session, scratch: &scratch, show: show)
        case .aesCBCWithHMAC(let cipher, let authentication):
            try EnvelopeMAC.verify(
                envelope, of: bytes, aad: aad, key: authentication, session: &session, scratch: &scratch)
            return try SuiteCBC.decrypt(envelope, of: bytes, key: cipher, session: &session, scratch: &scratch, show: show)
        case .aesKeyWrapWithHMAC(let cipher, let authentication):
            try EnvelopeMAC.verify(
                envelope, of: bytes, aad: aad, key: authentication, session: &session, scratch: &scratch)
            return try SuiteKeyWrap.unwrap(envelope, of: bytes, key: cipher, session: &session, scratch: &scratch, show: show)
        }
    }
}
