import ClavigerCore
import ClavigerWire
import Glibc
import Logging
import Synchronization

/// One worker thread's own: buffers and the service's state. Made on the thread and used by no other.
final class Worker {
    let core: ServerCore
    let post: WorkerPost
    let arena: Arena
    private let handler: any RequestHandler
    private let service: any RequestWorker
    // What the answer that was just made has to wait for.
    private var ticket: RecordTicket?
    // A chunk of the pool for what is read beyond a frame.
    private var pocket: ChunkChain
    private var readyInRow = 0
    /// The caller of the newest request, and when another's was taken on that the worker last gave way to.
    private var served: CallerAccount?
    private var gaveWayTo: UInt64 = 0

    init(core: ServerCore, post: WorkerPost, arena: Arena, handler: any RequestHandler) {
        self.core = core
        self.post = post
        self.arena = arena
        self.handler = handler
        pocket = ChunkChain(core.pool)
        service =
            switch post.role {
            case .token: handler.makeWorker(entersToken: true)
            case .reserved: handler.makeWorker(entersToken: false)
            }
    }

    /// Works until the server ends or another takes the worker's place.
    func run() {
        while !core.isEnding.load(ordering: .relaxed), !post.isReplaced.load(ordering: .relaxed) {
            core.resumeStarved()
            core.held.help()
            if core.callers.isShared {
                giveWay()
                gather()
            }
            // Requests that the reserved worker read have waited longest.
            if let request = core.queue.pop(where: core.takeTurn) {
                request.entry.beginWork(hasTurn: true)
                core.turnover.add(1, ordering: .relaxed)
                serve(request)
            } else if readyInRow < ServerLimits.readyInRow || core.callers.isShared, let taken = nextTurn() {
                serve(taken)
            } else if core.callers.isShared, let taken = nextOverdue() {
                if let taken { enqueue(taken) }
            } else if let event = nextEvent() {
                handle(event)
            }
        }
    }

    // MARK: what comes next

    /// The next connection that has a frame in memory; its request, when it has a good one, to be worked at now.
    private func nextTurn() -> TakenRequest?? {
        guard let next = core.ready.pop(where: core.takeTurn) else { return .none }
        let taken = take(next)
        if let taken { taken.entry.beginWork(hasTurn: true) } else { next.caller.endTurn() }
        return .some(taken)
    }

    /// The next connection that has a frame in memory; its request, when it has a good one, for others to work at.
    func nextReady() -> TakenRequest?? { nextOverdue() ?? core.ready.pop(where: core.mayServe).map(take) }

    /// A connection that has been passed over for long; its request, when it has a good one, for those to work at who may.
    private func nextOverdue() -> TakenRequest?? {
        guard !core.ready.isEmpty else { return .none }
        let now = MonotonicClock.now()
        return core.ready.popWaiting(since: now - min(now, ServerLimits.readPatience)).map(take)
    }

    private func take(_ ready: ReadyQueue.Item) -> TakenRequest? {
        readyInRow += 1
        guard let connection = core.table.find(ready.token) else { return nil }
        if post.role == .token, !core.callers.isShared, !core.ready.isEmpty {
            if let taken = connection.takeReadyIfFree(into: arena.request.bytes, pocket: &pocket) { return taken }
            core.ready.push(ready.token, of: ready.caller)
            // This worker looks again; unless others have their turn first, while those who looked meanwhile have gone to sleep.
            if readyInRow >= ServerLimits.readyInRow { core.wakeOne() }
            return nil
        }
        return connection.takeReady(into: arena.request.bytes, pocket: &pocket)
    }

    private func nextEvent() -> PollEvent? {
        // After a run of ready connections the others have their turn; there may be no event then.
        if readyInRow > 0 {
            readyInRow = 0
            if let event = core.poller.wait(timeout: 0) { return event }
        }
        core.idle.add(1, ordering: .sequentiallyConsistent)
        defer { core.leaveIdle() }
        // Whoever pushes after this look sees an idle worker and wakes it.
        guard !core.hasWork else { return nil }
        guard core.hasPassedOver else { return core.poller.wait(timeout: -1) }
        core.looking.add(1, ordering: .sequentiallyConsistent)
        defer { core.looking.subtract(1, ordering: .sequentiallyConsistent) }
        return core.poller.wait(timeout: ServerLimits.passedOverWait)
    }

