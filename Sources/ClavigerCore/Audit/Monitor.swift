import Glibc

/// A lock with a condition: threads wait under it until another changes something.
final class Monitor: @unchecked Sendable {
    // Sendable: mutex and condition are made for threads, and their storage never moves.
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>

    init() {
        mutex = .allocate(capacity: 1)
        mutex.initialize(to: pthread_mutex_t())
        // What is done under it mostly takes a few microseconds: less than to sleep and to be woken.
        var kind = pthread_mutexattr_t()
        pthread_mutexattr_init(&kind)
        pthread_mutexattr_settype(&kind, Int32(PTHREAD_MUTEX_ADAPTIVE_NP))
        pthread_mutex_init(mutex, &kind)
        pthread_mutexattr_destroy(&kind)
        condition = .allocate(capacity: 1)
        condition.initialize(to: pthread_cond_t())
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(condition, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(condition)
        condition.deallocate()
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    /// Runs `body` alone.
    func locked<R: ~Copyable, E: Error>(_ body: () throws(E) -> R) throws(E) -> R {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body()
    }

    /// Runs `body` alone, or nothing when others are in for so many nanoseconds.
    ///
    /// - Returns: nil when nothing was run.
    func locked<R, E: Error>(patience: UInt64, _ body: () throws(E) -> R) throws(E) -> R? {
        if pthread_mutex_trylock(mutex) != 0 {
            // By the clock of dates, since Glibc's module has no other: one that is set back makes this once wait longer.
            var time = timespec()
            clock_gettime(CLOCK_REALTIME, &time)
            let end = UInt64(time.tv_nsec) + patience
            time.tv_sec += Int(end / 1_000_000_000)
            time.tv_nsec = Int(end % 1_000_000_000)
            guard pthread_mutex_timedlock(mutex, &time) == 0 else { return nil }
        }
        defer { pthread_mutex_unlock(mutex) }
        return try body()
    }

    /// Lets others in until one of them changes something, or until `deadline` (CLOCK_MONOTONIC in nanoseconds). Under the lock.
    ///
    /// - Returns: false when the deadline has passed.
    func wait(until deadline: UInt64) -> Bool {
        var time = timespec(tv_sec: Int(deadline / 1_000_000_000), tv_nsec: Int(deadline % 1_000_000_000))
        return pthread_cond_timedwait(condition, mutex, &time) != ETIMEDOUT
    }

    /// Wakes all that wait. Under the lock.
    func changed() { pthread_cond_broadcast(condition) }

    /// Lets others in while `body` runs. Under the lock.
    func unlocked<R>(_ body: () -> R) -> R {
        pthread_mutex_unlock(mutex)
        defer { pthread_mutex_lock(mutex) }
        return body()
    }
}
