import ClavigerWire

// What the message vectors of aliases, rings, registrations, import tokens, policies, settings and approvals decode to.
extension ExpectedMessages {
    static func administrationMessage(_ vector: Vector) throws -> (any WireMessage)? {
        switch vector.file {
        case "alias-create-request":
            return AliasCreateRequest(key: .name("payroll"), operation: operation, alias: "wages")
        case "alias-create-reply":
            return try with(
                KeyRecord(
                    id: payroll, name: "payroll", state: .destroyed, created: 1_763_848_800_000, version: 3,
                    versionCreated: 1_763_852_400_000, suite: .aesGCM)
            ) {
                $0.kind = .root; $0.ring = "finance"; $0.revision = 9
            }
        case "alias-delete-request":
            return AliasDeleteRequest(alias: "wages", operation: operation)
        case "alias-delete-reply", "registration-release-reply", "import-token-delete-reply", "settings-show-request":
            return EmptyMessage()
        case "ring-create-request":
            return RingCreateRequest(id: "finance", operation: operation)
        case "ring-create-reply":
            return RingRecord(id: "finance", created: 1_763_848_800_000, createdBy: "uid:1001", keys: 7)
        case "ring-list-request", "import-token-list-request":
            return PageRequest(limit: 50, cursor: cursor)
        case "ring-list-reply":
            return RingListReply(
                rings: [RingRecord(id: "finance", created: 1_763_848_800_000, createdBy: "uid:1001", keys: 7)], next: cursor)
        case "ring-delete-request":
            return RingDeleteRequest(id: "finance", operation: operation, force: true)
        case "ring-delete-reply":
            return RingDeleteReply(moved: 2)
        case "registration-set-request":
            return try with(RegistrationSetRequest(key: .name("payroll"), operation: operation, resource: "db/wages")) {
                $0.description = "The wages database"; $0.retention = true; $0.lease = 3_600_000; $0.version = 2; $0.revision = 3
            }
        case "registration-set-reply":
            return try with(
                RegistrationRecord(
                    key: payroll, resource: "db/wages", retention: true, version: 2, created: 1_763_848_800_000,
                    createdBy: "uid:1001", ownerUID: 1_001, updated: 1_763_852_400_000, revision: 4)
            ) {
                $0.description = "The wages database"; $0.leaseEnds = 1_795_388_400_000
            }
        case "registration-release-request":
            return RegistrationReleaseRequest(key: .name("payroll"), operation: operation, resource: "db/wages")
        case "registration-list-request":
            return RegistrationListRequest(
                key: .name("payroll"), limit: 50, cursor: cursor, resourcePattern: "db/*", retention: true)
        case "registration-list-reply":
            return RegistrationListReply(
                registrations: [
                    try with(
                        RegistrationRecord(
                            key: payroll, resource: "db/wages", retention: true, version: 2, created: 1_763_848_800_000,
                            createdBy: "uid:1001", ownerUID: 1_001, updated: 1_763_852_400_000, revision: 4)
                    ) {
                        $0.description = "The wages database"; $0.leaseEnds = 1_795_388_400_000
                    }
                ], next: cursor)
        case "import-token-create-request":
            return ImportTokenCreateRequest(ttl: 900, operation: operation, uses: 5)
        case "import-token-create-reply":
            return ImportTokenRecord(
                id: importToken, created: 1_763_848_800_000, expires: 1_763_849_400_000, uses: 5, used: 2, state: .open,
                oaep: .sha1, createdBy: "uid:1001")
        case "import-token-take-request", "import-token-delete-request":
            return ImportTokenRequest(id: importToken, operation: operation)
        case "import-token-take-reply":
            return ImportTokenTakeReply(
                id: importToken, publicKey: try octets("308202"), nonce: try octets("b0b1b2b3b4b5b6b7b8b9babb"), oaep: .sha1,
                remaining: 4, expires: 1_763_849_400_000)
        case "import-token-list-reply":
            return ImportTokenListReply(
                tokens: [
                    ImportTokenRecord(
                        id: importToken, created: 1_763_848_800_000, expires: 1_763_849_400_000, uses: 5, used: 2, state: .open,
                        oaep: .sha1, createdBy: "uid:1001")
                ], next: cursor)
        case "policy-show-request":
            return PolicyShowRequest(key: .name("payroll"))
        case "policy-show-reply", "policy-set-reply":
            return PolicyReply(key: payroll, revision: 6, values: policies, updated: 1_763_852_400_000, updatedBy: "uid:1001")
        case "policy-set-request":
            return PolicySetRequest(key: .name("payroll"), operation: operation, revision: 5, values: policies)
        case "settings-show-reply":
            return SettingsReply(settings: [
                SettingRecord(
                    name: "purge-delay", value: 14_400, defaultValue: 14_400, least: 0, most: 2_592_000, unit: "s",
                    meaning: "How long after its deletion a key can first be purged.", updated: 1_763_852_400_000,
                    updatedBy: "uid:0")
            ])
        case "settings-set-request":
            return SettingSetRequest(name: "purge-delay", operation: operation, value: 28_800)
        case "settings-set-reply":
            return SettingRecord(
                name: "purge-delay", value: 14_400, defaultValue: 14_400, least: 0, most: 2_592_000, unit: "s",
                meaning: "How long after its deletion a key can first be purged.", updated: 1_763_852_400_000, updatedBy: "uid:0")
        case "approval-request-request":
            return ApprovalRequest(
                action: .delete, operation: operation, key: .name("payroll"), reason: "asked for by the owner",
                body: try octets("000200000010aaaaaaaabbbb4ccc8dddeeeeeeeeeeee"), force: true)
        case "approval-request-reply", "approval-approve-reply", "approval-cancel-reply":
            return try with(
                ApprovalRecord(
                    id: approval, action: .delete, reason: "no longer used", requester: "uid:1001", requesterUID: 1_001,
                    created: 1_763_848_800_000, expires: 1_764_453_600_000, state: .approved)
            ) {
                $0.key = payroll; $0.keyName = "payroll"; $0.approver = "uid:1002"; $0.approverUID = 1_002;
                $0.decided = 1_763_852_400_000; $0.force = true;
                $0.body = try octets("000200000010aaaaaaaabbbb4ccc8dddeeeeeeeeeeee")
            }
        case "approval-list-request":
            return ApprovalListRequest(limit: 50, cursor: cursor, all: true)
        case "approval-list-reply":
            return ApprovalListReply(
                approvals: [
                    try with(
                        ApprovalRecord(
                            id: approval, action: .delete, reason: "no longer used", requester: "uid:1001", requesterUID: 1_001,
                            created: 1_763_848_800_000, expires: 1_764_453_600_000, state: .approved)
                    ) {
                        $0.key = payroll; $0.keyName = "payroll"; $0.approver = "uid:1002"; $0.approverUID = 1_002;
                        $0.decided = 1_763_852_400_000; $0.force = true;
                        $0.body = try octets("000200000010aaaaaaaabbbb4ccc8dddeeeeeeeeeeee")
                    }
                ], next: cursor)
        case "approval-approve-request", "approval-cancel-request":
            return ApprovalDecideRequest(id: approval, operation: operation)
        default: return nil
        }
    }
}
