import ClavigerCore
import ClavigerWire
import Synchronization

/// A request between its reading and its answer. Worker and watchdog may both want to answer it: exactly one of them does.
final class InFlight: Sendable {
    let connection: Connection
    let header: FrameHeader
    let opcode: Opcode
    /// CLOCK_MONOTONIC, in nanoseconds.
    let deadline: UInt64
    /// About how many bytes the reply has at most.
    let expectedReply: Int
    private let answered = Atomic(false)
    private let isWorkedAt = Atomic(false)

    init(connection: Connection, header: FrameHeader, opcode: Opcode, deadline: UInt64, expectedReply: Int) {
        self.connection = connection
        self.header = header
        self.opcode = opcode
        self.deadline = deadline
        self.expectedReply = expectedReply
    }

    /// What the service is told of it.
    var request: IncomingRequest {
        IncomingRequest(
            header: header, opcode: opcode, caller: connection.caller, deadline: deadline, isAdmin: connection.isAdmin)
    }

    /// Makes the calling thread the one that answers; false when another was first.
    func claim() -> Bool {
        answered.compareExchange(expected: false, desired: true, ordering: .acquiringAndReleasing).exchanged
    }

    /// A worker takes it on; with the turn that it took for the caller before (``CallerAccount/takeTurn(unless:)``), when it has one.
    func beginWork(hasTurn: Bool = false) {
        guard !isWorkedAt.exchange(true, ordering: .relaxed), !hasTurn else { return }
        connection.account.takeTurn()
    }

    /// The worker is done with it, or has been given up: whichever comes first counts.
    func endWork() {
        if isWorkedAt.exchange(false, ordering: .relaxed) { connection.account.endTurn() }
    }

    /// Whether somebody has made sure that he answers it.
    var isAnswered: Bool { answered.load(ordering: .acquiring) }

    /// Whether nobody waits for the work any more.
    var isAbandoned: Bool { isAnswered || connection.isDropped }
}
