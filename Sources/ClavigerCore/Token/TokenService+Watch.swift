import ClavigerWire
import Cryptoki
import SecureMemory
import Synchronization

// A token that nobody uses can be gone without a trace: sessions open, random numbers come, and no key works. So it is asked now and then
// for something that only it can answer.
extension TokenService {
    /// How often, in nanoseconds: how late an idle daemon's health may turn red.
    static let watchInterval: UInt64 = 2_000_000_000

    /// Asks the canary when that is due. Called on the supervisor's thread.
    ///
    /// - Returns: when the next time is due; nil while the token does not serve.
    func watch() -> UInt64? {
        guard currentStatus.state.serves else { return nil }
        let now = Clock.monotonic()
        let due = supervision.withLock { supervision -> UInt64? in
            if now < supervision.watchDue { return supervision.watchDue }
            supervision.watchDue = now + TokenService.watchInterval
            return nil
        }
        if let due { return due }
        if let failure = askCanary() { declareLost("the canary does not answer: \(failure)") }
        return now + TokenService.watchInterval
    }

    private func askCanary() -> String? {
        gate.enterShared()
        busy.step(.supervisor)
        defer { gate.leave() }
        guard currentStatus.state.serves, let canary = live.withLock({ $0?.canary }) else { return nil }
        let outcome: String?? = management.withLock { management in
            guard management.anchor != nil else { return nil }
            do throws(OpenFailure) {
                let holds = try KnownAnswerProof.holds(
                    canary.answer, for: canary.name, canary.handles, session: &management.anchor!, scratch: &management.scratch)
                return .some(holds ? nil : "another answer than at its birth")
            } catch {
                return .some("\(error)")
            }
        }
        return outcome ?? nil
    }
}
