import ClavigerWire

/// What each message vector decodes to, written out property by property.
///
/// Decoding and encoding could agree on a wrong tag; against these values they cannot.
enum ExpectedMessages {
    static let payroll = KeyID(high: 0x6f1d_3c5a_9b7e_4a02, low: 0x8c41_d2e3_f4a5_b6c7)
    static let other = KeyID(high: 0x0b5f_2f5e_6d3c_4c1b, low: 0x9a70_1122_3344_5566)
    static let instance = InstanceID(high: 0x1c2d_3e4f_5061_4728, low: 0xb94a_5b6c_7d8e_9fa0)
    static let operation = OperationID(high: 0xaaaa_aaaa_bbbb_4ccc, low: 0x8ddd_eeee_eeee_eeee)
    static let dek = "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"
    static let tenant7 = "00000001 00000008 74656e616e743d37"
    static let tenant8 = "00000001 00000008 74656e616e743d38"
    static let cursor: [UInt8] = bigEndian(UInt64(0x0000_019a_4b3c_2d1e)) + other.bytes

    /// The message of a vector; nil for a name that has none here.
    static func message(_ vector: Vector) throws -> (any WireMessage)? {
        switch vector.file {
        case "ping-request", "ping-reply", "health-request", "status-request", "whoami-request", "token-status-request",
            "metrics-request":
            EmptyMessage()
        case "health-reply", "unlock-reply": HealthReply(state: .ready)
        case "health-reply-sealed": HealthReply(state: .sealed, reason: "the daemon waits for its PIN")
        case "status-reply": status
        case "status-reply-sealed": sealedStatus
        case "metrics-reply": MetricsReply(text: "# EOF")
        case "whoami-reply":
            WhoamiReply(
                uid: 1001, gid: 1002, pid: 4321, groups: [100, 985], unit: "payroll.service", permissions: ["observe", "wrap"])
        case "whoami-reply-bare": WhoamiReply(uid: 65534, gid: 65534, pid: 0, groups: [], unit: nil, permissions: [])
        case "unlock-request": UnlockRequest(pin: try vector.part("31323334353637383930616263646566"))
        case "token-status-reply": tokenStatus
        case "token-status-reply-bare": bareTokenStatus
        default:
            try cipherMessage(vector) ?? keyMessage(vector) ?? lifecycleMessage(vector) ?? administrationMessage(vector)
                ?? accessMessage(vector)
                ?? auditMessage(vector)
        }
    }

    private static func envelope(_ name: String) throws -> String { try Checkout.vector("envelopes", name)["envelope"] }

    private static func cipherMessage(_ vector: Vector) throws -> (any WireMessage)? {
        switch vector.file {
        case "wrap-request":
            return WrapRequest(
                key: .name("payroll"),
                items: [WrapItem(input: .given(try vector.part(dek)), context: try vector.part(tenant7))])
        case "wrap-request-batch":
            // The DEK is one byte: 0x2a after the header of its field.
            let first = try vector.part("0001 00000001 2a")
            return WrapRequest(
                key: .id(payroll),
                items: [
                    WrapItem(input: .given(ByteRange(offset: first.offset + 6, count: 1))), WrapItem(input: .generated(16)),
                ])
        case "wrap-request-sealed": return WrapRequest(key: .name("payroll"), items: [WrapItem(input: .sealed(32))])
        case "wrap-reply":
            return CipherReply(items: [try cipherItem { $0.envelope = try vector.part(envelope("suite-1")) }])
        case "wrap-reply-batch":
            return CipherReply(items: [
                try cipherItem { $0.envelope = try vector.part(envelope("suite-1-no-context")) },
                try cipherItem {
                    $0.envelope = try vector.part(envelope("suite-1-generated"))
                    $0.plaintext = try vector.part("e0e1e2e3e4e5e6e7e8e9eaebecedeeef")
                },
            ])
        case "unwrap-request":
            return UnwrapRequest(key: nil, items: [try openItem(vector)])
        case "unwrap-request-refresh":
            let last = try vector.part("0001 00000000 0003 00000001")
            return UnwrapRequest(
                key: .name("payroll"),
                items: [
                    try openItem(vector),
                    OpenItem(
                        envelope: try vector.part(envelope("suite-1"), occurrence: 2), context: try vector.part(tenant8)),
                    OpenItem(envelope: ByteRange(offset: last.offset + 6, count: 0)),
                ], refresh: true)
        case "unwrap-reply":
            return CipherReply(items: [
                try cipherItem {
                    $0.plaintext = try vector.part(dek)
                    $0.stale = false
                }
            ])
        case "unwrap-reply-refresh":
            return CipherReply(items: [
                try cipherItem {
                    $0.envelope = try vector.part(envelope("suite-1-version-2"))
                    $0.envelopeVersion = 2
                    $0.plaintext = try vector.part(dek)
                    $0.stale = true
                }, CipherItem(Refusal(.decryptionFailed)), CipherItem(Refusal(.malformedEnvelope)),
            ])
        case "rewrap-request":
            return RewrapRequest(key: .name("payroll"), items: [try openItem(vector)])
        case "rewrap-reply":
            return CipherReply(items: [
                try cipherItem {
                    $0.envelope = try vector.part(envelope("suite-1-version-2"))
                    $0.envelopeVersion = 2
                }
            ])
        default: return nil
        }
    }

    private static func openItem(_ vector: Vector) throws -> OpenItem {
        OpenItem(envelope: try vector.part(envelope("suite-1")), context: try vector.part(tenant7))
    }

