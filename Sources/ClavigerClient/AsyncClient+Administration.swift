import ClavigerWire

// Import tokens, policies, settings and what needs a second person.
extension AsyncClient {
    /// Makes an import token: good for `ttl` seconds, 600 when nil, and `uses` imports, one when nil.
    public func createImportToken(ttl: UInt32? = nil, uses: UInt32? = nil) async throws(ClientError) -> ImportTokenRecord {
        try await message(
            OutgoingRequest(
                .importTokenCreate, ImportTokenCreateRequest(ttl: ttl, operation: Requests.newOperation(), uses: uses)))
    }

    /// Spends one use of an import token; returns what encrypting material for it needs.
    public func takeImportToken(_ id: ImportTokenID) async throws(ClientError) -> ImportTokenTakeReply {
        try await message(OutgoingRequest(.importTokenTake, ImportTokenRequest(id: id, operation: Requests.newOperation())))
    }

    /// A page of import tokens, by creation time.
    public func listImportTokens(limit: Int? = nil, cursor: [UInt8]? = nil) async throws(ClientError) -> ImportTokenListReply {
        try await message(Requests.page(.importTokenList, limit, cursor))
    }

    /// Ends an import token.
    public func deleteImportToken(_ id: ImportTokenID) async throws(ClientError) {
        _ = try await message(
            OutgoingRequest(.importTokenDelete, ImportTokenRequest(id: id, operation: Requests.newOperation())),
            as: EmptyMessage.self)
    }

    /// The policies of a key, or of the instance when nil.
    public func policies(of key: KeyReference? = nil) async throws(ClientError) -> PolicyReply {
        try await message(OutgoingRequest(.policyShow, PolicyShowRequest(key: key)))
    }

    /// Changes policies of a key, or of the instance when nil; values that are nil stay as they are.
    public func setPolicies(
        of key: KeyReference? = nil, revision: UInt64? = nil, _ values: PolicyValues
    ) async throws(ClientError) -> PolicyReply {
        try await message(
            OutgoingRequest(
                .policySet, PolicySetRequest(key: key, operation: Requests.newOperation(), revision: revision, values: values)))
    }

    /// The instance's settings.
    public func settings() async throws(ClientError) -> [SettingRecord] {
        try await message(Requests.plain(.settingsShow), as: SettingsReply.self).settings
    }

    /// Changes a setting of the instance.
    public func setSetting(_ name: String, to value: UInt64) async throws(ClientError) -> SettingRecord {
        try await message(
            OutgoingRequest(.settingsSet, SettingSetRequest(name: name, operation: Requests.newOperation(), value: value)))
    }

    /// Asks for what needs a second person. For a change of policies see `requestPolicies`.
    public func requestApproval(
        of action: ControlledAction, key: KeyReference?, reason: String? = nil, force: Bool = false
    ) async throws(ClientError) -> ApprovalRecord {
        try await message(
            OutgoingRequest(
                .approvalRequest,
                ApprovalRequest(action: action, operation: Requests.newOperation(), key: key, reason: reason, force: force)))
    }

    /// Asks for a change of policies that needs a second person.
    public func requestPolicies(
        of key: KeyReference? = nil, _ values: PolicyValues, reason: String? = nil
    ) async throws(ClientError) -> ApprovalRecord {
        try await message(Requests.policies(key, values, reason))
    }

    /// A page of what was asked for and waits for a second person, by creation time; with `all` what is decided too.
    public func listApprovals(
        limit: Int? = nil, cursor: [UInt8]? = nil, all: Bool = false
    ) async throws(ClientError) -> ApprovalListReply {
        try await message(
            OutgoingRequest(
                .approvalList, ApprovalListRequest(limit: limit.map { UInt32(clamping: $0) }, cursor: cursor, all: all)))
    }

    /// Approves what another asked for, and has it done.
    public func approve(_ id: ApprovalID) async throws(ClientError) -> ApprovalRecord {
        try await message(OutgoingRequest(.approvalApprove, ApprovalDecideRequest(id: id, operation: Requests.newOperation())))
    }

    /// Withdraws what was asked for.
    public func cancelApproval(_ id: ApprovalID) async throws(ClientError) -> ApprovalRecord {
        try await message(OutgoingRequest(.approvalCancel, ApprovalDecideRequest(id: id, operation: Requests.newOperation())))
    }
}
