/// Why a request, or one item of it, was refused. Numbers and names are stable; new codes may be added.
public enum RefusalCode: UInt32, CaseIterable, Sendable {
    // The message
    case malformedFrame = 1
    case unsupportedVersion = 2
    case invalidKind = 3
    case frameLength = 4
    case unknownOpcode = 5
    case malformedBody = 6
    case unknownField = 7
    case missingField = 8
    case duplicateField = 9
    case fieldOrder = 10
    case invalidText = 11
    case invalidValue = 12
    case itemCount = 13
    case plaintextSize = 14
    case batchSize = 15
    case contextLimit = 16
    case duplicateRequestID = 17
    // The key and the envelope
    case malformedEnvelope = 32
    case denied = 33
    case decryptionFailed = 34
    case keyMismatch = 35
    case ambiguousName = 36
    case keyUnavailable = 37
    case keyState = 38
    case wrapLimit = 39
    case operationConflict = 40
    case invalidName = 41
    case keyDeleted = 42
    case keyExpired = 43
    case tooEarly = 44
    case restoreExpired = 45
    case rootKeyRequired = 46
    case standardKeyRequired = 47
    case payloadRequired = 48
    case resourcesProtected = 49
    case retention = 50
    case approvalRequired = 51
    case notDualControl = 52
    case rotationTooSoon = 53
    case importTokenExpired = 54
    case incorrectNonce = 55
    case policyVeto = 56
    case alreadyExists = 57
    case limitReached = 58
    case ringNotEmpty = 59
    case notFound = 60
    case revisionConflict = 61
    case versionState = 62
    // The daemon and the token
    case busy = 64
    case deadline = 65
    case sealed = 66
    case tokenUnavailable = 67
    case needsOperator = 68
    case shuttingDown = 69
    case storeUnavailable = 70
    case internalError = 71
    case pinRefused = 72
    case alreadyUnlocked = 73
    // The audit log
    case auditUnavailable = 96
    /// The token, or the key's suite, cannot do what was asked.
    case suiteUnsupported = 104
    // Access
    case adminSocketOnly = 80
    case lastAdministrator = 81
    case roleInUse = 82
    case identityUnproven = 83

