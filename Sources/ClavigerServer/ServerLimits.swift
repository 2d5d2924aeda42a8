import ClavigerWire

/// The server's own bounds, each with its reason. Those of the protocol are in `Limits`, those an operator sets in `Configuration`.
package enum ServerLimits {
    // Memory

    /// Bytes of one chunk of the pool: small, so that hundreds of small waiting requests fit where only a few greatest frames would.
    package static let chunkSize = 4_096
    /// Chunks for one incomplete frame of the greatest size.
    static let frameChunks = (Limits.maximumFrameSize + chunkSize - 1) / chunkSize
    /// Chunks that input never takes: one unsent reply of the greatest size, so that what is done can also be told.
    static let replyReserveChunks = (Limits.maximumReplySize + chunkSize - 1) / chunkSize
    /// The least pool besides one chunk a thread: below it one peer's large frame would wait for ever.
    static let minimumPoolChunks = frameChunks + replyReserveChunks + waitingChunks
    /// Chunks for the beginnings of frames whose rest waits for memory: each such connection holds one, and together they must not take
    /// what the first of them waits for.
    static let waitingChunks = 8
    /// The pool where memory carries it, 4 MiB: several large frames and replies at once.
    static let preferredPoolChunks = 1_024
    /// Bytes of the frame that may be let in between the items of a batch: one item of the greatest plaintext and context, and room.
    static let guestFrame = 16 << 10
    /// Bytes of the reply to a request of one item, or none. One refused item is at most 4 KiB of message; one done is an envelope and a
    /// plaintext, under 9 KiB: `RequestWorker.handle` promises to do with this much.
    static let smallReply = 64 << 10
    /// Bytes of locked memory left to the rest of the daemon: a few PINs of a page each and the scratch of the management session.
    static let memoryForOthers = 64 << 10

    // Threads

    /// Threads that can stand in for workers stuck in the token; past it only a new process helps.
    static let spareWorkers = 1
    /// How long after its deadline was answered a worker may still be in the same request before another takes its place.
    static let workerStuckBound: UInt64 = 5_000_000_000
    /// How long after its deadline a worker that is still in the same request is told of in the daemon's health.
    static let overdueBound: UInt64 = 250_000_000
    /// How long a thread that is not in the token may take to end, in nanoseconds: far more than it needs on a busy machine.
    static let joinTime: UInt64 = 500_000_000
    /// How long all workers must have been busy, none taking anything new, before the reserved worker reads in their stead. Handing a
    /// request over costs more than waiting for a worker that is about to come free.
    static let reservedPatience: Int32 = 1
    /// How often the reserved worker looks whether the others are free again, in milliseconds, while it waits for input.
    static let reservedWait: Int32 = 20
    /// The watchdog's longest sleep in milliseconds while there are connections: how late a deadline may be noticed.
    static let watchdogTick: UInt64 = 50
    /// Connections asked of the kernel in a row before one of them is served: enough that all callers of a busy daemon are among them.
    static let gathered = 64
    /// Ready connections served in a row before the kernel is asked for others.
    static let readyInRow = 16

    /// How long a caller counts as at work after its last request was taken on, in nanoseconds: longer than who asks again at once takes
    /// to do so on a busy machine, and too short to matter for who asks now and then.
    static let callerMemory: UInt64 = 20_000_000

    /// How long another caller has waited for an answer when a worker that finishes something lets other threads run, in nanoseconds:
    /// some times what a request takes that no other thread is in the way of.
    static let giveWayAfter: UInt64 = 100_000
    /// How long a connection that was passed over may have something unread, in nanoseconds: then it is read in any case, so that what
    /// cannot be done in time is refused in time. What is merely in turn is served sooner, and better unread than in the pool.
    static let readPatience: UInt64 = 250_000_000
    /// How often an idle worker looks again at what it passed over, in milliseconds: as long as a caller counts as at work.
    static let passedOverWait = Int32(callerMemory / 1_000_000)

    // Connections

    /// Bytes of unsent replies past which no more is read from the connection.
    static let unsentBound = 64 << 10
    /// Bytes of unsent and expected replies past which no more is read from the connection: a peer may have many small requests in
    /// flight, or one or two that make large replies.
    static let expectedBound = unsentBound + Limits.maximumReplySize
    /// Bytes of unsent replies past which the connection is given up: what was read before the bound was passed may add one reply.
    static let unsentMaximum = expectedBound + Limits.maximumReplySize
    /// Requests in flight past which no more is read from the connection.
    static let inFlightBound = 256
    /// How long a peer may send nothing of a frame that it has begun, or take nothing of its replies, while others wait for the memory
    /// held for it, in nanoseconds: a local peer that is writing or reading needs a few milliseconds.
    static let stallBound: UInt64 = 250_000_000
    /// Descriptors that connections leave to the rest of the process: a token library that gets EMFILE can believe its keys gone.
    static let descriptorReserve = 64
    /// Milliseconds that the acceptor waits when the kernel has no descriptor or memory for another connection.
    static let acceptPause: Int32 = 100

    // Refusals

    /// What `retry-after` says when the queue or the connections are full, in milliseconds: many times what a request takes.
    static let busyRetry: UInt32 = 100
}
