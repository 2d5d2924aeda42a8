import ArgumentParser
import ClavigerClient

/// `claviger token accept-rollback`.
struct AcceptRollbackCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "accept-rollback",
        abstract: "Has the daemon believe a database that was changed by hand or put back from a copy.",
        discussion: """
            The daemon refuses such a database, and 'claviger status' says what is wrong with it: grants that were revoked, keys that \
            were disabled and approvals that were given are as they stand there, not as they were. Accept it only when you know where \
            it comes from, as after a restore. Root and the daemon's own user may; the record says so.

            Examples:
              claviger status
              claviger token accept-rollback --yes

            JSON: serves, state, reason.
            """)

    @OptionGroup var confirmation: ConfirmationOption
    @OptionGroup var options: GlobalOptions

    func run() throws {
        try confirmation.confirm { () throws(CommandFailure) in
            let health = try options.ask { (client) throws(ClientError) in try client.health() }
            return "\(Text.safe(health.reason))\nThe database is taken for true as it stands."
        }
        let health = try options.ask { (client) throws(ClientError) in try client.acceptRollback() }
        try options.print(HealthDocument(health), orText: HealthDocument.text(health))
    }
}
