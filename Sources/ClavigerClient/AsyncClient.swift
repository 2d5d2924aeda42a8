import ClavigerWire
import SecureMemory

/// The daemon, for tasks: every call suspends until it is answered, and no call blocks a thread of the concurrency runtime.
///
/// It does what `Client` does, with the same options, retries and errors, and one thread of its own that reads the connection.
/// A cancelled task gets `cancelled` at once; the daemon may still do what it was asked.
public final class AsyncClient: Sendable {
    /// The options that it was made with.
    public let options: ClientOptions
    private let slot: ConnectionSlot

    /// A client. Nothing is opened before the first call.
    public init(_ options: ClientOptions = ClientOptions()) {
        self.options = options
        slot = ConnectionSlot(path: options.socketPath) { (connection) throws(ClientError) in
            try ConnectionThread.start(connection)
        }
    }

    /// Ends the connection. Calls in flight and later ones throw `closed`.
    public func close() { slot.close() }

    // MARK: Keys at work

    /// Wraps `plaintext`, 1 to 4,096 bytes, under the newest version of `key`.
    public func wrap(
        key: KeyReference, plaintext: borrowing SecretBytes, context: [String] = []
    ) async throws(ClientError) -> Wrapped {
        let frame = try await call(Requests.wrap(key, plaintext.bytes, context))
        return try frame.read { (frame) throws(ClientError) in try Replies.single(frame, Replies.wrapped) }
    }

    /// Wraps `plaintext`, 1 to 4,096 bytes, under the newest version of `key`. It is copied to locked memory before the call
    /// suspends.
    public func wrap(
        key: KeyReference, plaintext: RawSpan, context: [String] = []
    ) async throws(ClientError) -> Wrapped {
        let frame = try await call(Requests.wrap(key, plaintext, context))
        return try frame.read { (frame) throws(ClientError) in try Replies.single(frame, Replies.wrapped) }
    }

    /// Has the token make a DEK of `count` bytes, 16 to 64, and wraps it.
    public func generate(
        key: KeyReference, count: Int = Limits.defaultGenerated, context: [String] = []
    ) async throws(ClientError) -> Generated {
        let frame = try await call(Requests.generate(key, count, context))
        return try frame.read { (frame) throws(ClientError) in try Replies.single(frame, Replies.generated) }
    }

    /// Has the token make a DEK inside itself that nobody is shown; as `Client.generateSealed`.
    public func generateSealed(
        key: KeyReference, count: Int = Limits.defaultGenerated, context: [String] = []
    ) async throws(ClientError) -> Wrapped {
        let frame = try await call(Requests.generateSealed(key, count, context))
        return try frame.read { (frame) throws(ClientError) in try Replies.single(frame, Replies.wrapped) }
    }

    /// Opens an envelope; parameters as for `Client.unwrap`.
    public func unwrap(
        _ envelope: [UInt8], context: [String] = [], key: KeyReference? = nil, refresh: Bool = false
    ) async throws(ClientError) -> Unwrapped {
        let frame = try await call(Requests.unwrap([SealedItem(envelope, context: context)], key, refresh: refresh))
        return try frame.read { (frame) throws(ClientError) in try Replies.single(frame, Replies.unwrapped) }
    }

    /// Makes an envelope anew under its key's newest version, without returning the plaintext.
    public func rewrap(
        _ envelope: [UInt8], context: [String] = [], key: KeyReference? = nil
    ) async throws(ClientError) -> Rewrapped {
        let frame = try await call(Requests.rewrap([SealedItem(envelope, context: context)], key))
        return try frame.read { (frame) throws(ClientError) in try Replies.single(frame, Replies.rewrapped) }
    }

    /// Wraps up to 256 items with one request; results as for `Client`.
    public func wrap(
        key: KeyReference, _ batch: borrowing WrapBatch
    ) async throws(ClientError) -> BatchReply<Wrapped> {
        let count = batch.count
        let frame = try await call(Requests.wrap(key, batch))
        return try frame.read { (frame) throws(ClientError) in try Replies.batch(frame, count: count, Replies.wrapped) }
    }

    /// Opens up to 256 envelopes with one request; results as for `Client`.
    public func unwrap(
        _ items: [SealedItem], key: KeyReference? = nil, refresh: Bool = false
    ) async throws(ClientError) -> BatchReply<Opened> {
        let frame = try await call(Requests.unwrap(items, key, refresh: refresh))
        return try frame.read { (frame) throws(ClientError) in try Replies.batch(frame, count: items.count, Replies.opened) }
    }

