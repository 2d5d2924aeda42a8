import ClavigerCore
import Cryptoki

// How many sessions there may be, and of which kind.
extension Doctor {
    /// As many sessions as a daemon with many workers opens.
    private static let manySessions = 64

    mutating func sessions() -> [TrialRow] { [readOnlySessions(), sessionsAtOnce()] }

    private mutating func readOnlySessions() -> TrialRow {
        let name = "sessions that may read only"
        do throws(CryptokiError) {
            try access.module.openSession(slot, readWrite: false).close()
            return TrialRow(name, .works)
        } catch {
            do throws(CryptokiError) {
                try access.module.openSession(slot, readWrite: true).close()
                report.quirks.opensReadOnlySessions = false
                return TrialRow(name, .limited, "only such that may write: \(error)")
            } catch {
                return TrialRow(name, .refused, "no second session at all: \(error)")
            }
        }
    }

    private mutating func sessionsAtOnce() -> TrialRow {
        let name = "many sessions at once"
        let isWriting = !report.quirks.opensReadOnlySessions
        let (opened, failure) = open(Doctor.manySessions, isWriting)
        guard let failure else { return TrialRow(name, .works) }
        // This very one counts too.
        let limit = opened + 1
        guard ConfigurationLimits.sessions.contains(limit) else {
            return TrialRow(
                name, .refused, "only \(limit), and the daemon needs \(ConfigurationLimits.sessions.lowerBound): \(failure)")
        }
        report.quirks.sessionLimit = limit
        return TrialRow(name, .limited, "\(limit), then \(failure)")
    }

    /// Opens one session inside another and closes all, since a session cannot lie in an array.
    private func open(_ count: Int, _ isWriting: Bool) -> (Int, CryptokiError?) {
        guard count > 0 else { return (0, nil) }
        do throws(CryptokiError) {
            let session = try access.module.openSession(slot, readWrite: isWriting)
            let (more, failure) = open(count - 1, isWriting)
            try? session.close()
            return (more + 1, failure)
        } catch {
            return (0, error)
        }
    }
}
