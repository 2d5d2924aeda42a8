import ClavigerCore
import ClavigerWire
import Synchronization

/// An answer that must not leave before its record is where it has to be, its frame in chunks of the pool.
final class HeldAnswer: Sendable {
    let entry: InFlight
    let ticket: RecordTicket
    /// A refusal leaves in any case: it gives nothing away.
    let isReply: Bool
    /// Among those that the fence waits for.
    let number: UInt64
    private let frame: Mutex<ChunkChain>

    init(number: UInt64, entry: InFlight, ticket: RecordTicket, isReply: Bool, frame: consuming ChunkChain) {
        self.number = number
        self.entry = entry
        self.ticket = ticket
        self.isReply = isReply
        self.frame = Mutex(frame)
    }

    /// Gives its memory back when the entry has been answered, otherwise than with it: who sends may be stuck.
    func discard() {
        frame.withLock { frame in
            if entry.isAnswered { frame.clear() }
        }
    }

    /// Sends the answer, or `refusal` in place of a reply; wiped when the deadline was faster.
    func finish(_ refusal: Refusal?) {
        // Claimed under the lock: what others find answered here has left, or never will.
        frame.withLock { frame in
            guard entry.claim() else { return frame.clear() }
            if let refusal, isReply {
                frame.clear()
                entry.connection.finish(entry, refusal)
            } else {
                entry.connection.finish(entry, &frame)
            }
        }
    }
}

/// The answers whose records are not where they have to be yet, and who sends them.
///
/// Those whose records a flush has settled are sent by who has flushed, by workers between two requests, and by a thread of its own, whoever
/// gets to it first: on a machine with much to do each wait for a thread to be run can take longer than the flush. Those that only wait for
/// another's write to the log's file, which are few, are sent by the thread.
///
/// The workers go on meanwhile: one flush of the disk serves all answers whose records came while the one before it went on, however few
/// workers there are. Callers take turns: the many answers of one do not hold up the one of another.
final class HeldAnswers: Sendable {
    private struct State {
        var waiting = FairQueue<HeldAnswer>()
        /// What is being sent, by number.
        var inHand: [UInt64: HeldAnswer] = [:]

        /// Takes in hand the first in turn that `condition` is true for.
        mutating func take(where condition: (HeldAnswer) -> Bool) -> HeldAnswer? {
            guard let answer = waiting.popFirst(where: condition) else { return nil }
            inHand[answer.number] = answer
            return answer
        }
        /// Whether the thread is at it, which looks for more before it sleeps.
        var isSending = false
        var isEnding = false
    }

    /// How many answers in a row a worker sends that others left: a client waits for its next request.
    static let mostForOthers = 16

    /// How many answers who has flushed sends before the next flush: the first of some callers, in turn.
    static let mostOfFlusher = 8

    private let handler: any RequestHandler
    private let state = Mutex(State())
    private let bell = Bell()
    /// Whether a flush has settled more than who flushed has sent.
    private let hasNews = Atomic(false)

    init(handler: any RequestHandler) { self.handler = handler }

    /// Takes an answer, which leaves when its record is settled.
    func push(_ entry: InFlight, _ ticket: RecordTicket, isReply: Bool, frame: consuming ChunkChain) {
        let answer = HeldAnswer(
            number: handler.heldAnswers.begin(), entry: entry, ticket: ticket, isReply: isReply, frame: frame)
        let isIdle = state.withLock { state in
            defer { state.isSending = true }
            state.waiting.push(answer, of: entry.connection.account)
            return !state.isSending
        }
        if isIdle { bell.ring() }
    }

    /// What has not left yet.
    var answers: [HeldAnswer] { state.withLock { state in state.waiting.all + state.inHand.values } }

    /// Lets who has flushed the disk send some answers; others send the rest.
    func flushed() {
        if !sendSettled(most: HeldAnswers.mostOfFlusher) { hasNews.store(true, ordering: .releasing) }
    }

    /// Lets a worker send some of what a flush has settled, if anything.
    func help() {
        guard hasNews.load(ordering: .relaxed), hasNews.exchange(false, ordering: .acquiringAndReleasing) else { return }
        if !sendSettled(most: HeldAnswers.mostForOthers) { hasNews.store(true, ordering: .releasing) }
    }

    /// - Returns: whether no more are settled.
    private func sendSettled(most: Int) -> Bool {
        for _ in 0..<most {
            let answer = state.withLock { state in
                state.take { $0.ticket.isFlushed && handler.isSettled($0.ticket) }
            }
            guard let answer else { return true }
            send(answer)
        }
        return false
    }

    /// Works until `end`, and until nothing waits.
    func run() {
        while true {
            let isEnding = state.withLock { state in
                state.isSending = true
                return state.isEnding
            }
            serve()
            if isEnding { return }
            bell.wait()
        }
    }

    private func serve() {
        while true {
            switch next() {
            case .answer(let answer): send(answer)
            // Others may send it first.
            case .wait(let ticket): handler.settle(ticket)
            case .nothing: return
            }
        }
    }

    private enum Next {
        /// An answer that does not wait for the disk; it is in hand.
        case answer(HeldAnswer)
        /// All wait for the disk; this is what it comes to first.
        case wait(RecordTicket)
        case nothing
    }

    // What comes next, for who sends.
    private func next() -> Next {
        state.withLock { state in
            if let answer = state.take(where: { handler.isSettled($0.ticket) }) { return .answer(answer) }
            if let first = state.waiting.heads.min(by: { $0.ticket.sequence < $1.ticket.sequence }) { return .wait(first.ticket) }
            state.isSending = false
            return .nothing
        }
    }

    private func send(_ answer: HeldAnswer) {
        answer.finish(handler.secure(answer.ticket, of: answer.isReply ? answer.entry.opcode : nil))
        state.withLock { $0.inHand[answer.number] = nil }
        handler.heldAnswers.end(answer.number)
    }

    /// Lets the thread end when it has sent everything. No worker may be left that could bring more.
    func end() {
        state.withLock { $0.isEnding = true }
        bell.ring()
    }
}
