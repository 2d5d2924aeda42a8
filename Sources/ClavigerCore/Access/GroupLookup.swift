import Glibc

/// Finds the numbers of groups.
package enum GroupLookup {
    /// The number of a group; nil when there is none of that name.
    package static func number(_ group: Configuration.GroupName) -> UInt32? {
        switch group {
        case .number(let number): return number
        case .name(let name):
            var entry = Glibc.group()
            var found: UnsafeMutablePointer<Glibc.group>?
            // Grows until the entry fits: a group's members stand in it.
            var size = 1_024
            while size <= 1 << 20 {
                let (code, number) = withUnsafeTemporaryAllocation(of: CChar.self, capacity: size) { buffer in
                    let code = getgrnam_r(name, &entry, buffer.baseAddress, size, &found)
                    return (code, found == nil ? nil : entry.gr_gid)
                }
                if code != ERANGE { return number }
                size *= 4
            }
            return nil
        }
    }
}
