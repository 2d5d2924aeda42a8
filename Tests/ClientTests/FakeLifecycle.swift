import ClavigerClient

/// What a well-behaved daemon answers to the requests of a key's life; to all others what `FakeCipher` does.
enum FakeLifecycle {
    static let importToken = ImportTokenID(high: 3, low: 4)
    static let approval = ApprovalID(high: 5, low: 6)
    static let secret: [UInt8] = Array("hush".utf8)

    static func answer(_ request: TestServer.Request) {
        switch request.opcode {
        case .keyCount: request.reply(KeyCountReply(count: 17))
        case .keyRead:
            let range = ByteRange(offset: 0, count: secret.count)
            request.reply(KeyReadReply(payload: range, version: 2, key: FakeCipher.key), source: secret)
        case .keyCreate, .keyShow, .keyRotate, .keyUpdate, .keyDisable, .keyEnable, .keyRestore, .keyMove, .aliasCreate:
            request.reply(key)
        case .keyDelete: delete(request)
        case .keyPurge: request.reply(KeyPurgeReply(id: FakeCipher.key))
        case .keyCensus:
            let record = CensusRecord(
                version: 1, state: .inUse, wraps: 12, unwraps: 34, lastWrap: 1_000, lastUnwrap: nil, isRetirable: true)
            request.reply(KeyCensusReply(id: FakeCipher.key, versions: [record], more: false))
        case .versionRetire, .versionDestroy: request.reply(version)
        case .aliasDelete, .registrationRelease, .importTokenDelete: request.reply(EmptyMessage())
        case .ringCreate: request.reply(ring("finance"))
        case .ringList: rings(request)
        case .ringDelete: request.reply(RingDeleteReply(moved: 2))
        case .registrationSet: request.reply(registration)
        case .registrationList: request.reply(RegistrationListReply(registrations: [registration], next: nil))
        case .importTokenCreate: request.reply(token)
        case .importTokenTake:
            request.reply(
                ImportTokenTakeReply(
                    id: importToken, publicKey: [0x30, 0x82], nonce: [UInt8](repeating: 7, count: 12), oaep: .sha256,
                    remaining: 2,
                    expires: 2_000))
        case .importTokenList: request.reply(ImportTokenListReply(tokens: [token], next: nil))
        case .policyShow, .policySet: request.reply(PolicyReply(revision: 3, values: policies))
        case .settingsShow: request.reply(SettingsReply(settings: [setting]))
        case .settingsSet: request.reply(setting)
        case .approvalRequest, .approvalApprove, .approvalCancel: request.reply(record)
        case .approvalList: request.reply(ApprovalListReply(approvals: [record], next: nil))
        default: FakeCipher.answer(request)
        }
    }

    static var key: KeyRecord {
        var key = FakeCipher.record("payroll", 1)
        key.kind = .root
        key.ring = "finance"
        key.tags = ["eu", "wages"]
        key.aliases = ["payroll-2025"]
        key.expires = 1_800_000_000_000
        key.revision = 4
        key.dualControl = [.delete, .purge]
        return key
    }

    private static func delete(_ request: TestServer.Request) {
        let isDryRun = request.message(KeyDeleteRequest.self)?.dryRun == true
        var reply = KeyDeleteReply(
            id: FakeCipher.key, state: isDryRun ? .active : .destroyed, registrations: 2, retained: 1, versions: 3, wraps: 12,
            unwraps: 34, restorableUntil: 1_000, purgeFrom: 2_000, aliases: 1, isDone: !isDryRun)
        if isDryRun { reply.blocked = "a registration retains it" }
        request.reply(reply)
    }

    private static var version: VersionRecord {
        var record = VersionRecord(version: 1, created: 0, suite: .aesGCM, isCurrent: false, wraps: 65_536, isUsable: true)
        record.state = .retired
        record.reason = "policy"
        return record
    }

    private static func ring(_ id: String) -> RingRecord { RingRecord(id: id, created: 0, createdBy: "uid:1", keys: 3) }

    // Two pages of one ring.
    private static func rings(_ request: TestServer.Request) {
        let isSecond = request.message(PageRequest.self)?.cursor == [9]
        request.reply(RingListReply(rings: [ring(isSecond ? "finance" : "default")], next: isSecond ? nil : [9]))
    }

    private static var registration: RegistrationRecord {
        var record = RegistrationRecord(
            key: FakeCipher.key, resource: "db/wages", retention: true, version: 2, created: 0, createdBy: "uid:1", ownerUID: 1,
            updated: 0, revision: 1)
        record.leaseEnds = 3_000
        return record
    }

    private static var token: ImportTokenRecord {
        ImportTokenRecord(
            id: importToken, created: 0, expires: 600_000, uses: 3, used: 1, state: .open, oaep: .sha256, createdBy: "uid:1")
    }

    private static var policies: PolicyValues {
        var values = PolicyValues()
        values.rotationEnabled = true
        values.rotationMonths = 3
        values.dualControl = [.delete]
        return values
    }

    private static var setting: SettingRecord {
        SettingRecord(
            name: "purge-delay", value: 28_800, defaultValue: 14_400, least: 0, most: 2_592_000, unit: "s", meaning: "How long")
    }

    private static var record: ApprovalRecord {
        var record = ApprovalRecord(
            id: approval, action: .policy, reason: "why not", requester: "uid:1", requesterUID: 1, created: 0, expires: 7_000,
            state: .open)
        let change = PolicySetRequest(operation: OperationID(high: 1, low: 1), values: policies)
        var body = [UInt8](repeating: 0, count: 256)
        let count = body.withUnsafeMutableBytes { buffer in
            var writer = BodyWriter(buffer)
            change.encode(to: &writer, source: RawSpan())
            return writer.count
        }
        record.body = Array(body[..<count])
        return record
    }
}
