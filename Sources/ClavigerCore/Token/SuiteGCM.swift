import ClavigerWire
import Cryptoki
import SecureMemory

/// Why an envelope could not be opened.
package enum OpenFailure: Error, Equatable, Sendable {
    /// The token opened it, but what came out is not what an honest wrap puts in: the zero block is missing.
    case commitment
    /// The token refused; what that means has to be found out.
    case token(CryptokiError)
}

/// Locked memory of one worker for one operation at a time: what goes into the token and what comes out of it.
package struct CipherScratch: ~Copyable {
    fileprivate var memory: SecretBytes

    /// The bytes of one half: zero block, the greatest plaintext, tag.
    static let half = Envelope.commitmentLength + Limits.maximumPlaintext + 64

    /// The locked memory that a scratch takes.
    package static let byteCount = (half * 2 + 4095) / 4096 * 4096

    package init() throws(SecureMemoryError) {
        memory = try SecretBytes(count: CipherScratch.half * 2)
    }
}

/// Suite 1: AES-256-GCM in the token, 32 zero bytes before the plaintext.
///
/// GCM alone does not commit to its key: one ciphertext can be made that opens under two. The zero block, checked after opening,
/// does (the padding fix of Albertini et al., "How to Abuse and Fix Authenticated Encryption Without Key Commitment", 2022).
package enum SuiteGCM {
    static let ivLength = 12
    static let tagBits = 128

    /// Where the plaintext of a seal comes from.
    package enum Input {
        /// So many bytes, written by the closure into locked memory.
        case given(count: Int, copy: (UnsafeMutableRawBufferPointer) -> Void)
        /// So many random bytes, to be shown to the closure once they are sealed.
        case generated(count: Int, show: (UnsafeRawBufferPointer) -> Void)

        var count: Int {
            switch self {
            case .given(let count, copy: _), .generated(let count, show: _): count
            }
        }
    }

    /// Makes an envelope.
    ///
    /// - Parameters:
    ///   - key: the version's AES key.
    ///   - context: the context's encoding.
    ///   - output: at least `Envelope.length(plaintext:)` bytes.
    /// - Returns: the envelope's length.
    package static func seal(
        _ input: Input, label: EnvelopeLabel, header: [UInt8], context: RawSpan, key: ObjectHandle, session: inout Session,
        scratch: inout CipherScratch, into output: UnsafeMutableRawBufferPointer
    ) throws(CryptokiError) -> Int {
        precondition(input.count >= 1 && input.count <= Limits.maximumPlaintext && header.count == Envelope.headerLength)
        precondition(output.count >= Envelope.length(plaintext: input.count))
        let ivOffset = Envelope.headerLength + 1
        let bodyOffset = ivOffset + ivLength
        output.copyBytes(from: header)
        output[Envelope.headerLength] = UInt8(ivLength)
        let iv = UnsafeMutableRawBufferPointer(rebasing: output[ivOffset..<bodyOffset])
        try RandomSource.fill(iv, with: &session)
        let aad = Envelope.associatedData(label: label, header: header.span.bytes, context: context)
        let written = try scratch.memory.withUnsafeMutableBytes { (memory) throws(CryptokiError) -> Int in
            let block = UnsafeMutableRawBufferPointer(rebasing: memory[..<(Envelope.commitmentLength + input.count)])
            defer { wipe(block) }
            block.initializeMemory(as: UInt8.self, repeating: 0)
            let plaintext = UnsafeMutableRawBufferPointer(rebasing: block[Envelope.commitmentLength...])
            switch input {
            case .given(_, let copy): copy(plaintext)
            case .generated: try RandomSource.fill(plaintext, with: &session)
            }
            let count = try session.encrypt(
                .aesGCM(iv: UnsafeRawBufferPointer(iv).bytes, additionalData: aad.span.bytes, tagBits: tagBits), key: key,
                plaintext: UnsafeRawBufferPointer(block).bytes,
                into: UnsafeMutableRawBufferPointer(rebasing: output[bodyOffset...]))
            // A token that returned another length has not done what was asked; nothing of it may leave.
            guard count == block.count + Suite.aesGCM.tagLength else { throw .malformedReply(.encrypt) }
            if case .generated(_, let show) = input { show(UnsafeRawBufferPointer(plaintext)) }
            return count
        }
        return bodyOffset + written
    }

    /// Opens an envelope and shows its plaintext to `show`, in locked memory that is wiped afterwards.
    ///
    /// - Parameters:
    ///   - envelope: where the parts of `bytes` lie; its suite is this one.
    ///   - header: what the database says the header must be.
    package static func open<R>(
        _ envelope: Envelope, of bytes: RawSpan, label: EnvelopeLabel, header: [UInt8], context: RawSpan, key: ObjectHandle,
        session: inout Session, scratch: inout CipherScratch, show: (UnsafeRawBufferPointer) -> R
    ) throws(OpenFailure) -> R {
        let aad = Envelope.associatedData(label: label, header: header.span.bytes, context: context)
        let sealed = ByteRange(offset: envelope.ciphertext.offset, count: envelope.ciphertext.count + envelope.tag.count)
        return try scratch.memory.withUnsafeMutableBytes { (memory) throws(OpenFailure) -> R in
            // Some tokens want room for the tag too while they decrypt.
            let room = UnsafeMutableRawBufferPointer(rebasing: memory[CipherScratch.half..<CipherScratch.half + sealed.count])
            defer { wipe(room) }
            let count: Int
            do throws(CryptokiError) {
                count = try session.decrypt(
                    .aesGCM(iv: bytes.part(envelope.iv), additionalData: aad.span.bytes, tagBits: tagBits), key: key,
                    ciphertext: bytes.part(sealed), into: room)
            } catch {
                throw .token(error)
            }
            guard count == envelope.ciphertext.count else { throw .token(.malformedReply(.decrypt)) }
            let zeroes = UnsafeRawBufferPointer(rebasing: room[..<Envelope.commitmentLength])
            let expected = zeroBlock
            guard constantTimeEqual(zeroes.bytes, expected.span.bytes) else { throw .commitment }
            return show(UnsafeRawBufferPointer(rebasing: room[Envelope.commitmentLength..<count]))
        }
    }

    private static let zeroBlock = [UInt8](repeating: 0, count: Envelope.commitmentLength)
}
