import CLinux
import ClavigerCore
import ClavigerWire
import Glibc
import Logging
import Synchronization

/// The thread that accepts connections and finds out who they are.
final class Acceptor: Sendable {
    private let core: ServerCore
    private let listeners: [Listener]
    private let identify: @Sendable (Int32) throws(PeerIdentityError) -> Caller
    private let stop: EventCounter

    init(
        core: ServerCore, listeners: [Listener], identify: @escaping @Sendable (Int32) throws(PeerIdentityError) -> Caller
    ) throws(ServerError) {
        self.core = core
        self.listeners = listeners
        self.identify = identify
        stop = try EventCounter(semaphore: false)
    }

    /// Makes ``run()`` return soon.
    func end() { stop.signal() }

    /// Accepts until ``end()``.
    func run() {
        var entries = listeners.map { pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0) }
        entries.append(pollfd(fd: stop.descriptor, events: Int16(POLLIN), revents: 0))
        while true {
            guard poll(&entries, nfds_t(entries.count), -1) > 0 else { continue }
            if entries[listeners.count].revents != 0 { return }
            for (entry, listener) in zip(entries, listeners) where entry.revents != 0 { accept(from: listener) }
        }
    }

    // One at a time, so that no listener keeps the others waiting.
    private func accept(from listener: Listener) {
        let descriptor = linux_accept(listener.descriptor)
        guard descriptor >= 0 else {
            switch errno {
            case EAGAIN, EINTR, ECONNABORTED: return
            default:
                // EMFILE, ENFILE, ENOBUFS, ENOMEM: the connection stays in the backlog, and poll would report it again at once.
                core.logger.warning("cannot accept a connection", metadata: ["reason": "\(errorText(errno))"])
                return stop.wait(timeout: ServerLimits.acceptPause)
            }
        }
        guard hasRoom(for: descriptor) else { return refuse(descriptor, Acceptor.full) }
        do throws(PeerIdentityError) {
            let caller = try identify(descriptor)
            guard caller.pidfdVerified || !core.settings.requiresPidfd.load(ordering: .relaxed) else {
                return refuse(descriptor, Refusal(.identityUnproven))
            }
            guard let account = core.callers.enter(caller, ownUser: geteuid(), core.settings) else {
                return refuse(descriptor, Acceptor.full)
            }
            core.table.insert { token in
                Connection(
                    core: core, descriptor: descriptor, caller: caller, account: account, isAdmin: listener.isAdmin,
                    token: token)
            }.open()
        } catch {
            core.logger.warning("connection closed: its peer cannot be identified", metadata: ["reason": "\(error)"])
            close(descriptor)
        }
    }

    // The kernel gives the lowest free number, so the number says how many are in use.
    private func hasRoom(for descriptor: Int32) -> Bool {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return false }
        return UInt64(descriptor) + UInt64(ServerLimits.descriptorReserve) < limit.rlim_cur
    }

    private static let full = Refusal(.busy, "the daemon has too many connections", retryAfter: ServerLimits.busyRetry)

    private func refuse(_ descriptor: Int32, _ refusal: Refusal) {
        let frame = FrameWriter.refusal(refusal, opcode: 0, requestID: 0)
        // Best effort: an empty socket takes so few bytes.
        frame.withUnsafeBytes { _ = send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT)) }
        close(descriptor)
    }
}
