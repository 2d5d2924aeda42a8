import Glibc

/// A mutex that condition variables can wait on, which Synchronization's cannot.
final class Lock: @unchecked Sendable {
    // Sendable: the pointer is constant, and what it points to is made for use by many threads.
    fileprivate let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)

    init() {
        pthread_mutex_init(mutex, nil)
    }

    deinit {
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    func lock() { pthread_mutex_lock(mutex) }
    func unlock() { pthread_mutex_unlock(mutex) }
}

/// A value under a lock.
///
/// Not Synchronization's Mutex: the thread sanitizer knows pthread's, and so can vouch for this library.
final class Locked<Value>: @unchecked Sendable {
    // Sendable: the value is used under the lock only.
    private let lock = Lock()
    private var value: Value

    init(_ value: sending Value) { self.value = value }

    func withLock<R, E: Error>(_ body: (inout Value) throws(E) -> R) throws(E) -> R {
        lock.lock()
        defer { lock.unlock() }
        return try body(&value)
    }
}

/// A condition variable whose timed waits follow CLOCK_MONOTONIC.
final class Condition: @unchecked Sendable {
    // Sendable: as for Lock.
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

    init() {
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(condition, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(condition)
        condition.deallocate()
    }

    func signal() { pthread_cond_signal(condition) }

    /// Waits until signalled or until the moment `limit`; may return early. `lock` is held before and after.
    func wait(_ lock: Lock, until limit: UInt64) {
        var moment = timespec(tv_sec: Int(limit / 1_000_000_000), tv_nsec: Int(limit % 1_000_000_000))
        pthread_cond_timedwait(condition, lock.mutex, &moment)
    }
}

/// Moments and sleeps on CLOCK_MONOTONIC, in nanoseconds.
package enum Monotonic {
    /// The present moment.
    package static var now: UInt64 {
        var moment = timespec()
        clock_gettime(CLOCK_MONOTONIC, &moment)
        return UInt64(moment.tv_sec) * 1_000_000_000 + UInt64(moment.tv_nsec)
    }

    /// Blocks the calling thread.
    static func sleep(_ nanoseconds: UInt64) {
        let end = now + nanoseconds
        var moment = timespec(tv_sec: Int(end / 1_000_000_000), tv_nsec: Int(end % 1_000_000_000))
        while clock_nanosleep(CLOCK_MONOTONIC, Int32(TIMER_ABSTIME), &moment, nil) == EINTR {}
    }

    /// The milliseconds from now until `limit` as poll(2) wants them: rounded up, so that a wait never ends early and spins.
    static func pollTimeout(until limit: UInt64) -> Int32 {
        let now = Monotonic.now
        guard limit > now else { return 0 }
        return Int32(clamping: (limit - now + 999_999) / 1_000_000)
    }
}
