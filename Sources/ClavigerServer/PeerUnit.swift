/// The systemd system unit that a cgroup path names.
///
/// Only systemd itself (PID 1) can make cgroups outside the units it has delegated, so what counts is the first component below the
/// slices. Names further down are chosen by users (`user@1000.service/payments.service`) or by services with Delegate=, and a parser that
/// looked for the last `.service` would believe them.
enum PeerUnit {
    /// Bytes of a unit name (systemd's UNIT_NAME_MAX with its zero is 256).
    static let nameMaximum = 255
    /// The unit types that hold processes.
    private static let types = ["service", "scope", "socket", "mount", "swap"]
    /// What the kernel appends to the path of a cgroup that was removed.
    private static let removed = " (deleted)"

    /// The unit in the text of `/proc/PID/cgroup`; nil when the process runs in none that systemd manages, or outside the reader's
    /// cgroup namespace.
    static func parse(_ text: String) -> String? {
        // cgroups(7): the line of the unified hierarchy is "0::" and the path. The others belong to version 1, where names mean nothing.
        guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix("0::/") }) else { return nil }
        guard !line.hasSuffix(removed) else { return nil }
        let components = line.dropFirst("0::/".count).split(separator: "/", omittingEmptySubsequences: false).map(unescaped)
        // A path that climbs belongs to a process outside our cgroup namespace.
        guard !components.contains("..") else { return nil }
        guard let unit = components.first(where: { !isName($0, ofTypes: ["slice"]) }) else { return nil }
        return isName(unit, ofTypes: types) ? String(unit) : nil
    }

    /// systemd puts one '_' before names that the kernel could take for files of its own (such as `cpu.slice`).
    private static func unescaped(_ component: Substring) -> Substring {
        component.hasPrefix("_") ? component.dropFirst() : component
    }

    /// Whether `name` is a unit's name of one of `types`, by the rules of systemd.unit(5).
    private static func isName(_ name: Substring, ofTypes types: [String]) -> Bool {
        guard name.utf8.count <= nameMaximum, let dot = name.lastIndex(of: "."), dot > name.startIndex else { return false }
        guard types.contains(String(name[name.index(after: dot)...])) else { return false }
        return name.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                true
            case UInt8(ascii: ":"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: "\\"),
                UInt8(ascii: "@"):
                true
            default: false
            }
        }
    }
}
