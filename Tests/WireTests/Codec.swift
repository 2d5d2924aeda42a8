import ClavigerWire

/// The message types of an opcode.
func messageType(_ opcode: Opcode, _ kind: FrameKind) -> any WireMessage.Type {
    guard kind == .request else {
        switch opcode {
        case .ping: return EmptyMessage.self
        case .health, .unlock, .acceptRollback: return HealthReply.self
        case .status: return StatusReply.self
        case .whoami: return WhoamiReply.self
        case .metrics: return MetricsReply.self
        case .wrap, .unwrap, .rewrap: return CipherReply.self
        case .tokenStatus: return TokenStatusReply.self
        case .keyCreate, .keyShow, .keyRotate: return KeyRecord.self
        case .keyList: return KeyListReply.self
        case .keyVersions: return KeyVersionsReply.self
        case .keyCount: return KeyCountReply.self
        case .keyRead: return KeyReadReply.self
        case .keyUpdate, .keyDisable, .keyEnable, .keyRestore, .keyMove, .aliasCreate: return KeyRecord.self
        case .keyDelete: return KeyDeleteReply.self
        case .keyPurge: return KeyPurgeReply.self
        case .keyCensus: return KeyCensusReply.self
        case .versionRetire, .versionDestroy: return VersionRecord.self
        case .aliasDelete, .registrationRelease, .importTokenDelete: return EmptyMessage.self
        case .ringCreate: return RingRecord.self
        case .ringList: return RingListReply.self
        case .ringDelete: return RingDeleteReply.self
        case .registrationSet: return RegistrationRecord.self
        case .registrationList: return RegistrationListReply.self
        case .importTokenCreate: return ImportTokenRecord.self
        case .importTokenTake: return ImportTokenTakeReply.self
        case .importTokenList: return ImportTokenListReply.self
        case .policyShow, .policySet: return PolicyReply.self
        case .settingsShow: return SettingsReply.self
        case .settingsSet: return SettingRecord.self
        case .approvalRequest, .approvalApprove, .approvalCancel: return ApprovalRecord.self
        case .approvalList: return ApprovalListReply.self
        case .accessGrant, .accessRevoke: return GrantRecord.self
        case .accessList: return AccessListReply.self
        case .accessRoles: return AccessRolesReply.self
        case .roleCreate: return RoleRecord.self
        case .roleDelete: return EmptyMessage.self
        case .accessExplain: return AccessExplainReply.self
        case .auditStatus: return AuditStatusReply.self
        case .auditKey: return AuditKeyReply.self
        case .auditHead: return AuditHeadReply.self
        case .auditRotate: return AuditRotateReply.self
        }
    }
    switch opcode {
    case .ping, .health, .status, .whoami, .metrics, .tokenStatus: return EmptyMessage.self
    case .wrap: return WrapRequest.self
    case .unwrap: return UnwrapRequest.self
    case .rewrap: return RewrapRequest.self
    case .unlock: return UnlockRequest.self
    case .keyCreate: return KeyCreateRequest.self
    case .keyList: return KeyListRequest.self
    case .keyShow: return KeyShowRequest.self
    case .keyVersions: return KeyVersionsRequest.self
    case .keyRotate: return KeyRotateRequest.self
    case .keyCount: return KeyCountRequest.self
    case .keyRead: return KeyReadRequest.self
    case .keyUpdate: return KeyUpdateRequest.self
    case .keyDisable, .keyEnable, .keyRestore, .keyPurge: return KeyChangeRequest.self
    case .keyDelete: return KeyDeleteRequest.self
    case .keyMove: return KeyMoveRequest.self
    case .keyCensus: return KeyVersionsRequest.self
    case .versionRetire: return VersionRetireRequest.self
    case .versionDestroy: return VersionDestroyRequest.self
    case .aliasCreate: return AliasCreateRequest.self
    case .aliasDelete: return AliasDeleteRequest.self
    case .ringCreate: return RingCreateRequest.self
    case .ringList, .importTokenList: return PageRequest.self
    case .ringDelete: return RingDeleteRequest.self
    case .registrationSet: return RegistrationSetRequest.self
    case .registrationRelease: return RegistrationReleaseRequest.self
    case .registrationList: return RegistrationListRequest.self
    case .importTokenCreate: return ImportTokenCreateRequest.self
    case .importTokenTake, .importTokenDelete: return ImportTokenRequest.self
    case .policyShow: return PolicyShowRequest.self
    case .policySet: return PolicySetRequest.self
    case .settingsShow: return EmptyMessage.self
    case .settingsSet: return SettingSetRequest.self
    case .approvalRequest: return ApprovalRequest.self
    case .approvalList: return ApprovalListRequest.self
    case .approvalApprove, .approvalCancel: return ApprovalDecideRequest.self
    case .accessGrant: return AccessGrantRequest.self
    case .accessRevoke: return AccessRevokeRequest.self
    case .accessList: return AccessListRequest.self
    case .accessRoles, .acceptRollback: return EmptyMessage.self
    case .roleCreate: return RoleCreateRequest.self
    case .roleDelete: return RoleDeleteRequest.self
    case .accessExplain: return AccessExplainRequest.self
    case .auditStatus, .auditKey, .auditHead, .auditRotate: return EmptyMessage.self
    }
}

/// The fields that the opcode table gives for a frame.
func entries(_ opcode: Opcode, _ kind: FrameKind) -> [FieldEntry] {
    kind == .request ? opcode.entry.request : opcode.entry.reply
}

/// Decodes a body, and encodes what came of it.
func reencode(_ type: any WireMessage.Type, body: [UInt8]) throws(Refusal) -> [UInt8] {
    try reencodeOpened(type, body)
}

private func reencodeOpened<Message: WireMessage>(_ type: Message.Type, _ body: [UInt8]) throws(Refusal) -> [UInt8] {
    let source = body.span.bytes
    let message = try Message.decode(source)
    // Room for a flag or a list that the message holds and the body left out.
    return encoded(message, source: source, capacity: body.count + 64) ?? []
}

/// The body of a message, nil when it does not fit.
func encoded(_ message: some WireMessage, source: RawSpan, capacity: Int) -> [UInt8]? {
    var isComplete = false
    let body = [UInt8](unsafeUninitializedCapacity: capacity) { storage, count in
        var writer = BodyWriter(UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(storage)[..<capacity]))
        message.encode(to: &writer, source: source)
        isComplete = writer.isComplete
        count = writer.count
    }
    return isComplete ? body : nil
}

/// The refusal of a body, nil when it is accepted.
func refusal(_ type: any WireMessage.Type, _ body: [UInt8]) -> Refusal? {
    do throws(Refusal) {
        _ = try reencode(type, body: body)
        return nil
    } catch { return error }
}

/// The code of a body's refusal, nil when it is accepted.
func code(_ type: any WireMessage.Type, _ body: [UInt8]) -> RefusalCode? { refusal(type, body)?.code }

/// The code that a context is refused with, nil when it is accepted.
func contextCode(_ encoding: [UInt8]) -> RefusalCode? {
    do throws(Refusal) {
        try Context.check(encoding.span.bytes)
        return nil
    } catch { return error.code }
}

/// The parts of an envelope, nil when it is refused; any refusal but `malformed` fails the caller by being wrong there too.
func parse(_ envelope: [UInt8]) -> Envelope? { try? Envelope(envelope.span.bytes) }
