// The opcode table: aliases, rings and registrations.
extension OpcodeEntry {
    static let aliasCreate = OpcodeEntry(
        name: "alias-create", summary: "Gives a key an alias.", permission: .updateKeys, isInstanceWide: false,
        retry: .withOperationID,
        isManagement: true, keyStates: KeyAction.setAlias.states, recorded: ["operation", "alias"],
        request: Schema.aliasCreateRequest, reply: Schema.key)

    static let aliasDelete = OpcodeEntry(
        name: "alias-delete", summary: "Takes an alias from its key.", permission: .updateKeys, isInstanceWide: false,
        retry: .withOperationID,
        isManagement: true, keyStates: KeyAction.setAlias.states, recorded: ["operation", "alias"],
        request: Schema.aliasDeleteRequest, reply: [])

    static let ringCreate = OpcodeEntry(
        name: "ring-create", summary: "Creates a key ring.", permission: .createRings, isInstanceWide: true,
        retry: .withOperationID,
        isManagement: true, recorded: ["operation", "id"], request: Schema.ringCreateRequest,
        reply: Schema.ringRecord)

    static let ringList = OpcodeEntry(
        name: "ring-list", summary: "Lists key rings, a page at a time.", permission: .readRings, isInstanceWide: false,
        retry: .always,
        isManagement: true, usesToken: true, request: Schema.pageRequest, reply: Schema.ringListReply)

    static let ringDelete = OpcodeEntry(
        name: "ring-delete", summary: "Deletes a key ring that holds no keys but destroyed ones.", permission: .deleteRings,
        isInstanceWide: true,
        retry: .withOperationID, isManagement: true, recorded: ["operation", "id", "force"],
        request: Schema.ringDeleteRequest, reply: Schema.ringDeleteReply)

    static let registrationSet = OpcodeEntry(
        name: "registration-set", summary: "Registers a resource with a key, or changes its registration.",
        permission: .registerResources, isInstanceWide: false, retry: .withOperationID,
        keyStates: KeyAction.renew.states,
        recorded: ["operation", "resource", "description", "retention", "lease-ms", "version", "revision"],
        request: Schema.registrationSetRequest, reply: Schema.registrationRecord)

    static let registrationRelease = OpcodeEntry(
        name: "registration-release", summary: "Ends a registration.", permission: .registerResources, isInstanceWide: false,
        retry: .withOperationID, keyStates: KeyAction.release.states, recorded: ["operation", "resource"],
        request: Schema.registrationReleaseRequest, reply: [])

    static let registrationList = OpcodeEntry(
        name: "registration-list", summary: "Lists registrations, a page at a time.", permission: .readKeys,
        isInstanceWide: false, retry: .always, usesToken: true, request: Schema.registrationListRequest,
        reply: Schema.registrationListReply)
}
