import ArgumentParser
import ClavigerClient

/// `claviger health`.
struct HealthCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "health",
        abstract: "Says whether key operations would be served now.",
        discussion: """
            Exit status: 0 when they would be (ready, degraded), 1 when not, 3 when there is no daemon.

            Examples:
              claviger health
              until claviger health > /dev/null 2>&1; do sleep 1; done

            JSON: serves, state, reason.
            """)

    @OptionGroup var options: GlobalOptions

    func run() throws {
        let health = try options.ask { (client) throws(ClientError) in try client.health() }
        try options.print(HealthDocument(health), orText: HealthDocument.text(health))
        if !health.state.serves { throw ExitCode(ExitStatus.refused.rawValue) }
    }
}

/// The reply to health and unlock, as it is printed.
struct HealthDocument: Encodable {
    var serves: Bool
    var state: String
    var reason: String

    init(_ health: HealthReply) {
        serves = health.state.serves
        state = health.state.name
        reason = health.reason
    }

    /// One line for people.
    static func text(_ health: HealthReply) -> String {
        health.reason.isEmpty ? health.state.name : "\(health.state.name): \(Text.safe(health.reason))"
    }
}
