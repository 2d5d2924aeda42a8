import SecureMemory

/// Why the server cannot start.
package enum ServerError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The locked memory that the buffers need is not allowed; both numbers are bytes.
    case lockedMemory(needed: Int, allowed: Int)
    /// The kernel refused to lock memory that it should allow; `code` is errno.
    case cannotLock(bytes: Int, code: Int32)
    /// A system call failed; `code` is errno.
    case system(call: String, code: Int32)

    init(_ error: SecureMemoryError) {
        switch error {
        case .cannotLock(let bytes, let code): self = .cannotLock(bytes: bytes, code: code)
        }
    }

    /// The reason for people, in one line, and what to do.
    package var description: String {
        switch self {
        case .lockedMemory(let needed, let allowed):
            "the server needs \(needed) bytes of locked memory and may have \(allowed): raise LimitMEMLOCK= in the unit "
                + "(ulimit -l), or lower workers.count"
        case .cannotLock(let bytes, let code):
            "\(bytes) bytes of memory cannot be locked (\(errorText(code))): raise LimitMEMLOCK= in the unit (ulimit -l)"
        case .system(let call, let code): "\(call) failed: \(errorText(code))"
        }
    }
}
