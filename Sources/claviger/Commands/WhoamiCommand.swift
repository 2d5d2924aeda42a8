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

            JSON: uid, gid, pid, groups, unit, permissions.
            """)

    @OptionGroup var options: GlobalOptions

    func run() throws {
        let caller = try options.ask { (client) throws(ClientError) in try client.whoami() }
        let document = Document(
            uid: caller.uid, gid: caller.gid, pid: caller.pid, groups: caller.groups, unit: caller.unit,
            permissions: caller.permissions)
        try options.print(document, orText: WhoamiCommand.text(caller))
    }

    private static func text(_ caller: WhoamiReply) -> String {
        Table.pairs([
            ("uid", String(caller.uid)), ("gid", String(caller.gid)),
            ("pid", caller.pid == 0 ? "not visible to the daemon" : String(caller.pid)),
            ("groups", caller.groups.isEmpty ? "none" : caller.groups.map(String.init).joined(separator: " ")),
            ("unit", caller.unit ?? "none"),
            ("may", caller.permissions.isEmpty ? "nothing" : caller.permissions.joined(separator: " ")),
        ])
    }

    private struct Document: Encodable {
        var uid: UInt32
        var gid: UInt32
        var pid: UInt32
        var groups: [UInt32]
        var unit: String?
        var permissions: [String]
    }
}
