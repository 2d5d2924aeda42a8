import Glibc
import SecureMemory

/// Why a call gave no result. A closed set: each case asks for something else to be done.
public enum ClientError: Error, Equatable, Sendable {
    /// The daemon answered, and refused. Also thrown, with the code that the daemon would give, for what cannot even be encoded.
    case refused(ServerRefusal)
    /// No connection could be made to the socket; `code` is errno. Nothing was sent.
    case unreachable(path: String, code: Int32)
    /// The connection ended before the answer came, and the request may not be sent again by itself (or was, too often). Whether
    /// the daemon did it is not known.
    case connectionLost
    /// No answer came within the deadline and a little beyond. Whether the daemon did it is not known.
    case timedOut
    /// The task was cancelled. Whether the daemon did it is not known.
    case cancelled
    /// The client was closed.
    case closed
    /// What came is not this protocol. The connection was closed.
    case protocolViolation(String)
    /// The process that listens on the socket runs as `uid`, which is neither root, `claviger` nor the caller. Nothing was sent.
    case serverNotTrusted(path: String, uid: UInt32)
    /// Memory for secrets could not be locked.
    case secureMemory(SecureMemoryError)
    /// The kernel gave no thread or descriptor; `code` is errno.
    case resources(code: Int32)
}

extension ClientError: CustomStringConvertible {
    /// What happened, in one line without a full stop.
    public var description: String {
        switch self {
        case .refused(let refusal): refusal.description
        case .unreachable(let path, let code): "cannot reach the daemon at \(path): \(errorText(code))"
        case .connectionLost: "the connection to the daemon was lost before it answered"
        case .timedOut: "the daemon did not answer in time"
        case .cancelled: "the call was cancelled"
        case .closed: "the client is closed"
        case .protocolViolation(let what): "what answered does not speak Claviger's protocol: \(what)"
        case .serverNotTrusted(let path, let uid):
            "the process that listens on \(path) runs as uid \(uid), which is neither root, 'claviger' nor you; nothing was sent"
        case .secureMemory(.cannotLock(let bytes, let code)): "cannot lock \(bytes) bytes of memory: \(errorText(code))"
        case .resources(let code): "the system gives no thread or descriptor: \(errorText(code))"
        }
    }

    /// What a person can do about it, in one line; nil where the daemon's own message says it.
    public var advice: String? {
        switch self {
        case .refused, .cancelled, .closed: nil
        case .unreachable(_, let code): ClientError.reachAdvice(code)
        case .connectionLost, .timedOut:
            "look at 'claviger status' and the daemon's log; a change may have been made, so look before repeating it"
        case .protocolViolation: "check that the socket path is the daemon's, and that client and daemon are of the same version"
        case .serverNotTrusted: "find out who made that socket before you give it a PIN"
        case .secureMemory: "raise the limit of locked memory (ulimit -l, or LimitMEMLOCK= in the unit)"
        case .resources: "raise the limit of open files or processes (ulimit -n, ulimit -u)"
        }
    }

    private static func reachAdvice(_ code: Int32) -> String {
        switch code {
        case ENOENT, ECONNREFUSED:
            "start the daemon (systemctl start claviger), or name its socket with --socket or CLAVIGER_SOCKET"
        case EACCES, EPERM: "ask to be added to the socket's group, then log in again"
        case ENAMETOOLONG: "a socket's path has 107 bytes at most; use a shorter one"
        case EAGAIN: "the daemon accepts no more connections now; try again"
        default: "check the path given by --socket or CLAVIGER_SOCKET"
        }
    }
}

func errorText(_ code: Int32) -> String {
    var buffer = [CChar](repeating: 0, count: 256)
    guard strerror_r(code, &buffer, buffer.count) == 0 else { return "error \(code)" }
    return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
