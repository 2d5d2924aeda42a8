import CLinux
import Glibc

/// The kernel's words for `code`, an errno.
func errorText(_ code: Int32) -> String {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 128) { buffer in
        // The XSI form, as Glibc's module imports it: returns 0 and fills the buffer, zero-terminated.
        guard let base = buffer.baseAddress, strerror_r(code, base, buffer.count) == 0 else { return "error \(code)" }
        return String(cString: base)
    }
}

/// CLOCK_MONOTONIC in nanoseconds: what deadlines are measured with.
package enum MonotonicClock {
    /// The time now.
    package static func now() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}

/// A short sleep for loops that wait for what no descriptor tells.
enum Pause {
    /// A millisecond.
    static func short() { usleep(1_000) }
}
