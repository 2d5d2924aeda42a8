import ClavigerWire
import Cryptoki
import SecureMemory
import Support
import Testing

@testable import ClavigerCore

/// AES keys of known value, as session objects: what a token computes with them can be checked elsewhere.
func importKey(_ value: [UInt8], _ session: inout Session) throws(CryptokiError) -> ObjectHandle {
    try session.createObject(
        [
            .objectClass(.secretKey), .keyType(.aes), .bool(.token, false), .bool(.private, true), .bool(.sensitive, false),
            .bool(.extractable, true), .bool(.encrypt, true), .bool(.decrypt, true),
        ], value: value.span.bytes)
}

/// Keys of known value for a suite, as session objects.
func importKeys(
    _ suite: Suite, cipher: [UInt8], authentication: [UInt8], _ session: inout Session
) throws(CryptokiError) -> SuiteHandles {
    let uses: [AttributeType] = suite == .aesKeyWrapWithHMAC ? [.wrap, .unwrap] : [.encrypt, .decrypt]
    let key = try session.createObject(
        [
            .objectClass(.secretKey), .keyType(.aes), .bool(.token, false), .bool(.private, true), .bool(.sensitive, false),
            .bool(.extractable, true),
        ] + uses.map { .bool($0, true) }, value: cipher.span.bytes)
    guard suite.hasAuthenticationKey else { return .aesGCM(cipher: key) }
    let other = try session.createObject(
        [
            .objectClass(.secretKey), .keyType(.genericSecret), .bool(.token, false), .bool(.private, true),
            .bool(.sensitive, false), .bool(.extractable, true), .bool(.sign, true), .bool(.verify, true),
        ], value: authentication.span.bytes)
    return suite == .aesCBCWithHMAC
        ? .aesCBCWithHMAC(cipher: key, authentication: other) : .aesKeyWrapWithHMAC(cipher: key, authentication: other)
}

/// SuiteCipher with arrays in place of locked memory; what it handles here is no secret.
struct Cipher: ~Copyable {
    var session: Session
    var scratch: CipherScratch

    private init(_ session: consuming Session, _ scratch: consuming CipherScratch) {
        self.session = session
        self.scratch = scratch
    }

    static func make() throws -> Cipher {
        let session = try SoftToken.shared().openSession()
        return Cipher(session, try CipherScratch())
    }

    mutating func seal(
        _ plaintext: [UInt8], label: EnvelopeLabel = .wrap, header: [UInt8], context: [UInt8] = Context.empty,
        key: ObjectHandle
    ) throws(CryptokiError) -> [UInt8] {
        try seal(plaintext, label: label, header: header, context: context, handles: .aesGCM(cipher: key))
    }

    mutating func seal(
        _ plaintext: [UInt8], label: EnvelopeLabel = .wrap, header: [UInt8], context: [UInt8] = Context.empty,
        handles: SuiteHandles
    ) throws(CryptokiError) -> [UInt8] {
        try seal(
            .given(count: plaintext.count, copy: { $0.copyBytes(from: plaintext) }), label: label, header: header,
            context: context, handles: handles)
    }

    mutating func seal(
        _ input: SealInput, label: EnvelopeLabel = .wrap, header: [UInt8], context: [UInt8] = Context.empty,
        handles: SuiteHandles
    ) throws(CryptokiError) -> [UInt8] {
        var output = [UInt8](repeating: 0xaa, count: Envelope.maximumLength)
        var failure: CryptokiError?
        let count = output.withUnsafeMutableBytes { output -> Int in
            do throws(CryptokiError) {
                return try SuiteCipher.seal(
                    input, label: label, header: header, context: context.span.bytes, handles: handles, session: &session,
                    scratch: &scratch, into: output)
            } catch {
                failure = error
                return 0
            }
        }
        if let failure { throw failure }
        return Array(output.prefix(count))
    }

    /// Opens an envelope as the service does: the header is made of what the envelope led to.
    mutating func open(
        _ bytes: [UInt8], label: EnvelopeLabel = .wrap, context: [UInt8] = Context.empty, key: ObjectHandle
    ) throws -> [UInt8] {
        try open(bytes, label: label, context: context, handles: .aesGCM(cipher: key))
    }

    mutating func open(
        _ bytes: [UInt8], label: EnvelopeLabel = .wrap, context: [UInt8] = Context.empty, handles: SuiteHandles
    ) throws -> [UInt8] {
        let envelope = try Envelope(bytes.span.bytes)
        return try SuiteCipher.open(
            envelope, of: bytes.span.bytes, label: label,
            header: Envelope.header(suite: handles.suite, keyID: envelope.keyID, version: envelope.version),
            context: context.span.bytes, handles: handles, session: &session, scratch: &scratch
        ) { Array($0) }
    }
}

/// The values of a golden vector's file, `key: value` a line.
func vector(_ name: String) throws -> [String: String] {
    let tests = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    let content = try Files.read("/\(tests)/Vectors/envelopes/\(name).txt")
    var values: [String: String] = [:]
    for line in String(decoding: content, as: UTF8.self).split(separator: "\n") {
        let parts = line.split(separator: ":", maxSplits: 1).map(String.init)
        values[parts[0]] = parts.count == 2 ? String(parts[1].drop { $0 == " " }) : ""
    }
    return values
}

/// The bytes that hexadecimal digits stand for.
func hex(_ text: String?) throws -> [UInt8] {
    let digits = try (text ?? "").map { try #require($0.hexDigitValue) }
    try #require(digits.count % 2 == 0)
    return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
}
