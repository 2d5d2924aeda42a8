import ClavigerCore
import Cryptoki
import SecureMemory

extension TokenAccess {
    /// Opens a session and logs the user in, with the marker and the copies that every login has.
    ///
    /// - Parameter command: how the attempt is named in the marker.
    borrowing func logIn(
        _ pin: borrowing SecretBytes, _ slot: SlotID, _ info: TokenInfo, as command: String
    ) throws(AdminError) -> Session {
        let directory = configuration.stateDirectory
        let files = files
        let module = module
        let warnings = LoginMarker.TokenWarnings(
            countLow: info.flags.contains(.userPINCountLow), finalTry: info.flags.contains(.userPINFinalTry),
            locked: info.flags.contains(.userPINLocked))
        let previous = try explain(AdminError.file) { () throws(FileError) in try LoginMarker.read(directory) }
        let decision = LoginMarker.next(
            after: previous, source: PINSourceIdentity(name: command), byOperator: true, warnings: warnings)
        let marker: LoginMarker
        switch decision {
        case .refuse(let why): throw .pin(why)
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
