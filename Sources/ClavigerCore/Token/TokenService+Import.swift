import ClavigerWire
import Cryptoki
import Logging
import SecureMemory
import Synchronization

/// The material of a new key version.
enum NewMaterial {
    /// The token makes it.
    case generated
    /// It came in the request: 16, 24 or 32 bytes in locked memory.
    case plain(UnsafeRawBufferPointer)
    /// It came encrypted by an import token.
    case wrapped(WrappedMaterial, ImportTokenID)

    /// Where it comes from and how long it is.
    var kind: KeyMaterial {
        switch self {
        case .generated: .generated
        case .plain(let bytes): .imported(bits: UInt32(bytes.count * 8))
        case .wrapped(let wrapped, _): .imported(bits: wrapped.bits)
        }
    }
}

// Key versions from outside.
extension TokenService {
    /// Makes the objects of a key version of whatever material.
    func makeVersion(
        _ name: ObjectName, _ suite: Suite, _ material: NewMaterial, _ session: inout Session, _ scratch: inout CipherScratch
    ) throws(ObjectFailure) -> SuiteHandles {
        switch material {
        case .generated: return try factory.makeVersion(name, suite, session: &session)
        case .plain(let bytes): return try factory.createVersion(name, material: bytes.bytes, session: &session)
        case .wrapped(let wrapped, let token):
            // Judged already when the change was begun; the pair can have been lost since with the token.
            guard let pair = importPair(token) else { throw .token(.failed(.unwrapKey, .keyHandleInvalid)) }
            try verify(wrapped, pair, &session, &scratch)
            return try factory.unwrapVersion(name, wrapped, by: pair, session: &session, scratch: &scratch)
        }
    }

    private func verify(
        _ wrapped: WrappedMaterial, _ pair: ImportPair, _ session: inout Session, _ scratch: inout CipherScratch
    ) throws(ObjectFailure) {
        do throws(ImportFailure) {
            try pair.verify(wrapped, session: &session, scratch: &scratch)
        } catch {
            switch error {
            case .unproven: throw .unproven
            case .notAsOrdered(let what): throw .attributes(what)
            case .token(let cause):
                // An altered blob and a token that went away can give the same code: the canary knows.
                guard !cause.meansLost, canaryAnswers(&session, &scratch) else {
                    declareLost(cause.description)
                    throw .token(cause)
                }
                throw .unproven
            }
        }
    }

    private func canaryAnswers(_ session: inout Session, _ scratch: inout CipherScratch) -> Bool {
        guard let canary = live.withLock({ $0?.canary }) else { return false }
        let holds = try? KnownAnswerProof.holds(
            canary.answer, for: canary.name, canary.handles, session: &session, scratch: &scratch)
        return holds == true
    }

    /// Requires that the nonce of an import is good: given by that import token, which is open, and not used yet.
    ///
    /// - Parameter isRepeated: whether the very same request came before and did not come about, which has used the nonce.
    /// - Returns: the nonce to use up; nil when there is none.
    /// - Throws: `notFound`, `importTokenExpired`, `incorrectNonce`, `keyUnavailable`.
    func freshNonce(
        _ material: NewMaterial, at now: UInt64, isRepeated: Bool
    ) throws(Refusal) -> [UInt8]? {
        guard case .wrapped(let wrapped, let id) = material else { return nil }
        _ = try ledger.openImportToken(id, at: now)
        let found = try ledger.read { connection throws(StoreError) in try connection.nonce(wrapped.nonce) }
        guard let found, found.token == id, !found.isUsed || isRepeated else {
            throw Refusal(
                .incorrectNonce, "the nonce is not one that import token \(id) gave, or it has been used: take the token again")
        }
        guard importPair(id) != nil else {
            throw Refusal(.keyUnavailable, "the private key of import token \(id) is not on the token: make another import token")
        }
        return found.isUsed ? nil : wrapped.nonce
    }

    /// Ends an import whose proof does not hold. The nonce stays used.
    func endUnproven(_ intent: Intent) throws(Refusal) {
        let now = time.now()
        let ended = try ledger.alone { () throws(Refusal) in
            try mapping(ledger.refuse) { () throws(StoreError) -> [ImportTokenID] in
                try store.transaction { connection throws(StoreError) in
                    try connection.failIntent(intent.operation)
                    return try connection.endExhaustedImportTokens(at: now)
                }
            }
        }
        forget(importTokens: ended)
    }

    /// Lets the pairs of import tokens go that have ended; their objects have been ordered to be destroyed.
    func forget(importTokens ended: [ImportTokenID]) {
        guard !ended.isEmpty else { return }
        importPairs.withLock { pairs in
            for id in ended { pairs[id] = nil }
        }
        wantOrders()
    }
}
