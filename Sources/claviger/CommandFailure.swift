import ClavigerClient

/// Why a command did not do what it was asked, as it is shown.
struct CommandFailure: Error {
    /// What sort of failure it is, for programs.
    enum Kind: String, Encodable {
        /// The daemon refused.
        case refused
        /// There is no daemon, or no answer.
        case unreachable
        /// The command line is wrong.
        case usage
        /// Something on this side failed.
        case failed
    }

    var kind: Kind
    /// The refusal's symbolic name.
    var code: String?
    /// What happened, in one line.
    var message: String
    /// What to do, in one line.
    var advice: String?
    /// The key that it was about, as it was named.
    var key: String?
    /// How long to wait before trying again, in milliseconds.
    var retryAfter: UInt32?

    /// The exit status.
    var exit: ExitStatus {
        switch kind {
        case .refused, .failed: .refused
        case .unreachable: .unreachable
        case .usage: .usage
        }
    }

    /// A wrong command line, found after parsing.
    static func usage(_ message: String, _ advice: String) -> CommandFailure {
        CommandFailure(kind: .usage, message: message, advice: advice)
    }

    /// Something on this side that failed.
    static func failed(_ message: String, _ advice: String? = nil) -> CommandFailure {
        CommandFailure(kind: .failed, message: message, advice: advice)
    }

    /// Prints it on stderr.
    func print(asJSON: Bool) {
        if asJSON {
            let error = ErrorDocument.Body(
                kind: kind, code: code, message: message, key: key, advice: advice, retryAfterMs: retryAfter, exit: exit.rawValue)
            StandardError.print(JSON.encode(ErrorDocument(error: error)))
            return
        }
        let about = key.map { "key \"\(Text.safe($0))\": " } ?? ""
        StandardError.print("claviger: \(about)\(Text.safe(message))")
        if let advice { StandardError.print("claviger: what to do: \(Text.safe(advice))") }
    }
}

private struct ErrorDocument: Encodable {
    struct Body: Encodable {
        var kind: CommandFailure.Kind
        var code: String?
        var message: String
        var key: String?
        var advice: String?
        var retryAfterMs: UInt32?
        var exit: Int32
    }
    var error: Body
}

extension CommandFailure {
    /// The failure that an error of the client library is, about `key`.
    init(_ error: ClientError, key: String?) {
        switch error {
        case .refused(let refusal):
            self.init(
                kind: .refused, code: refusal.name, message: refusal.description,
                advice: refusal.code.map(CommandFailure.advice), key: key, retryAfter: refusal.retryAfter)
        case .unreachable, .connectionLost, .timedOut:
            self.init(kind: .unreachable, message: error.description, advice: error.advice, key: key)
        case .cancelled, .closed, .protocolViolation, .serverNotTrusted, .secureMemory, .resources:
            self.init(kind: .failed, message: error.description, advice: error.advice, key: key)
        }
    }

    /// The failure that bytes which are no envelope are, found before the daemon is asked.
    init(_ refusal: Refusal) {
        self.init(ClientError.refused(ServerRefusal(refusal)), key: nil)
    }

    /// What a person can do about a refusal. The switch has no default: a new code asks for its advice.
    private static func advice(_ code: RefusalCode) -> String {
        switch code {
        case .malformedFrame, .unsupportedVersion, .invalidKind, .unknownOpcode, .malformedBody, .unknownField, .missingField,
            .duplicateField, .fieldOrder, .duplicateRequestID:
            "claviger and the daemon do not understand each other: install the same version of both"
        case .frameLength, .itemCount, .batchSize: "ask for less at once"
        case .invalidText, .invalidValue, .contextLimit: "check the arguments; 'claviger help COMMAND' says what they may be"
        case .plaintextSize: "wrap a data key, and encrypt larger data with that key"
        case .malformedEnvelope: "give the whole envelope as wrap wrote it: one line that begins with 'clv1.', or the raw bytes"
        case .denied: "'claviger whoami' says who the daemon takes you for, 'claviger key list' which keys there are"
        case .decryptionFailed: "repeat every --context of the wrap, in the same order, and check that the envelope is unchanged"
        case .keyMismatch: "leave KEY away (the envelope names its key), or give the envelope that belongs to it"
        case .ambiguousName: "'claviger key list' shows the ids of both"
        case .keyUnavailable: "try again in a moment; 'claviger status' and the daemon's log say more"
        case .keyState: "'claviger key show KEY' shows the state"
        case .wrapLimit: "'claviger key rotate KEY' gives the key a new version"
        case .operationConflict: "repeat the command"
        case .invalidName: "choose another name"
        case .keyDeleted: "'claviger key restore KEY' brings it back, 'claviger key show KEY' says until when"
        case .keyExpired: "'claviger key update KEY --expires DATE' moves the date"
        case .tooEarly: "wait until the time that the message names"
        case .restoreExpired: "its material is gone; create or import another key"
        case .rootKeyRequired: "'claviger key list --kind root' shows the keys that can"
        case .standardKeyRequired: "'claviger key list --kind standard' shows the keys that can"
        case .payloadRequired: "'claviger key rotate KEY --from FILE' gives the new material"
        case .resourcesProtected: "'claviger registration list KEY' shows them; --force deletes all the same"
        case .retention: "'claviger registration list KEY' shows which; its owner has to release it"
        case .approvalRequired: "'claviger approval request' asks for it; another person runs 'claviger approval approve'"
        case .notDualControl: "run the command itself"
        case .rotationTooSoon: "wait, or give --emergency REASON"
        case .importTokenExpired: "'claviger import-token create' makes another"
        case .incorrectNonce: "encrypt the material again with a fresh nonce; 'claviger key import' does all of it"
        case .policyVeto: "'claviger policy show' says what is allowed"
        case .alreadyExists: "choose another name"
        case .limitReached: "remove what is not needed any more, or raise the limit with 'claviger settings set'"
        case .ringNotEmpty: "move or delete its keys first; --force moves deleted ones to 'default'"
        case .notFound: "check the name; the list command shows what there is"
        case .revisionConflict: "look at it again and repeat the change"
        case .versionState: "'claviger key versions KEY' shows the state of each"
        case .busy: "try again, or give more time with --timeout"
        case .deadline: "try again, or give more time with --timeout; 'claviger status' says how the daemon is"
        case .sealed: "run 'claviger unlock', as root or as a member of the unlock group"
        case .tokenUnavailable: "'claviger status' says whether the token comes back; check its cable, service or module"
        case .needsOperator: "'claviger status' says why; then 'claviger unlock', or mend the PIN source and restart the daemon"
        case .shuttingDown: "try again when the daemon is back"
        case .storeUnavailable: "check space and rights of the daemon's state directory"
        case .internalError: "look into the daemon's log"
        case .pinRefused: "check the PIN before the next attempt: tokens lock after a few"
        case .auditUnavailable:
            "'claviger status' says why; free space or rights where audit.directory is, and it goes on by itself"
        case .alreadyUnlocked: "nothing; 'claviger status' shows the state"
        case .suiteUnsupported:
            "'claviger key show KEY' shows the suite of a key, 'claviger token doctor' those that the token has"
        case .adminSocketOnly: "name the admin socket with --socket or $CLAVIGER_SOCKET: [socket] admin-path in the configuration"
        case .lastAdministrator: "claviger access grant user:NAME Administrator"
        case .roleInUse: "'claviger access list' shows the grants, 'claviger access revoke' ends them"
        case .identityUnproven: "use a kernel from 6.5 on, or set [socket] require-pidfd = false"
        }
    }
}
