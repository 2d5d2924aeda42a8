import ClavigerWire
import SecureMemory

/// The daemon, for threads: every call blocks until it is answered.
///
/// A client has one connection, made with the first call and made again when it is lost. Any number of threads may call at the
/// same time: their requests share the connection, and each gets its answer as soon as it is there. What is safe to repeat is
/// repeated by itself within the call's deadline (`ClientOptions`): after a lost connection, and when the daemon says that it
/// will do better soon. Changes carry an identifier that makes the daemon do them once. `unlock` is never repeated.
///
/// Every call throws `ClientError`. A key is named by id or name: `KeyReference("payroll")`.
public final class Client: Sendable {
    /// The options that it was made with.
    public let options: ClientOptions
    private let slot: ConnectionSlot

    /// A client. Nothing is opened before the first call.
    public init(_ options: ClientOptions = ClientOptions()) {
        self.options = options
        slot = ConnectionSlot(path: options.socketPath) { (_) throws(ClientError) in }
    }

    /// Ends the connection. Calls in flight and later ones throw `closed`.
    public func close() { slot.close() }

    // MARK: Keys at work

    /// Wraps `plaintext`, 1 to 4,096 bytes, under the newest version of `key`.
    public func wrap(key: KeyReference, plaintext: RawSpan, context: [String] = []) throws(ClientError) -> Wrapped {
        try call(Requests.wrap(key, plaintext, context)) { (frame) throws(ClientError) in
            try Replies.single(frame, Replies.wrapped)
        }
    }

    /// Wraps `plaintext`, 1 to 4,096 bytes, under the newest version of `key`.
    public func wrap(key: KeyReference, plaintext: borrowing SecretBytes, context: [String] = []) throws(ClientError) -> Wrapped {
        try wrap(key: key, plaintext: plaintext.bytes, context: context)
    }

    /// Has the token make a DEK of `count` bytes, 16 to 64, and wraps it.
    public func generate(
        key: KeyReference, count: Int = Limits.defaultGenerated, context: [String] = []
    ) throws(ClientError) -> Generated {
        try call(Requests.generate(key, count, context)) { (frame) throws(ClientError) in
            try Replies.single(frame, Replies.generated)
        }
    }

    /// Has the token make a DEK of `count` bytes, 16 to 64 and a multiple of 8, inside itself: nobody is shown it before it is
    /// unwrapped. The key must wrap by AES key wrap; another is refused with `suite-unsupported`.
    public func generateSealed(
        key: KeyReference, count: Int = Limits.defaultGenerated, context: [String] = []
    ) throws(ClientError) -> Wrapped {
        try call(Requests.generateSealed(key, count, context)) { (frame) throws(ClientError) in
            try Replies.single(frame, Replies.wrapped)
        }
    }

    /// Opens an envelope.
    ///
    /// - Parameters:
    ///   - context: the strings it was wrapped with, in their order.
    ///   - key: when given, the key that must have made it.
    ///   - refresh: whether to return a new envelope when this one is stale.
    public func unwrap(
        _ envelope: [UInt8], context: [String] = [], key: KeyReference? = nil, refresh: Bool = false
    ) throws(ClientError) -> Unwrapped {
        let request = try Requests.unwrap([SealedItem(envelope, context: context)], key, refresh: refresh)
        return try call(request) { (frame) throws(ClientError) in try Replies.single(frame, Replies.unwrapped) }
    }

    /// Makes an envelope anew under its key's newest version, without returning the plaintext; parameters as for `unwrap`.
    public func rewrap(
        _ envelope: [UInt8], context: [String] = [], key: KeyReference? = nil
    ) throws(ClientError) -> Rewrapped {
        let request = try Requests.rewrap([SealedItem(envelope, context: context)], key)
        return try call(request) { (frame) throws(ClientError) in try Replies.single(frame, Replies.rewrapped) }
    }

    /// Wraps up to 256 items with one request. What is wrong with one item stands in its result; what is wrong with the whole
    /// request is thrown.
    public func wrap(key: KeyReference, _ batch: borrowing WrapBatch) throws(ClientError) -> BatchReply<Wrapped> {
        let count = batch.count
        return try call(Requests.wrap(key, batch)) { (frame) throws(ClientError) in
            try Replies.batch(frame, count: count, Replies.wrapped)
        }
    }

