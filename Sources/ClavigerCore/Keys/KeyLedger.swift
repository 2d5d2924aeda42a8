import ClavigerWire
import Cryptoki
import Logging
import SecureMemory
import Synchronization

/// Where what the instance answers for changes: the database first, then the snapshot that requests read, one change at a time.
///
/// It needs no token and waits for none, so that a key can be disabled while the token is away. Changes that do need one (a new
/// version) hold the token's lock outside and come here for their end only. Order of locks: token, ledger, database.
package final class KeyLedger: Sendable {
    let store: Store
    let snapshots: SnapshotBox
    let time: TimeSource
    /// Has the housekeeper look at what is due.
    let alarm: Alarm
    let log: Logger
    private let turn = Mutex(())

    init(store: Store, snapshots: SnapshotBox, time: TimeSource, log: Logger) {
        self.store = store
        self.snapshots = snapshots
        self.time = time
        alarm = Alarm(time: time)
        self.log = log
    }

    /// For how long the first answer to an operation id is kept: a day, as clients may count on.
    static let operationMemory: UInt64 = 86_400_000

    /// The greatest answer that is kept for a retry: a key's record with all its texts takes less than a quarter of it.
    static let maximumAnswer = 32 << 10

    /// Runs `body` while no other change is made.
    func alone<R: Sendable, E: Error>(_ body: () throws(E) -> R) throws(E) -> R {
        let outcome: Result<R, E> = turn.withLock { _ in
            do throws(E) { return .success(try body()) } catch { return .failure(error) }
        }
        return try outcome.get()
    }

    /// Makes a change that needs no token, or returns the answer that its operation had the first time.
    ///
    /// - Parameter decide: looks at the snapshot and the time and says what is to be written, published and answered; it runs while
    ///   nothing else changes. What it throws is the refusal, and nothing has happened.
    func change<Reply: WireMessage>(
        _ asked: AskedChange, _ decide: (Snapshot, UInt64) throws(Refusal) -> Decision<Reply>
    ) throws(Refusal) -> Reply {
        try alone { () throws(Refusal) -> Reply in
            if let earlier = try answer(to: asked, as: Reply.self) { return earlier }
            let now = time.now()
            var decision = try decide(snapshots.current, now)
            decision.note.allowances = asked.allowances?.all ?? []
            let note = decision.note
            let reply = try KeyLedger.encoded(decision.reply)
            let intent = asked.intent(key: decision.note.key, at: now, reply: reply)
            try mapping(refuse) { () throws(StoreError) in
                try store.change(note) { connection throws(StoreError) in
                    try decision.write(connection)
                    for note in decision.consequences { try store.leave(note, connection) }
                    try connection.write(intent, forgetBefore: KeyLedger.horizon(now))
                }
            }
            snapshots.update(decision.publish)
            alarm.setSoon()
            return decision.reply
        }
    }

    /// Makes a change of the daemon's own, which nobody asked for and nobody repeats.
    ///
    /// - Parameter decide: as for `change`; nil when there is nothing to be done.
    /// - Returns: whether something was done.
    @discardableResult
    func changeByItself(
        _ decide: (Snapshot, UInt64) throws(Refusal) -> Decision<EmptyMessage>?
    ) throws(Refusal) -> Bool {
        try alone { () throws(Refusal) -> Bool in
            guard let decision = try decide(snapshots.current, time.now()) else { return false }
            try mapping(refuse) { () throws(StoreError) in
                try store.change(decision.note) { connection throws(StoreError) in try decision.write(connection) }
            }
            snapshots.update(decision.publish)
            return true
        }
    }

    /// The answer that an operation had; nil when it is new or has failed.
    ///
    /// - Throws: `operationConflict` when its id belongs to another request, `denied` when the caller may not do such a thing any more:
    ///   a repeated request is a request.
    func answer<Reply: WireMessage>(to asked: AskedChange, as type: Reply.Type) throws(Refusal) -> Reply? {
        let found = try mapping(refuse) { () throws(StoreError) in try store.intent(asked.operation) }
        guard let earlier = found else { return nil }
        guard earlier.uid == asked.caller.uid, earlier.opcode == asked.opcode, earlier.bodyDigest == asked.digest else {
            throw Refusal(.operationConflict)
        }
        guard earlier.state == .done else { return nil }
        let reply = try mapping({ (_: Refusal) in Refusal(.internalError) }) { () throws(Refusal) in
            try Reply.decode(earlier.reply.span.bytes)
        }
        let key = earlier.key == KeyID(high: 0, low: 0) ? nil : earlier.key
        guard asked.access.allows(asked.opcode, on: key, named: (reply as? KeyRecord)?.ring, in: snapshots.current) else {
            throw Refusal(.denied)
        }
        asked.allowances?.noteUnchanged()
        return reply
    }

    /// Finished changes from before this moment are forgotten.
    static func horizon(_ now: UInt64) -> UInt64 { now > operationMemory ? now - operationMemory : 0 }

    /// An answer's bytes, to be kept for a retry.
    static func encoded(_ reply: some WireMessage) throws(Refusal) -> [UInt8] {
        var isComplete = false
        let bytes = [UInt8](unsafeUninitializedCapacity: maximumAnswer) { storage, count in
            var writer = BodyWriter(UnsafeMutableRawBufferPointer(storage))
            reply.encode(to: &writer, source: RawSpan())
            isComplete = writer.isComplete
            count = writer.count
        }
        guard isComplete else { throw Refusal(.internalError, "the answer is too long to be kept") }
        return bytes
    }

    /// Turns a failure of the database into a refusal, and tells the log.
    func refuse(_ error: StoreError) -> Refusal {
        // Not the database's failure: what allowed the change is gone, as if the request had come later.
        if error == .overtaken { return Refusal(.denied) }
        log.error("database", metadata: ["error": "\(error)"])
        return Refusal(.storeUnavailable, retryAfter: 1_000)
    }
}

