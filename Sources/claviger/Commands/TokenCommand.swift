import ArgumentParser
import ClavigerClient

/// `claviger token`.
struct TokenCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "token",
        abstract: "Describes the token.",
        discussion: """
            Examples:
              claviger token status
            """,
        subcommands: [Status.self])

    /// `claviger token status`, through the daemon.
    struct Status: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Shows module, slot, label, serial, login, PIN flags and the mechanisms that matter.",
            discussion: """
                Examples:
                  claviger token status
                  claviger token status --json | jq -r .serial

                JSON: module, library, slot, label, manufacturer, model, serial, loggedIn, flags (the number), pinFlags (names \
                of those that are set), sessions, maximumSessions, mechanisms: name, present, use.
                """)

        @OptionGroup var options: GlobalOptions

        func run() throws {
            let status = try options.ask { (client) throws(ClientError) in try client.tokenStatus() }
            options.print(TokenStatusDocument(status), orText: TokenStatusDocument.text(status))
        }
    }
}
