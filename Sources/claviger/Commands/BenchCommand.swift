import ArgumentParser
import ClavigerClient

/// `claviger bench`.
struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measures throughput and latency of ping, wrap and unwrap.",
        discussion: """
            Each connection keeps --depth requests in flight; each operation runs for --seconds. Latency is from the sending of \
            a request to its answer, so it grows with the depth. The data key is 32 bytes. Without --key a key named 'bench' is \
            used, and created if there is none; every wrap counts towards the key's limit of 2^32.

            With --direct the same work is done in this process, without daemon and socket, --connections threads at once: the \
            difference is what the daemon costs. The daemon must be stopped meanwhile.

            Examples:
              claviger bench --connections 1 --depth 1
              claviger bench --connections 8 --depth 16 --seconds 5 --json
              claviger bench --direct --connections 2 --config /etc/claviger/claviger.toml

            JSON: connections, depth, key, measurements: operation, requests, refused (counts by code), seconds, perSecond, \
            latencyMicroseconds: p50, p90, p99, max.
            """)

    @Option(help: ArgumentHelp("How many connections.", valueName: "n"))
    var connections = 8

    @Option(help: ArgumentHelp("How many requests are in flight on each.", valueName: "n"))
    var depth = 16

    @Option(help: ArgumentHelp("How long each operation runs.", valueName: "seconds"))
    var seconds: Double = 5

    @Option(help: "The key to use, by name or id.")
    var key: String?

    @Flag(help: "Use the token in this process, without the daemon.")
    var direct = false

    @OptionGroup var configurationOption: ConfigurationOption
    @OptionGroup var options: GlobalOptions

    private static let keyName = "bench"

    func validate() throws {
        // More than a thousand of either measures this program.
        guard (1...1000).contains(connections) else { throw ValidationError("--connections is from 1 to 1000") }
        guard (1...1000).contains(depth) else { throw ValidationError("--depth is from 1 to 1000") }
        guard seconds > 0, seconds <= 3600 else { throw ValidationError("--seconds is more than 0, 3600 at most") }
    }

    func run() throws {
        if direct { return try runDirect() }
        let record = try benchKey()
        let dek = try lockedMemory(Limits.defaultGenerated)
        let envelope = try options.ask(key: record.name) { (client) throws(ClientError) in
            try client.wrap(key: .id(record.id), plaintext: dek).envelope
        }
        let load = Load(options: options.clientOptions, connections: connections, depth: depth, seconds: seconds)
        let key = KeyReference.id(record.id)
        let measurements = [
            try load.run("ping") { () throws(ClientError) in try PipelineRequest.ping() },
            try load.run("wrap") { () throws(ClientError) in
                let zeroes = [UInt8](repeating: 0, count: Limits.defaultGenerated)
                return try PipelineRequest.wrap(key: key, plaintext: zeroes.span.bytes)
            },
            try load.run("unwrap") { () throws(ClientError) in try PipelineRequest.unwrap(envelope) },
        ]
        let document = Document(
            connections: connections, depth: depth, key: record.id.description, measurements: measurements)
        try options.print(document, orText: BenchCommand.text(measurements))
    }

    private func runDirect() throws(CommandFailure) {
        let load = DirectLoad(threads: connections, seconds: seconds)
        let (id, measurements) = try load.run(try configurationOption.load(), keyName: key ?? BenchCommand.keyName)
        let document = Document(connections: connections, depth: 1, key: id.description, measurements: measurements)
        try options.print(document, orText: BenchCommand.text(measurements))
    }

    private func benchKey() throws(CommandFailure) -> KeyRecord {
        if let key {
            return try options.ask(key: key) { (client) throws(ClientError) in try client.showKey(KeyReference(key)) }
        }
        let name = BenchCommand.keyName
        let (record, isNew) = try options.ask(key: name) { (client) throws(ClientError) -> (KeyRecord, Bool) in
            do throws(ClientError) {
                return (try client.showKey(.name(name)), false)
            } catch {
                guard case .refused(let refusal) = error, refusal.code == .denied else { throw error }
                return (try client.createKey(name: name), true)
            }
        }
        StandardError.note("\(isNew ? "created" : "using") key '\(name)', \(record.id)")
        return record
    }

    private static func text(_ measurements: [Measurement]) -> String {
        var table = Table(["OPERATION", "PER SECOND", "P50 us", "P90 us", "P99 us", "MAX us", "REQUESTS", "REFUSED"])
        for measurement in measurements {
            let latency = measurement.latencyMicroseconds
            let refused = measurement.refused.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }
            table.add([
                measurement.operation, String(Int(measurement.perSecond)), String(latency.p50), String(latency.p90),
                String(latency.p99), String(latency.max), String(measurement.requests),
                refused.isEmpty ? "0" : refused.joined(separator: ", "),
            ])
        }
        return table.text
    }

    private struct Document: Encodable {
        var connections: Int
        var depth: Int
        var key: String
        var measurements: [Measurement]
    }
}
