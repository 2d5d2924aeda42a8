import ArgumentParser
import ClavigerAdmin
import ClavigerClient
import ClavigerCore
import Glibc

/// `claviger token`.
struct TokenCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "token",
        abstract: "Sets up and describes the token.",
        discussion: """
            Examples:
              claviger token init --so-pin-out /root/claviger-so.pin
              claviger token status
              claviger token doctor
            """,
        subcommands: [TokenInitCommand.self, Status.self, DoctorCommand.self, AcceptRollbackCommand.self])

    /// `claviger token status`, through the daemon while it runs.
    struct Status: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Shows module, slot, label, serial, login, PIN flags and the mechanisms that matter.",
            discussion: """
                While the daemon runs it is asked; otherwise the token is, without a login, as the configuration names it.

                Examples:
                  claviger token status
                  claviger token status --config /etc/claviger/claviger.toml
                  claviger token status --json | jq -r .serial

                JSON: module, library, slot, label, manufacturer, model, serial, loggedIn, flags (the number), pinFlags (names \
                of those that are set), sessions, maximumSessions, mechanisms: name, present, use.
                """)

        @OptionGroup var configurationOption: ConfigurationOption
        @OptionGroup var options: GlobalOptions

        func run() throws {
            let status = try read()
            try options.print(TokenStatusDocument(status), orText: TokenStatusDocument.text(status))
        }

        private func read() throws(CommandFailure) -> TokenStatusReply {
            do throws(CommandFailure) {
                return try options.ask { (client) throws(ClientError) in try client.tokenStatus() }
            } catch {
                // No daemon: the token itself is asked, if a configuration tells which it is.
                guard error.kind == .unreachable, let configuration = try? configurationOption.load() else { throw error }
                do throws(AdminError) { return try TokenStatus.read(configuration) } catch {
                    throw .failed("\(error)", "see 'claviger token init', or start the daemon")
                }
            }
        }
    }
}
