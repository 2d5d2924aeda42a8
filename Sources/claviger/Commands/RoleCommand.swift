import ArgumentParser
import ClavigerClient

/// `claviger access role`.
struct RoleCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "role",
        abstract: "Makes and removes roles of your own.",
        subcommands: [Create.self, Delete.self])

    /// `claviger access role create`.
    struct Create: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Makes a role of chosen permissions.",
            discussion: """
                'claviger access roles' shows the permissions that there are. A role is never changed: make another and grant that.

                Examples:
                  claviger access role create Rotator rotate-keys read-keys
                  claviger access role create Backup-reader read-keys read-rings --summary "for the nightly report"
                """)

        @Argument(help: "The new role's name: 2 to 64 letters, digits, '-' and '_'.")
        var name: String

        @Argument(help: "What it allows.")
        var permissions: [String]

        @Option(help: "What it is for.")
        var summary: String?

        @OptionGroup var options: GlobalOptions

        func run() throws {
            let role = try options.ask { (client) throws(ClientError) in
                try client.createRole(name: name, permissions: permissions, summary: summary)
            }
            let text = Table.pairs([("role", role.name), ("allows", role.permissions.joined(separator: " "))])
            try options.print(RoleDocument(role), orText: text)
        }
    }

    /// `claviger access role delete`.
    struct Delete: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Removes a role that no grant names.",
            discussion: """
                Examples:
                  claviger access role delete Rotator
                """)

        @Argument(help: "The role's name.")
        var name: String

        @OptionGroup var options: GlobalOptions

        func run() throws {
            try options.ask { (client) throws(ClientError) in try client.deleteRole(name) }
            try options.print(Document(deleted: name), orText: "removed role '\(Text.safe(name))'")
        }

        private struct Document: Encodable { var deleted: String }
    }
}

/// A role as JSON.
struct RoleDocument: Encodable {
    var name: String
    var summary: String
    var builtIn: Bool
    var permissions: [String]

    init(_ role: RoleRecord) {
        name = role.name
        summary = role.summary
        builtIn = role.isBuiltIn
        permissions = role.permissions
    }
}
