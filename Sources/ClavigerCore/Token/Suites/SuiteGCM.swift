import ClavigerWire
import Cryptoki
import SecureMemory

/// Suite 1: AES-256-GCM in the token, 32 zero bytes before the plaintext.
///
/// GCM alone does not commit to its key: one ciphertext can be made that opens under two. The zero block, checked after opening,
/// does (the padding fix of Albertini et al., "How to Abuse and Fix Authenticated Encryption Without Key Commitment", 2022).
enum SuiteGCM {
    static let ivLength = 12
    static let tagBits = 128

    /// Writes what follows the header. Called by `SuiteCipher`, which has checked the lengths.
    static func seal(
        _ input: SealInput, aad: [UInt8], key: ObjectHandle, session: inout Session, scratch: inout CipherScratch,
        into output: UnsafeMutableRawBufferPointer
    ) throws(CryptokiError) -> Int {
        let ivOffset = Envelope.headerLength + 1
        let bodyOffset = ivOffset + ivLength
        output[Envelope.headerLength] = UInt8(ivLength)
        let iv = UnsafeMutableRawBufferPointer(rebasing: output[ivOffset..<bodyOffset])
        try RandomSource.fill(iv, with: &session)
        let written = try scratch.use(Envelope.commitmentLength + input.count) { (block, _) throws(CryptokiError) -> Int in
            block.initializeMemory(as: UInt8.self, repeating: 0)
            let plaintext = UnsafeMutableRawBufferPointer(rebasing: block[Envelope.commitmentLength...])
            try input.fill(plaintext, session: &session)
            let count = try session.encrypt(
                .aesGCM(iv: UnsafeRawBufferPointer(iv).bytes, additionalData: aad.span.bytes, tagBits: tagBits), key: key,
                plaintext: UnsafeRawBufferPointer(block).bytes,
                into: UnsafeMutableRawBufferPointer(rebasing: output[bodyOffset...]))
            // A token that returned another length has not done what was asked; nothing of it may leave.
            guard count == block.count + Suite.aesGCM.tagLength else { throw .malformedReply(.encrypt) }
            input.sealed(plaintext)
            return count
        }
        return bodyOffset + written
    }

    /// Opens an envelope of this suite.
    static func open<R>(
        _ envelope: Envelope, of bytes: RawSpan, aad: [UInt8], key: ObjectHandle, session: inout Session,
        scratch: inout CipherScratch, show: (UnsafeRawBufferPointer) -> R
    ) throws(OpenFailure) -> R {
        let sealed = ByteRange(offset: envelope.ciphertext.offset, count: envelope.ciphertext.count + envelope.tag.count)
        // Some tokens want room for the tag too while they decrypt.
        return try scratch.use(sealed.count) { (_, room) throws(OpenFailure) -> R in
            let count = try mapping(OpenFailure.token) { () throws(CryptokiError) in
                try session.decrypt(
                    .aesGCM(iv: bytes.part(envelope.iv), additionalData: aad.span.bytes, tagBits: tagBits), key: key,
                    ciphertext: bytes.part(sealed), into: room)
            }
            guard count == envelope.ciphertext.count else { throw .token(.malformedReply(.decrypt)) }
            let zeroes = UnsafeRawBufferPointer(rebasing: room[..<Envelope.commitmentLength])
            let expected = zeroBlock
            guard constantTimeEqual(zeroes.bytes, expected.span.bytes) else { throw .forged }
            return show(UnsafeRawBufferPointer(rebasing: room[Envelope.commitmentLength..<count]))
        }
    }

    private static let zeroBlock = [UInt8](repeating: 0, count: Envelope.commitmentLength)
}
