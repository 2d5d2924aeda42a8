import ClavigerCore
import ClavigerWire
import Cryptoki
import SecureMemory

/// One operation of the token whose speed is measured.
enum MeasuredOperation: Sendable {
    case wrap(SuiteHandles)
    case unwrap(SuiteHandles)
    /// A data key made and wrapped inside.
    case wrapSealed(SuiteHandles)
    case rewrapInside(SuiteHandles)
    case random
    /// A key of the session.
    case generate
    case authenticate(ObjectHandle)
    case sign(ObjectHandle, SigningPublicKey)

    /// How it is called.
    var name: String {
        switch self {
        case .wrap: "wrap"
        case .unwrap: "unwrap"
        case .wrapSealed: "wrap sealed"
        case .rewrapInside: "rewrap"
        case .random: "random"
        case .generate: "generate"
        case .authenticate: "authenticate"
        case .sign: "sign"
        }
    }

    /// Does it for so many nanoseconds.
    ///
    /// - Returns: how often.
    func repeated(for duration: UInt64, _ session: inout Session) throws(CryptokiError) -> Int {
        let memory = { (_: SecureMemoryError) in CryptokiError.failed(.openSession, .hostMemory) }
        var scratch = try mapping(memory) { () throws(SecureMemoryError) in try CipherScratch() }
        var bench = ScratchEnvelope()
        // What is opened must have been sealed.
        switch self {
        case .unwrap(let handles), .rewrapInside(let handles): try bench.seal(handles, &session, &scratch)
        case .wrap, .wrapSealed, .random, .generate, .authenticate, .sign: break
        }
        let end = Clock.monotonic() + duration
        var count = 0
        while Clock.monotonic() < end {
            try once(&bench, &session, &scratch)
            count += 1
        }
        return count
    }

    private func once(
        _ bench: inout ScratchEnvelope, _ session: inout Session, _ scratch: inout CipherScratch
    ) throws(CryptokiError) {
        switch self {
        case .wrap(let handles): try bench.seal(handles, &session, &scratch)
        case .unwrap(let handles): try bench.open(handles, &session, &scratch)
        case .wrapSealed(let handles): try bench.generateInside(handles, &session)
        case .rewrapInside(let handles): try bench.rewrapInside(handles, &session, &scratch)
        case .random: _ = try RandomWitness(drawing: 1, from: &session)
        case .generate:
            let key = try session.generateKey(.aesKeyGeneration, TokenTrial.key([.encrypt, .decrypt]))
            try session.destroyObject(key)
        case .authenticate(let key):
            var mac = [UInt8](repeating: 0, count: 32)
            let message = [UInt8](repeating: 1, count: 64)
            let outcome = mac.withUnsafeMutableBytes { output in
                Result { () throws(CryptokiError) in
                    try session.sign(.hmacSHA256, key: key, data: message.span.bytes, into: output)
                }
            }
            _ = try outcome.get()
        case .sign(let key, let publicKey):
            _ = try publicKey.sign([UInt8](repeating: 7, count: SHA256.byteCount), key: key, session: &session)
        }
    }
}

/// An envelope of nobody's secret, made again and again.
struct ScratchEnvelope {
    private var bytes: [UInt8] = []
    private static let length = 32

    static func header(_ suite: Suite) -> [UInt8] {
        Envelope.header(suite: suite, keyID: KeyID(high: 1, low: 2), version: 1)
    }

    private func failure(_ error: OpenFailure) -> CryptokiError {
        switch error {
        case .token(let cause): cause
        case .forged: .malformedReply(.decrypt)
        }
    }

    mutating func seal(
        _ handles: SuiteHandles, _ session: inout Session, _ scratch: inout CipherScratch
    ) throws(CryptokiError) {
        let context = Context.empty
        try make(handles) { (output) throws(CryptokiError) in
            try SuiteCipher.seal(
                .generated(count: ScratchEnvelope.length, show: { _ in }), label: .knownAnswer,
                header: ScratchEnvelope.header(handles.suite), context: context.span.bytes, handles: handles,
                session: &session, scratch: &scratch, into: output)
        }
    }

    mutating func generateInside(_ handles: SuiteHandles, _ session: inout Session) throws(CryptokiError) {
        let context = Context.empty
        try make(handles) { (output) throws(CryptokiError) in
            try SuiteCipher.generateInside(
                ScratchEnvelope.length, label: .knownAnswer, header: ScratchEnvelope.header(handles.suite),
                context: context.span.bytes, handles: handles, session: &session, into: output)
        }
    }

    /// Opens what was made last.
    ///
    /// - Returns: the SHA-256 of its plaintext.
    @discardableResult
    func open(
        _ handles: SuiteHandles, _ session: inout Session, _ scratch: inout CipherScratch
    ) throws(CryptokiError) -> [UInt8] {
        let context = Context.empty
        guard let envelope = try? Envelope(bytes.span.bytes) else { throw .malformedReply(.encrypt) }
        return try mapping(failure) { () throws(OpenFailure) in
            try SuiteCipher.open(
                envelope, of: bytes.span.bytes, label: .knownAnswer, header: ScratchEnvelope.header(handles.suite),
                context: context.span.bytes, handles: handles, session: &session, scratch: &scratch
            ) { SHA256.digest($0) }
        }
    }

    /// Makes it anew without its plaintext leaving the token.
    mutating func rewrapInside(
        _ handles: SuiteHandles, _ session: inout Session, _ scratch: inout CipherScratch
    ) throws(CryptokiError) {
        let context = Context.empty
        let old = bytes
        let header = ScratchEnvelope.header(handles.suite)
        guard let envelope = try? Envelope(old.span.bytes) else { throw .malformedReply(.encrypt) }
        try mapping(failure) { () throws(OpenFailure) in
            try SuiteCipher.verifyInside(
                envelope, of: old.span.bytes, label: .knownAnswer, header: header, context: context.span.bytes,
                handles: handles, session: &session, scratch: &scratch)
        }
        try make(handles) { (output) throws(CryptokiError) in
            try SuiteCipher.rewrapInside(
                envelope, of: old.span.bytes, opening: handles, whenOpened: {}, label: .knownAnswer, header: header,
                context: context.span.bytes, handles: handles, session: &session, into: output)
        }
    }

    private mutating func make(
        _ handles: SuiteHandles, _ body: (UnsafeMutableRawBufferPointer) throws(CryptokiError) -> Int
    ) throws(CryptokiError) {
        var fresh = [UInt8](repeating: 0, count: Envelope.length(handles.suite, plaintext: ScratchEnvelope.length))
        let outcome = fresh.withUnsafeMutableBytes { output in
            Result { () throws(CryptokiError) in try body(output) }
        }
        guard try outcome.get() == fresh.count else { throw .malformedReply(.encrypt) }
        bytes = fresh
    }
}
