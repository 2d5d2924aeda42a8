/// What a caller must be allowed to do. A closed set: grants name these, and every opcode has exactly one.
public enum Permission: String, CaseIterable, Sendable {
    /// To find out whether the daemon lives and who it takes the caller for.
    case observe
    /// To wrap under a key.
    case wrap
    /// To unwrap envelopes of a key.
    case unwrap
    /// To have envelopes of a key made anew under its newest version.
    case rewrap
    /// To read keys' metadata: show, list, count, versions, registrations.
    case readKeys = "read-keys"
    /// To read what a standard key keeps.
    case readSecrets = "read-secrets"
    /// To create and import keys, and to make and take import tokens.
    case createKeys = "create-keys"
    /// To change a key's name, description, tags, expiry and aliases.
    case updateKeys = "update-keys"
    /// To rotate keys.
    case rotateKeys = "rotate-keys"
    /// To disable and enable keys.
    case disableKeys = "disable-keys"
    /// To delete keys.
    case deleteKeys = "delete-keys"
    /// To restore deleted keys.
    case restoreKeys = "restore-keys"
    /// To purge deleted keys, to destroy retired versions, and to have either happen sooner: what cannot be undone, so no other permission
    /// includes it.
    case purgeKeys = "purge-keys"
    /// To move keys from ring to ring; needed on both.
    case moveKeys = "move-keys"
    /// To register resources that a key protects.
    case registerResources = "register-resources"
    /// To see key rings.
    case readRings = "read-rings"
    /// To create key rings.
    case createRings = "create-rings"
    /// To delete key rings.
    case deleteRings = "delete-rings"
    /// To read policies and settings.
    case readPolicies = "read-policies"
    /// To change policies and settings.
    case managePolicies = "manage-policies"
    /// To ask for what needs a second person's approval, and to see and cancel such requests.
    case requestApproval = "request-approval"
    /// To approve what another asked for.
    case approve
    /// To see grants and roles, and to ask why somebody may or may not do something.
    case readAccess = "read-access"
    /// To grant and revoke.
    case manageAccess = "manage-access"
    /// To read the audit log and its state.
    case readAudit = "read-audit"
    /// To read the token's state.
    case readToken = "read-token"
    /// To present the PIN. Decided by uid and the configured group alone, never by stored grants.
    case unlock
}

/// The states of a key in which an operation is possible (SP 800-57 part 1, section 7).
public enum KeyState: UInt8, CaseIterable, Sendable {
    /// Wraps and unwraps.
    case active = 1
    /// Switched off for a while.
    case suspended = 2
    /// Expired: unwraps only.
    case deactivated = 3
    /// Deleted, may still be restored.
    case destroyed = 5

    /// The word for people and for `--json`.
    public var name: String {
        switch self {
        case .active: "active"
        case .suspended: "suspended"
        case .deactivated: "deactivated"
        case .destroyed: "destroyed"
        }
    }
}

/// Whether a client may send a request again when it does not know what became of the first.
public enum RetryRule: Sendable {
    /// It changes nothing, or nothing that a second time adds to.
    case always
    /// It carries an operation id, under which the first answer is kept for 24 hours.
    case withOperationID
    /// Never by itself: each attempt can cost something that does not come back (a PIN try).
    case never
}

/// The operations of protocol version 1. Numbers are never reused.
public enum Opcode: UInt16, CaseIterable, Sendable {
    case ping = 0x0001
    case health = 0x0002
    case status = 0x0003
    case whoami = 0x0004
    case wrap = 0x0010
    case unwrap = 0x0011
    case rewrap = 0x0012
    case unlock = 0x0100
    case tokenStatus = 0x0101
    case keyCreate = 0x0110
    case keyList = 0x0111
    case keyShow = 0x0112
    case keyVersions = 0x0113
    case keyRotate = 0x0114
    case keyCount = 0x0115
    case keyRead = 0x0116
    case keyUpdate = 0x0117
    case keyDisable = 0x0118
    case keyEnable = 0x0119
    case keyDelete = 0x011a
    case keyRestore = 0x011b
    case keyPurge = 0x011c
    case keyMove = 0x011d
    case keyCensus = 0x011e
    case versionRetire = 0x011f
    case versionDestroy = 0x0120
    case aliasCreate = 0x0121
    case aliasDelete = 0x0122
    case ringCreate = 0x0123
    case ringList = 0x0124
    case ringDelete = 0x0125
    case registrationSet = 0x0126
    case registrationRelease = 0x0127
    case registrationList = 0x0128
    case importTokenCreate = 0x0129
    case importTokenTake = 0x012a
    case importTokenList = 0x012b
    case importTokenDelete = 0x012c
    case policyShow = 0x012d
    case policySet = 0x012e
    case settingsShow = 0x012f
    case settingsSet = 0x0130
    case approvalRequest = 0x0131
    case approvalList = 0x0132
    case approvalApprove = 0x0133
    case approvalCancel = 0x0134
    case metrics = 0x01a0
    case accessGrant = 0x0160
    case accessRevoke = 0x0161
    case accessList = 0x0162
    case accessRoles = 0x0163
    case roleCreate = 0x0164
    case roleDelete = 0x0165
    case accessExplain = 0x0166
    case acceptRollback = 0x0167
    case auditStatus = 0x0180
    case auditKey = 0x0181
    case auditHead = 0x0182
    case auditRotate = 0x0183