    /// Lets other threads run first when another caller has waited for long: the worker at that request may have been interrupted in its
    /// midst for this one, or who flushes or sends is to run, and would wait until the kernel next looks, which can be several
    /// milliseconds. Once for each such request, since who yields much falls behind other programs too.
    private func giveWay() {
        guard let served, let since = core.callers.otherWaits(than: served), since != gaveWayTo,
            since + ServerLimits.giveWayAfter <= MonotonicClock.now()
        else { return }
        gaveWayTo = since
        sched_yield()
    }

    private func handle(_ event: PollEvent) {
        switch event.token {
        case ServerCore.wakeToken: core.takeWake()
        case ServerCore.endToken: break
        case let token where core.callers.isShared: _ = core.table.find(token)?.note(event)
        default: serve(take(event))
        }
    }

    /// Asks the kernel for all connections that have something, so that callers can take turns: in the kernel's own order one who has
    /// many connections would be served many times before another.
    private func gather() {
        var isWakeSeen = false
        for _ in 0..<ServerLimits.gathered {
            guard let event = core.poller.wait(timeout: 0) else { return }
            switch event.token {
            case ServerCore.wakeToken:
                // It is for who sleeps. The kernel tells it again when it has told everything else.
                guard !isWakeSeen else { return }
                isWakeSeen = true
            case ServerCore.endToken: return
            default:
                // This worker takes the first itself; others may take the rest.
                guard let connection = core.table.find(event.token) else { break }
                if connection.note(event), core.mayServe(connection.account) { core.wakeOne() }
            }
        }
    }

    /// Does what the event asks for; the request that it brought, if any.
    func take(_ event: PollEvent) -> TakenRequest? {
        core.table.find(event.token)?.handle(event, into: arena.request.bytes, pocket: &pocket)
    }

    // MARK: serving

    private func serve(_ taken: TakenRequest?) {
        core.turnover.add(1, ordering: .relaxed)
        guard let taken else { return }
        perform(taken)
    }

    /// Leaves the request in the arena to the workers that may do it.
    func enqueue(_ taken: TakenRequest) {
        let entry = taken.entry
        let frame = UnsafeRawBufferPointer(arena.request.prefix(taken.length))
        var chain = ChunkChain(core.pool)
        var isQueued = false
        if chain.reserve(taken.length, for: .input) {
            chain.append(frame)
            let request = QueuedRequest(entry: entry, isGuest: RequestShape.isGuest(frame, opcode: entry.opcode), frame: chain)
            isQueued = core.queue.push(
                request, limit: core.settings.queue.load(ordering: .relaxed),
                share: core.settings.queueShare(isShared: core.callers.isShared))
        }
        arena.request.wipe(taken.length)
        if isQueued {
            core.wakeOne()
        } else if entry.claim() {
            entry.connection.finish(entry, Refusal(.busy, retryAfter: ServerLimits.busyRetry))
        }
    }

    private func serve(_ queued: QueuedRequest) {
        let length = queued.moveFrame(to: arena.request.bytes)
        perform(TakenRequest(entry: queued.entry, length: length))
    }

    /// Does the request in the arena, answers it and wipes what it left.
    func perform(_ taken: TakenRequest) {
        let entry = taken.entry
        core.begin(entry)
        served = entry.connection.account
        let frame = UnsafeRawBufferPointer(arena.request.prefix(taken.length))
        let room = RequestShape.replyRoom(frame, opcode: entry.opcode, available: arena.reply.bytes.count)
        post.work.withLock { $0.request = entry }
        perform(entry, frame, arena.reply, room, self) { post.work.withLock { $0.request = nil } }
        entry.endWork()
        arena.request.wipe(taken.length)
    }

