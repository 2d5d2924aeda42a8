import ClavigerWire
import SecureMemory

/// How each call is put into a request.
enum Requests {
    static func plain(_ opcode: Opcode) throws(ClientError) -> OutgoingRequest {
        try OutgoingRequest(opcode, EmptyMessage())
    }

    static func wrap(_ key: KeyReference, _ plaintext: RawSpan, _ context: [String]) throws(ClientError) -> OutgoingRequest {
        let encoded = try encodeContext(context)
        let source = try RequestSource(capacity: plaintext.byteCount + encoded.count)
        let item = WrapItem(input: .given(source.add(plaintext)), context: source.add(context: encoded))
        return try wrap(key, [item], source)
    }

    static func generate(_ key: KeyReference, _ count: Int, _ context: [String]) throws(ClientError) -> OutgoingRequest {
        try wrap(key, WrapBatch().generating(count, context: context))
    }

    static func generateSealed(_ key: KeyReference, _ count: Int, _ context: [String]) throws(ClientError) -> OutgoingRequest {
        let encoded = try encodeContext(context)
        let source = try RequestSource(capacity: encoded.count)
        let item = WrapItem(input: .sealed(Int(UInt32(clamping: count))), context: source.add(context: encoded))
        return try wrap(key, [item], source)
    }

    static func wrap(_ key: KeyReference, _ batch: borrowing WrapBatch) throws(ClientError) -> OutgoingRequest {
        try wrap(key, batch.items, batch.source)
    }

    private static func wrap(
        _ key: KeyReference, _ items: [WrapItem], _ source: RequestSource
    ) throws(ClientError) -> OutgoingRequest {
        let message = WrapRequest(key: key, items: items)
        return try source.buffer.withSpan { (span) throws(ClientError) -> OutgoingRequest in
            try OutgoingRequest(.wrap, message, source: span, items: items.count, text: key.description)
        }
    }

    static func unwrap(
        _ items: [SealedItem], _ key: KeyReference?, refresh: Bool
    ) throws(ClientError) -> OutgoingRequest {
        try open(.unwrap, items, key) { UnwrapRequest(key: key, items: $0, refresh: refresh) }
    }

    static func rewrap(_ items: [SealedItem], _ key: KeyReference?) throws(ClientError) -> OutgoingRequest {
        try open(.rewrap, items, key) { RewrapRequest(key: key, items: $0) }
    }

    private static func open<Message: WireMessage>(
        _ opcode: Opcode, _ items: [SealedItem], _ key: KeyReference?, _ message: ([OpenItem]) -> Message
    ) throws(ClientError) -> OutgoingRequest {
        var contexts: [[UInt8]] = []
        for item in items { contexts.append(try encodeContext(item.context)) }
        let size = zip(items, contexts).reduce(0) { $0 + $1.0.envelope.count + $1.1.count }
        let source = try RequestSource(capacity: size)
        let parts = zip(items, contexts).map { item, context in
            OpenItem(envelope: source.add(item.envelope.span.bytes), context: source.add(context: context))
        }
        let encoded = message(parts)
        return try source.buffer.withSpan { (span) throws(ClientError) -> OutgoingRequest in
            try OutgoingRequest(opcode, encoded, source: span, items: items.count, text: key?.description ?? "")
        }
    }

    static func unlock(_ pin: borrowing SecretBytes) throws(ClientError) -> OutgoingRequest {
        let range = ByteRange(offset: 0, count: pin.count)
        return try OutgoingRequest(.unlock, UnlockRequest(pin: range), source: pin.bytes)
    }

    // MARK: keys and administration

    /// A request that the caller completes.
    static func filled<Message: WireMessage>(
        _ opcode: Opcode, _ message: Message, _ fill: (inout Message) -> Void
    ) throws(ClientError) -> OutgoingRequest {
        var message = message
        fill(&message)
        return try OutgoingRequest(opcode, message)
    }

    static func create(
        name: String, _ payload: RawSpan, _ fill: (inout KeyCreateRequest) -> Void
    ) throws(ClientError) -> OutgoingRequest {
        var message = KeyCreateRequest(name: name, operation: newOperation())
        message.kind = .standard
        message.payload = ByteRange(offset: 0, count: payload.byteCount)
        fill(&message)
        return try OutgoingRequest(.keyCreate, message, source: payload)
    }

    static func rotate(
        _ key: KeyReference, _ payload: RawSpan, _ fill: (inout KeyRotateRequest) -> Void
    ) throws(ClientError) -> OutgoingRequest {
        var message = KeyRotateRequest(key: key, operation: newOperation())
        message.payload = ByteRange(offset: 0, count: payload.byteCount)
        fill(&message)
        return try OutgoingRequest(.keyRotate, message, source: payload)
    }

    static func change(_ opcode: Opcode, _ key: KeyReference, _ reason: String?) throws(ClientError) -> OutgoingRequest {
        try OutgoingRequest(opcode, KeyChangeRequest(key: key, operation: newOperation(), reason: reason))
    }

    static func versions(
        _ opcode: Opcode, _ key: KeyReference, _ limit: Int?, _ before: UInt32?
    ) throws(ClientError) -> OutgoingRequest {
        try OutgoingRequest(opcode, KeyVersionsRequest(key: key, limit: limit.map { UInt32(clamping: $0) }, before: before))
    }

    static func page(_ opcode: Opcode, _ limit: Int?, _ cursor: [UInt8]?) throws(ClientError) -> OutgoingRequest {
        try OutgoingRequest(opcode, PageRequest(limit: limit.map { UInt32(clamping: $0) }, cursor: cursor))
    }

    static func policies(
        _ key: KeyReference?, _ values: PolicyValues, _ reason: String?
    ) throws(ClientError) -> OutgoingRequest {
        let change = PolicySetRequest(key: key, operation: newOperation(), values: values)
        let body = try OutgoingRequest(.policySet, change).buffer.withSpan { $0.extracting(Limits.headerLength...).array() }
        return try OutgoingRequest(
            .approvalRequest,
            ApprovalRequest(action: .policy, operation: newOperation(), key: key, reason: reason, body: body))
    }

    // The system's generator is getrandom(2) on Linux.
    static func newOperation() -> OperationID {
        OperationID(random: (UInt64.random(in: .min ... .max), UInt64.random(in: .min ... .max)))
    }
}
