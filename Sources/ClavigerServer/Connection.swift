import CLinux
import ClavigerCore
import ClavigerWire
import Glibc
import Logging
import Synchronization

/// What a connection's lock covers: input, output, requests in flight and what epoll waits for.
struct ConnectionState: ~Copyable, Sendable {
    /// Bytes received and not taken: part of a frame, or frames that a peer sent ahead.
    var stash: ChunkChain
    /// Replies that the peer has not taken.
    var output: ChunkChain
    /// The ids of requests in flight; few, so that a search beats a table.
    var inFlight: [UInt32] = []
    /// Bytes that the replies to them may have, together.
    var expected = 0
    /// What epoll was last told to wait for; nil after an event, until it is told again.
    var armed: Interest?
    /// In the ready queue.
    var isReady = false
    /// Waits for the pool.
    var isStarved = false
    /// No more input is taken: end of stream, a broken header, or the server stops.
    var isInputEnded = false
    /// Since when a begun frame is awaited, in nanoseconds; 0 when none is.
    var frameSince: UInt64 = 0
    /// When bytes of that frame came last.
    var lastInput: UInt64 = 0
    /// Since when the peer has taken nothing of the output, in nanoseconds; 0 when there is none.
    var outputSince: UInt64 = 0

    init(_ pool: LockedPool) {
        stash = ChunkChain(pool)
        output = ChunkChain(pool)
    }
}

/// One peer.
///
/// Whoever works for it holds a reference, and the descriptor is closed when the last one goes: until then no other connection can
/// have its number, so that no reply reaches another peer. To be rid of a peer is to shut the socket down and to empty its slot.
final class Connection: Sendable {
    let core: ServerCore
    let caller: Caller
    /// What the caller takes of the server, this connection included.
    let account: CallerAccount
    /// Whether it came in by the socket for management.
    let isAdmin: Bool
    let token: UInt64
    let descriptor: Int32
    let state: Mutex<ConnectionState>
    private let dropped = Atomic(false)

    /// Takes over `descriptor`, a connected non-blocking socket, and the place that it has in `account`.
    init(core: ServerCore, descriptor: Int32, caller: Caller, account: CallerAccount, isAdmin: Bool, token: UInt64) {
        self.core = core
        self.descriptor = descriptor
        self.caller = caller
        self.account = account
        self.isAdmin = isAdmin
        self.token = token
        state = Mutex(ConnectionState(core.pool))
        if core.counters.connectionCount.add(1, ordering: .sequentiallyConsistent).oldValue == 0 { core.watch.signal() }
    }

    deinit {
        close(descriptor)
        core.callers.leave(account)
        core.counters.connectionCount.subtract(1, ordering: .sequentiallyConsistent)
    }

    /// Whether the peer was given up, or is gone.
    var isDropped: Bool { dropped.load(ordering: .acquiring) }

    /// Waits for the first input.
    func open() {
        state.withLock { state in
            state.armed = .input
            if !core.poller.add(descriptor, token: token, .input) { drop(&state, "epoll_ctl failed") }
        }
    }

    /// Does what `event` asks for; the request that it brought, if any, is in `buffer`.
    func handle(_ event: PollEvent, into buffer: UnsafeMutableRawBufferPointer, pocket: inout ChunkChain) -> TakenRequest? {
        state.withLock { state in
            state.armed = nil
            // Nobody can read a reply any more, so what was asked before the end is not worth doing either.
            if event.isHungUp { drop(&state, "the peer is gone") }
            if event.isWritable { drain(&state) }
            let taken = event.isReadable ? receive(&state, buffer, &pocket) : nil
            settle(&state)
            return taken
        }
    }

    /// Does what `event` asks for but for reading: what there is to read waits for its caller's turn.
    ///
    /// - Returns: whether something waits now.
    func note(_ event: PollEvent) -> Bool {
        state.withLock { state in
            state.armed = nil
            if event.isHungUp { drop(&state, "the peer is gone") }
            if event.isWritable { drain(&state) }
            let waits = event.isReadable && wantsInput(state) && !state.isReady
            if waits {
                state.isReady = true
                core.ready.push(token, of: account)
            }
            settle(&state)
            return waits
        }
    }

    /// Takes the next frame that was sent ahead.
    func takeReady(into buffer: UnsafeMutableRawBufferPointer, pocket: inout ChunkChain) -> TakenRequest? {
        state.withLock { state in takeReady(&state, buffer, &pocket) }
    }

    /// The same unless another worker is at this connection, sending mostly, which takes as long as reading another's frame.
    ///
    /// - Returns: nil when one is; then it is as ready as before.
    func takeReadyIfFree(into buffer: UnsafeMutableRawBufferPointer, pocket: inout ChunkChain) -> TakenRequest?? {
        state.withLockIfAvailable { state in .some(takeReady(&state, buffer, &pocket)) } ?? .none
    }

