import ClavigerWire

// What the vectors about grants and roles decode to.
extension ExpectedMessages {
    private static let april: UInt64 = 1_775_001_600_000
    private static let january: UInt64 = 1_767_225_600_000
    private static let grantID = OperationID(high: payroll.high, low: payroll.low)
    private static let tenant7Bytes: [UInt8] = [0, 0, 0, 1, 0, 0, 0, 8] + Array("tenant=7".utf8)
    private static let tenant8Bytes: [UInt8] = [0, 0, 0, 1, 0, 0, 0, 8] + Array("tenant=8".utf8)

    private static let bareGrant = GrantRecord(
        id: grantID, subject: "unit:payroll.service", role: "Reader", scope: "ring:billing", created: january, createdBy: "uid:0")

    private static let fullGrant = GrantRecord(
        id: operation, subject: "user:ann,group:finance,unit:payroll.service", role: "Unwrapper", scope: "key:\(payroll)",
        created: january, createdBy: "uid:0", expires: april, context: tenant7Bytes, uid: 1001, gid: 985,
        trouble: "it has expired")

    static func accessMessage(_ vector: Vector) throws -> (any WireMessage)? {
        switch vector.file {
        case "access-grant-request":
            AccessGrantRequest(
                subject: "user:ann,group:finance,unit:payroll.service", operation: operation, role: "Unwrapper",
                scope: "key:payroll", expires: april, context: tenant7Bytes)
        case "access-grant-request-bare":
            AccessGrantRequest(subject: "group:claviger-clients", operation: operation, role: "Reader", scope: "instance")
        case "access-grant-reply": fullGrant
        case "access-revoke-request": AccessRevokeRequest(id: grantID, operation: operation)
        case "access-revoke-reply": bareGrant
        case "access-list-request": AccessListRequest(limit: 10, after: operation, subject: "unit:payroll.service")
        case "access-list-request-first": AccessListRequest()
        case "access-list-reply": AccessListReply(grants: [bareGrant, fullGrant], more: true)
        case "access-roles-request", "accept-rollback-request": EmptyMessage()
        case "accept-rollback-reply": HealthReply(state: .ready)
        case "status-reply-anchored":
            StatusReply.anchored
        case "status-reply-damaged":
            StatusReply.damaged
        case "access-roles-reply":
            AccessRolesReply(roles: [
                RoleRecord(name: "Wrapper", summary: "Wraps, and nothing else.", isBuiltIn: true, permissions: ["wrap"]),
                RoleRecord(name: "Rotator", summary: "", isBuiltIn: false, permissions: ["read-keys", "rotate-keys"]),
            ])
        case "role-create-request":
            RoleCreateRequest(
                name: "Rotator", operation: operation, permissions: ["read-keys", "rotate-keys"], summary: "for the nightly job")
        case "role-create-reply":
            RoleRecord(
                name: "Rotator", summary: "for the nightly job", isBuiltIn: false, permissions: ["read-keys", "rotate-keys"])
        case "role-delete-request": RoleDeleteRequest(name: "Rotator")
        case "role-delete-reply": EmptyMessage()
        case "access-explain-request":
            AccessExplainRequest(subject: "unit:payroll.service", action: "unwrap", target: "payroll", context: tenant8Bytes)
        case "access-explain-reply":
            AccessExplainReply(
                isAllowed: false, decidedBy: "no grant allows it",
                details: ["the context does not begin with 'tenant=7'"])
        case "whoami-reply-grants":
            WhoamiReply(
                uid: 1001, gid: 1002, pid: 4321, groups: [], unit: "payroll.service", permissions: ["wrap"], isProven: true,
                isForeign: false, grants: ["Wrapper on instance"])
        default: nil
        }
    }
}

extension StatusReply {
    fileprivate static var anchored: StatusReply {
        var status = StatusReply(health: HealthReply(state: .ready))
        status.version = "0.1.0"
        status.isAnchored = true
        return status
    }

    fileprivate static var damaged: StatusReply {
        var status = StatusReply(health: HealthReply(state: .ready))
        status.version = "0.1.0"
        status.damagedFiles = 3
        return status
    }
}
