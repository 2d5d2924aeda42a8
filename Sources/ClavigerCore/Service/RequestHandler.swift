import ClavigerWire

/// One request as the server hands it to the service: whole, its caller known, its deadline fixed.
package struct IncomingRequest: Sendable {
    /// The frame's header; its opcode number is known to be `opcode`.
    package let header: FrameHeader
    /// What is asked.
    package let opcode: Opcode
    /// Who asks, as the kernel said at connect.
    package let caller: Caller
    /// When the answer is worth nothing any more: CLOCK_MONOTONIC, in nanoseconds.
    package let deadline: UInt64
    /// Whether it came in by the socket for management.
    package let isAdmin: Bool

    package init(header: FrameHeader, opcode: Opcode, caller: Caller, deadline: UInt64, isAdmin: Bool = true) {
        self.header = header
        self.opcode = opcode
        self.caller = caller
        self.deadline = deadline
        self.isAdmin = isAdmin
    }
}

/// What a long request asks of the server that runs it.
package protocol RequestScheduling {
    /// Whether the reply has been given up already: the deadline passed and the watchdog answered, or the peer is gone. What
    /// is left of the work can be left undone.
    var isAbandoned: Bool { get }
    /// Lets one waiting request go first. Called between the items of a batch, when the token session has no operation active.
    func letOthersIn()
    /// Takes on that the answer of the present `handle` does not leave before the record that `ticket` stands for is where it has to be.
    ///
    /// - Returns: false when the server cannot: then whoever handles the request waits.
    func hold(until ticket: RecordTicket) -> Bool
    /// Whether the calling thread may write to a file, which may keep it for long. Otherwise records are left to others.
    var mayWrite: Bool { get }
}

extension RequestScheduling {
    package var mayWrite: Bool { true }
    package func hold(until ticket: RecordTicket) -> Bool { false }
}

/// The work of one worker thread. Used by one thread only, so it needs no lock of its own; it may hold a token session.
package protocol RequestWorker: AnyObject {
    /// Does one request and writes the whole answer, a reply or refusal frame, into `reply`.
    ///
    /// Every opcode passes here: authorise, act, record. It never throws: whatever goes wrong becomes a refusal.
    ///
    /// - Parameters:
    ///   - frame: the request's whole frame in locked memory; wiped by the server afterwards.
    ///   - reply: locked memory of at least `Limits.maximumReplySize` bytes, or at least 64 KiB when `request` carries at most
    ///     one item; wiped by the server afterwards.
    /// - Returns: the answer's length in bytes.
    func handle(
        _ request: IncomingRequest, frame: UnsafeRawBufferPointer, reply: UnsafeMutableRawBufferPointer,
        scheduling: any RequestScheduling
    ) -> Int

    /// Says that the answer of the last `handle` has been queued for its peer or thrown away. Every `handle` is followed by one.
    func delivered()
}

/// What the server needs of the service.
package protocol RequestHandler: AnyObject, Sendable {
    /// The state of a new worker thread, called on that thread.
    ///
    /// - Parameter entersToken: false for the reserved worker, which is given only opcodes whose entry says `usesToken: false`.
    func makeWorker(entersToken: Bool) -> any RequestWorker

    /// Counts the answers that the server holds.
    var heldAnswers: AnswerFence.Held { get }

    /// Waits until a record is where it has to be, with all before it.
    ///
    /// - Parameter opcode: what the reply that is about to leave now was asked by; nil for a refusal, which has been counted.
    /// - Returns: the refusal to answer with in place of a reply when it will never be there.
    func secure(_ ticket: RecordTicket, of opcode: Opcode?) -> Refusal?

    /// Whether `secure` is known not to wait for the disk.
    func isSettled(_ ticket: RecordTicket) -> Bool

    /// Waits until `isSettled`.
    func settle(_ ticket: RecordTicket)

    /// Says that a request is about to be refused with `deadline` that a worker has begun and not answered. Must not wait.
    func abandoned(_ request: IncomingRequest)
}

extension RequestHandler {
    package func abandoned(_ request: IncomingRequest) {}
}

/// Figures that the server keeps and the status reply shows.
package protocol ServerFigures: Sendable {
    /// How many workers may enter the token.
    var workers: Int { get }
    /// How many connections are open.
    var connections: Int { get }
    /// How many requests were answered since the start.
    var requests: UInt64 { get }
    /// How many requests wait for a worker.
    var queued: Int { get }
    /// How many workers have not come back from the token although their request's deadline has passed.
    var stuck: Int { get }
    /// How often another thread took the place of a stuck one.
    var replaced: UInt64 { get }
}
