import ClavigerWire

// Who may do what.
extension AsyncClient {
    /// Gives a subject a role in a scope.
    ///
    /// - Parameters:
    ///   - subject: `user:NAME`, `group:NAME`, `unit:NAME.service`, or several with commas between, which must all hold.
    ///   - scope: `instance`, `ring:NAME`, or `key:` and a key's id, alias or name.
    ///   - expires: when it ends, in milliseconds since 1970; nil for never.
    ///   - context: the strings that an envelope's context must begin with; with any, the grant gives only wrap, unwrap and rewrap.
    public func grant(
        _ role: String, to subject: String, on scope: String, expires: UInt64? = nil, context: [String] = []
    ) async throws(ClientError) -> GrantRecord {
        try await message(Requests.grant(role, subject, scope, expires, context))
    }

    /// Takes a grant back. When this returns, nothing that was asked under it is answered any more.
    public func revokeGrant(_ id: OperationID) async throws(ClientError) -> GrantRecord {
        try await message(Requests.revokeGrant(id))
    }

    /// A page of grants, oldest first, after the grant `after`; of one subject when it is given.
    public func listGrants(
        limit: Int? = nil, after: OperationID? = nil, subject: String? = nil
    ) async throws(ClientError) -> AccessListReply {
        try await message(Requests.listGrants(limit, after, subject))
    }

    /// Every grant, oldest first, asked for a page at a time.
    public func allGrants(of subject: String? = nil) async throws(ClientError) -> [GrantRecord] {
        var grants: [GrantRecord] = []
        while true {
            let page = try await listGrants(limit: Limits.maximumPage, after: grants.last?.id, subject: subject)
            grants += page.grants
            if !page.more || page.grants.isEmpty { return grants }
        }
    }

    /// The roles, those that come with the daemon first.
    public func listRoles() async throws(ClientError) -> [RoleRecord] {
        try await message(Requests.plain(.accessRoles), as: AccessRolesReply.self).roles
    }

    /// Makes a role of permissions, by their names.
    public func createRole(
        name: String, permissions: [String], summary: String? = nil
    ) async throws(ClientError) -> RoleRecord {
        try await message(Requests.createRole(name, permissions, summary))
    }

    /// Removes a role that no grant names.
    public func deleteRole(_ name: String) async throws(ClientError) {
        _ = try await message(Requests.deleteRole(name), as: EmptyMessage.self)
    }

    /// Has the daemon believe its database as it is, though it was changed by somebody else or put back.
    public func acceptRollback() async throws(ClientError) -> HealthReply { try await message(Requests.plain(.acceptRollback)) }

    /// Why a subject may or may not do something, and what would change it.
    ///
    /// - Parameters:
    ///   - action: an operation or a permission, by name.
    ///   - target: a key's id, alias or name, or `ring:NAME`; nil for anything.
    ///   - context: the envelope's context; nil for any.
    public func explain(
        _ action: String, as subject: String, target: String? = nil, context: [String]? = nil
    ) async throws(ClientError) -> AccessExplainReply {
        try await message(Requests.explain(action, subject, target, context))
    }
}
