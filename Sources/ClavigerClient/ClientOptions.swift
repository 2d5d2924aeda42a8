import CLinux
import ClavigerWire

/// How a client reaches the daemon and how long it tries.
public struct ClientOptions: Sendable, Equatable {
    /// Where the daemon listens unless told otherwise.
    public static let defaultSocketPath = "/run/claviger/claviger.sock"
    /// The environment variable that names another socket.
    public static let socketVariable = "CLAVIGER_SOCKET"

    /// The socket's path.
    public var socketPath: String
    /// How long a call may take in all, retries included; from 1 ms to an hour, values outside are moved to the nearest bound.
    /// The daemon is told what is left of it with every attempt, and is given half a second more to say so when it runs out.
    public var deadline: Duration
    /// How often a call may be sent again, or a connection tried again, when that is safe. The eight of the default wait 1.6
    /// seconds in all, which outlasts a restart of the daemon.
    public var retries: Int

    /// Options of these values; without a path, what `CLAVIGER_SOCKET` says, then the default path.
    public init(socketPath: String? = nil, deadline: Duration = .seconds(10), retries: Int = 8) {
        self.socketPath = socketPath ?? ClientOptions.socketFromEnvironment() ?? ClientOptions.defaultSocketPath
        self.deadline = deadline
        self.retries = retries
    }

    /// The time that the daemon has beyond the deadline to refuse an expired request, in nanoseconds.
    static let grace: UInt64 = 500_000_000

    var deadlineNanoseconds: UInt64 {
        let bounded = min(max(deadline, .milliseconds(1)), .milliseconds(Int64(Limits.maximumDeadline)))
        let (seconds, attoseconds) = bounded.components
        return UInt64(seconds) * 1_000_000_000 + UInt64(attoseconds / 1_000_000_000)
    }

    // secure_getenv: a program with raised privileges is not sent elsewhere by who started it.
    private static func socketFromEnvironment() -> String? {
        guard let value = linux_secure_getenv(socketVariable) else { return nil }
        let path = String(cString: value)
        return path.isEmpty ? nil : path
    }
}
