import ClavigerWire
import Cryptoki
import SecureMemory

/// Suite 3: AES key wrap (RFC 3394) and HMAC-SHA-256 in the token: DEKs can be made and rewrapped without ever leaving it.
///
/// What is wrapped is a session object of the token, made for the one operation and destroyed at once.
enum SuiteKeyWrap {
    /// RFC 3394 adds so many bytes to what it wraps.
    static let overhead = 8

    /// Writes what follows the header. Called by `SuiteCipher`, which has checked the lengths.
    static func seal(
        _ input: SealInput, aad: [UInt8], cipher: ObjectHandle, authentication: ObjectHandle, session: inout Session,
        scratch: inout CipherScratch, into output: UnsafeMutableRawBufferPointer
    ) throws(CryptokiError) -> Int {
        try scratch.use(input.count) { (plaintext, _) throws(CryptokiError) -> Int in
            try input.fill(plaintext, session: &session)
            let object = try session.createObject(
                template(isSensitive: true), value: UnsafeRawBufferPointer(plaintext).bytes)
            let length = try consume(object, session: &session) { (session) throws(CryptokiError) in
                try wrap(
                    object, of: input.count, aad: aad, cipher: cipher, authentication: authentication, session: &session,
                    into: output)
            }
            input.sealed(plaintext)
            return length
        }
    }

    /// A DEK of `count` bytes, made by the token as a session object that cannot be read.
    static func generate(_ count: Int, session: inout Session) throws(CryptokiError) -> ObjectHandle {
        try session.generateKey(
            .genericSecretKeyGeneration, [.ulong(.valueLength, UInt(count))] + template(isSensitive: true))
    }

    /// The DEK of an envelope whose MAC fits, as a session object that cannot be read.
    static func unwrapInside(
        _ envelope: Envelope, of bytes: RawSpan, key: ObjectHandle, session: inout Session
    ) throws(CryptokiError) -> ObjectHandle {
        try session.unwrapKey(
            .aesKeyWrap, unwrappingKey: key, wrapped: bytes.part(envelope.ciphertext), template(isSensitive: true))
    }

    /// Runs `body` with a session object and destroys it, whatever comes of that.
    static func consume<R>(
        _ object: ObjectHandle, session: inout Session, _ body: (inout Session) throws(CryptokiError) -> R
    ) throws(CryptokiError) -> R {
        let result: R
        do throws(CryptokiError) {
            result = try body(&session)
        } catch {
            try? session.destroyObject(object)
            throw error
        }
        try session.destroyObject(object)
        return result
    }

    /// Unwraps an envelope whose MAC fits.
    static func unwrap<R>(
        _ envelope: Envelope, of bytes: RawSpan, key: ObjectHandle, session: inout Session, scratch: inout CipherScratch,
        show: (UnsafeRawBufferPointer) -> R
    ) throws(OpenFailure) -> R {
        let length = envelope.ciphertext.count - overhead
        return try scratch.use(length) { (_, room) throws(OpenFailure) -> R in
            let count = try mapping(OpenFailure.token) { () throws(CryptokiError) -> Int in
                let object = try session.unwrapKey(
                    .aesKeyWrap, unwrappingKey: key, wrapped: bytes.part(envelope.ciphertext), template(isSensitive: false))
                return try consume(object, session: &session) { (session) throws(CryptokiError) in
                    try session.read(.value, of: object, into: room)
                }
            }
            guard count == length else { throw .token(.malformedReply(.unwrapKey)) }
            return show(UnsafeRawBufferPointer(room))
        }
    }

    /// Wraps a session object of `count` bytes, has the token open what came of it, and completes the envelope.
    static func wrap(
        _ object: ObjectHandle, of count: Int, aad: [UInt8], cipher: ObjectHandle, authentication: ObjectHandle,
        session: inout Session, into output: UnsafeMutableRawBufferPointer
    ) throws(CryptokiError) -> Int {
        let offset = Envelope.headerLength + 1
        let wrapped = UnsafeMutableRawBufferPointer(rebasing: output[offset..<offset + count + overhead])
        let length = try session.wrapKey(.aesKeyWrap, wrappingKey: cipher, key: object, into: wrapped)
        guard length == wrapped.count else { throw .malformedReply(.wrapKey) }
        // Nobody has seen the DEK, so nobody else would find out in time that it is lost: RFC 3394's check value, judged in the token.
        let back = try session.unwrapKey(
            .aesKeyWrap, unwrappingKey: cipher, wrapped: UnsafeRawBufferPointer(wrapped).bytes, template(isSensitive: true))
        try session.destroyObject(back)
        return try EnvelopeMAC.append(
            to: output, ivLength: 0, ciphertextLength: length, aad: aad, key: authentication, session: &session)
    }

    /// A DEK as a session object: it can be wrapped and nothing else.
    private static func template(isSensitive: Bool) -> [Attribute] {
        [
            .objectClass(.secretKey), .keyType(.genericSecret), .bool(.token, false), .bool(.private, true),
            .bool(.sensitive, isSensitive), .bool(.extractable, true),
        ] + ObjectTemplate.secretKeyUses.map { .bool($0, false) }
    }
}
