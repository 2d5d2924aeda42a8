import Cryptoki
import Synchronization

/// How many sessions the workers may open in one generation of the token, where its profile bounds them.
final class SessionBudget: Sendable {
    /// The sessions that are not the workers': the one that manages and the one that signs.
    static let others = 2
    private let left: Mutex<Int?>

    init(limit: Int?) { left = Mutex(limit.map { max(0, $0 - SessionBudget.others) }) }

    /// Whether there is one more; it then counts as open.
    func take() -> Bool {
        left.withLock { left in
            guard let count = left else { return true }
            guard count > 0 else { return false }
            left = count - 1
            return true
        }
    }

    /// One that was opened is gone, or did not come about.
    func giveBack() { left.withLock { $0 = $0.map { $0 + 1 } } }
}

extension TokenService.Live {
    /// A session for a worker.
    ///
    /// - Throws: CKR_SESSION_COUNT, as from the token, when there are as many as there may be.
    func openForWorker() throws(CryptokiError) -> Session {
        guard budget.take() else { throw .failed(.openSession, .sessionCount) }
        do throws(CryptokiError) {
            return try openSession()
        } catch {
            budget.giveBack()
            throw error
        }
    }

    /// A session that changes nothing on the token.
    func openSession() throws(CryptokiError) -> Session {
        try module.openSession(slot, readWrite: !quirks.opensReadOnlySessions)
    }
}
