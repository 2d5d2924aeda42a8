import ClavigerCore
import ClavigerWire
import Synchronization

/// An answer that must not leave before its record is on the disk, its frame in chunks of the pool.
final class HeldAnswer: Sendable {
    let entry: InFlight
    let ticket: RecordTicket
    /// A refusal leaves in any case: it gives nothing away.
    let isReply: Bool
    private let frame: Mutex<ChunkChain>

    init(entry: InFlight, ticket: RecordTicket, isReply: Bool, frame: consuming ChunkChain) {
        self.entry = entry
        self.ticket = ticket
        self.isReply = isReply
        self.frame = Mutex(frame)
    }

    /// Sends the answer, or `refusal` in place of a reply; wiped when the deadline was faster.
    func finish(_ refusal: Refusal?) {
        guard entry.claim() else { return frame.withLock { $0.clear() } }
        if let refusal, isReply {
            frame.withLock { $0.clear() }
            entry.connection.finish(entry, refusal)
        } else {
            frame.withLock { entry.connection.finish(entry, &$0) }
        }
    }
}

/// The answers whose records are not on the disk yet, and the thread that sends them.
///
/// The workers go on meanwhile: one flush of the disk serves all answers that came while the one before it went on, however few workers
/// there are.
final class HeldAnswers: Sendable {
    private struct State {
        var waiting: [HeldAnswer] = []
        /// What the flush that goes on is for.
        var inHand: [HeldAnswer] = []
        var isEnding = false
    }

    private let handler: any RequestHandler
    private let state = Mutex(State())
    private let bell = Bell()

    init(handler: any RequestHandler) { self.handler = handler }

    /// Takes an answer; it leaves after those before it.
    func push(_ answer: HeldAnswer) {
        let isFirst = state.withLock { state in
            handler.heldAnswers.begin()
            state.waiting.append(answer)
            return state.waiting.count == 1
        }
        // With others before it the thread comes by anyway.
        if isFirst { bell.ring() }
    }

    /// What waits.
    var entries: [InFlight] { state.withLock { ($0.inHand + $0.waiting).map(\.entry) } }

    /// Works until `end`, and until nothing waits.
    func run() {
        while true {
            let (batch, isEnding) = state.withLock { state in
                swap(&state.inHand, &state.waiting)
                return (state.inHand, state.isEnding)
            }
            guard let last = batch.last else {
                if isEnding { return }
                bell.wait()
                continue
            }
            // Once for all of them; what came of each is asked below.
            _ = handler.secure(last.ticket)
            for answer in batch {
                answer.finish(handler.secure(answer.ticket, of: answer.entry.opcode))
                handler.heldAnswers.end()
            }
            state.withLock { $0.inHand.removeAll(keepingCapacity: true) }
        }
    }

    /// Lets the thread end when it has sent everything. No worker may be left that could bring more.
    func end() {
        state.withLock { $0.isEnding = true }
        bell.ring()
    }
}
