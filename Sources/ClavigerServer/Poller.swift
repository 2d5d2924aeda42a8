import CLinux
import Glibc

/// What epoll said about a descriptor.
struct PollEvent {
    /// The number given when it was added.
    let token: UInt64
    private let events: UInt32

    init(_ event: epoll_event) {
        token = event.data.u64
        events = event.events
    }

    var isReadable: Bool { events & EPOLLIN.rawValue != 0 }
    var isWritable: Bool { events & EPOLLOUT.rawValue != 0 }
    /// Both directions are over: nobody reads replies any more.
    var isHungUp: Bool { events & (EPOLLHUP.rawValue | EPOLLERR.rawValue) != 0 }
}

/// What to wait for on a connection.
struct Interest: OptionSet {
    let rawValue: UInt32
    static let input = Interest(rawValue: EPOLLIN.rawValue)
    static let output = Interest(rawValue: EPOLLOUT.rawValue)
}

/// An epoll set that several threads wait on.
struct Poller: ~Copyable, Sendable {
    private let descriptor: Int32

    init() throws(ServerError) {
        descriptor = epoll_create1(Int32(EPOLL_CLOEXEC))
        guard descriptor >= 0 else { throw .system(call: "epoll_create1", code: errno) }
    }

    deinit { close(descriptor) }

    /// Adds a connection: one event, then silence until ``rearm(_:token:_:)``. An empty interest still reports a hang-up.
    func add(_ target: Int32, token: UInt64, _ interest: Interest) -> Bool {
        control(EPOLL_CTL_ADD, target, token, interest.rawValue | EPOLLONESHOT.rawValue)
    }

    /// Waits for the next event of a connection added before.
    func rearm(_ target: Int32, token: UInt64, _ interest: Interest) -> Bool {
        control(EPOLL_CTL_MOD, target, token, interest.rawValue | EPOLLONESHOT.rawValue)
    }

    /// Adds a descriptor that stays reported as long as it is readable.
    func addLevel(_ target: Int32, token: UInt64) -> Bool { control(EPOLL_CTL_ADD, target, token, EPOLLIN.rawValue) }

    /// The next event; nil after `timeout` milliseconds (-1: never) or a signal.
    func wait(timeout: Int32) -> PollEvent? {
        var event = epoll_event()
        return epoll_wait(descriptor, &event, 1, timeout) == 1 ? PollEvent(event) : nil
    }

    private func control(_ operation: Int32, _ target: Int32, _ token: UInt64, _ events: UInt32) -> Bool {
        var event = epoll_event()
        event.events = events
        event.data.u64 = token
        return epoll_ctl(descriptor, operation, target, &event) == 0
    }
}

/// An eventfd: a counter that threads can wait on.
struct EventCounter: ~Copyable, Sendable {
    let descriptor: Int32

    /// - Parameter semaphore: each ``take()`` lowers the counter by one, instead of to zero.
    init(semaphore: Bool) throws(ServerError) {
        let flags = Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK) | (semaphore ? Int32(EFD_SEMAPHORE) : 0)
        descriptor = eventfd(0, flags)
        guard descriptor >= 0 else { throw .system(call: "eventfd", code: errno) }
    }

    deinit { close(descriptor) }

    /// Raises the counter by one.
    func signal() { _ = eventfd_write(descriptor, 1) }

    /// Lowers the counter; false when it was zero.
    func take() -> Bool {
        var value: eventfd_t = 0
        return eventfd_read(descriptor, &value) == 0
    }

    /// Waits until the counter is not zero, at most `timeout` milliseconds (-1: for ever); does not lower it.
    func wait(timeout: Int32) {
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        _ = poll(&entry, 1, timeout)
    }
}
