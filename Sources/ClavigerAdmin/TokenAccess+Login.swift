import ClavigerCore
import Cryptoki
import SecureMemory

extension TokenAccess {
    /// Opens a session and logs the user in, with the marker and the copies that every login has.
    ///
    /// - Parameters:
    ///   - command: how the attempt is named in the marker when somebody presents the PIN now.
    ///   - source: the configured source that the PIN was read from: one that was refused is not tried again, and the daemon is told of
    ///     one that is refused now. nil when somebody presents the PIN.
    borrowing func logIn(
        _ pin: borrowing SecretBytes, _ slot: SlotID, _ info: TokenInfo, as command: String, from source: PINSourceIdentity?
    ) throws(AdminError) -> Session {
        let directory = configuration.stateDirectory
        let files = files
        let module = module
        let warnings = LoginMarker.TokenWarnings(
            countLow: info.flags.contains(.userPINCountLow), finalTry: info.flags.contains(.userPINFinalTry),
            locked: info.flags.contains(.userPINLocked))
        let previous = try explain(AdminError.file) { () throws(FileError) in try LoginMarker.read(directory) }
        let decision = LoginMarker.next(
            after: previous, source: source ?? PINSourceIdentity(name: command), byOperator: source == nil, warnings: warnings)
        let marker: LoginMarker
        switch decision {
        case .refuse(let why):
            throw .pin(source == nil ? why : "\(why); '--pin-file' and '--pin-prompt' present it here")
        case .attempt(let allowed): marker = allowed
        }
        var session = try explain(AdminError.cryptoki) { () throws(CryptokiError) in
            try module.openSession(slot, readWrite: true)
        }
        let outcome = try explain(AdminError.file) { () throws(FileError) in
            try MarkedLogin.perform(marker, pin: pin, session: &session, stateDirectory: directory, files: files)
        }
        if let failure = outcome.failure {
            guard outcome.result == .refused else { throw .cryptoki(failure) }
            throw .pin("the token refused the user PIN; give the right one with --pin-file or --pin-prompt")
        }
        if let unwritten = outcome.unwritten { throw .file(unwritten) }
        return session
    }
}