/// A change as somebody asked for it, under an operation id of his.
struct AskedChange: Sendable {
    let operation: OperationID
    let caller: Caller
    let opcode: Opcode
    /// SHA-256 of the request's body, by which a retry is told from another request under the same id.
    let digest: [UInt8]
    /// What the caller may do.
    let access: AccessView
    let allowances: Allowances?

    init(_ operation: OperationID, _ call: Call) {
        self.init(operation, call, digest: SHA256.digest(call.body))
    }

    /// - Parameter digest: what the body is recognised by, where it is not its SHA-256.
    init(_ operation: OperationID, _ call: Call, digest: [UInt8]) {
        self.operation = operation
        caller = call.caller
        opcode = call.request.opcode
        access = call.access
        allowances = call.allowances
        self.digest = digest
    }

    /// The change's trace: done, with its answer.
    func intent(key: KeyID?, at now: UInt64, reply: [UInt8]) -> Intent {
        Intent(
            operation: operation, uid: caller.uid, opcode: opcode, bodyDigest: digest, key: key ?? KeyID(high: 0, low: 0),
            name: "",
            version: 0, suite: .aesGCM, created: now, state: .done, reply: reply)
    }
}

/// What a change comes to.
struct Decision<Reply: WireMessage> {
    /// What the audit log is to say.
    var note: ChangeNote
    /// What it is to say of changes that come with it, each in a record of its own, before that one.
    var consequences: [ChangeNote] = []
    /// Writes it, in the transaction that also writes the note and the answer.
    var write: (SQLiteConnection) throws(StoreError) -> Void
    /// What requests are to see from then on.
    var publish: (Snapshot) -> Snapshot
    /// The answer.
    var reply: Reply

    init(
        note: ChangeNote, reply: Reply, publish: @escaping (Snapshot) -> Snapshot = { $0 },
        write: @escaping (SQLiteConnection) throws(StoreError) -> Void
    ) {
        self.note = note
        self.reply = reply
        self.publish = publish
        self.write = write
    }
}
