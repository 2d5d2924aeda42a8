import ClavigerWire
import Cryptoki
import Glibc
import Logging
import SecureMemory
import Synchronization

/// Why nothing was signed.
package enum SigningFailure: Error, Equatable, Sendable, CustomStringConvertible {
    /// The token is not there, or somebody else keeps it busy; it may be back soon.
    case unavailable(String)
    /// The token refused.
    case token(CryptokiError)
    /// What the token gave is not its key's signature.
    case wrongSignature

    package var description: String {
        switch self {
        case .unavailable(let reason): "the token cannot sign now: \(reason)"
        case .token(let error): "the token did not sign: \(error)"
        case .wrongSignature: "the token's signature does not fit its public key"
        }
    }
}

/// The session that signs, apart from those of requests. Used under its lock.
struct SigningSession: ~Copyable {
    private var session: Session?
    private var generation: UInt64 = 0

    /// Runs `body` with a session of this generation. One of an earlier generation ended with its module: its number may be another
    /// session's now, so it is forgotten and not closed.
    mutating func use<R>(_ live: TokenService.Live, _ body: (inout Session) throws(CryptokiError) -> R) throws(CryptokiError) -> R
    {
        if generation != live.generation || session == nil {
            drop()
            session = try live.openSession()
            generation = live.generation
        }
        return try body(&session!)
    }

    /// Lets the session go; the next use opens another.
    mutating func drop() {
        if let old = session.take() { old.forget() }
        generation = 0
    }
}

// Signing with the instance's `audit` key: checkpoints of the audit log, heads of the database.
extension TokenService {
    /// How long a signature is waited for when others sign or the token is being taken hold of, in nanoseconds: a token signs in
    /// milliseconds, and whoever wants a signature can do without for a while.
    static let signingPatience: UInt64 = 500_000_000

    /// Signs a SHA-256 digest with the instance's `audit` key, in the token: ECDSA with P-256, r || s (64 bytes), or RSASSA-PKCS1-v1_5 with
    /// 3,072 bits where the token has no curves.
    ///
    /// Has a session of its own and keeps no request waiting. Call it from anywhere, inside `enter` or outside; it fails within
    /// `signingPatience` when the token is away. The signature has been checked with the public key.
    package func sign(_ digest: [UInt8]) throws(SigningFailure) -> [UInt8] {
        precondition(digest.count == SHA256.byteCount, "what is signed is a SHA-256 digest")
        let deadline = Clock.monotonic() + TokenService.signingPatience
        let signature = try gate.within(until: deadline) { () throws(SigningFailure) in
            // A thread that has the token alone is about to serve: the state says so only afterwards.
            guard let live = live.withLock({ $0 }), let key = live.signingKey else {
                throw .unavailable(currentStatus.reason.isEmpty ? "it is not there" : currentStatus.reason)
            }
            guard let publicKey = verifyingKey.withLock({ $0 }) else { throw .unavailable("its public key is not there") }
            return try sign(digest, live, key, publicKey, until: deadline)
        }
        guard let signature else { throw .unavailable("it is being taken hold of") }
        guard let publicKey = verifyingKey.withLock({ $0 }), publicKey.verifies(signature, of: digest) else {
            throw .wrongSignature
        }
        return signature
    }

    /// The public key of the instance's `audit` key; nil before the token was held for the first time.
    package var signingPublicKey: SigningPublicKey? { verifyingKey.withLock { $0 } }

    private func sign(
        _ digest: [UInt8], _ live: Live, _ key: ObjectHandle, _ publicKey: SigningPublicKey, until deadline: UInt64
    ) throws(SigningFailure) -> [UInt8] {
        while true {
            let outcome: Result<[UInt8], CryptokiError>? = signer.withLockIfAvailable { signer in
                busy.begin(.signature)
                defer { busy.end(.signature) }
                do throws(CryptokiError) {
                    return .success(try TokenService.sign(digest, live, key, publicKey, &signer))
                } catch {
                    // A session that the token has forgotten is no lost token: one more try with another.
                    signer.drop()
                    guard error.meansLost else { return .failure(error) }
                    do throws(CryptokiError) {
                        return .success(try TokenService.sign(digest, live, key, publicKey, &signer))
                    } catch {
                        signer.drop()
                        return .failure(error)
                    }
                }
            }
            switch outcome {
            case .success(let signature): return signature
            case .failure(let error):
                if error.meansLost { declareLost("signing failed: \(error)") }
                throw .token(error)
            case nil:
                guard Clock.monotonic() < deadline else { throw .unavailable("another signature takes too long") }
                usleep(TokenService.signingPoll)
            }
        }
    }

    /// Microseconds between two looks at whether the other signature is done.
    private static let signingPoll: UInt32 = 200

    private static func sign(
        _ digest: [UInt8], _ live: Live, _ key: ObjectHandle, _ publicKey: SigningPublicKey, _ signer: inout SigningSession
    ) throws(CryptokiError) -> [UInt8] {
        try signer.use(live) { (session) throws(CryptokiError) in
            try publicKey.sign(digest, key: key, session: &session)
        }
    }

    /// Notes the pair's private key, and reads its public one. Called while the token is bound.
    func takeSigningKey(_ name: ObjectName, _ handle: ObjectHandle, _ session: inout Session) throws(TokenFailure) {
        live.withLock { $0?.signingKey = handle }
        let known: SigningPublicKey?
        do throws(CryptokiError) {
            let found = try session.findObjects(
                matching: [.objectClass(.publicKey), .bool(.token, true), .id(name.objectID)], limit: 2)
            switch (found.count == 1, configuration.quirks.auditKey) {
            case (false, _): known = nil
            case (true, .ecP256): known = SigningPublicKey(attribute: try session.bytes(.ecPoint, of: found[0]))
            case (true, .rsa3072): known = SigningPublicKey(modulus: try session.bytes(.modulus, of: found[0]))
            }
        } catch {
            throw .lost("the instance's signing key cannot be read: \(error)")
        }
        guard let key = known else {
            log.error("the public key of the instance's signing pair is missing or not one: nothing can be signed")
            return
        }
        try prove(handle, key, &session)
        let before = verifyingKey.withLock { known in
            defer { known = key }
            return known
        }
        if let before, before != key { log.error("the instance's signing key is another than before") }
    }

    /// Has the pair sign once before anything in the database is touched: with a wrong signature the next binding would not believe it.
    private func prove(
        _ handle: ObjectHandle, _ key: SigningPublicKey, _ session: inout Session
    ) throws(TokenFailure) {
        // No digest of a head or of a checkpoint: those begin with labels of their own.
        let digest = SHA256.digest(Array("claviger/signature-trial/1\0\(instance.id)".utf8).span.bytes)
        let signature: [UInt8]
        do throws(CryptokiError) {
            signature = try key.sign(digest, key: handle, session: &session)
        } catch {
            if error.meansLost { throw .lost("the instance's signing key cannot be tried: \(error)") }
            log.error("the instance's signing key does not sign", metadata: ["error": "\(error)"])
            return
        }
        guard key.verifies(signature, of: digest) else {
            throw .needsOperator(
                "this token is dangerous and is not used: the signature of the instance's key 'audit' is wrong; "
                    + "'claviger token doctor' says more")
        }
    }
}