    private func takeReady(
        _ state: inout ConnectionState, _ buffer: UnsafeMutableRawBufferPointer, _ pocket: inout ChunkChain
    ) -> TakenRequest? {
        state.isReady = false
        let taken = receive(&state, buffer, &pocket)
        settle(&state)
        return taken
    }

    /// Asks epoll again, for a worker that got an event and leaves it to others.
    func pass() {
        state.withLock { state in
            state.armed = nil
            settle(&state)
        }
    }

    /// The pool has room again.
    func resume() {
        state.withLock { state in
            guard state.isStarved, !isDropped else { return }
            state.isStarved = false
            state.isReady = true
            // Nothing could come while it waited for memory.
            state.lastInput = MonotonicClock.now()
            core.ready.push(token, of: account)
        }
        core.wakeOne()
    }

    /// Takes no more input; the connection ends when what is in flight is answered and sent.
    func endInput() {
        state.withLock { state in
            state.isInputEnded = true
            state.stash.clear()
            settle(&state)
        }
    }

    /// Gives the peer up now.
    func drop(_ reason: String) {
        state.withLock { state in drop(&state, reason) }
    }

    /// Gives the peer up when it has kept a frame incomplete or a reply unread since before `moment`.
    func dropIfIdle(since moment: UInt64) {
        state.withLock { state in
            if state.frameSince != 0, state.frameSince <= moment { drop(&state, "a frame was incomplete for too long") }
            if state.outputSince != 0, state.outputSince <= moment { drop(&state, "a reply was unread for too long") }
        }
    }

    /// Gives the peer up when memory is held for a begun frame of which nothing has come since `moment`, or for replies of which it has
    /// taken nothing since. For when others wait for that memory: many small frames hold it up as well as a large one.
    func dropIfStalled(since moment: UInt64) {
        state.withLock { state in
            if state.frameSince != 0, state.lastInput <= moment, !state.isStarved, wantsInput(state) {
                drop(&state, "a begun frame was stalled while others waited for memory")
            }
            if state.outputSince != 0, state.outputSince <= moment {
                drop(&state, "a reply was unread while others waited for memory")
            }
        }
    }

    /// Whether memory is held for what was read and not taken.
    var holdsInput: Bool { state.withLock { !$0.stash.isEmpty } }

    /// Whether a begun frame is being read or could be: memory is held for it, and it does not wait for more.
    var isReceiving: Bool { state.withLock { !$0.stash.isEmpty && !$0.isStarved } }

    func drop(_ state: inout ConnectionState, _ reason: String) {
        guard !dropped.exchange(true, ordering: .acquiringAndReleasing) else { return }
        core.logger.debug("connection closed", metadata: ["pid": "\(caller.pid)", "uid": "\(caller.uid)", "reason": "\(reason)"])
        state.isInputEnded = true
        state.stash.clear()
        state.output.clear()
        state.frameSince = 0
        state.outputSince = 0
        shutdown(descriptor, Int32(SHUT_RDWR))
        core.table.remove(token)
    }

    /// Whether another request may be taken now.
    func wantsInput(_ state: borrowing ConnectionState) -> Bool {
        !isDropped && !state.isInputEnded && !state.isStarved && state.output.count < ServerLimits.unsentBound
            && state.output.count + state.expected < ServerLimits.expectedBound
            && state.inFlight.count < ServerLimits.inFlightBound
    }

    /// Decides from the state what happens next: the end, the ready queue, or what epoll waits for. To be called after every change.
    func settle(_ state: inout ConnectionState) {
        if isDropped { return }
        if state.isInputEnded, state.inFlight.isEmpty, state.output.isEmpty { return drop(&state, "done") }
        let wantsInput = wantsInput(state)
        if wantsInput, !state.isReady, !state.stash.isEmpty, holdsFrame(state) {
            state.isReady = true
            core.ready.push(token, of: account)
            core.wakeForReady(of: account)
        }
        // The time that a peer takes for a frame does not count while its own replies keep it from being read. It does while the pool has
        // no room: a begun frame that waits for memory holds some, and must not for ever.
        if state.stash.isEmpty || state.isReady || !(wantsInput || state.isStarved) {
            state.frameSince = 0
        } else if state.frameSince == 0 {
            state.frameSince = MonotonicClock.now()
        }
        var interest: Interest = []
        if wantsInput, !state.isReady { interest.insert(.input) }
        if !state.output.isEmpty { interest.insert(.output) }
        // A ready connection is settled again soon; until then only output is worth a system call.
        if interest == state.armed || interest.isEmpty && state.isReady { return }
        state.armed = interest
        if !core.poller.rearm(descriptor, token: token, interest) { drop(&state, "epoll_ctl failed") }
    }
}
