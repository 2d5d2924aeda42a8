import CLinux
import ClavigerCore
import Glibc

/// Why a peer's identity could not be told.
package enum PeerIdentityError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The kernel did not answer `option` of the socket; `code` is errno.
    case socketOption(String, code: Int32)
    /// The daemon's user namespace does not map every user and group to itself.
    case privateUsers

    /// The reason for people, in one line.
    package var description: String {
        switch self {
        case .socketOption(let option, let code): "cannot read \(option) of a connection: \(String(cString: strerror(code)))"
        case .privateUsers:
            "the daemon runs in a user namespace that hides its callers (they would all look like 65534); remove PrivateUsers= from its unit"
        }
    }
}

/// Tells who is at the other end of a Unix socket, from what the kernel recorded at connect(2).
package enum PeerIdentity {
    /// Groups that a process can have: Linux's NGROUPS_MAX.
    static let groupMaximum = 65_536
    /// Groups that nearly every process fits; more cost a second call.
    private static let usualGroups = 64

    /// The caller at the other end of a connected Unix stream socket.
    ///
    /// Unit and namespaces are those of the connecting process while this runs; that process must still live then, else there is no
    /// unit. If it hands the connection on later, the identity stays the connector's. Throws when the kernel does not answer, also
    /// for want of descriptors: then nothing is known and the connection must be closed.
    package static func caller(of socket: Int32) throws(PeerIdentityError) -> Caller {
        var pid: Int32 = 0
        var uid: UInt32 = 0
        var gid: UInt32 = 0
        guard linux_peer_credentials(socket, &pid, &uid, &gid) == 0 else { throw .socketOption("SO_PEERCRED", code: errno) }
        let groups = try groups(of: socket)
        let handle = try processHandle(of: socket, pid: pid)
        var place = ProcessPlace.unknown
        if let handle {
            place = self.place(pid: pid, uid: uid, handle: handle)
            close(handle.descriptor)
        }
        return Caller(
            pid: pid, uid: uid, gid: gid, groups: groups, unit: place.unit, pidfdVerified: handle?.fromKernel ?? false,
            isForeign: !place.isOurs)
    }

    /// Throws ``PeerIdentityError/privateUsers`` unless this process sees all users and groups under their own numbers.
    ///
    /// In any other user namespace (PrivateUsers=) SO_PEERCRED shows nearly everybody as 65534, and rules would match strangers.
    package static func verifyIdentityUserNamespace() throws(PeerIdentityError) {
        guard isIdentityMap(ProcessFile.text("/proc/self/uid_map")), isIdentityMap(ProcessFile.text("/proc/self/gid_map")) else {
            throw .privateUsers
        }
    }

    /// Whether a uid_map or gid_map (user_namespaces(7)) maps every number to itself.
    static func isIdentityMap(_ text: String?) -> Bool {
        text?.split(whereSeparator: \.isWhitespace).map(String.init) == ["0", "0", "4294967295"]
    }

    private static func groups(of socket: Int32) throws(PeerIdentityError) -> [UInt32] {
        for capacity in [usualGroups, groupMaximum] {
            var count: Int32 = 0
            var code: Int32 = 0
            let groups = [UInt32](unsafeUninitializedCapacity: capacity) { buffer, filled in
                count = linux_peer_groups(socket, buffer.baseAddress, Int32(capacity))
                code = errno
                filled = max(0, Int(count))
            }
            if count >= 0 { return groups }
            guard code == ERANGE, capacity < groupMaximum else { throw .socketOption("SO_PEERGROUPS", code: code) }
        }
        return []
    }

    /// A pidfd of the peer.
    private struct ProcessHandle {
        let descriptor: Int32
        /// Bound to the peer by the kernel; else opened by number, and the number may have been another's by then.
        let fromKernel: Bool
    }

    /// Nil when the process has gone.
    private static func processHandle(of socket: Int32, pid: Int32) throws(PeerIdentityError) -> ProcessHandle? {
        var descriptor = linux_peer_pidfd(socket)
        if descriptor >= 0 { return ProcessHandle(descriptor: descriptor, fromKernel: true) }
        // Kernels before 6.5 do not hand out the peer's own pidfd; no process has the number 0 (one that we cannot see).
        if errno == ENOPROTOOPT && pid > 0 {
            descriptor = linux_pidfd_open(pid)
            if descriptor >= 0 { return ProcessHandle(descriptor: descriptor, fromKernel: false) }
        }
        // Want of descriptors or memory says nothing about the peer; every other answer says that it has gone.
        let code = errno
        guard code != EMFILE && code != ENFILE && code != ENOMEM else { throw .socketOption("SO_PEERPIDFD", code: code) }
        return nil
    }

    /// Where a process lives.
    private struct ProcessPlace {
        /// Whether it was seen to live in our user and pid namespaces.
        let isOurs: Bool
        let unit: String?

        /// Gone, or not to be seen: it may live anywhere.
        static let unknown = ProcessPlace(isOurs: false, unit: nil)
    }

    private static func place(pid: Int32, uid: UInt32, handle: ProcessHandle) -> ProcessPlace {
        // fdinfo gives the process's number in our pid namespace, 0 when it is not in ours, -1 when it has gone.
        guard pid > 0, let info = ProcessFile.text("/proc/self/fdinfo/\(handle.descriptor)"),
            let number = ProcessFile.field("Pid", of: info), number.filter({ !$0.isWhitespace }) == String(pid)
        else { return .unknown }
        let directory = "/proc/\(pid)"
        // A kernel that does not bind the pidfd still records the uid: a process that took over the number must at least be that user's.
        guard handle.fromKernel || owner(of: directory) == uid else { return .unknown }
        guard isInOurNamespaces(directory) else { return .unknown }
        let cgroup = ProcessFile.text("\(directory)/cgroup")
        // Alive after the reading: so the number has been this process's all the while, and what was read is about it.
        guard isAlive(handle.descriptor) else { return .unknown }
        return ProcessPlace(isOurs: true, unit: cgroup.flatMap(PeerUnit.parse))
    }

    /// Whether the process of `directory` is in our user and pid namespaces; in others a container's root decides what it looks like.
    private static func isInOurNamespaces(_ directory: String) -> Bool {
        guard isIdentityMap(ProcessFile.text("\(directory)/uid_map")), let status = ProcessFile.text("\(directory)/status") else {
            return false
        }
        // One number: the process has no further ones in pid namespaces below ours (proc_pid_status(5)).
        return ProcessFile.field("NSpid", of: status)?.split(whereSeparator: \.isWhitespace).count == 1
    }

    private static func owner(of path: String) -> UInt32? {
        var status = stat()
        return stat(path, &status) == 0 ? status.st_uid : nil
    }

    private static func isAlive(_ descriptor: Int32) -> Bool {
        var request = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        // pidfd_open(2): readable once the process has terminated.
        return poll(&request, 1, 0) == 0
    }
}