    private func perform(
        _ entry: InFlight, _ frame: UnsafeRawBufferPointer, _ buffer: LockedBuffer, _ room: Int,
        _ scheduling: any RequestScheduling, done: () -> Void
    ) {
        guard MonotonicClock.now() < entry.deadline else {
            done()
            if entry.claim() { entry.connection.finish(entry, Refusal(.deadline)) }
            return
        }
        ticket = nil
        let length = service.handle(entry.request, frame: frame, reply: buffer.prefix(room), scheduling: scheduling)
        let isWhole = length >= Limits.headerLength && length <= room
        // A reply was written from its beginning to its end; before a refusal anything may have been written.
        let isReply = isWhole && buffer.bytes[5] == FrameKind.reply.rawValue
        if isWhole {
            answer(entry, UnsafeRawBufferPointer(buffer.prefix(length)), isReply: isReply)
        } else {
            core.logger.error("an answer of impossible length was discarded", metadata: ["opcode": "\(entry.opcode.entry.name)"])
            if entry.claim() { entry.connection.finish(entry, Refusal(.internalError)) }
        }
        // Not before: the answer may wait for its record here.
        done()
        service.delivered()
        buffer.wipe(isReply ? length : room)
    }

    /// Sends a whole answer, or has it wait for its record.
    private func answer(_ entry: InFlight, _ frame: UnsafeRawBufferPointer, isReply: Bool) {
        guard let ticket else { return send(entry, frame, isReply: isReply, nil) }
        var chain = ChunkChain(core.pool)
        // Not from what is kept for replies: an answer that may leave must not lack the room.
        if chain.reserve(frame.count, for: .input) {
            chain.append(frame)
            return core.held.push(entry, ticket, isReply: isReply, frame: chain)
        }
        // A refusal has been counted as one.
        send(entry, frame, isReply: isReply, handler.secure(ticket, of: isReply ? entry.opcode : nil))
    }

    private func send(_ entry: InFlight, _ frame: UnsafeRawBufferPointer, isReply: Bool, _ refusal: Refusal?) {
        guard entry.claim() else { return }
        if let refusal, isReply {
            entry.connection.finish(entry, refusal)
        } else {
            entry.connection.finish(entry, frame)
        }
    }

    // MARK: a guest between the items of a batch

    private func performGuest() {
        guard let guestRequest = arena.guestRequest, let guestReply = arena.guestReply, let queued = core.queue.popGuest() else {
            return
        }
        let length = queued.moveFrame(to: guestRequest.bytes)
        let frame = UnsafeRawBufferPointer(guestRequest.prefix(length))
        post.work.withLock { $0.guest = queued.entry }
        let ticketOfHost = ticket
        defer { ticket = ticketOfHost }
        perform(queued.entry, frame, guestReply, guestReply.bytes.count, GuestScheduling(entry: queued.entry, host: self)) {
            post.work.withLock { $0.guest = nil }
        }
        guestRequest.wipe(length)
    }

    /// What a guest is told: it has one item, so it lets nobody in.
    private struct GuestScheduling: RequestScheduling {
        let entry: InFlight
        let host: Worker
        var isAbandoned: Bool { entry.isAbandoned }
        func letOthersIn() {}
        // The host has the token meanwhile.
        var mayWrite: Bool { false }
        func hold(until ticket: RecordTicket) -> Bool { host.hold(until: ticket) }
    }
}

extension Worker: RequestScheduling {
    // One that never enters the token must not get stuck in the disk either.
    var mayWrite: Bool { post.role == .token }

    var isAbandoned: Bool { post.requests.0?.isAbandoned ?? true }

    func hold(until ticket: RecordTicket) -> Bool {
        self.ticket = ticket
        return true
    }

    func letOthersIn() {
        // A worker that was replaced has no claim to further work; its place serves the queue.
        guard !post.isReplaced.load(ordering: .relaxed) else { return }
        performGuest()
    }
}
