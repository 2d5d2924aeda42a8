import ClavigerCore
import ClavigerWire
import Synchronization

/// The thread that never enters the token. It reads when all others are busy and have been for a while: answers what needs no token, and
/// puts the rest on the queue that the others serve first.
struct ReservedWorker {
    let worker: Worker
    private var core: ServerCore { worker.core }

    init(worker: Worker) { self.worker = worker }

    /// Works until the server ends.
    func run() {
        while !core.isEnding.load(ordering: .relaxed) {
            guard core.idle.load(ordering: .sequentiallyConsistent) == 0 else {
                core.sleepReserved()
                continue
            }
            let before = core.turnover.load(ordering: .relaxed)
            core.pauseReserved(ServerLimits.reservedPatience)
            core.isReservedReading.store(true, ordering: .sequentiallyConsistent)
            while areAllBusy(since: before) { readOne() }
            core.isReservedReading.store(false, ordering: .sequentiallyConsistent)
        }
    }

    private func areAllBusy(since turnover: UInt64) -> Bool {
        core.idle.load(ordering: .sequentiallyConsistent) == 0 && core.turnover.load(ordering: .relaxed) == turnover
            && !core.isEnding.load(ordering: .relaxed)
    }

    private func readOne() {
        if let taken = worker.nextReady() {
            if let taken { dispatch(taken) }
            return
        }
        guard let event = core.poller.wait(timeout: ServerLimits.reservedWait) else { return }
        switch event.token {
        case ServerCore.wakeToken:
            core.takeWake()
            if core.idle.load(ordering: .sequentiallyConsistent) > 0 { core.wakeOne() }
        case ServerCore.endToken: break
        default:
            if core.idle.load(ordering: .sequentiallyConsistent) > 0 {
                // One of the others came free meanwhile, and serves it without a hop.
                core.table.find(event.token)?.pass()
            } else if let taken = worker.take(event) {
                dispatch(taken)
            }
        }
    }

    private func dispatch(_ taken: TakenRequest) {
        let entry = taken.entry
        if needsOthers(entry) { worker.enqueue(taken) } else { worker.perform(taken) }
    }

    // Groups that no account has in practice make a reply to whoami too long for this worker's buffer.
    private func needsOthers(_ entry: InFlight) -> Bool {
        let groupsThatFit = 1_000
        return entry.opcode.entry.usesToken || entry.opcode == .whoami && entry.connection.caller.groups.count > groupsThatFit
    }
}
