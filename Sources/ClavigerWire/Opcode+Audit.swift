// The opcode table: the audit log. Reading it takes no daemon; these tell what only the daemon knows, and sign.
extension OpcodeEntry {
    static let auditStatus = OpcodeEntry(
        name: "audit-status", summary: "Describes the audit log: where it is, how far it came, whether records are taken.",
        permission: .readAudit, isInstanceWide: true, retry: .always, isManagement: true, request: [],
        reply: Schema.auditStatusReply)

    static let auditKey = OpcodeEntry(
        name: "audit-key", summary: "Returns the public key that the audit log's checkpoints are verified with.",
        permission: .readAudit, isInstanceWide: true, retry: .always, isManagement: true, request: [], reply: Schema.auditKeyReply
    )

    static let auditHead = OpcodeEntry(
        name: "audit-head", summary: "Signs where the audit log stands, to be kept elsewhere.", permission: .readAudit,
        isInstanceWide: true,
        retry: .always, isManagement: true, usesToken: true, request: [], reply: Schema.auditHeadReply)

    static let auditRotate = OpcodeEntry(
        name: "audit-rotate", summary: "Seals the audit log's file and begins the next.", permission: .managePolicies,
        isInstanceWide: true,
        retry: .always, isManagement: true, usesToken: true, request: [], reply: Schema.auditRotateReply)
}
