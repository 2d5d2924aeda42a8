import Cryptoki
import SecureMemory

/// The one C_Login of an initialisation of the module, between two durable writes of the marker: for the daemon and for
/// `token init` alike.
package enum MarkedLogin {
    /// What came of an attempt.
    package struct Outcome: Sendable {
        /// What the token made of the PIN.
        package let result: LoginMarker.Result
        /// What C_Login gave; nil when it succeeded.
        package let failure: CryptokiError?
        /// Why the result could not be written down, if so: then the marker still says `pending`.
        package let unwritten: FileError?
    }

    /// Copies the token's files aside, writes the marker, logs in, writes the result.
    ///
    /// - Parameter marker: what `LoginMarker.next` allows.
    /// - Throws: `FileError` when copy or marker could not be written; then no attempt was made.
    package static func perform(
        _ marker: LoginMarker, pin: borrowing SecretBytes, session: inout Session, stateDirectory: String, files: TokenFiles?
    ) throws(FileError) -> Outcome {
        try files?.copy()
        try marker.write(stateDirectory)
        let failure = logIn(pin, &session)
        let judged = marker.judged(verdict(failure))
        var unwritten: FileError?
        do throws(FileError) {
            try judged.write(stateDirectory)
            if judged.result == .accepted { try files?.copy(accepted: true) }
        } catch {
            unwritten = error
        }
        return Outcome(result: judged.result, failure: failure, unwritten: unwritten)
    }

    /// What an answer says of the PIN.
    private static func verdict(_ failure: CryptokiError?) -> LoginMarker.Result {
        guard let failure else { return .accepted }
        switch failure.returnValue {
        case .pinIncorrect?, .pinInvalid?, .pinLengthRange?, .pinExpired?: return .refused
        case .pinLocked?: return .locked
        case .some, nil: return failure.meansDevice || failure.returnValue == nil ? .unjudged : .unclear
        }
    }

    private static func logIn(_ pin: borrowing SecretBytes, _ session: inout Session) -> CryptokiError? {
        do throws(CryptokiError) {
            do throws(CryptokiError) {
                try session.login(.user, pin: pin.bytes)
            } catch {
                // C_Finalize left the login standing, so nobody has judged this PIN yet.
                guard error.returnValue == .userAlreadyLoggedIn else { throw error }
                try session.logout()
                try session.login(.user, pin: pin.bytes)
            }
            return nil
        } catch {
            return error
        }
    }
}
