// The opcode table: grants, roles, and questions about them. None needs a token session, but all wait for the database or for a
// signature, so none runs on the reserved worker.
extension OpcodeEntry {
    static let accessGrant = OpcodeEntry(
        name: "access-grant", summary: "Gives a subject a role in a scope.", permission: .manageAccess, isInstanceWide: true,
        retry: .withOperationID,
        isManagement: true, usesToken: true, recorded: ["operation", "subject", "role", "scope", "expires-ms", "context"],
        request: Schema.accessGrantRequest, reply: Schema.grant)

    static let accessRevoke = OpcodeEntry(
        name: "access-revoke", summary: "Takes a grant back; what is in flight under it is not answered any more.",
        permission: .manageAccess, isInstanceWide: true, retry: .withOperationID, isManagement: true, usesToken: true,
        recorded: ["operation", "id"],
        request: Schema.accessRevokeRequest, reply: Schema.grant)

    static let accessList = OpcodeEntry(
        name: "access-list", summary: "Lists grants, oldest first, a page at a time.", permission: .readAccess,
        isInstanceWide: true, retry: .always,
        isManagement: true, usesToken: true, request: Schema.accessListRequest, reply: Schema.accessListReply)

    static let accessRoles = OpcodeEntry(
        name: "access-roles", summary: "Lists the roles and what they allow.", permission: .readAccess, isInstanceWide: true,
        retry: .always,
        isManagement: true, usesToken: true, request: [], reply: Schema.accessRolesReply)

    static let roleCreate = OpcodeEntry(
        name: "role-create", summary: "Makes a role of chosen permissions.", permission: .manageAccess, isInstanceWide: true,
        retry: .withOperationID,
        isManagement: true, usesToken: true, recorded: ["operation", "name", "permissions", "summary"],
        request: Schema.roleCreateRequest, reply: Schema.role)

    static let roleDelete = OpcodeEntry(
        name: "role-delete", summary: "Removes a role that no grant names.", permission: .manageAccess, isInstanceWide: true,
        retry: .never,
        isManagement: true, usesToken: true, recorded: ["name"], request: Schema.roleDeleteRequest, reply: [])

    static let acceptRollback = OpcodeEntry(
        name: "accept-rollback",
        summary: "Has the daemon believe a database that was changed or put back; for user 0 and the daemon's own alone.",
        permission: .unlock, isInstanceWide: true, retry: .never, isManagement: true, usesToken: true, recorded: ["doubt"],
        request: [],
        reply: Schema.unlockReply)

    static let accessExplain = OpcodeEntry(
        name: "access-explain", summary: "Says why somebody may or may not do something, and what would change it.",
        permission: .readAccess, isInstanceWide: true, retry: .always, isManagement: true, usesToken: true,
        recorded: ["subject", "action", "target", "context"],
        request: Schema.accessExplainRequest, reply: Schema.accessExplainReply)
}
