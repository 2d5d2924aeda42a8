import Glibc
import Synchronization

/// Keeps answers from leaving after what they rest on was taken back.
///
/// A worker checks, at the end of a request, that keys and grants still are as they were at its beginning, and queues the answer; between
/// the two its gate is closed. Whoever takes something back publishes that first and then waits until every gate that was closed has been
/// opened and every answer that is held for its record has left: an answer checked before is queued by then, and one checked later sees the change. So nobody waits for the token: only for
/// workers between check and queue.
package final class AnswerFence: Sendable {
    /// One worker's place between check and queue.
    final class Gate: Sendable {
        // Odd while closed. The snapshots' own locks order this against their changes: who still read the old one closed before.
        private let turns = Atomic<UInt64>(0)

        func close() { turns.add(1, ordering: .sequentiallyConsistent) }

        func open() { turns.add(1, ordering: .sequentiallyConsistent) }

        /// Waits until the gate, if it is closed now, has been opened.
        func waitUntilOpened() {
            let turn = turns.load(ordering: .sequentiallyConsistent)
            guard turn & 1 == 1 else { return }
            var waited = 0
            while turns.load(ordering: .sequentiallyConsistent) == turn {
                // Queueing takes microseconds; writing the record before it may take a disk's time.
                waited += 1
                if waited < AnswerFence.yields { sched_yield() } else { usleep(AnswerFence.pause) }
            }
        }
    }

    /// Answers that were checked and wait for their records. They leave in any order.
    package final class Held: Sendable {
        private struct Numbers {
            var next: UInt64 = 0
            /// All before it have left.
            var oldest: UInt64 = 0
            /// Those behind it that have left too.
            var left: Set<UInt64> = []
        }

        private let numbers = Mutex(Numbers())

        package init() {}

        /// One more is held. Its worker's gate is closed still.
        ///
        /// - Returns: its number.
        package func begin() -> UInt64 {
            numbers.withLock { numbers in
                numbers.next += 1
                return numbers.next - 1
            }
        }

        /// The one of this number has been queued for its peer, or thrown away.
        package func end(_ number: UInt64) {
            numbers.withLock { numbers in
                guard number == numbers.oldest else {
                    numbers.left.insert(number)
                    return
                }
                repeat { numbers.oldest += 1 } while numbers.left.remove(numbers.oldest) != nil
            }
        }

        /// Waits until all that are held now have left.
        func waitUntilGone() {
            let end = numbers.withLock { $0.next }
            while numbers.withLock({ $0.oldest }) < end { usleep(AnswerFence.pause) }
        }
    }

    /// How often a waiting thread only lets others run before it sleeps.
    private static let yields = 100
    /// Microseconds between two looks afterwards.
    private static let pause: UInt32 = 100

    /// What the server holds.
    package let held = Held()
    private let gates = Mutex<[Gate]>([])

    package init() {}

    /// A gate for a new worker.
    func makeGate() -> Gate {
        let gate = Gate()
        gates.withLock { $0.append(gate) }
        return gate
    }

    /// Waits until every answer that was checked before this call is queued. Call it after publishing what was taken back, and from a
    /// worker only while its own gate is open.
    package func settle() {
        for gate in gates.withLock({ $0 }) { gate.waitUntilOpened() }
        // Whoever passed a gate with an answer to hold has it counted by now.
        held.waitUntilGone()
    }
}
