import ClavigerWire

// Import tokens, policies, settings and what needs a second person.
extension Client {
    /// Makes an import token: good for `ttl` seconds, 600 when nil, and `uses` imports, one when nil.
    public func createImportToken(ttl: UInt32? = nil, uses: UInt32? = nil) throws(ClientError) -> ImportTokenRecord {
        try message(
            OutgoingRequest(
                .importTokenCreate, ImportTokenCreateRequest(ttl: ttl, operation: Requests.newOperation(), uses: uses)))
    }

    /// Spends one use of an import token; returns what encrypting material for it needs.
    public func takeImportToken(_ id: ImportTokenID) throws(ClientError) -> ImportTokenTakeReply {
        try message(OutgoingRequest(.importTokenTake, ImportTokenRequest(id: id, operation: Requests.newOperation())))
    }

    /// A page of import tokens, by creation time.
    public func listImportTokens(limit: Int? = nil, cursor: [UInt8]? = nil) throws(ClientError) -> ImportTokenListReply {
        try message(Requests.page(.importTokenList, limit, cursor))
    }

    /// Ends an import token.
    public func deleteImportToken(_ id: ImportTokenID) throws(ClientError) {
        _ = try message(
            OutgoingRequest(.importTokenDelete, ImportTokenRequest(id: id, operation: Requests.newOperation())),
            as: EmptyMessage.self)
    }

    /// The policies of a key, or of the instance when nil.
    public func policies(of key: KeyReference? = nil) throws(ClientError) -> PolicyReply {
        try message(OutgoingRequest(.policyShow, PolicyShowRequest(key: key)))
    }

    /// Changes policies of a key, or of the instance when nil; values that are nil stay as they are.
    public func setPolicies(
        of key: KeyReference? = nil, revision: UInt64? = nil, _ values: PolicyValues
    ) throws(ClientError) -> PolicyReply {
        try message(
            OutgoingRequest(
                .policySet, PolicySetRequest(key: key, operation: Requests.newOperation(), revision: revision, values: values)))
    }

    /// The instance's settings.
    public func settings() throws(ClientError) -> [SettingRecord] {
        try message(Requests.plain(.settingsShow), as: SettingsReply.self).settings
    }

    /// Changes a setting of the instance.
    public func setSetting(_ name: String, to value: UInt64) throws(ClientError) -> SettingRecord {
        try message(
            OutgoingRequest(.settingsSet, SettingSetRequest(name: name, operation: Requests.newOperation(), value: value)))
    }

    /// Asks for what needs a second person. For a change of policies see `requestPolicies`.
    public func requestApproval(
        of action: ControlledAction, key: KeyReference?, reason: String? = nil, force: Bool = false
    ) throws(ClientError) -> ApprovalRecord {
        try message(
            OutgoingRequest(
                .approvalRequest,
                ApprovalRequest(action: action, operation: Requests.newOperation(), key: key, reason: reason, force: force)))
    }

    /// Asks for a change of policies that needs a second person.
    public func requestPolicies(
        of key: KeyReference? = nil, _ values: PolicyValues, reason: String? = nil
    ) throws(ClientError) -> ApprovalRecord {
        try message(Requests.policies(key, values, reason))
    }

    /// A page of what was asked for and waits for a second person, by creation time; with `all` what is decided too.
    public func listApprovals(
        limit: Int? = nil, cursor: [UInt8]? = nil, all: Bool = false
    ) throws(ClientError) -> ApprovalListReply {
        try message(
            OutgoingRequest(
                .approvalList, ApprovalListRequest(limit: limit.map { UInt32(clamping: $0) }, cursor: cursor, all: all)))
    }

    /// Approves what another asked for, and has it done.
    public func approve(_ id: ApprovalID) throws(ClientError) -> ApprovalRecord {
        try message(OutgoingRequest(.approvalApprove, ApprovalDecideRequest(id: id, operation: Requests.newOperation())))
    }

    /// Withdraws what was asked for.
    public func cancelApproval(_ id: ApprovalID) throws(ClientError) -> ApprovalRecord {
        try message(OutgoingRequest(.approvalCancel, ApprovalDecideRequest(id: id, operation: Requests.newOperation())))
    }
}
