// The opcode table: import tokens, policies, settings and approvals.
extension OpcodeEntry {
    static let importTokenCreate = OpcodeEntry(
        name: "import-token-create", summary: "Makes an RSA key pair in the token, for which key material is then encrypted.",
        permission: .createKeys, isInstanceWide: true, retry: .withOperationID, isManagement: true, usesToken: true,
        recorded: ["operation", "ttl", "uses"], request: Schema.importTokenCreateRequest, reply: Schema.importTokenRecord)

    static let importTokenTake = OpcodeEntry(
        name: "import-token-take", summary: "Spends one use of an import token and returns what an import needs.",
        permission: .createKeys, isInstanceWide: true, retry: .withOperationID, isManagement: true, usesToken: true,
        recorded: ["operation", "id"],
        request: Schema.importTokenRequest, reply: Schema.importTokenTakeReply)

    static let importTokenList = OpcodeEntry(
        name: "import-token-list", summary: "Lists import tokens, a page at a time.", permission: .createKeys,
        isInstanceWide: true, retry: .always,
        isManagement: true, usesToken: true, request: Schema.pageRequest, reply: Schema.importTokenListReply)

    static let importTokenDelete = OpcodeEntry(
        name: "import-token-delete", summary: "Ends an import token and destroys its private key.", permission: .createKeys,
        isInstanceWide: true,
        retry: .withOperationID, isManagement: true, usesToken: true, recorded: ["operation", "id"],
        request: Schema.importTokenRequest, reply: [])

    static let policyShow = OpcodeEntry(
        name: "policy-show", summary: "Shows the policies of a key or of the instance.", permission: .readPolicies,
        isInstanceWide: false,
        retry: .always, isManagement: true, request: Schema.policyShowRequest, reply: Schema.policyReply)

    static let policySet = OpcodeEntry(
        name: "policy-set", summary: "Changes policies of a key or of the instance; what is not given stays.",
        permission: .managePolicies, isInstanceWide: false, retry: .withOperationID, isManagement: true,
        keyStates: KeyAction.setPolicies.states,
        recorded: [
            "operation", "revision", "rotation-enabled", "rotation-months", "dual-control", "dual-control-enabled",
            "access-enabled", "create-root", "create-standard", "import-root", "import-standard", "enforce-token",
            "metrics-enabled",
        ], request: Schema.policySetRequest, reply: Schema.policyReply)

    static let settingsShow = OpcodeEntry(
        name: "settings-show", summary: "Shows the instance's settings.", permission: .readPolicies, isInstanceWide: true,
        retry: .always,
        isManagement: true, usesToken: true, request: [], reply: Schema.settingsReply)

    static let settingsSet = OpcodeEntry(
        name: "settings-set", summary: "Changes a setting of the instance.", permission: .managePolicies, isInstanceWide: true,
        retry: .withOperationID,
        isManagement: true, recorded: ["operation", "name", "value"], request: Schema.settingSetRequest,
        reply: Schema.settingRecord)

    static let approvalRequest = OpcodeEntry(
        name: "approval-request", summary: "Asks for what needs a second person.", permission: .requestApproval,
        isInstanceWide: false,
        retry: .withOperationID, isManagement: true, recorded: ["operation", "action", "reason", "force"],
        request: Schema.approvalRequest, reply: Schema.approvalRecord)

    static let approvalList = OpcodeEntry(
        name: "approval-list", summary: "Lists what was asked for, a page at a time.", permission: .requestApproval,
        isInstanceWide: false,
        retry: .always, isManagement: true, usesToken: true, request: Schema.approvalListRequest, reply: Schema.approvalListReply)

    static let approvalApprove = OpcodeEntry(
        name: "approval-approve", summary: "Approves what another asked for, and does it.", permission: .approve,
        isInstanceWide: false,
        retry: .withOperationID, isManagement: true, recorded: ["operation", "id"],
        request: Schema.approvalDecideRequest, reply: Schema.approvalRecord)

    static let approvalCancel = OpcodeEntry(
        name: "approval-cancel", summary: "Withdraws what was asked for.", permission: .requestApproval, isInstanceWide: false,
        retry: .withOperationID,
        isManagement: true, recorded: ["operation", "id"], request: Schema.approvalDecideRequest,
        reply: Schema.approvalRecord)
}
