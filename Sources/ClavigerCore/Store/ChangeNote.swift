import ClavigerWire

/// What the audit log is to say of a change: who did what to which key, and what was before and after.
package struct ChangeNote: Sendable, Equatable {
    /// The event's name: the opcode's for what a caller asked, another for what the daemon does by itself (`key-expire`).
    package var event: String
    /// Who did it; nil for the daemon itself.
    package var caller: Caller?
    /// The key it was done to.
    package var key: KeyID?
    /// The version of the key.
    package var version: UInt32?
    /// The key's ring.
    package var ring: String?
    /// What changed, by field: the value before (nil: none) and after (nil: none). Never key material, plaintext, envelopes or PINs.
    package var changes: [Change] = []
    /// What was asked for, where that is not what the present request says: of what another request began.
    var asked: [AuditRecord.Field]?
    /// What came of it. Never secrets either.
    var results: [AuditRecord.Field] = []
    /// What its caller was allowed it by, to be asked again where it is written; empty where the event's own permission says it all.
    package var allowances: [Allowance] = []

    /// One field's change.
    package struct Change: Sendable, Equatable {
        package var field: String
        package var before: String?
        package var after: String?

        package init(_ field: String, from before: String?, to after: String?) {
            self.field = field
            self.before = before
            self.after = after
        }
    }

    package init(
        event: String, caller: Caller?, key: KeyID? = nil, version: UInt32? = nil, ring: String? = nil, changes: [Change] = []
    ) {
        self.event = event
        self.caller = caller
        self.key = key
        self.version = version
        self.ring = ring
        self.changes = changes
    }
}
