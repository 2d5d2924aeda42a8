import CLinux
import Glibc

/// What the service manager passed that cannot be used.
package enum ServiceManagerError: Error, Sendable, Equatable, CustomStringConvertible {
    /// An environment variable of the protocol does not hold what it should.
    case malformed(variable: String, value: String)
    /// A passed descriptor is not a listening Unix stream socket.
    case notAListener(descriptor: Int32, name: String, reason: String)
    /// The notification socket could not be reached; `code` is errno.
    case cannotNotify(code: Int32)

    /// The reason for people, in one line.
    package var description: String {
        switch self {
        case .malformed(let variable, let value): "\(variable)=\(value) from the service manager makes no sense"
        case .notAListener(let descriptor, let name, let reason):
            "socket \(descriptor) (\(name)) from the service manager \(reason); give the .socket unit ListenStream= with a path"
        case .cannotNotify(let code): "cannot notify the service manager: \(String(cString: strerror(code)))"
        }
    }
}

/// What a service tells its manager (sd_notify(3)).
package enum ServiceState: Sendable, Equatable {
    /// Started, or done with reloading.
    case ready
    /// Reloading its configuration.
    case reloading
    /// On its way out.
    case stopping
    /// One line for `systemctl status`.
    case status(String)
    /// Still alive.
    case watchdog
}