    /// What is fixed about the code.
    public var entry: RefusalEntry {
        switch self {
        case .malformedFrame: RefusalEntry("malformed-frame", 400, "BAD_BODY_ERR", "the frame is not one of this protocol")
        case .unsupportedVersion:
            RefusalEntry("unsupported-version", 400, nil, "this daemon speaks protocol version 1 only")
        case .invalidKind: RefusalEntry("invalid-kind", 400, nil, "a client may send requests only")
        case .frameLength:
            RefusalEntry("frame-length", 413, nil, "a frame's length field must be from 12 to 1048576 bytes")
        case .unknownOpcode: RefusalEntry("unknown-opcode", 400, nil, "there is no such operation")
        case .malformedBody: RefusalEntry("malformed-body", 400, "BAD_BODY_ERR", "the body does not divide into fields")
        case .unknownField: RefusalEntry("unknown-field", 400, "BAD_BODY_ERR", "the operation has no such field")
        case .missingField: RefusalEntry("missing-field", 400, "NO_BODY_ERR", "a required field is missing")
        case .duplicateField: RefusalEntry("duplicate-field", 400, "BAD_BODY_ERR", "a field stands twice")
        case .fieldOrder: RefusalEntry("field-order", 400, "BAD_BODY_ERR", "tags must ascend")
        case .invalidText: RefusalEntry("invalid-text", 400, "INVALID_FIELD_ERR", "a text is not valid UTF-8")
        case .invalidValue: RefusalEntry("invalid-value", 400, "INVALID_FIELD_ERR", "a value is outside its range")
        case .itemCount: RefusalEntry("item-count", 400, "INVALID_FIELD_ERR", "a request carries from 1 to 256 items")
        case .plaintextSize:
            RefusalEntry("plaintext-size", 400, "INVALID_FIELD_ERR", "a plaintext has from 1 to 4096 bytes")
        case .batchSize:
            RefusalEntry("batch-size", 413, "INVALID_FIELD_ERR", "the plaintext of all items may be 262144 bytes at most")
        case .contextLimit:
            RefusalEntry(
                "context-limit", 400, "INVALID_FIELD_ERR",
                "a context has at most 255 strings of at most 255 characters, 8192 bytes in all")
        case .duplicateRequestID:
            RefusalEntry("duplicate-request-id", 409, nil, "a request with this id is still in flight on this connection")
        case .malformedEnvelope:
            RefusalEntry("malformed", 400, "INVALID_FIELD_ERR", "these bytes are not a Claviger envelope, or not a whole one")
        case .denied: RefusalEntry("denied", 403, "UNAUTHORIZED_ERR", "there is no such key, or you may not use it so")
        case .decryptionFailed:
            RefusalEntry(
                "decryption-failed", 422, "UNPROCESSABLE_CIPHERTEXT_ERR",
                "the envelope does not open: it was altered, or the context differs from the one it was wrapped with")
        case .keyMismatch:
            RefusalEntry(
                "key-mismatch", 422, "UNPROCESSABLE_CIPHERTEXT_ERR",
                "the envelope was made by another key than the one given")
        case .ambiguousName: RefusalEntry("ambiguous-name", 409, nil, "several keys carry this name; name one by its id")
        case .keyUnavailable:
            RefusalEntry(
                "key-unavailable", 503, nil, "this version of the key cannot be used now; the operator has been alarmed",
                retryable: true)
        case .keyState:
            RefusalEntry("key-state", 409, "KEY_ACTION_INVALID_STATE_ERR", "the key's state does not allow this")
        case .wrapLimit:
            RefusalEntry(
                "wrap-limit", 409, nil, "this version of the key has made all the envelopes it safely can; rotate the key")
        case .operationConflict:
            RefusalEntry("operation-conflict", 409, nil, "this operation id was used before for a different request")
        case .invalidName:
            RefusalEntry(
                "invalid-name", 400, "INVALID_FIELD_ERR",
                "a key's name has from 2 to 90 printable characters, no space at either end, and is not a UUID")
        case .keyDeleted:
            RefusalEntry("key-deleted", 410, "KEY_DELETED_ERR", "the key is deleted; it can only be restored or purged")
        case .keyExpired: RefusalEntry("key-expired", 400, "KEY_EXPIRED_ERR", "the key's expiration date has passed")
        case .tooEarly:
            RefusalEntry("too-early", 409, "REQ_TOO_EARLY_ERR", "this may be done only some time after what was done before")
        case .restoreExpired:
            RefusalEntry("restore-expired", 400, "KEY_RESTORE_EXPIRED", "the time in which the key could be restored is over")
        case .rootKeyRequired:
            RefusalEntry("root-key-required", 400, "KEY_ROOT_REQ_ERR", "only root keys can do this; this is a standard key")
        case .standardKeyRequired:
            RefusalEntry("standard-key-required", 400, nil, "only standard keys can be read; a root key never leaves its token")
        case .payloadRequired:
            RefusalEntry(
                "payload-required", 400, "KEY_PAYLOAD_REQ_ERR", "the key was imported: its new version needs new material")
        case .resourcesProtected:
            RefusalEntry(
                "resources-protected", 409, "PROTECTED_RESOURCE_ERR",
                "resources are registered with the key; release them, or delete with force")
        case .retention:
            RefusalEntry(
                "retention", 409, "PREV_KEY_DEL_ERR",
                "a resource registered with retention forbids deleting the key, force or not")
        case .approvalRequired:
            RefusalEntry(
                "approval-required", 409, "AUTHORIZATIONS_NOT_MET",
                "this needs the approval of a second person; request one and have another approve it")
        case .notDualControl:
            RefusalEntry(
                "not-dual-control", 409, "NOT_DUAL_AUTH_ERR", "this needs no approval: no policy asks for a second person")
        case .rotationTooSoon:
            RefusalEntry(
                "rotation-too-soon", 409, "KEY_ROTATION_NOT_PERMITTED",
                "the key was rotated not long ago; an emergency rotation needs a reason")
        case .importTokenExpired:
            RefusalEntry(
                "import-token-expired", 409, "IMPORT_TOKEN_EXPIRED_ERR",
                "the import token has expired or is used up; create another")
        case .incorrectNonce:
            RefusalEntry(
                "incorrect-nonce", 400, "INCORRECT_NONCE_ERR",
                "the proof does not show that the sender holds this key and this import token's nonce")
        case .policyVeto:
            RefusalEntry(
                "policy-veto", 409, "KEY_CREATE_IMPORT_ACCESS_ERR",
                "a policy of the instance forbids creating or importing such keys")
        case .alreadyExists: RefusalEntry("already-exists", 409, nil, "this name is taken")
        case .limitReached: RefusalEntry("limit-reached", 409, nil, "there are as many of these as are allowed")
        case .ringNotEmpty: RefusalEntry("ring-not-empty", 409, nil, "the key ring still holds keys")
        case .notFound: RefusalEntry("not-found", 404, nil, "there is nothing of that name or id")
        case .revisionConflict:
            RefusalEntry("revision-conflict", 409, nil, "somebody else changed it meanwhile; read it again")
        case .versionState: RefusalEntry("version-state", 409, nil, "this version of the key is retired or destroyed")
        case .busy: RefusalEntry("busy", 429, nil, "the daemon has too much to do; try again soon", retryable: true)
        case .deadline: RefusalEntry("deadline", 504, nil, "the request was not done by its deadline", retryable: true)
        case .sealed:
            RefusalEntry("sealed", 503, nil, "the daemon waits for its PIN: run 'claviger unlock'", retryable: true)
        case .tokenUnavailable:
            RefusalEntry("token-unavailable", 503, nil, "the token does not answer; try again", retryable: true)
        case .needsOperator:
            RefusalEntry("needs-operator", 503, nil, "the daemon needs its operator: see 'claviger status'", retryable: true)
        case .shuttingDown: RefusalEntry("shutting-down", 503, nil, "the daemon is stopping", retryable: true)
        case .storeUnavailable:
            RefusalEntry(
                "store-unavailable", 503, nil, "the database cannot be written or read; nothing was changed",
                retryable: true)
        case .internalError:
            RefusalEntry("internal", 500, nil, "the daemon met an error of its own; its log says more")
        case .pinRefused: RefusalEntry("pin-refused", 403, nil, "the token refused this PIN; it is not tried again by itself")
        case .auditUnavailable:
            RefusalEntry(
                "audit-unavailable", 503, nil,
                "the audit log cannot be written, and nothing is done that cannot be recorded; try again", retryable: true)
        case .alreadyUnlocked: RefusalEntry("already-unlocked", 409, nil, "the token is logged in already; nothing was done")
        case .suiteUnsupported:
            RefusalEntry("suite-unsupported", 422, nil, "the token or the key's suite cannot do this")
        case .adminSocketOnly:
            RefusalEntry("admin-socket-only", 403, nil, "this daemon takes management requests on its admin socket only")
        case .lastAdministrator:
            RefusalEntry(
                "last-administrator", 409, nil,
                "nobody could grant anything afterwards: first grant the role Administrator for the instance to somebody else")
        case .roleInUse: RefusalEntry("role-in-use", 409, nil, "grants name this role; revoke them first")
        case .identityUnproven:
            RefusalEntry(
                "identity-unproven", 403, nil,
                "the kernel cannot prove which process connected, and this daemon is told to take nothing less")
        }
    }

