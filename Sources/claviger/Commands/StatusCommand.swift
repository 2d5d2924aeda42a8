import ArgumentParser
import ClavigerClient

/// `claviger status`.
struct StatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Describes the daemon and its state.",
        discussion: """
            States: ready; degraded (serves, but look at the reason); lost (the token does not answer, the daemon tries again by \
            itself); needs-operator; sealed (waits for 'claviger unlock').

            Examples:
              claviger status
              claviger status --json | jq -r .state

            JSON: state, reason, version, instance, uptimeMs, keys, workers, connections, requests, queued, quarantined, anchored, \
            damagedFiles.
            """)

    @OptionGroup var options: GlobalOptions

    func run() throws {
        let status = try options.ask { (client) throws(ClientError) in try client.status() }
        try options.print(StatusDocument(status), orText: StatusCommand.text(status))
    }

    private static func text(_ status: StatusReply) -> String {
        var pairs = [("state", status.health.state.name)]
        if !status.health.reason.isEmpty { pairs.append(("reason", status.health.reason)) }
        pairs += [
            ("version", status.version), ("instance", status.instance?.description ?? "not known yet"),
            ("uptime", Text.span(status.uptime)), ("keys", String(status.keys)), ("workers", String(status.workers)),
            ("connections", String(status.connections)), ("requests", String(status.requests)),
            ("queued", String(status.queued)),
        ]
        if status.quarantined > 0 {
            pairs.append(("quarantined", "\(status.quarantined) objects on the token have no record; see the daemon's log"))
        }
        if status.isAnchored == false {
            pairs.append(("rollback", "not noticed: the token does not remember which database is the newest"))
        }
        if let damaged = status.damagedFiles, damaged > 0 {
            let isOrphan = status.health.state == .ready
            pairs.append(
                (
                    "damaged files",
                    "\(damaged) in the token's storage; "
                        + (isOrphan ? "no key is missing; see the daemon's log" : "keys may be in them: do not remove them")
                ))
        }
        return Table.pairs(pairs)
    }
}

private struct StatusDocument: Encodable {
    var state: String
    var reason: String
    var version: String
    var instance: String?
    var uptimeMs: UInt64
    var keys: UInt32
    var workers: UInt32
    var connections: UInt32
    var requests: UInt64
    var queued: UInt32
    var quarantined: UInt32
    var anchored: Bool?
    var damagedFiles: UInt32?

    init(_ status: StatusReply) {
        state = status.health.state.name
        reason = status.health.reason
        version = status.version
        instance = status.instance?.description
        uptimeMs = status.uptime
        keys = status.keys
        workers = status.workers
        connections = status.connections
        requests = status.requests
        queued = status.queued
        quarantined = status.quarantined
        anchored = status.isAnchored
        damagedFiles = status.damagedFiles
    }
}
