import ArgumentParser
import ClavigerClient

/// `claviger whoami`.
struct WhoamiCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "whoami",
        abstract: "Says who the kernel tells the daemon you are, and what you may do.",
        discussion: """
            Examples:
              claviger whoami
              claviger whoami --json | jq .permissions

            What you may do is what your grants allow, somewhere; 'claviger access explain' tells an admin about one key.

            JSON: uid, gid, pid, groups, unit, permissions, proven, foreign, grants.
            """)

    @OptionGroup var options: GlobalOptions

    func run() throws {
        let caller = try options.ask { (client) throws(ClientError) in try client.whoami() }
        let document = Document(
            uid: caller.uid, gid: caller.gid, pid: caller.pid, groups: caller.groups, unit: caller.unit,
            permissions: caller.permissions, proven: caller.isProven, foreign: caller.isForeign, grants: caller.grants)
        try options.print(document, orText: WhoamiCommand.text(caller))
    }

    private static func text(_ caller: WhoamiReply) -> String {
        var pairs = [
            ("uid", String(caller.uid)), ("gid", String(caller.gid)),
            ("pid", caller.pid == 0 ? "not visible to the daemon" : String(caller.pid)),
            ("groups", caller.groups.isEmpty ? "none" : caller.groups.map(String.init).joined(separator: " ")),
            ("unit", caller.unit ?? "none"),
            ("may", caller.permissions.isEmpty ? "nothing" : caller.permissions.joined(separator: " ")),
        ]
        if caller.isForeign == true {
            pairs.append(("note", "you live in other namespaces than the daemon: no grant is for you"))
        }
        if caller.isProven == false { pairs.append(("note", "the kernel is too old to prove which process you are")) }
        for grant in caller.grants ?? [] { pairs.append(("grant", grant)) }
        return Table.pairs(pairs)
    }

    private struct Document: Encodable {
        var uid: UInt32
        var gid: UInt32
        var pid: UInt32
        var groups: [UInt32]
        var unit: String?
        var permissions: [String]
        var proven: Bool?
        var foreign: Bool?
        var grants: [String]?
    }
}