    /// The symbolic name, stable, for documents, logs and `--json`.
    public var name: String { entry.name }

    /// Whether the same request may succeed later without anything being changed about it.
    public var isRetryable: Bool { entry.isRetryable }
}

/// What is fixed about a refusal code.
public struct RefusalEntry: Sendable {
    /// The symbolic name.
    public let name: String
    /// The HTTP status that a gateway would give.
    public let httpStatus: Int
    /// Key Protect's code for the same thing, where it has one.
    public let keyProtectCode: String?
    /// The message when nothing more particular can be said.
    public let message: String
    /// Whether the same request may succeed later.
    public let isRetryable: Bool

    init(_ name: String, _ httpStatus: Int, _ keyProtectCode: String?, _ message: String, retryable: Bool = false) {
        self.name = name
        self.httpStatus = httpStatus
        self.keyProtectCode = keyProtectCode
        self.message = message
        self.isRetryable = retryable
    }
}

/// A refusal: a typed answer that is safe to show.
public struct Refusal: Error, Equatable, Sendable, CustomStringConvertible {
    /// The code; the only part that programs should act on.
    public var code: RefusalCode
    /// For people: what is wrong and what to do.
    public var message: String
    /// How long to wait before trying again, in milliseconds, where the daemon can tell.
    public var retryAfter: UInt32?

    /// A refusal with the code's own message, or a more particular one.
    public init(_ code: RefusalCode, _ message: String? = nil, retryAfter: UInt32? = nil) {
        self.code = code
        self.message = message ?? code.entry.message
        self.retryAfter = retryAfter
    }

    /// `name: message`.
    public var description: String { "\(code.name): \(message)" }
}
