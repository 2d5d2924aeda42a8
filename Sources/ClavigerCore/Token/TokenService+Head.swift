import ClavigerWire
import Cryptoki
import Glibc
import Logging
import SecureMemory
import Synchronization

/// What the token remembers of the database's epoch.
struct AnchorState {
    /// The highest epoch that an anchor on the token holds.
    var epoch: UInt64 = 0
    /// The anchors on the token, as this binding has found or made them.
    var anchors: [EpochAnchor] = []
    /// Whether the token takes private data objects at all.
    var isPossible = true
    /// When an attempt that failed is made again, by Clock.monotonic(); nil while none has.
    var retryAt: UInt64?

    /// Whether an epoch is to be remembered now.
    func isDue(_ newest: UInt64) -> Bool {
        isPossible && epoch < newest && retryAt.map { $0 <= Clock.monotonic() } ?? true
    }
}

// Is the database what it was when it was last signed, and the newest of its kind? Answered at every binding, before anything in it
// counts.
extension TokenService {
    /// Believes the database, or says why not. Call it while binding, with the token alone.
    func verifyHead(_ session: inout Session) throws(TokenFailure) {
        let anchors = try anchors(&session)
        let (head, digest, isFollowed, log) = try mapping({ (error: StoreError) in TokenFailure(error) }) {
            () throws(StoreError) -> (Head?, [UInt8], Bool, (sequence: UInt64, hash: [UInt8])?) in
            let (digest, isFollowed) = try store.scan()
            return (try store.head(), digest, isFollowed, try store.auditAnchor())
        }
        let remembered = anchors.first?.epoch ?? 0
        let isUsed = try mapping({ (error: StoreError) in TokenFailure(error) }) { () throws(StoreError) in try store.isUsed() }
        // Who has followed every change knows more than the log, and an outage of the token must not take the log's disk to end.
        let checkpoint = isFollowed ? nil : try newestCheckpoint()
        let evidence = Evidence(remembered: remembered, checkpoint: checkpoint, isFollowed: isFollowed)
        var accepted: ChangeNote?
        if let doubt = doubt(head, digest, log, evidence, isUsed: isUsed) {
            guard let caller = accepting.withLock({ $0.take() }) else {
                doubts.withLock { $0 = doubt }
                // What an earlier binding believed counts no more either.
                store.disbelieve()
                accessLedger.withLock { $0 }?.unload()
                throw .needsOperator(doubt)
            }
            self.log.warning("the database is accepted by order", metadata: ["doubt": "\(doubt)"])
            var note = ChangeNote(event: Opcode.acceptRollback.entry.name, caller: caller)
            note.asked = [AuditRecord.Field("doubt", doubt)]
            accepted = note
        }
        doubts.withLock { $0 = nil }
        // What the token would not take before may have been of the moment.
        anchorState.withLock { $0 = AnchorState(epoch: remembered, anchors: anchors) }
        let signer = TokenHeadSigner(token: self)
        let epoch = try mapping({ (error: StoreError) in TokenFailure(error) }) { () throws(StoreError) in
            try store.begin(signing: signer, after: evidence.epoch, leaving: accepted)
        }
        remember(epoch, &session)
        guard remembered == 0, isAnchored else { return }
        // The first anchor: from now on the signature says that there is one, and a database without it is an old one.
        let first = try mapping({ (error: StoreError) in TokenFailure(error) }) { () throws(StoreError) in try store.advance() }
        if let first { remember(first, &session) }
    }

    /// What is known of the database from outside it.
    private struct Evidence {
        /// The highest epoch that the token remembers; 0 for none.
        var remembered: UInt64
        /// The newest checkpoint of the audit log that says an epoch.
        var checkpoint: AuditHead?
        /// Whether this process has followed every change since it last believed the database.
        var isFollowed: Bool

        /// The highest epoch that the database has had.
        var epoch: UInt64 { max(remembered, checkpoint?.epoch ?? 0) }
    }

    /// What the audit log proves of the database's epoch. A log that is not there proves nothing; nor does it speak against the database.
    /// With one that cannot be read nothing is believed yet: the next attempt may read it, and keys are not used without a log anyway.
    private func newestCheckpoint() throws(TokenFailure) -> AuditHead? {
        guard let key = signingPublicKey else { return nil }
        let directory = configuration.auditDirectory
        do throws(FileError) {
            return try AuditCheckpoints.newest(in: directory, of: instance.id, signedBy: key)
        } catch {
            throw .lost("the database cannot be compared with the audit log: \(error)")
        }
    }

