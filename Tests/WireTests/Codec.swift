import ClavigerWire

/// The message types of an opcode.
func messageType(_ opcode: Opcode, _ kind: FrameKind) -> any WireMessage.Type {
    guard kind == .request else {
        switch opcode {
        case .ping: return EmptyMessage.self
        case .health, .unlock: return HealthReply.self
        case .status: return StatusReply.self
        case .whoami: return WhoamiReply.self
        case .wrap, .unwrap, .rewrap: return CipherReply.self
        case .tokenStatus: return TokenStatusReply.self
        case .keyCreate, .keyShow, .keyRotate: return KeyRecord.self
        case .keyList: return KeyListReply.self
        case .keyVersions: return KeyVersionsReply.self
        }
    }
    switch opcode {
    case .ping, .health, .status, .whoami, .tokenStatus: return EmptyMessage.self
    case .wrap: return WrapRequest.self
    case .unwrap: return UnwrapRequest.self
    case .rewrap: return RewrapRequest.self
    case .unlock: return UnlockRequest.self
    case .keyCreate: return KeyCreateRequest.self
    case .keyList: return KeyListRequest.self
    case .keyShow: return KeyShowRequest.self
    case .keyVersions: return KeyVersionsRequest.self
    case .keyRotate: return KeyRotateRequest.self
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
