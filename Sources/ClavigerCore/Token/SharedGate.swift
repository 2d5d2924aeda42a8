import Glibc

/// Lets many in together or one alone: requests hold it shared while they use sessions and handles, a re-initialisation of the
/// module alone.
///
/// Whoever waits to be alone is let in before those who come later. Whoever is inside already may enter again (a batch lets other
/// requests in) and never waits for that: glibc's lock prefers readers, and only newcomers pass the door.
package final class SharedGate: @unchecked Sendable {
    // Sendable: both locks are made for threads, and their storage never moves.
    private let lock: UnsafeMutablePointer<pthread_rwlock_t>
    // Held while one waits to be alone, so that a stream of newcomers cannot keep it waiting for ever.
    private let door: UnsafeMutablePointer<pthread_mutex_t>

    package init() {
        lock = .allocate(capacity: 1)
        lock.initialize(to: pthread_rwlock_t())
        let code = pthread_rwlock_init(lock, nil)
        precondition(code == 0, "pthread_rwlock_init failed")
        door = .allocate(capacity: 1)
        door.initialize(to: pthread_mutex_t())
        pthread_mutex_init(door, nil)
    }

    deinit {
        pthread_rwlock_destroy(lock)
        lock.deallocate()
        pthread_mutex_destroy(door)
        door.deallocate()
    }

    /// Enters together with others.
    ///
    /// - Parameter isInside: whether the calling thread has entered already and not left.
    package func enterShared(isInside: Bool = false) {
        if !isInside { pthread_mutex_lock(door) }
        pthread_rwlock_rdlock(lock)
        if !isInside { pthread_mutex_unlock(door) }
    }

    /// Enters alone, after everybody has left. Never from inside.
    ///
    /// - Parameter deadline: CLOCK_MONOTONIC, in nanoseconds; nil waits for ever.
    /// - Returns: false when somebody was still inside at the deadline: stuck in a call that may never return.
    package func enterAlone(until deadline: UInt64? = nil) -> Bool {
        pthread_mutex_lock(door)
        defer { pthread_mutex_unlock(door) }
        guard let deadline else { return pthread_rwlock_wrlock(lock) == 0 }
        while pthread_rwlock_trywrlock(lock) != 0 {
            guard Clock.monotonic() < deadline else { return false }
            usleep(SharedGate.pollInterval)
        }
        return true
    }

    /// Microseconds between two looks of who waits to be alone: short beside a re-initialisation.
    private static let pollInterval: UInt32 = 500

    /// Leaves.
    package func leave() { pthread_rwlock_unlock(lock) }
}
