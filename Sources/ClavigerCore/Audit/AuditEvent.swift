import ClavigerWire

/// How much an event matters, in Key Protect's words.
package enum AuditSeverity: String, Sendable, Comparable, CaseIterable {
    case normal
    case warning
    case critical

    private var rank: Int { AuditSeverity.allCases.firstIndex(of: self) ?? 0 }

    package static func < (left: AuditSeverity, right: AuditSeverity) -> Bool { left.rank < right.rank }
}

/// What is fixed about an event's name: how it is called in Key Protect's audit log, and how much it matters when it succeeds.
///
/// An event's own name is its opcode's, or one of `AuditEvent.system`. Names never change, since searches and alarms hang on them.
package struct AuditEvent: Sendable {
    /// The action: Key Protect's (`kms.secrets.wrap`) where it has the same thing, else `claviger.` and the event's name.
    package let action: String
    package let severity: AuditSeverity
    /// Whether it concerns data rather than the keeping of keys: using keys, reading secrets.
    package let isDataEvent: Bool

    /// The entry of an event's name.
    package init(named name: String) {
        let known = AuditEvent.known[name]
        action = known?.action ?? "claviger." + name
        severity = known?.severity ?? .normal
        isDataEvent = AuditEvent.dataEvents.contains(name)
    }

    /// The action of an event, where what was asked for makes it another than the usual one.
    static func action(of event: String, askedWith fields: [AuditRecord.Field]) -> String? {
        // Key Protect has one of its own for keys that leave out what the instance's policies would give them. Most requests, those that
        // use keys, have no fields: that is looked at first.
        guard !fields.isEmpty, event == "key-create", fields.contains(where: { policyOverrides.contains($0.name) }) else {
            return nil
        }
        return "kms.secrets-with-policy-overrides.create"
    }

    private static let policyOverrides: Set<String> = ["no-policies", "rotation-months", "dual-control"]

    private static let dataEvents: Set<String> = ["wrap", "unwrap", "rewrap", "key-read"]

    /// What the daemon does by itself.
    package enum System: String, CaseIterable, Sendable {
        case start = "daemon-start"
        case stop = "daemon-stop"
        case reload = "configuration-reload"
        case tokenReady = "token-ready"
        case tokenLost = "token-lost"
        case checkpoint
        case logRotated = "log-rotated"
        case logStopped = "log-stopped"
        case logResumed = "log-resumed"
        case logRepaired = "log-repaired"
        case logGap = "log-gap"
        case logRestored = "log-restored"
        case logUnproven = "log-unproven"
    }

    private static let known: [String: (action: String, severity: AuditSeverity)] = [
        "wrap": ("kms.secrets.wrap", .normal), "unwrap": ("kms.secrets.unwrap", .normal),
        "rewrap": ("kms.secrets.rewrap", .normal), "key-create": ("kms.secrets.create", .normal),
        "key-census": ("kms.secrets.head", .normal),
        "key-list": ("kms.secrets.list", .normal), "key-count": ("kms.secrets.head", .normal),
        "key-show": ("kms.secrets-metadata.read", .normal), "key-versions": ("kms.secrets-key-versions.list", .normal),
        "key-read": ("kms.secrets.read", .normal), "key-rotate": ("kms.secrets.rotate", .warning),
        "key-disable": ("kms.secrets.disable", .warning), "key-enable": ("kms.secrets.enable", .warning),
        "key-delete": ("kms.secrets.delete", .critical), "key-restore": ("kms.secrets.restore", .warning),
        "key-purge": ("kms.secrets.purge", .critical), "key-purge-by-time": ("kms.secrets.purge", .critical),
        "key-wipe": ("claviger.key-wipe", .critical), "key-expire": ("kms.secrets.expire", .warning),
        "key-update": ("kms.secrets.patch", .normal), "key-move": ("kms.secrets.patch", .normal),
        "alias-create": ("kms.secrets-alias.create", .normal), "alias-delete": ("kms.secrets-alias.delete", .normal),
        "ring-create": ("kms.key-rings.create", .normal), "ring-delete": ("kms.key-rings.delete", .normal),
        "ring-list": ("kms.key-rings.list", .normal), "policy-show": ("kms.policies.read", .normal),
        "policy-set": ("kms.policies.write", .warning), "settings-show": ("kms.instance-policies.read", .normal),
        "settings-set": ("kms.instance-policies.write", .warning),
        "import-token-create": ("kms.import-token.create", .normal),
        "import-token-take": ("kms.import-token.read", .normal),
        "registration-list": ("kms.registrations.list", .normal),
        "registration-set": ("kms.registrations.write", .normal),
        "registration-release": ("kms.registrations.delete", .critical),
        "approval-request": ("kms.secrets.setkeyfordeletion", .warning),
        "approval-approve": ("claviger.approval-approve", .warning),
        "approval-cancel": ("kms.secrets.unsetkeyfordeletion", .warning),
        "accept-rollback": ("claviger.accept-rollback", .critical),
        System.reload.rawValue: ("claviger.configuration-reload", .warning),
        "access-grant": ("claviger.access-grant", .warning), "access-revoke": ("claviger.access-revoke", .warning),
        "version-retire": ("claviger.version-retire", .warning), "version-destroy": ("claviger.version-destroy", .critical),
        System.tokenLost.rawValue: ("claviger.token-lost", .critical),
        System.logStopped.rawValue: ("claviger.log-stopped", .critical),
        System.logResumed.rawValue: ("claviger.log-resumed", .warning),
        System.logRepaired.rawValue: ("claviger.log-repaired", .warning),
        System.logGap.rawValue: ("claviger.log-gap", .critical),
        System.logRestored.rawValue: ("claviger.log-restored", .critical),
        System.logUnproven.rawValue: ("claviger.log-unproven", .warning),
    ]

    /// How much a refusal matters: by its HTTP status, as Key Protect does. It stands above the event's own severity.
    static func severity(of code: RefusalCode) -> AuditSeverity {
        switch code.entry.httpStatus {
        case 401, 403, 503, 507: .critical
        case _: .warning
        }
    }
}
