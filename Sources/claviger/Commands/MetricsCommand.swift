import ArgumentParser
import ClavigerClient

/// `claviger metrics`.
struct MetricsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "metrics",
        abstract: "Prints the daemon's figures as OpenMetrics text.",
        discussion: """
            Examples:
              claviger metrics
              claviger metrics > /var/lib/node_exporter/claviger.prom.new && \
                mv /var/lib/node_exporter/claviger.prom.new /var/lib/node_exporter/claviger.prom

            JSON: text.
            """)

    @OptionGroup var options: GlobalOptions

    func run() throws {
        let metrics = try options.ask { (client) throws(ClientError) in try client.metrics() }
        var text = metrics
        if text.hasSuffix("\n") { text.removeLast() }
        try options.print(MetricsDocument(text: metrics), orText: text)
    }
}

private struct MetricsDocument: Encodable {
    var text: String
}