    /// Opens up to 256 envelopes with one request; results as for the batch form of `wrap`.
    public func unwrap(
        _ items: [SealedItem], key: KeyReference? = nil, refresh: Bool = false
    ) throws(ClientError) -> BatchReply<Opened> {
        try call(Requests.unwrap(items, key, refresh: refresh)) { (frame) throws(ClientError) in
            try Replies.batch(frame, count: items.count, Replies.opened)
        }
    }

    /// Makes up to 256 envelopes anew with one request; results as for the batch form of `wrap`.
    public func rewrap(
        _ items: [SealedItem], key: KeyReference? = nil
    ) throws(ClientError) -> [Result<Rewrapped, ServerRefusal>] {
        try call(Requests.rewrap(items, key)) { (frame) throws(ClientError) in
            try Replies.batch(frame, count: items.count, Replies.rewrapped).results
        }
    }

    // MARK: The daemon

    /// Goes to the daemon and back.
    public func ping() throws(ClientError) {
        _ = try message(Requests.plain(.ping), as: EmptyMessage.self)
    }

    /// Whether key operations would be served now.
    public func health() throws(ClientError) -> HealthReply {
        try message(Requests.plain(.health))
    }

    /// The daemon and its state.
    public func status() throws(ClientError) -> StatusReply {
        try message(Requests.plain(.status))
    }

    /// Who the daemon takes the caller for.
    public func whoami() throws(ClientError) -> WhoamiReply {
        try message(Requests.plain(.whoami))
    }

    /// The daemon's figures, as OpenMetrics 1.0 text.
    public func metrics() throws(ClientError) -> String {
        try message(Requests.plain(.metrics), as: MetricsReply.self).text
    }

    /// The token.
    public func tokenStatus() throws(ClientError) -> TokenStatusReply {
        try message(Requests.plain(.tokenStatus))
    }

    /// The audit log: where it is, how far it came, whether records are taken.
    public func auditStatus() throws(ClientError) -> AuditStatusReply { try message(Requests.plain(.auditStatus)) }

    /// The public key that the audit log's checkpoints are verified with.
    public func auditKey() throws(ClientError) -> AuditKeyReply { try message(Requests.plain(.auditKey)) }

    /// A signed statement of where the audit log stands, to be kept elsewhere.
    public func auditHead() throws(ClientError) -> AuditHeadReply { try message(Requests.plain(.auditHead)) }

    /// Seals the audit log's file and begins the next.
    public func rotateAudit() throws(ClientError) -> AuditRotateReply { try message(Requests.plain(.auditRotate)) }

    /// Tells the daemon the token's user PIN, 1 to 255 bytes. Sent once, over a connection of its own, and only to a process
    /// that runs as root, as `claviger` or as the caller; else `serverNotTrusted` is thrown and nothing is sent.
    public func unlock(pin: borrowing SecretBytes) throws(ClientError) -> HealthReply {
        let request = try Requests.unlock(pin)
        let connection = try slot.make()
        defer { connection.end(.closed) }
        try ServerTrust.check(connection.peerUser, path: options.socketPath)
        let schedule = RetrySchedule(.unlock, options)
        return try Replies.message(attempt(request, on: connection, schedule))
    }

    // MARK: One call

    func message<Message: WireMessage>(
        _ request: OutgoingRequest, as type: Message.Type = Message.self
    ) throws(ClientError) -> Message {
        try call(request) { (frame) throws(ClientError) in try Replies.message(frame, as: type) }
    }

    func call<R: ~Copyable>(
        _ request: OutgoingRequest, _ read: (ReplyFrame) throws(ClientError) -> R
    ) throws(ClientError) -> R {
        var schedule = RetrySchedule(request.opcode, options)
        while true {
            do throws(ClientError) {
                let connection = try slot.acquire()
                return try connection.reading(attempt(request, on: connection, schedule), read)
            } catch {
                guard let delay = schedule.delay(after: error) else { throw error }
                Monotonic.sleep(delay)
            }
        }
    }

    private func attempt(
        _ request: OutgoingRequest, on connection: Connection, _ schedule: RetrySchedule
    ) throws(ClientError) -> ReplyFrame {
        let exchange = connection.submit(
            request, deadline: schedule.remainingMilliseconds, limit: schedule.limit + ClientOptions.grace, waiting: .thread)
        return try connection.reply(connection.wait(exchange))
    }
}
