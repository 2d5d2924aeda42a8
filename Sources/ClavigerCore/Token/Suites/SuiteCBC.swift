import ClavigerWire
import Cryptoki
import SecureMemory

/// Suite 2: AES-256-CBC and HMAC-SHA-256 in the token, for tokens without GCM.
///
/// The padding is ours (PKCS#7), because tokens disagree on CKM_AES_CBC_PAD. It is looked at only behind a MAC that fits, so it can
/// never be an oracle.
enum SuiteCBC {
    static let ivLength = 16
    static let blockLength = 16

    /// Writes what follows the header. Called by `SuiteCipher`, which has checked the lengths.
    static func seal(
        _ input: SealInput, aad: [UInt8], cipher: ObjectHandle, authentication: ObjectHandle, session: inout Session,
        scratch: inout CipherScratch, into output: UnsafeMutableRawBufferPointer
    ) throws(CryptokiError) -> Int {
        let ivOffset = Envelope.headerLength + 1
        let bodyOffset = ivOffset + ivLength
        let iv = UnsafeMutableRawBufferPointer(rebasing: output[ivOffset..<bodyOffset])
        try RandomSource.fill(iv, with: &session)
        let padding = blockLength - input.count % blockLength
        return try scratch.use(input.count + padding) { (block, _) throws(CryptokiError) -> Int in
            block.initializeMemory(as: UInt8.self, repeating: UInt8(padding))
            let plaintext = UnsafeMutableRawBufferPointer(rebasing: block[..<input.count])
            try input.fill(plaintext, session: &session)
            let count = try session.encrypt(
                .aesCBC(iv: UnsafeRawBufferPointer(iv).bytes), key: cipher, plaintext: UnsafeRawBufferPointer(block).bytes,
                into: UnsafeMutableRawBufferPointer(rebasing: output[bodyOffset..<bodyOffset + block.count]))
            guard count == block.count else { throw .malformedReply(.encrypt) }
            let length = try EnvelopeMAC.append(
                to: output, ivLength: ivLength, ciphertextLength: count, aad: aad, key: authentication, session: &session)
            input.sealed(plaintext)
            return length
        }
    }

    /// Decrypts an envelope whose MAC fits.
    static func decrypt<R>(
        _ envelope: Envelope, of bytes: RawSpan, key: ObjectHandle, session: inout Session, scratch: inout CipherScratch,
        show: (UnsafeRawBufferPointer) -> R
    ) throws(OpenFailure) -> R {
        try scratch.use(envelope.ciphertext.count) { (_, room) throws(OpenFailure) -> R in
            let count = try mapping(OpenFailure.token) { () throws(CryptokiError) in
                try session.decrypt(
                    .aesCBC(iv: bytes.part(envelope.iv)), key: key, ciphertext: bytes.part(envelope.ciphertext), into: room)
            }
            // An envelope that we have made, by its MAC: whatever is wrong now, the AES key or the token is.
            guard count == envelope.ciphertext.count, let length = unpadded(UnsafeRawBufferPointer(room)) else {
                throw .token(.malformedReply(.decrypt))
            }
            return show(UnsafeRawBufferPointer(rebasing: room[..<length]))
        }
    }

    /// The length without its padding (RFC 5652 section 6.3); nil when that is not as it should be.
    private static func unpadded(_ bytes: UnsafeRawBufferPointer) -> Int? {
        guard let last = bytes.last else { return nil }
        let padding = Int(last)
        guard padding >= 1, padding <= blockLength, padding < bytes.count,
            bytes.suffix(padding).allSatisfy({ $0 == last })
        else { return nil }
        return bytes.count - padding
    }
}