    /// Everything that is fixed about the opcode.
    public var entry: OpcodeEntry {
        guard let row = Opcode.rows[Int(rawValue)] else { preconditionFailure("every opcode has a row") }
        return row
    }

    // Asked several times for each request, so the rows are made once. By number: the numbers are small.
    private static let rows: [OpcodeEntry?] = {
        var rows = [OpcodeEntry?](repeating: nil, count: 1 + Int(allCases.map(\.rawValue).max() ?? 0))
        for opcode in allCases { rows[Int(opcode.rawValue)] = opcode.row }
        return rows
    }()

    // The switch has no default: an opcode without a row does not compile.
    private var row: OpcodeEntry {
        switch self {
        case .ping:
            OpcodeEntry(
                name: "ping", summary: "Answers at once; measures the way.", permission: .observe, isInstanceWide: true,
                retry: .always,
                request: [], reply: [])
        case .health:
            OpcodeEntry(
                name: "health", summary: "Says whether key operations would be served now.", permission: .observe,
                isInstanceWide: true,
                retry: .always, request: [], reply: Schema.healthReply)
        case .status:
            OpcodeEntry(
                name: "status", summary: "Describes the daemon and its state.", permission: .observe, isInstanceWide: true,
                retry: .always,
                request: [], reply: Schema.statusReply)
        case .metrics:
            OpcodeEntry(
                name: "metrics", summary: "Gives the daemon's figures as OpenMetrics text.", permission: .observe,
                isInstanceWide: true, retry: .always,
                request: [], reply: Schema.metricsReply)
        case .whoami:
            OpcodeEntry(
                name: "whoami", summary: "Says who the kernel says the caller is, and what it may do.", permission: .observe,
                isInstanceWide: true,
                retry: .always, request: [], reply: Schema.whoamiReply)
        case .wrap:
            OpcodeEntry(
                name: "wrap", summary: "Wraps given or generated DEKs under the newest version of a key.", permission: .wrap,
                isInstanceWide: false,
                retry: .always, usesToken: true, keyStates: KeyAction.wrap.states, request: Schema.wrapRequest,
                reply: Schema.cipherReply)
        case .unwrap:
            OpcodeEntry(
                name: "unwrap", summary: "Opens envelopes and returns their plaintext.", permission: .unwrap,
                isInstanceWide: false, retry: .always,
                usesToken: true, keyStates: KeyAction.unwrap.states, request: Schema.unwrapRequest, reply: Schema.cipherReply)
        case .rewrap:
            OpcodeEntry(
                name: "rewrap", summary: "Makes envelopes anew under the newest version; returns no plaintext.",
                permission: .rewrap, isInstanceWide: false, retry: .always, usesToken: true, keyStates: KeyAction.rewrap.states,
                request: Schema.rewrapRequest, reply: Schema.cipherReply)
        case .unlock:
            OpcodeEntry(
                name: "unlock", summary: "Presents the user PIN to a sealed daemon.", permission: .unlock, isInstanceWide: true,
                retry: .never,
                isManagement: true, usesToken: true, request: Schema.unlockRequest, reply: Schema.unlockReply)
        case .tokenStatus:
            OpcodeEntry(
                name: "token-status", summary: "Describes the token: identity, mechanisms, sessions, login and PIN flags.",
                permission: .readToken, isInstanceWide: true, retry: .always, isManagement: true, usesToken: true, request: [],
                reply: Schema.tokenStatusReply)
        case .keyCreate:
            OpcodeEntry(
                name: "key-create", summary: "Creates or imports a key.", permission: .createKeys, isInstanceWide: false,
                retry: .withOperationID, isManagement: true, usesToken: true,
                recorded: [
                    "name", "operation", "kind", "description", "tags", "aliases", "expires-ms", "ring", "rotation-months",
                    "dual-control", "no-policies", "import-token", "bits", "suite", "key-id",
                ], request: Schema.keyCreateRequest, reply: Schema.key)
        case .keyList:
            OpcodeEntry(
                name: "key-list", summary: "Lists keys, a page at a time; by creation time unless sorted.", permission: .readKeys,
                isInstanceWide: false,
                retry: .always, isManagement: true, usesToken: true, recorded: OpcodeEntry.keyFilter,
                request: Schema.keyListRequest,
                reply: Schema.keyListReply)
        case .keyShow:
            OpcodeEntry(
                name: "key-show", summary: "Shows one key, whatever its state; never what it keeps.", permission: .readKeys,
                isInstanceWide: false,
                retry: .always, isManagement: true, request: Schema.keyShowRequest, reply: Schema.key)
        case .keyVersions:
            OpcodeEntry(
                name: "key-versions", summary: "Lists a key's versions, newest first, a page at a time.",
                permission: .readKeys, isInstanceWide: false, retry: .always, isManagement: true, usesToken: true,
                request: Schema.keyVersionsRequest, reply: Schema.keyVersionsReply)
        case .keyRotate:
            OpcodeEntry(
                name: "key-rotate", summary: "Gives a key a new version, under which a root key wraps from then on.",
                permission: .rotateKeys, isInstanceWide: false, retry: .withOperationID, isManagement: true, usesToken: true,
                keyStates: KeyAction.rotate.states, recorded: ["operation", "reason", "import-token", "bits"],
                request: Schema.keyRotateRequest,
                reply: Schema.key)
        case .keyCount: .keyCount
        case .keyRead: .keyRead
        case .keyUpdate: .keyUpdate
        case .keyDisable: .keyDisable
        case .keyEnable: .keyEnable
        case .keyDelete: .keyDelete
        case .keyRestore: .keyRestore
        case .keyPurge: .keyPurge
        case .keyMove: .keyMove
        case .keyCensus: .keyCensus
        case .versionRetire: .versionRetire
        case .versionDestroy: .versionDestroy
        case .aliasCreate: .aliasCreate
        case .aliasDelete: .aliasDelete
        case .ringCreate: .ringCreate
        case .ringList: .ringList
        case .ringDelete: .ringDelete
        case .registrationSet: .registrationSet
        case .registrationRelease: .registrationRelease
        case .registrationList: .registrationList
        case .importTokenCreate: .importTokenCreate
        case .importTokenTake: .importTokenTake
        case .importTokenList: .importTokenList
        case .importTokenDelete: .importTokenDelete
        case .policyShow: .policyShow
        case .policySet: .policySet
        case .settingsShow: .settingsShow
        case .settingsSet: .settingsSet
        case .approvalRequest: .approvalRequest
        case .approvalList: .approvalList
        case .approvalApprove: .approvalApprove
        case .approvalCancel: .approvalCancel
        case .accessGrant: .accessGrant
        case .accessRevoke: .accessRevoke
        case .accessList: .accessList
        case .accessRoles: .accessRoles
        case .roleCreate: .roleCreate
        case .roleDelete: .roleDelete
        case .accessExplain: .accessExplain
        case .acceptRollback: .acceptRollback
        case .auditStatus: .auditStatus
        case .auditKey: .auditKey
        case .auditHead: .auditHead
        case .auditRotate: .auditRotate
        }
    }
}

/// What is fixed about an opcode: one row of the one table from which code, protocol page and permission test are made.
public struct OpcodeEntry: Sendable {
    /// The name in documents, logs and messages.
    public let name: String
    /// One sentence for the protocol page.
    public let summary: String
    /// What the caller must be allowed.
    public let permission: Permission
    /// Whether it concerns the instance as a whole, though its permission may be about keys: then a grant for some of them is not enough.
    public let isInstanceWide: Bool
    /// Whether a client may repeat the request by itself.
    public let retry: RetryRule
    /// Whether it administers; such opcodes can be moved to a socket of their own.
    public var isManagement: Bool = false
    /// Whether its work enters the token, or waits for what does; such requests never run on the daemon's reserved worker.
    public var usesToken: Bool = false
    /// The states that the key named must be in; empty when no key is used.
    public var keyStates: [KeyState] = []
    /// The fields of the request that are recorded, by name, beside caller, key, version and outcome. Never what holds a secret.
    public var recorded: [String] = []
    /// The fields of the request's body, by ascending tag.
    public let request: [FieldEntry]
    /// The fields of the reply's body, by ascending tag.
    public let reply: [FieldEntry]
}
