import Glibc
import Synchronization
import Testing

@testable import ClavigerCore

@Suite struct SharedGateTests {
    /// One who waits to be alone gets in although others come and go without a pause, and those inside may enter again meanwhile.
    @Test func aStreamOfNewcomersKeepsNobodyOut() {
        let gate = SharedGate()
        let counts = Counts()
        let workers = (0..<4).map { _ in
            Worker {
                while counts.isOver.load(ordering: .relaxed) == 0 {
                    gate.enterShared()
                    counts.inside.add(1, ordering: .sequentiallyConsistent)
                    gate.enterShared(isInside: true)
                    if counts.alone.load(ordering: .sequentiallyConsistent) != 0 { counts.mixed.add(1, ordering: .relaxed) }
                    gate.leave()
                    counts.inside.subtract(1, ordering: .sequentiallyConsistent)
                    gate.leave()
                }
            }
        }
        for _ in 0..<200 {
            #expect(gate.enterAlone())
            counts.alone.store(1, ordering: .sequentiallyConsistent)
            if counts.inside.load(ordering: .sequentiallyConsistent) != 0 { counts.mixed.add(1, ordering: .relaxed) }
            counts.alone.store(0, ordering: .sequentiallyConsistent)
            gate.leave()
        }
        counts.isOver.store(1, ordering: .relaxed)
        for worker in workers { worker.join() }
        #expect(counts.mixed.load(ordering: .relaxed) == 0)
    }

    private final class Counts: Sendable {
        let isOver = Atomic(0)
        let inside = Atomic(0)
        let alone = Atomic(0)
        let mixed = Atomic(0)
    }
}
