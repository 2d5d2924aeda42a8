import CLinux
import Glibc

/// The thread that reads a connection whose callers are tasks.
enum ConnectionThread {
    /// Starts the thread; it ends with the connection.
    ///
    /// The callback is formed here, in a nonisolated function: formed in main's top level it would be bound to the main actor
    /// and trap on the new thread.
    static func start(_ connection: Connection) throws(ClientError) {
        let context = Unmanaged.passRetained(connection)
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        // The thread inherits this mask: signals go to the threads of the program, never to one of a library.
        var all = sigset_t()
        var before = sigset_t()
        sigfillset(&all)
        pthread_sigmask(SIG_SETMASK, &all, &before)
        var thread = pthread_t()
        let code = pthread_create(
            &thread, &attributes,
            { argument in
                guard let argument else { return nil }
                _ = linux_set_thread_name("claviger-client")
                Unmanaged<Connection>.fromOpaque(argument).takeRetainedValue().serve()
                return nil
            }, context.toOpaque())
        pthread_sigmask(SIG_SETMASK, &before, nil)
        guard code == 0 else {
            context.release()
            throw .resources(code: code)
        }
    }
}
