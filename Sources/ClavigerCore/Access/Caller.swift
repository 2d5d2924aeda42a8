/// The kernel-verified peer of a connection: who connected, as the kernel recorded it at connect(2).
///
/// Nothing in it comes from the peer's own words. Numbers are those of the daemon's user and pid namespaces.
package struct Caller: Sendable, Equatable {
    /// The process that connected; 0 when it lives in a pid namespace that the daemon cannot see.
    package let pid: Int32
    /// The effective user at connect.
    package let uid: UInt32
    /// The effective group at connect.
    package let gid: UInt32
    /// The supplementary groups at connect, ascending, without repetitions. `gid` is among them only if the kernel listed it.
    package let groups: [UInt32]
    /// The systemd system unit in which the process ran when the connection was accepted, such as `nginx.service`; nil when it ran in
    /// none or when that could not be told without doubt.
    package let unit: String?
    /// Whether pid and unit were read through a pidfd that the kernel bound to the connecting process, so that a reused pid cannot
    /// have stood in for it. False on kernels before 6.5: then a process that won the race could lend its unit.
    package let pidfdVerified: Bool
    /// Whether the process lives in a user or pid namespace other than the daemon's, or was gone before that could be told. Its numbers
    /// are then such as a container's root may have chosen: no grant is for it.
    package let isForeign: Bool

    /// A caller of these attributes; `groups` may come in any order.
    package init(
        pid: Int32, uid: UInt32, gid: UInt32, groups: [UInt32], unit: String?, pidfdVerified: Bool, isForeign: Bool = false
    ) {
        self.pid = pid
        self.uid = uid
        self.gid = gid
        self.groups = Set(groups).sorted()
        self.unit = unit
        self.pidfdVerified = pidfdVerified
        self.isForeign = isForeign
    }

    /// Whether `group` is the caller's effective group or one of its supplementary groups.
    package func isMember(of group: UInt32) -> Bool {
        if group == gid { return true }
        var low = 0
        var high = groups.count
        while low < high {
            let middle = low + (high - low) / 2
            if groups[middle] == group { return true }
            if groups[middle] < group { low = middle + 1 } else { high = middle }
        }
        return false
    }
}

extension Caller {
    /// Who it is, for records that people read: `uid:1001`, or `payroll.service/uid:1001`.
    package var label: String { unit.map { "\($0)/uid:\(uid)" } ?? "uid:\(uid)" }
}
