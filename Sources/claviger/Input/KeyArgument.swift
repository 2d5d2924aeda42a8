import ArgumentParser
import ClavigerClient

/// The key that a command is about.
struct KeyArgument: ParsableArguments {
    @Argument(help: "The key, by id, alias or name.", completion: Completion.keys)
    var key: String

    /// As the client library takes it.
    var reference: KeyReference { KeyReference(key) }
}

/// What a shell offers for an argument, asked of the daemon.
enum Completion {
    /// The names of keys, and their aliases.
    static let keys = CompletionKind.custom { (_, _, prefix) in
        offered(prefix) { (client) throws(ClientError) in
            try client.listKeys(limit: Limits.maximumPage).keys.flatMap { [$0.name] + $0.aliases }
        }
    }

    /// The ids of key rings.
    static let rings = CompletionKind.custom { (_, _, prefix) in
        offered(prefix) { (client) throws(ClientError) in try client.listRings(limit: Limits.maximumPage).rings.map(\.id) }
    }

    // Whoever presses Tab does not wait for a daemon that is away, and is told nothing about it.
    private static func offered(_ prefix: String, _ words: (Client) throws(ClientError) -> [String]) -> [String] {
        let client = Client(ClientOptions(socketPath: nil, deadline: .milliseconds(500), retries: 0))
        defer { client.close() }
        return ((try? words(client)) ?? []).filter { $0.hasPrefix(prefix) && Text.safe($0) == $0 }
    }
}
