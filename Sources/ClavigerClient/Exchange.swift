/// One attempt at one request: made by the caller, settled once by the connection.
final class Exchange: @unchecked Sendable {
    // Sendable: `outcome`, `continuation` and `id` are read and written under the connection's lock only.
    let opcode: UInt16
    /// When the caller stops waiting, on CLOCK_MONOTONIC.
    let limit: UInt64
    var id: UInt32 = 0
    private(set) var outcome: Outcome?
    /// Set once a task waits.
    var continuation: CheckedContinuation<Void, Never>?
    /// What a waiting thread waits on; nil for tasks.
    let condition: Condition?

    /// What became of the attempt.
    enum Outcome: Sendable {
        case frame(ReplyFrame)
        case failed(ClientError)
    }

    init(opcode: UInt16, limit: UInt64, waiting: Waiting) {
        self.opcode = opcode
        self.limit = limit
        switch waiting {
        case .thread: condition = Condition()
        case .task: condition = nil
        }
    }

    /// Who waits for the answer.
    enum Waiting {
        case thread
        case task
    }

    /// Settles the attempt and wakes who waits; the first call counts.
    func settle(_ outcome: Outcome) {
        guard self.outcome == nil else { return }
        self.outcome = outcome
        condition?.signal()
        continuation?.resume()
        continuation = nil
    }

    /// Makes a waiting thread look again, so that it takes over the reading.
    func nudge() { condition?.signal() }
}