    private static func cipherItem(_ fill: (inout CipherItem) throws -> Void) throws -> CipherItem {
        var item = CipherItem(key: payroll, version: 1)
        try fill(&item)
        return item
    }

    private static func keyMessage(_ vector: Vector) throws -> (any WireMessage)? {
        switch vector.file {
        case "key-create-request": KeyCreateRequest(name: "payroll", operation: operation)
        case "key-create-reply": record(.active, version: 1)
        case "key-show-request": KeyShowRequest(key: .name("payroll"))
        case "key-show-reply": record(.suspended, version: 2)
        case "key-rotate-request": KeyRotateRequest(key: .name("payroll"), operation: operation)
        case "key-rotate-reply": record(.active, version: 2)
        case "key-list-request": KeyListRequest()
        case "key-list-request-next": KeyListRequest(limit: 50, cursor: cursor)
        case "key-list-reply":
            KeyListReply(
                keys: [
                    record(.active, version: 2),
                    KeyRecord(
                        id: other, name: "Straße 🔑", state: .deactivated, created: 1_763_848_800_000, version: 3,
                        versionCreated: 1_763_856_000_000, suite: .aesKeyWrapWithHMAC),
                ], next: cursor)
        case "key-list-reply-last": KeyListReply(keys: [], next: nil)
        case "key-versions-request": KeyVersionsRequest(key: .id(payroll), limit: 2, before: 9)
        case "key-versions-request-first": KeyVersionsRequest(key: .name("payroll"))
        case "key-versions-reply":
            KeyVersionsReply(
                key: payroll,
                versions: [
                    VersionRecord(
                        version: 8, created: 1_763_852_400_000, suite: .aesCBCWithHMAC, isCurrent: true, wraps: 65_536,
                        isUsable: true),
                    VersionRecord(
                        version: 7, created: 1_763_848_800_000, suite: .aesGCM, isCurrent: false, wraps: 1 << 32,
                        isUsable: false),
                ], more: true)
        case "key-versions-reply-last": KeyVersionsReply(key: payroll, versions: [], more: false)
        default: nil
        }
    }

    static let importToken = ImportTokenID(high: 0x2f0e_1d3c_4b5a_4968, low: 0x8776_6554_4332_2110)
    static let approval = ApprovalID(high: 0x9d8c_7b6a_5f4e_4d3c, low: 0x8b2a_1908_07f6_e5d4)

    /// What the vectors of lists narrow them by.
    static var narrowed: KeyFilter {
        var filter = KeyFilter()
        filter.ring = "finance"
        filter.states = [.active, .destroyed]
        filter.kind = .root
        filter.search = "pay"
        filter.filter = "expirationDate=exists"
        return filter
    }

    /// All policies there are.
    static var policies: PolicyValues {
        var values = PolicyValues()
        values.rotationEnabled = true
        values.rotationMonths = 3
        values.dualControl = [.delete, .purge]
        values.dualControlEnabled = true
        values.accessEnabled = true
        values.createRoot = true
        values.createStandard = false
        values.importRoot = true
        values.importStandard = false
        values.enforceToken = true
        values.metricsEnabled = true
        return values
    }

    /// The message with what `fill` puts into it.
    static func with<Message>(_ message: Message, _ fill: (inout Message) throws -> Void) throws -> Message {
        var message = message
        try fill(&message)
        return message
    }

    /// The bytes of these digits.
    static func octets(_ digits: String) throws -> [UInt8] {
        guard let bytes = bytes(hex: digits) else { throw VectorError.notHexadecimal(digits) }
        return bytes
    }

    private static func record(_ state: KeyState, version: UInt32) -> KeyRecord {
        KeyRecord(
            id: payroll, name: "payroll", state: state, created: 1_763_848_800_000, version: version,
            versionCreated: 1_763_848_800_000 + UInt64(version - 1) * 3_600_000, suite: .aesGCM)
    }

    private static var status: StatusReply {
        var reply = StatusReply(health: HealthReply(state: .ready))
        reply.version = "1.0.0"
        reply.instance = instance
        reply.uptime = 86_400_123
        reply.keys = 12
        reply.workers = 4
        reply.connections = 33
        reply.requests = 5_000_000_000
        reply.queued = 2
        reply.quarantined = 1
        return reply
    }

    private static var sealedStatus: StatusReply {
        var reply = StatusReply(health: HealthReply(state: .sealed, reason: "the daemon waits for its PIN"))
        reply.version = "1.0.0"
        reply.uptime = 1_500
        reply.workers = 4
        reply.connections = 1
        reply.requests = 2
        return reply
    }

    private static var tokenStatus: TokenStatusReply {
        var reply = TokenStatusReply()
        reply.module = "/usr/lib/softhsm/libsofthsm2.so"
        reply.library = "SoftHSM, Implementation of PKCS11, 2.6"
        reply.slot = 1_234_567_890
        reply.label = "claviger"
        reply.manufacturer = "SoftHSM project"
        reply.model = "SoftHSM v2"
        reply.serial = "a1b2c3d4e5f60718"
        reply.isLoggedIn = true
        reply.flags = 0x42d
        reply.sessions = 5
        reply.maximumSessions = 64
        reply.mechanisms = [
            MechanismRecord(name: "CKM_AES_GCM", isPresent: true, use: "suite 1"),
            MechanismRecord(name: "CKM_AES_KEY_WRAP", isPresent: false, use: "suite 3"),
        ]
        return reply
    }

    private static var bareTokenStatus: TokenStatusReply {
        var reply = TokenStatusReply()
        reply.module = "/opt/hsm/lib.so"
        reply.label = "Schlüssel"
        reply.serial = "1"
        reply.flags = UInt64.max
        return reply
    }
}