    /// Makes up to 256 envelopes anew with one request; results as for `Client`.
    public func rewrap(
        _ items: [SealedItem], key: KeyReference? = nil
    ) async throws(ClientError) -> [Result<Rewrapped, ServerRefusal>] {
        let frame = try await call(Requests.rewrap(items, key))
        return try frame.read { (frame) throws(ClientError) in
            try Replies.batch(frame, count: items.count, Replies.rewrapped).results
        }
    }

    // MARK: The daemon

    /// Goes to the daemon and back.
    public func ping() async throws(ClientError) {
        _ = try await message(Requests.plain(.ping), as: EmptyMessage.self)
    }

    /// Whether key operations would be served now.
    public func health() async throws(ClientError) -> HealthReply { try await message(Requests.plain(.health)) }

    /// The daemon and its state.
    public func status() async throws(ClientError) -> StatusReply { try await message(Requests.plain(.status)) }

    /// Who the daemon takes the caller for.
    public func whoami() async throws(ClientError) -> WhoamiReply { try await message(Requests.plain(.whoami)) }

    /// The daemon's figures, as OpenMetrics 1.0 text.
    public func metrics() async throws(ClientError) -> String {
        try await message(Requests.plain(.metrics), as: MetricsReply.self).text
    }

    /// The token.
    public func tokenStatus() async throws(ClientError) -> TokenStatusReply { try await message(Requests.plain(.tokenStatus)) }

    /// The audit log: where it is, how far it came, whether records are taken.
    public func auditStatus() async throws(ClientError) -> AuditStatusReply { try await message(Requests.plain(.auditStatus)) }

    /// The public key that the audit log's checkpoints are verified with.
    public func auditKey() async throws(ClientError) -> AuditKeyReply { try await message(Requests.plain(.auditKey)) }

    /// A signed statement of where the audit log stands, to be kept elsewhere.
    public func auditHead() async throws(ClientError) -> AuditHeadReply { try await message(Requests.plain(.auditHead)) }

    /// Seals the audit log's file and begins the next.
    public func rotateAudit() async throws(ClientError) -> AuditRotateReply { try await message(Requests.plain(.auditRotate)) }

    /// Tells the daemon the token's user PIN; see `Client.unlock`.
    public func unlock(pin: borrowing SecretBytes) async throws(ClientError) -> HealthReply {
        let request = try Requests.unlock(pin)
        let connection = try slot.make()
        defer { connection.end(.closed) }
        try ServerTrust.check(connection.peerUser, path: options.socketPath)
        let schedule = RetrySchedule(.unlock, options)
        return try Replies.message(await attempt(request, on: connection, schedule))
    }

    // MARK: One call

    func message<Message: WireMessage>(
        _ request: OutgoingRequest, as type: Message.Type = Message.self
    ) async throws(ClientError) -> Message {
        try await call(request).read { (frame) throws(ClientError) in try Replies.message(frame, as: type) }
    }

    func call(_ request: OutgoingRequest) async throws(ClientError) -> ConnectionReply {
        var schedule = RetrySchedule(request.opcode, options)
        while true {
            do throws(ClientError) {
                let connection = try slot.acquire()
                let frame = try await attempt(request, on: connection, schedule)
                return ConnectionReply(frame: frame, connection: connection)
            } catch {
                guard let delay = schedule.delay(after: error) else { throw error }
                do {
                    try await Task.sleep(nanoseconds: delay)
                } catch {
                    throw .cancelled
                }
            }
        }
    }

    private func attempt(
        _ request: OutgoingRequest, on connection: Connection, _ schedule: RetrySchedule
    ) async throws(ClientError) -> ReplyFrame {
        let exchange = connection.submit(
            request, deadline: schedule.remainingMilliseconds, limit: schedule.limit + ClientOptions.grace, waiting: .task)
        return try connection.reply(await connection.wait(exchange))
    }
}

/// A reply and the connection it came on, to be ended if the reply turns out to be broken.
struct ConnectionReply: Sendable {
    let frame: ReplyFrame
    let connection: Connection

    func read<R: ~Copyable>(_ body: (ReplyFrame) throws(ClientError) -> R) throws(ClientError) -> R {
        try connection.reading(frame, body)
    }
}
