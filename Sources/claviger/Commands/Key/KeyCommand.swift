import ArgumentParser

/// `claviger key`.
struct KeyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "key",
        abstract: "Everything about keys: from creation over rotation to their end.",
        discussion: """
            A root key wraps and unwraps data keys and never leaves its token. A standard key is a secret that is kept for you, \
            sealed by the token, and that those who may can read back.

            Examples:
              claviger key create payroll
              claviger key list --state all
              claviger key rotate payroll
              claviger key delete payroll --dry-run

            A KEY is named by its id, an alias or its name; an id is never misunderstood.
            """,
        subcommands: [
            Create.self, Import.self, List.self, Show.self, Read.self, Update.self, Move.self, Rotate.self, Versions.self,
            Census.self,
            Version.self, Disable.self, Enable.self, Delete.self, Restore.self, Purge.self,
        ])
}
