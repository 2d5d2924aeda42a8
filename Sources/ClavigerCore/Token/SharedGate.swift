import Glibc

/// Lets many in together or one alone: requests hold it shared while they use sessions and handles, a re-initialisation of the
/// module alone.
///
/// Whoever holds it shared may take it shared again (a batch lets other requests in). That cannot block on a waiting owner: the
/// kernel of glibc's lock prefers readers, and the state is changed before it is taken alone, so new requests turn back at once.
package final class SharedGate: @unchecked Sendable {
    // Sendable: the lock is made for threads, and its storage never moves.
    private let lock: UnsafeMutablePointer<pthread_rwlock_t>

    package init() {
        lock = .allocate(capacity: 1)
        lock.initialize(to: pthread_rwlock_t())
        let code = pthread_rwlock_init(lock, nil)
        precondition(code == 0, "pthread_rwlock_init failed")
    }

    deinit {
        pthread_rwlock_destroy(lock)
        lock.deallocate()
    }

    /// Enters together with others.
    package func enterShared() { pthread_rwlock_rdlock(lock) }

    /// Enters alone, after everybody has left.
    package func enterAlone() { pthread_rwlock_wrlock(lock) }

    /// Leaves.
    package func leave() { pthread_rwlock_unlock(lock) }
}
