import Glibc

/// Lets many in together or one alone: requests hold it shared while they use sessions and handles, a re-initialisation of the
/// module alone. Who gets in alone knows that all who were inside before have left.
///
/// Whoever waits to be alone is let in before those who come later. Whoever is inside already may enter again (a batch lets other
/// requests in) and never waits for that: glibc's lock prefers readers, and only newcomers pass the door.
package final class SharedGate: @unchecked Sendable {
    // Sendable: both locks are made for threads, and their storage never moves.
    private let lock: UnsafeMutablePointer<pthread_rwlock_t>
    // Held while one waits to be alone, so that a stream of newcomers cannot keep it waiting for ever.
    private let door: UnsafeMutablePointer<pthread_mutex_t>
    // How often the calling thread is inside.
    private let depth: pthread_key_t

    package init() {
        lock = .allocate(capacity: 1)
        lock.initialize(to: pthread_rwlock_t())
        let code = pthread_rwlock_init(lock, nil)
        precondition(code == 0, "pthread_rwlock_init failed")
        door = .allocate(capacity: 1)
        door.initialize(to: pthread_mutex_t())
        pthread_mutex_init(door, nil)
        var key = pthread_key_t()
        let made = pthread_key_create(&key, nil)
        precondition(made == 0, "pthread_key_create failed")
        depth = key
    }

    deinit {
        pthread_key_delete(depth)
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
        count(1)
    }

    /// Enters alone, after everybody has left. Never from inside.
    ///
    /// - Parameter deadline: CLOCK_MONOTONIC, in nanoseconds; nil waits for ever.
    /// - Returns: false when somebody was still inside at the deadline: stuck in a call that may never return.
    package func enterAlone(until deadline: UInt64? = nil) -> Bool {
        pthread_mutex_lock(door)
        defer { pthread_mutex_unlock(door) }
        if let deadline {
            while pthread_rwlock_trywrlock(lock) != 0 {
                guard Clock.monotonic() < deadline else { return false }
                usleep(SharedGate.pollInterval)
            }
        } else if pthread_rwlock_wrlock(lock) != 0 {
            return false
        }
        count(1)
        return true
    }

    /// Runs `body` inside: at once when the calling thread is inside already, together with others or alone; else together with
    /// others, unless somebody is alone and stays so past `deadline` (CLOCK_MONOTONIC, in nanoseconds).
    ///
    /// - Returns: nil when there was no getting in; `body` has not run then.
    package func within<R: ~Copyable, E: Error>(
        until deadline: UInt64, _ body: () throws(E) -> R
    ) throws(E) -> R? {
        guard !isInside else { return try body() }
        while true {
            // Whoever waits to be alone holds the door and goes first.
            if pthread_mutex_trylock(door) == 0 {
                let entered = pthread_rwlock_tryrdlock(lock) == 0
                pthread_mutex_unlock(door)
                if entered { break }
            }
            guard Clock.monotonic() < deadline else { return nil }
            usleep(SharedGate.pollInterval)
        }
        count(1)
        defer { leave() }
        return try body()
    }

    /// Runs `body` together with others. Never from inside.
    package func shared<R>(_ body: () -> R) -> R {
        enterShared()
        defer { leave() }
        return body()
    }

    /// Whether the calling thread is inside.
    package var isInside: Bool { pthread_getspecific(depth) != nil }

    private func count(_ step: Int) {
        pthread_setspecific(depth, UnsafeRawPointer(bitPattern: Int(bitPattern: pthread_getspecific(depth)) + step))
    }

    /// Microseconds between two looks of who waits to be alone: short beside a re-initialisation.
    private static let pollInterval: UInt32 = 500

    /// Leaves.
    package func leave() {
        count(-1)
        pthread_rwlock_unlock(lock)
    }
}
