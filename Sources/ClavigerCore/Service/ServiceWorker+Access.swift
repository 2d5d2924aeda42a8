import ClavigerWire

// Who may do what: grants and roles.
extension ServiceWorker {
    func grantAccess(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        let message = try call.decode(AccessGrantRequest.self)
        record.note(field: "operation", "\(message.operation)")
        record.note(field: "subject", message.subject)
        record.note(field: "role", message.role)
        record.note(field: "scope", message.scope)
        if let expires = message.expires { record.note(field: "expires-ms", "\(expires)") }
        if let context = message.context { record.note(condition: context) }
        let scope = try AccessText.scope(message.scope, in: service.snapshots.current)
        let subject = try AccessText.subject(message.subject)
        try AccessText.requireLasting(subject)
        let grant = Grant(
            id: GrantID(high: message.operation.high, low: message.operation.low),
            subject: subject, role: message.role, scope: scope, expires: message.expires,
            condition: try ServiceWorker.condition(message.context), created: service.authoriser.time.now(),
            createdBy: call.caller.label)
        if case .key(let id) = scope { record.note(key: id, version: nil) }
        return try call.answer.reply(shown(service.access.grant(grant, by: call.caller, call.allowances)))
    }

    /// A condition of no strings is none.
    private static func condition(_ context: [UInt8]?) throws(Refusal) -> [UInt8] {
        guard let context, context.count > 4 else { return [] }
        return context
    }

    func revokeAccess(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        let message = try call.decode(AccessRevokeRequest.self)
        record.note(field: "operation", "\(message.operation)")
        record.note(field: "id", "\(message.id)")
        let id = GrantID(high: message.id.high, low: message.id.low)
        let grant = try service.access.revoke(id, operation: message.operation, by: call.caller, call.allowances)
        if case .key(let id) = grant.scope { record.note(key: id, version: nil) }
        return try call.answer.reply(shown(grant))
    }

    func listAccess(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        let message = try call.decode(AccessListRequest.self)
        let subject = try message.subject.map { (text) throws(Refusal) in try AccessText.subject(text) }
        let limit = Int(message.limit ?? UInt32(Limits.defaultPage))
        var grants = call.access.snapshot.grants[...]
        if let after = message.after {
            let place = grants.firstIndex { $0.id == GrantID(high: after.high, low: after.low) }
            // A grant that was revoked meanwhile leaves no place to go on from; beginning anew repeats, but hides nothing.
            if let place { grants = grants[(place + 1)...] }
        }
        if let subject { grants = grants.filter { $0.subject == subject }[...] }
        let page = grants.prefix(limit).map(shown)
        // A page of the longest conditions would not fit: it is cut where the room ends.
        var count = page.count
        while true {
            record.total = count
            let reply = AccessListReply(grants: Array(page.prefix(count)), more: count < grants.count)
            do throws(Refusal) {
                return try call.answer.reply(reply)
            } catch {
                guard count > 1 else { throw error }
                count /= 2
            }
        }
    }

    func listRoles(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> AccessRolesReply {
        let roles = call.access.snapshot.roles
        let custom = roles.values.filter { !$0.isBuiltIn }.sorted { $0.name < $1.name }
        record.total = Role.builtIn.count + custom.count
        return AccessRolesReply(roles: (Role.builtIn + custom).map(\.record))
    }

    func createRole(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        let message = try call.decode(RoleCreateRequest.self)
        record.note(field: "operation", "\(message.operation)")
        record.note(field: "name", message.name)
        record.note(field: "permissions", message.permissions.joined(separator: " "))
        if let summary = message.summary { record.note(field: "summary", summary) }
        var permissions: PermissionSet = []
        for name in message.permissions {
            guard let permission = Permission(rawValue: name) else {
                let known = Permission.allCases.filter(\.canBeGranted).map(\.rawValue).joined(separator: ", ")
                throw Refusal(.invalidValue, "there is no permission '\(name)'; there are \(known)")
            }
            guard permission.canBeGranted else {
                throw Refusal(.invalidValue, "no grant gives '\(name)', so no role can hold it")
            }
            permissions.formUnion(PermissionSet(permission))
        }
        let role = Role(name: message.name, summary: message.summary ?? "", permissions: permissions)
        return try call.answer.reply(
            service.access.create(role, operation: message.operation, by: call.caller, call.allowances).record)
    }

    func deleteRole(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        let message = try call.decode(RoleDeleteRequest.self)
        record.note(field: "name", message.name)
        try service.access.deleteRole(message.name, by: call.caller)
        return try call.answer.reply(EmptyMessage())
    }

    private func shown(_ grant: Grant) -> GrantRecord {
        grant.record(
            now: service.authoriser.time.now(), service.authoriser.accounts, roles: service.authoriser.box.current.roles)
    }
}

extension Role {
    /// As shown to admins.
    var record: RoleRecord {
        RoleRecord(name: name, summary: summary, isBuiltIn: isBuiltIn, permissions: permissions.permissions.map(\.rawValue))
    }
}

extension Permission {
    /// Whether a grant can give it at all.
    var canBeGranted: Bool {
        switch reach {
        case .key, .ring, .instance: true
        case .everyone, .operators: false
        }
    }
}
