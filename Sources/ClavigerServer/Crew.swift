import ClavigerCore
import Synchronization

/// The worker threads, those that stand in for stuck ones included.
final class Crew: Sendable {
    private struct State {
        var posts: [WorkerPost] = []
        var threads: [ServerThread] = []
        var spares: [Arena] = []
        var arenas: [Arena] = []
    }

    private let core: ServerCore
    private let handler: any RequestHandler
    private let state: Mutex<State>

    /// Maps the buffers of all threads that there will ever be.
    init(core: ServerCore, handler: any RequestHandler, workers: Int) throws(ServerError) {
        self.core = core
        self.handler = handler
        var state = State()
        state.posts.append(WorkerPost(role: .reserved, number: 0))
        state.arenas.append(try Arena(.reserved))
        for number in 1...workers {
            state.posts.append(WorkerPost(role: .token, number: number))
            state.arenas.append(try Arena(.token))
        }
        for _ in 0..<ServerLimits.spareWorkers {
            let spare = try Arena(.token)
            state.spares.append(spare)
            state.arenas.append(spare)
        }
        self.state = Mutex(state)
    }

    /// Starts the threads.
    func start() throws(ServerError) {
        let (posts, arenas) = state.withLock { ($0.posts, $0.arenas) }
        for (post, arena) in zip(posts, arenas) { try start(post, arena) }
    }

    /// All places that are worked at.
    var posts: [WorkerPost] { state.withLock { $0.posts } }

    /// Puts a new thread in the place of the worker of `post`, which is stuck; false when there is no spare one.
    func replace(_ post: WorkerPost) throws(ServerError) -> Bool {
        guard let arena = state.withLock({ $0.spares.popLast() }) else { return false }
        let successor = WorkerPost(role: post.role, number: post.number)
        post.isReplaced.store(true, ordering: .relaxed)
        state.withLock { state in
            state.posts.removeAll { $0 === post }
            state.posts.append(successor)
        }
        try start(successor, arena)
        return true
    }

    /// Waits for threads that have been told to end; those not done by `deadline` (CLOCK_MONOTONIC, nanoseconds) are left behind.
    ///
    /// - Returns: how many were left.
    func join(until deadline: UInt64) -> Int {
        let threads = state.withLock { state in
            defer { state.threads.removeAll() }
            return state.threads
        }
        return threads.count { !$0.join(until: deadline) }
    }

    /// How many threads have been replaced and have not come back.
    var absentCount: Int { ServerLimits.spareWorkers - spareCount }

    /// How many threads could stand in now.
    var spareCount: Int { state.withLock { $0.spares.count } }

    /// Whether all buffers are zero. For tests, while no worker is busy.
    var isWiped: Bool { state.withLock { $0.arenas.allSatisfy(\.isWiped) } }

    private func start(_ post: WorkerPost, _ arena: Arena) throws(ServerError) {
        let core = core
        let handler = handler
        let thread = try ServerThread(name: post.threadName) { [self] in
            let worker = Worker(core: core, post: post, arena: arena, handler: handler)
            switch post.role {
            case .token: worker.run()
            case .reserved: ReservedWorker(worker: worker).run()
            }
            // A replaced worker that came back makes its buffers the next spare.
            if post.isReplaced.load(ordering: .relaxed) { state.withLock { $0.spares.append(arena) } }
        }
        state.withLock { $0.threads.append(thread) }
    }
}