/// The service manager's side of the daemon: readiness, watchdog and passed sockets, spoken without libsystemd.
///
/// Where no service manager is, ``notify(_:)`` does nothing and there are no sockets.
package final class ServiceManager: Sendable {
    /// A listening socket that the manager bound.
    package struct PassedSocket: Sendable, Equatable {
        /// Its descriptor, close-on-exec.
        package let descriptor: Int32
        /// FileDescriptorName= of the .socket unit; "unknown" when the manager told no names.
        package let name: String
    }

    /// The first passed descriptor (SD_LISTEN_FDS_START).
    package static let firstPassedDescriptor: Int32 = 3
    /// Sockets accepted at most: a unit passes one or two, and a wild number must not walk over all descriptors.
    static let socketMaximum = 16
    /// Bytes of a status line: the manager drops messages past 4,096.
    static let statusMaximum = 1024
    /// Seconds that a message may wait for room in the manager's queue.
    private static let sendTimeoutSeconds = 5
    /// The environment variables of the protocol.
    static let variables = [
        "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID",
    ]

    /// The sockets that the manager passed, in its order.
    package let sockets: [PassedSocket]
    /// How often to send ``ServiceState/watchdog``: half the time after which the manager kills a silent service; nil for never.
    package let watchdogInterval: Duration?
    private let address: String?
    // Held from the start: a daemon short of descriptors must still be able to say that it lives.
    private let descriptor: Int32

    /// Takes what the manager put into the environment, and removes it, so that no child takes it for its own.
    ///
    /// To be called before any thread starts (unsetenv(3)). Throws ``ServiceManagerError/malformed(variable:value:)`` and
    /// ``ServiceManagerError/notAListener(descriptor:name:reason:)``; the variables are gone then too.
    package static func takeFromEnvironment(
        firstDescriptor: Int32 = firstPassedDescriptor
    ) throws(ServiceManagerError) -> ServiceManager {
        var environment: [String: String] = [:]
        for name in variables {
            if let value = getenv(name) { environment[name] = String(cString: value) }
            unsetenv(name)
        }
        return try ServiceManager(environment: environment, pid: getpid(), firstDescriptor: firstDescriptor)
    }

    /// A manager as `environment` describes it to the process `pid`.
    init(environment: [String: String], pid: Int32, firstDescriptor: Int32) throws(ServiceManagerError) {
        sockets = try Self.sockets(environment, pid: pid, first: firstDescriptor)
        watchdogInterval = try Self.watchdogInterval(environment, pid: pid)
        // An empty variable counts as none.
        if let address = environment["NOTIFY_SOCKET"], !address.isEmpty {
            // "vsock:" addresses are for virtual machines, whose own manager offers a Unix socket.
            let fits = (2...Int(linux_unix_path_maximum())).contains(address.utf8.count)
            guard fits, address.hasPrefix("/") || address.hasPrefix("@") else {
                throw .malformed(variable: "NOTIFY_SOCKET", value: address)
            }
            let socket = linux_unix_datagram_socket()
            guard socket >= 0 else { throw .cannotNotify(code: errno) }
            // A manager that does not read must not hang the thread that tells it so.
            var patience = timeval(tv_sec: Self.sendTimeoutSeconds, tv_usec: 0)
            setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
            self.address = address
            descriptor = socket
        } else {
            address = nil
            descriptor = -1
        }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// Sends `states` in one message, in order. Safe on any thread.
    ///
    /// Waits at most five seconds for a manager that does not read. Throws ``ServiceManagerError/cannotNotify(code:)``; a running
    /// service had better log that than stop for it.
    package func notify(_ states: ServiceState...) throws(ServiceManagerError) {
        guard let address else { return }
        let message = states.map(Self.line).joined(separator: "\n")
        // Connecting again each time finds a manager that has bound its socket anew; threads may overtake, the address is the same.
        guard linux_unix_connect(descriptor, address) == 0 else { throw .cannotNotify(code: errno) }
        let bytes = Array(message.utf8)
        var sent = 0
        repeat { sent = send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) } while sent < 0 && errno == EINTR
        guard sent == bytes.count else { throw .cannotNotify(code: errno) }
    }

    private static func line(_ state: ServiceState) -> String {
        switch state {
        case .ready: return "READY=1"
        case .reloading:
            // Type=notify-reload: the manager compares this time with that of its signal.
            var now = timespec()
            clock_gettime(CLOCK_MONOTONIC, &now)
            return "RELOADING=1\nMONOTONIC_USEC=\(Int64(now.tv_sec) * 1_000_000 + Int64(now.tv_nsec) / 1000)"
        case .stopping: return "STOPPING=1"
        case .status(let text): return "STATUS=" + oneLine(text)
        case .watchdog: return "WATCHDOG=1"
        }
    }

    /// A line break in the text would begin another assignment.
    private static func oneLine(_ text: String) -> String {
        var line = ""
        for scalar in text.unicodeScalars {
            let scalar = scalar.properties.generalCategory == .control ? " " : scalar
            guard line.utf8.count + UTF8.width(scalar) <= statusMaximum else { break }
            line.unicodeScalars.append(scalar)
        }
        return line
    }

    private static func watchdogInterval(
        _ environment: [String: String], pid: Int32
    ) throws(ServiceManagerError) -> Duration? {
        guard let text = environment["WATCHDOG_USEC"], !text.isEmpty else { return nil }
        // Without a pid the watchdog is for whoever reads it (sd_watchdog_enabled(3)).
        if let owner = environment["WATCHDOG_PID"], try number("WATCHDOG_PID", owner, as: Int32.self) != pid { return nil }
        let period = try number("WATCHDOG_USEC", text, as: Int64.self)
        guard period > 0 else { throw .malformed(variable: "WATCHDOG_USEC", value: text) }
        return .microseconds(period / 2)
    }

    private static func sockets(
        _ environment: [String: String], pid: Int32, first: Int32
    ) throws(ServiceManagerError) -> [PassedSocket] {
        guard let owner = environment["LISTEN_PID"], let text = environment["LISTEN_FDS"] else { return [] }
        // Another process's sockets: a parent that was activated left its environment to us.
        guard try number("LISTEN_PID", owner, as: Int32.self) == pid else { return [] }
        let count = try number("LISTEN_FDS", text, as: Int32.self)
        guard (0...Int32(socketMaximum)).contains(count) else { throw .malformed(variable: "LISTEN_FDS", value: text) }
        var names = [String](repeating: "unknown", count: Int(count))
        if let list = environment["LISTEN_FDNAMES"] {
            let told = list.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
            guard told.count == names.count || (names.isEmpty && list.isEmpty) else {
                throw .malformed(variable: "LISTEN_FDNAMES", value: list)
            }
            if !names.isEmpty { names = told }
        }
        var sockets: [PassedSocket] = []
        for (offset, name) in names.enumerated() {
            let socket = PassedSocket(descriptor: first + Int32(offset), name: name)
            try verifyListener(socket)
            sockets.append(socket)
        }
        return sockets
    }

    private static func verifyListener(_ socket: PassedSocket) throws(ServiceManagerError) {
        func refuse(_ reason: String) -> ServiceManagerError {
            .notAListener(descriptor: socket.descriptor, name: socket.name, reason: reason)
        }
        let flags = fcntl(socket.descriptor, F_GETFD)
        guard flags >= 0, fcntl(socket.descriptor, F_SETFD, flags | FD_CLOEXEC) == 0 else { throw refuse("is not open") }
        guard let domain = option(SO_DOMAIN, of: socket.descriptor) else { throw refuse("is not a socket") }
        guard domain == AF_UNIX else { throw refuse("is not a Unix socket") }
        guard option(SO_TYPE, of: socket.descriptor) == Int32(SOCK_STREAM.rawValue) else {
            throw refuse("is not a stream socket")
        }
        guard option(SO_ACCEPTCONN, of: socket.descriptor) == 1 else { throw refuse("does not listen (Accept=yes?)") }
    }

    private static func option(_ name: Int32, of socket: Int32) -> Int32? {
        var value: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        return getsockopt(socket, SOL_SOCKET, name, &value, &length) == 0 ? value : nil
    }

    private static func number<Number: FixedWidthInteger>(
        _ variable: String, _ text: String, as type: Number.Type
    ) throws(ServiceManagerError) -> Number {
        guard let number = Number(text), number >= 0 else { throw .malformed(variable: variable, value: text) }
        return number
    }
}
