import ClavigerWire

// What the message vectors of keys decode to.
extension ExpectedMessages {
    static func lifecycleMessage(_ vector: Vector) throws -> (any WireMessage)? {
        switch vector.file {
        case "key-count-request":
            return KeyCountRequest(filter: narrowed)
        case "key-count-reply":
            return KeyCountReply(count: 12_345)
        case "key-read-request":
            return KeyReadRequest(key: .name("payroll"), version: 2)
        case "key-read-reply":
            return KeyReadReply(payload: try vector.part("7365637265740a"), version: 2, key: payroll)
        case "key-update-request":
            return try with(KeyUpdateRequest(key: .name("payroll"), operation: operation)) {
                $0.revision = 8; $0.name = "payroll-eu"; $0.description = "Wraps wages"; $0.tags = ["wages"];
                $0.expires = 1_795_388_400_000
            }
        case "key-update-reply":
            return try with(
                KeyRecord(
                    id: payroll, name: "payroll", state: .destroyed, created: 1_763_848_800_000, version: 3,
                    versionCreated: 1_763_852_400_000, suite: .aesGCM)
            ) {
                $0.kind = .root; $0.isImported = true; $0.bits = 256; $0.description = "Signs nothing, wraps wages";
                $0.ring = "finance"; $0.tags = ["wages", "eu"]; $0.aliases = ["payroll-2025", "wages"]; $0.createdBy = "uid:1001";
                $0.updated = 1_763_852_400_000; $0.revision = 9; $0.rotated = 1_763_852_400_000; $0.expires = 1_795_388_400_000;
                $0.deleted = 1_763_856_000_000; $0.deletedBy = "uid:1002"; $0.restorableUntil = 1_766_448_000_000;
                $0.purgeFrom = 1_763_870_400_000; $0.purgeScheduled = 1_771_632_000_000; $0.isRestoreAllowed = true;
                $0.isPurgeAllowed = true; $0.rotationMonths = 3; $0.isRotationEnabled = true;
                $0.dualControl = [.delete, .policy]; $0.registrations = 2; $0.isWiped = true; $0.pendingApproval = approval;
                $0.nextRotation = 1_795_388_400_000
            }
        case "key-disable-request", "key-enable-request", "key-restore-request", "key-purge-request":
            return KeyChangeRequest(key: .name("payroll"), operation: operation, reason: "asked for by the owner")
        case "key-disable-reply", "key-enable-reply", "key-restore-reply", "key-move-reply":
            return try with(
                KeyRecord(
                    id: payroll, name: "payroll", state: .destroyed, created: 1_763_848_800_000, version: 3,
                    versionCreated: 1_763_852_400_000, suite: .aesGCM)
            ) {
                $0.kind = .root; $0.ring = "finance"; $0.revision = 9
            }
        case "key-delete-request":
            return KeyDeleteRequest(key: .name("payroll"), operation: operation, force: true, dryRun: true)
        case "key-delete-reply":
            return try with(
                KeyDeleteReply(
                    id: payroll, state: .destroyed, registrations: 3, retained: 1, versions: 4, wraps: 1_200, unwraps: 3_400,
                    restorableUntil: 1_766_448_000_000, purgeFrom: 1_763_870_400_000, aliases: 2, isDone: false)
            ) {
                $0.lastUsed = 1_763_852_400_000; $0.blocked = "resources are registered with the key"
            }
        case "key-purge-reply":
            return KeyPurgeReply(id: payroll)
        case "key-move-request":
            return KeyMoveRequest(key: .name("payroll"), operation: operation, ring: "finance")
        case "key-census-request":
            return KeyVersionsRequest(key: .name("payroll"), limit: 2, before: 9)
        case "key-census-reply":
            return KeyCensusReply(
                id: payroll,
                versions: [
                    CensusRecord(
                        version: 2, state: .inUse, wraps: 77, unwraps: 88, lastWrap: 1_763_852_400_000,
                        lastUnwrap: 1_763_856_000_000, isRetirable: true)
                ], more: true)
        case "version-retire-request":
            return VersionRetireRequest(key: .name("payroll"), operation: operation, version: 1, undo: true)
        case "version-retire-reply", "version-destroy-reply":
            return try with(
                VersionRecord(
                    version: 1, created: 1_763_848_800_000, suite: .aesGCM, isCurrent: false, wraps: 65_536, isUsable: true)
            ) {
                $0.state = .retired; $0.bits = 192; $0.isImported = true; $0.reason = "policy"; $0.retired = 1_763_856_000_000
            }
        case "version-destroy-request":
            return VersionDestroyRequest(key: .name("payroll"), operation: operation, version: 1)
        case "key-create-request-full":
            return try with(KeyCreateRequest(name: "payroll", operation: operation)) {
                $0.kind = .standard; $0.description = "Wraps wages"; $0.tags = ["wages", "eu"]; $0.aliases = ["payroll-2025"];
                $0.expires = 1_795_388_400_000; $0.ring = "finance"; $0.rotationMonths = 6; $0.dualControl = [.delete];
                $0.withoutPolicies = true; $0.payload = try vector.part("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff");
                $0.importToken = importToken; $0.encryptedPayload = [UInt8](repeating: 0x5a, count: 512);
                $0.proof = [UInt8](repeating: 0xc3, count: 40); $0.bits = 256; $0.nonce = try octets("b0b1b2b3b4b5b6b7b8b9babb");
                $0.suite = .aesGCM; $0.keyID = payroll
            }
        case "key-rotate-request-full":
            return try with(KeyRotateRequest(key: .name("payroll"), operation: operation)) {
                $0.reason = "asked for by the owner"; $0.payload = try vector.part("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff");
                $0.importToken = importToken; $0.encryptedPayload = [UInt8](repeating: 0x5a, count: 512);
                $0.proof = [UInt8](repeating: 0xc3, count: 40); $0.bits = 256; $0.nonce = try octets("b0b1b2b3b4b5b6b7b8b9babb")
            }
        case "key-list-request-full":
            return KeyListRequest(limit: 50, cursor: cursor, filter: narrowed, sort: "-name")
        case "key-versions-reply-full":
            return KeyVersionsReply(
                key: payroll,
                versions: [
                    try with(
                        VersionRecord(
                            version: 1, created: 1_763_848_800_000, suite: .aesGCM, isCurrent: false, wraps: 65_536,
                            isUsable: true)
                    ) {
                        $0.state = .retired; $0.bits = 192; $0.isImported = true; $0.reason = "policy";
                        $0.retired = 1_763_856_000_000
                    }
                ], more: false)
        case "key-list-reply-full":
            return KeyListReply(
                keys: [
                    try with(
                        KeyRecord(
                            id: payroll, name: "payroll", state: .destroyed, created: 1_763_848_800_000, version: 3,
                            versionCreated: 1_763_852_400_000, suite: .aesGCM)
                    ) {
                        $0.kind = .root; $0.isImported = true; $0.bits = 256; $0.description = "Signs nothing, wraps wages";
                        $0.ring = "finance"; $0.tags = ["wages", "eu"]; $0.aliases = ["payroll-2025", "wages"];
                        $0.createdBy = "uid:1001"; $0.updated = 1_763_852_400_000; $0.revision = 9;
                        $0.rotated = 1_763_852_400_000; $0.expires = 1_795_388_400_000; $0.deleted = 1_763_856_000_000;
                        $0.deletedBy = "uid:1002"; $0.restorableUntil = 1_766_448_000_000; $0.purgeFrom = 1_763_870_400_000;
                        $0.purgeScheduled = 1_771_632_000_000; $0.isRestoreAllowed = true; $0.isPurgeAllowed = true;
                        $0.rotationMonths = 3; $0.isRotationEnabled = true; $0.dualControl = [.delete, .policy];
                        $0.registrations = 2; $0.isWiped = true; $0.pendingApproval = approval;
                        $0.nextRotation = 1_795_388_400_000
                    }
                ], next: nil)
        default: return nil
        }
    }
}
