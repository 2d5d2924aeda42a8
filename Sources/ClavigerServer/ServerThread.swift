import CLinux
import Glibc
import Synchronization

/// A POSIX thread of the server. All of the server's threads are made here: named, and with every signal blocked, so that signals
/// reach the thread that waits for them.
package final class ServerThread: Sendable {
    private let handle: pthread_t
    private let end: End

    /// Whether the thread's work is done; joining does not wait then.
    var isFinished: Bool { end.isReached.load(ordering: .acquiring) }

    /// Starts `body` on a new thread. `name` has at most 15 bytes.
    package init(name: String, _ body: @escaping @Sendable () -> Void) throws(ServerError) {
        let end = End()
        let start = Start(name: name, end: end, body: body)
        let argument = Unmanaged.passRetained(start)
        var everything = sigset_t()
        var before = sigset_t()
        sigfillset(&everything)
        pthread_sigmask(SIG_BLOCK, &everything, &before)
        var handle = pthread_t()
        let code = pthread_create(&handle, nil, ServerThread.entry, argument.toOpaque())
        pthread_sigmask(SIG_SETMASK, &before, nil)
        guard code == 0 else {
            argument.release()
            throw .system(call: "pthread_create", code: code)
        }
        self.handle = handle
        self.end = end
    }

    /// Waits for the thread's end. To be called once, or ``abandon()`` instead.
    package func join() { pthread_join(handle, nil) }

    /// Waits for the thread's end until `deadline` (CLOCK_MONOTONIC, nanoseconds); one that is not done by then is left to itself.
    ///
    /// - Returns: whether it was done.
    func join(until deadline: UInt64) -> Bool {
        while !isFinished, MonotonicClock.now() < deadline { Pause.short() }
        guard isFinished else {
            abandon()
            return false
        }
        join()
        return true
    }

    /// Leaves the thread to itself: it is stuck in a call that may never return.
    package func abandon() { pthread_detach(handle) }

    private final class End: Sendable {
        let isReached = Atomic(false)
    }

    private final class Start: Sendable {
        let name: String
        let end: End
        let body: @Sendable () -> Void

        init(name: String, end: End, body: @escaping @Sendable () -> Void) {
            self.name = name
            self.end = end
            self.body = body
        }
    }

    private static let entry: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { argument in
        guard let argument else { return nil }
        let start = Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
        _ = linux_set_thread_name(start.name)
        start.body()
        start.end.isReached.store(true, ordering: .releasing)
        return nil
    }
}