    /// What speaks against the database; nil when nothing does.
    private func doubt(
        _ head: Head?, _ digest: [UInt8], _ log: (sequence: UInt64, hash: [UInt8])?, _ evidence: Evidence, isUsed: Bool
    ) -> String? {
        let (remembered, isFollowed) = (evidence.remembered, evidence.isFollowed)
        let way = "put the right database back, or, if this one is meant, run 'claviger token accept-rollback' as root"
        guard let head else {
            guard remembered == 0 else { return "the database has no signature, but the token remembers that it had one: \(way)" }
            if let seal = evidence.checkpoint {
                return
                    "the database has no signature, but the audit log is newer and knows that it had one (\(text(seal))): \(way)"
            }
            // A token that remembers nothing does not make every database believed: only what `token init` leaves has no signature.
            return isUsed ? "the database has been used, but has no signature: \(way)" : nil
        }
        if head.signature.isEmpty {
            // Changes made while the token was away, by this very process: it knows what they were.
            if isFollowed, head.digest == digest { return nil }
            return
                "the database was changed while the token was away, and the daemon ended before the change could be signed: \(way)"
        }
        guard let key = signingPublicKey else { return "the token has no key to verify the database's signature: \(way)" }
        let isAnchored = key.verifies(head.signature, of: head.content(of: instance.id, isAnchored: true))
        guard isAnchored || key.verifies(head.signature, of: head.content(of: instance.id, isAnchored: false)) else {
            return "the database's signature is not this token's: \(way)"
        }
        guard head.digest == digest else {
            return "the database was changed by somebody else than the daemon since it was signed (epoch \(head.epoch)): \(way)"
        }
        guard reaches(head, log) else {
            return "what the database says of the audit log was changed since it was signed, record \(head.auditSequence): \(way)"
        }
        // Who has followed every change since it last believed the database knows that it is none of before: then only the token's files
        // have not all come back yet.
        if isAnchored && remembered == 0 && !isFollowed {
            return
                "the token has lost its memory of the database's epoch, which it had when epoch \(head.epoch) was signed; this database may be an old one: \(way)"
        }
        guard head.epoch >= remembered else {
            return
                "the database is older than the token remembers, epoch \(head.epoch) and not \(remembered): it was put back. \(way)"
        }
        if let seal = evidence.checkpoint, let epoch = seal.epoch, head.epoch < epoch {
            return
                "the database is older than the audit log, epoch \(head.epoch) and not \(epoch) (\(text(seal))): it was put back. \(way)"
        }
        return nil
    }

    private func text(_ seal: AuditHead) -> String {
        "checkpoint at record \(seal.position.sequence), \(AuditTime.text(seal.time))"
    }

    /// Whether the audit log, as far as the database says, had got as far as the head holds.
    private func reaches(_ head: Head, _ log: (sequence: UInt64, hash: [UInt8])?) -> Bool {
        // Before the log had a record there is nothing to fall behind.
        guard !head.auditHash.isEmpty else { return true }
        guard let log else { return false }
        return log.sequence > head.auditSequence || log.sequence == head.auditSequence && log.hash == head.auditHash
    }

    private func anchors(_ session: inout Session) throws(TokenFailure) -> [EpochAnchor] {
        do throws(CryptokiError) {
            return try EpochAnchor.find(instance.id, &session)
        } catch {
            throw .lost("the token's data objects cannot be listed: \(error)")
        }
    }

    /// Signs what could not be signed when it was changed. Called on the supervisor's thread, now and then.
    func signLate() {
        guard unsigned.withLock({ $0 }) != nil, currentStatus.state.serves else { return }
        _ = try? store.advance()
    }

    // MARK: the token's memory

    /// Has the token remember the newest head's epoch. Several that ask at once are served by one. While the token is away nothing is
    /// remembered; the next binding makes up for it.
    ///
    /// Not from inside `manage`.
    package func anchor() {
        let epoch = store.headEpoch
        guard anchorState.withLock({ $0.isDue(epoch) }) else { return }
        let entered: Void? = gate.within(until: Clock.monotonic() + TokenService.signingPatience) {
            _ = manage { (session, _) throws(Never) in
                // Whoever waited for the lock may find it done; the newest epoch is then another one.
                let newest = store.headEpoch
                remember(newest, &session)
            }
        }
        if entered == nil { log.notice("the token does not remember the newest change yet: it is being taken hold of") }
    }

