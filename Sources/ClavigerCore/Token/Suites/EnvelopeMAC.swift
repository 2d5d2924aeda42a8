import ClavigerWire
import Cryptoki
import SecureMemory

/// The MAC of suites 2 and 3: HMAC-SHA-256 in the token over everything that an envelope holds and is bound to.
///
/// The token computes and the daemon compares, so a forged envelope costs every token the same two calls and never looks like a fault
/// of the device: tokens disagree on what C_Verify returns for a MAC that differs.
enum EnvelopeMAC {
    static let length = 32

    /// u64 length of the associated data || associated data || length of the IV || IV || ciphertext.
    static func message(aad: [UInt8], iv: RawSpan, ciphertext: RawSpan) -> [UInt8] {
        var message: [UInt8] = []
        message.reserveCapacity(8 + aad.count + 1 + iv.byteCount + ciphertext.byteCount)
        withUnsafeBytes(of: UInt64(aad.count).bigEndian) { message += $0 }
        message += aad
        message.append(UInt8(iv.byteCount))
        iv.withUnsafeBytes { message += $0 }
        ciphertext.withUnsafeBytes { message += $0 }
        return message
    }

    /// Writes the MAC of IV and ciphertext behind them. They lie in `output` from the byte of the IV's length on.
    static func append(
        to output: UnsafeMutableRawBufferPointer, ivLength: Int, ciphertextLength: Int, aad: [UInt8], key: ObjectHandle,
        session: inout Session
    ) throws(CryptokiError) -> Int {
        output[Envelope.headerLength] = UInt8(ivLength)
        let ivOffset = Envelope.headerLength + 1
        let bodyOffset = ivOffset + ivLength
        let end = bodyOffset + ciphertextLength
        let bytes = UnsafeRawBufferPointer(output)
        let message = message(
            aad: aad, iv: UnsafeRawBufferPointer(rebasing: bytes[ivOffset..<bodyOffset]).bytes,
            ciphertext: UnsafeRawBufferPointer(rebasing: bytes[bodyOffset..<end]).bytes)
        let count = try session.sign(
            .hmacSHA256, key: key, data: message.span.bytes,
            into: UnsafeMutableRawBufferPointer(rebasing: output[end..<end + length]))
        guard count == length else { throw .malformedReply(.sign) }
        return end + length
    }

    /// Checks an envelope's MAC.
    ///
    /// - Throws: `forged` when it differs, whatever the reason is.
    static func verify(
        _ envelope: Envelope, of bytes: RawSpan, aad: [UInt8], key: ObjectHandle, session: inout Session,
        scratch: inout CipherScratch
    ) throws(OpenFailure) {
        let message = message(aad: aad, iv: bytes.part(envelope.iv), ciphertext: bytes.part(envelope.ciphertext))
        // The right MAC of somebody's forgery is a secret as long as it lasts.
        let isEqual = try scratch.use(length) { (_, mac) throws(OpenFailure) -> Bool in
            let count = try mapping(OpenFailure.token) { () throws(CryptokiError) in
                try session.sign(.hmacSHA256, key: key, data: message.span.bytes, into: mac)
            }
            guard count == length else { throw .token(.malformedReply(.sign)) }
            return constantTimeEqual(UnsafeRawBufferPointer(mac).bytes, bytes.part(envelope.tag))
        }
        guard isEqual else { throw .forged }
    }
}
