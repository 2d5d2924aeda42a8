import ClavigerWire
import Cryptoki
import SecureMemory

/// One worker's session with the token and its locked scratch memory. Used by one thread.
package final class TokenSession {
    private var session: Session?
    private var scratch: CipherScratch
    // What was opened and has not been answered or sealed again yet. The address never moves while `holder` lives.
    private let holder: SecretBytes
    private let place: UnsafeMutableRawBufferPointer
    /// How often the worker is inside the gate: twice while a batch has let another request in.
    var depth = 0
    /// The token had no session for the worker when it last asked for one.
    var lacksSession = false
    /// The token generation that the session belongs to; 0 when there is none.
    private(set) var generation: UInt64 = 0

    package init() throws(SecureMemoryError) {
        scratch = try CipherScratch()
        var memory = try SecretBytes(count: Limits.maximumPlaintext)
        place = memory.withUnsafeMutableBytes { $0 }
        holder = memory
    }

    /// The locked memory that a session takes.
    package static let lockedBytes = CipherScratch.byteCount + Limits.maximumPlaintext

    /// Keeps plaintext past the end of a call into the token.
    ///
    /// - Returns: its length.
    func hold(_ plaintext: UnsafeRawBufferPointer) -> Int {
        place.copyMemory(from: plaintext)
        return plaintext.count
    }

    /// The first bytes of what is held.
    func held(_ count: Int) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: place[..<count]) }

    /// Forgets what is held.
    func wipeHeld() { wipe(place) }

    deinit { forget() }

    /// Makes sure that there is a session of this generation. Call it inside the gate.
    func prepare(_ live: TokenService.Live) throws(CryptokiError) {
        guard generation != live.generation || session == nil else { return }
        forget()
        session = try live.openForWorker()
        generation = live.generation
    }

    /// Opens another session in place of one that turned out to be dead.
    func reopen(_ live: TokenService.Live) throws(CryptokiError) {
        if generation == live.generation, session != nil { live.budget.giveBack() }
        forget()
        try prepare(live)
    }

    /// Runs `body` with the session. Not reentrant: between two calls other requests may use it.
    func use<R, E: Error>(_ body: (inout Session, inout CipherScratch) throws(E) -> R) throws(E) -> R? {
        guard session != nil else { return nil }
        return try body(&session!, &scratch)
    }

    /// Runs `body` with the session, once more with another one when this one turns out to be dead: that is no lost token, and the others
    /// keep theirs. What has been done by then must not count.
    ///
    /// - Throws: what the second try gave, or the opening of its session.
    func useReopening<R>(
        _ live: TokenService.Live?, _ body: (inout Session, inout CipherScratch) throws(CryptokiError) -> R
    ) throws(CryptokiError) -> R {
        do throws(CryptokiError) {
            return try useThere(body)
        } catch {
            guard error.meansDeadSession, let live else { throw error }
            try reopen(live)
            return try useThere(body)
        }
    }

    private func useThere<R>(
        _ body: (inout Session, inout CipherScratch) throws(CryptokiError) -> R
    ) throws(CryptokiError) -> R {
        guard let outcome = try use(body) else { throw .failed(.openSession, .sessionHandleInvalid) }
        return outcome
    }

    // A session of an earlier generation ended with C_Finalize; closing it now could close another one of the same number. That of
    // the present generation ends with the module at the latest, and a worker lives as long as the process.
    private func forget() {
        if let old = session.take() { old.forget() }
        generation = 0
    }
}
