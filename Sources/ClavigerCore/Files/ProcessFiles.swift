import Glibc

/// What `/proc` shows of other users' processes.
package enum ProcessFiles {
    /// Whether it can be told in which unit a process of another user runs. Not so where `/proc` is mounted with `hidepid`: process
    /// 1 is always there, and the file that names its unit is for all to read otherwise.
    package static var areVisible: Bool { areVisible(below: "/proc") }

    static func areVisible(below root: String) -> Bool {
        let descriptor = open(root + "/1/cgroup", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return false }
        close(descriptor)
        return true
    }
}
