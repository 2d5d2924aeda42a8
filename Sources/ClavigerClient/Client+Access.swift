import ClavigerWire

// Who may do what.
extension Client {
    /// Gives a subject a role in a scope.
    ///
    /// - Parameters:
    ///   - subject: `user:NAME`, `group:NAME`, `unit:NAME.service`, or several with commas between, which must all hold.
    ///   - scope: `instance`, `ring:NAME`, or `key:` and a key's id, alias or name.
    ///   - expires: when it ends, in milliseconds since 1970; nil for never.
    ///   - context: the strings that an envelope's context must begin with; with any, the grant gives only wrap, unwrap and rewrap.
    public func grant(
        _ role: String, to subject: String, on scope: String, expires: UInt64? = nil, context: [String] = []
    ) throws(ClientError) -> GrantRecord {
        try message(Requests.grant(role, subject, scope, expires, context))
    }

    /// Takes a grant back. When this returns, nothing that was asked under it is answered any more.
    public func revokeGrant(_ id: OperationID) throws(ClientError) -> GrantRecord { try message(Requests.revokeGrant(id)) }

    /// A page of grants, oldest first, after the grant `after`; of one subject when it is given.
    public func listGrants(
        limit: Int? = nil, after: OperationID? = nil, subject: String? = nil
    ) throws(ClientError) -> AccessListReply {
        try message(Requests.listGrants(limit, after, subject))
    }

    /// Every grant, oldest first, asked for a page at a time.
    public func allGrants(of subject: String? = nil) throws(ClientError) -> [GrantRecord] {
        var grants: [GrantRecord] = []
        while true {
            let page = try listGrants(limit: Limits.maximumPage, after: grants.last?.id, subject: subject)
            grants += page.grants
            if !page.more || page.grants.isEmpty { return grants }
        }
    }

    /// The roles, those that come with the daemon first.
    public func listRoles() throws(ClientError) -> [RoleRecord] {
        try message(Requests.plain(.accessRoles), as: AccessRolesReply.self).roles
    }

    /// Makes a role of permissions, by their names.
    public func createRole(
        name: String, permissions: [String], summary: String? = nil
    ) throws(ClientError) -> RoleRecord {
        try message(Requests.createRole(name, permissions, summary))
    }

    /// Removes a role that no grant names.
    public func deleteRole(_ name: String) throws(ClientError) {
        _ = try message(Requests.deleteRole(name), as: EmptyMessage.self)
    }

    /// Has the daemon believe its database as it is, though it was changed by somebody else or put back.
    public func acceptRollback() throws(ClientError) -> HealthReply { try message(Requests.plain(.acceptRollback)) }

    /// Why a subject may or may not do something, and what would change it.
    ///
    /// - Parameters:
    ///   - action: an operation or a permission, by name.
    ///   - target: a key's id, alias or name, or `ring:NAME`; nil for anything.
    ///   - context: the envelope's context; nil for any.
    public func explain(
        _ action: String, as subject: String, target: String? = nil, context: [String]? = nil
    ) throws(ClientError) -> AccessExplainReply {
        try message(Requests.explain(action, subject, target, context))
    }
}

extension Requests {
    static func grant(
        _ role: String, _ subject: String, _ scope: String, _ expires: UInt64?, _ context: [String]
    ) throws(ClientError) -> OutgoingRequest {
        let message = AccessGrantRequest(
            subject: subject, operation: newOperation(), role: role, scope: scope, expires: expires,
            context: context.isEmpty ? nil : try encodeContext(context))
        return try OutgoingRequest(.accessGrant, message)
    }

    static func revokeGrant(_ id: OperationID) throws(ClientError) -> OutgoingRequest {
        try OutgoingRequest(.accessRevoke, AccessRevokeRequest(id: id, operation: newOperation()))
    }

    static func listGrants(_ limit: Int?, _ after: OperationID?, _ subject: String?) throws(ClientError) -> OutgoingRequest {
        let message = AccessListRequest(limit: limit.map { UInt32(clamping: $0) }, after: after, subject: subject)
        return try OutgoingRequest(.accessList, message)
    }

    static func createRole(_ name: String, _ permissions: [String], _ summary: String?) throws(ClientError) -> OutgoingRequest {
        let message = RoleCreateRequest(name: name, operation: newOperation(), permissions: permissions, summary: summary)
        return try OutgoingRequest(
            .roleCreate, message)
    }

    static func deleteRole(_ name: String) throws(ClientError) -> OutgoingRequest {
        try OutgoingRequest(.roleDelete, RoleDeleteRequest(name: name))
    }

    static func explain(
        _ action: String, _ subject: String, _ target: String?, _ context: [String]?
    ) throws(ClientError) -> OutgoingRequest {
        let message = AccessExplainRequest(
            subject: subject, action: action, target: target,
            context: try context.map { (strings) throws(ClientError) in
                try encodeContext(strings)
            })
        return try OutgoingRequest(
            .accessExplain, message)
    }
}