    /// Makes the anchor of an epoch, then removes those before it.
    func remember(_ epoch: UInt64, _ session: inout Session) {
        guard anchorState.withLock({ $0.isDue(epoch) }) else { return }
        do throws(CryptokiError) {
            // Looking for them costs time with the number of objects, and this is done with every change.
            var before = anchorState.withLock { $0.anchors }
            if !EpochAnchor.hold(before, instance.id, &session) { before = try EpochAnchor.find(instance.id, &session) }
            let known = try? files?.moment()
            let fresh = try EpochAnchor.make(epoch, instance.id, &session)
            // Durable, and seen to be, before the old one goes: a token that swallows a full disk would have neither.
            guard isStored(since: known) else {
                try? session.destroyObject(fresh)
                return forgo("its file is not whole: is the disk full?", isForever: false)
            }
            for old in before where old.handle != fresh { try session.destroyObject(old.handle) }
            anchorState.withLock { $0 = AnchorState(epoch: epoch, anchors: [EpochAnchor(handle: fresh, epoch: epoch)]) }
        } catch {
            if error.meansLost { return declareLost("the epoch cannot be stored: \(error)") }
            forgo("\(error)", isForever: error.meansUnsupported)
        }
    }

    /// Whether exactly one object's file has come since, and is whole and durable. Where the token's files are not ours to look at, the
    /// token's word counts.
    private func isStored(since known: TokenFiles.Moment?) -> Bool {
        guard let files else { return true }
        guard let known, let fresh = try? files.objects(since: known), fresh.count == 1 else { return false }
        return (try? files.secure(fresh)) ?? false
    }

    /// Goes on without the token's memory of the newest epoch, for a while or for good.
    private func forgo(_ reason: String, isForever: Bool) {
        let isNews = anchorState.withLock { state in
            defer {
                state.isPossible = !isForever
                state.retryAt = Clock.monotonic() + TokenService.anchorPause
            }
            return state.isPossible && state.retryAt == nil
        }
        guard isNews else { return }
        let what: Logger.Message =
            isForever
            ? "the token takes no private data object: an older database put back will not be noticed"
            : "the token has not taken the newest epoch: until it has, an older database put back is not noticed"
        log.warning(what, metadata: ["error": "\(reason)"])
    }

    /// How long after an attempt to have an epoch remembered that failed the next is made, in nanoseconds: the supervisor's round comes
    /// by anyway.
    static let anchorPause: UInt64 = 2_000_000_000

    /// Where the epoch of the database is remembered, for status: in the token, or nowhere.
    var isAnchored: Bool { anchorState.withLock { $0.isPossible && $0.retryAt == nil && $0.epoch > 0 } }

    /// Has the next binding believe the database as it is, and binds. For `accept-rollback`.
    ///
    /// - Parameter caller: who orders it.
    /// - Throws: `alreadyUnlocked` when nothing speaks against the database.
    func acceptDatabase(by caller: Caller) throws(Refusal) -> String {
        guard let doubt = doubts.withLock({ $0 }) else {
            throw Refusal(.alreadyUnlocked, "nothing speaks against the database; nothing was done")
        }
        accepting.withLock { $0 = caller }
        defer { accepting.withLock { $0 = nil } }
        attach(presented: nil)
        let status = currentStatus
        guard status.state.serves else { throw Refusal(.needsOperator, status.reason) }
        return doubt
    }
}

/// Signs heads with the instance's `audit` key.
struct TokenHeadSigner: HeadSigner {
    // The store belongs to the service and not the other way round, so nothing keeps itself alive.
    unowned let token: TokenService

    func sign(_ head: Head) -> Head {
        var head = head
        do throws(SigningFailure) {
            // An anchor that was made stays, whatever became of the attempts to replace it.
            let isAnchored = token.anchorState.withLock { $0.epoch > 0 }
            head.signature = try token.sign(head.content(of: token.instance.id, isAnchored: isAnchored))
            token.unsigned.withLock { $0 = nil }
        } catch {
            let reason = "\(error)"
            let isNews = token.unsigned.withLock { unsigned in
                defer { unsigned = reason }
                return unsigned != reason
            }
            if isNews { token.log.warning("a change could not be signed yet", metadata: ["reason": "\(reason)"]) }
        }
        return head
    }
}
