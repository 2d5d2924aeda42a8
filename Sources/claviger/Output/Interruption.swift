import Glibc

/// Runs `body` with the signals that end a program held back: it is done whole, and the program ends after it.
func withoutInterruption<R>(_ body: () throws(CommandFailure) -> R) throws(CommandFailure) -> R {
    var held = sigset_t()
    var before = sigset_t()
    sigemptyset(&held)
    for signal in [SIGHUP, SIGINT, SIGTERM] { sigaddset(&held, signal) }
    pthread_sigmask(SIG_BLOCK, &held, &before)
    defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
    return try body()
}
