import ClavigerAdmin
import ClavigerClient
import Synchronization

/// What one operation did under load.
struct Measurement: Encodable, Sendable {
    var operation: String
    /// Requests answered with success.
    var requests: Int
    /// Requests refused, by code.
    var refused: [String: Int]
    var seconds: Double
    var perSecond: Double
    var latencyMicroseconds: Latency

    /// From the sending of a request to its answer, of those that succeeded.
    struct Latency: Encodable, Sendable {
        var p50: Double
        var p90: Double
        var p99: Double
        var max: Double

        /// The percentiles of `nanoseconds`.
        init(_ nanoseconds: [UInt64]) {
            let sorted = nanoseconds.sorted()
            // The nearest rank: the least value that so many percent do not exceed.
            func percentile(_ percent: Int) -> Double {
                sorted.isEmpty ? 0 : Double(sorted[Swift.max(0, (sorted.count * percent + 99) / 100 - 1)] / 100) / 10
            }
            p50 = percentile(50)
            p90 = percentile(90)
            p99 = percentile(99)
            max = percentile(100)
        }
    }
}

/// Load on the daemon: so many connections, each with so many requests in flight, for so long.
struct Load: Sendable {
    var options: ClientOptions
    var connections: Int
    var depth: Int
    var seconds: Double

    private struct Tally: Sendable {
        var latencies: [UInt64] = []
        var refused: [String: Int] = [:]
        var error: ClientError?
    }

    /// Runs `operation` with requests that `make` prepares, one for each connection.
    func run(
        _ operation: String, _ make: @escaping @Sendable () throws(ClientError) -> PipelineRequest
    ) throws(CommandFailure) -> Measurement {
        let holder = Holder()
        let load = self
        let start = Monotonic.now
        let end = start + UInt64(seconds * 1_000_000_000)
        let started = Threads.run(connections) { _ in
            var tally = Tally()
            do throws(ClientError) {
                try load.drive(try make(), until: end, &tally)
            } catch {
                tally.error = error
            }
            holder.add(tally)
        }
        let took = Double(Monotonic.now - start) / 1_000_000_000
        let tally = holder.total
        if let error = tally.error { throw CommandFailure(error, key: nil) }
        guard started == connections else { throw .failed("only \(started) of \(connections) threads could be started") }
        let requests = tally.latencies.count
        return Measurement(
            operation: operation, requests: requests, refused: tally.refused, seconds: (took * 1000).rounded() / 1000,
            perSecond: (Double(requests) / took).rounded(), latencyMicroseconds: Measurement.Latency(tally.latencies))
    }

    /// The tallies of all connections.
    private final class Holder: Sendable {
        private let tally = Mutex(Tally())

        var total: Tally { tally.withLock { $0 } }

        func add(_ more: Tally) {
            tally.withLock { tally in
                tally.latencies += more.latencies
                tally.refused.merge(more.refused, uniquingKeysWith: +)
                tally.error = tally.error ?? more.error
            }
        }
    }

    private func drive(_ request: PipelineRequest, until end: UInt64, _ tally: inout Tally) throws(ClientError) {
        var pipeline = try Pipeline(options)
        var sent: [UInt32: UInt64] = [:]
        for _ in 0..<depth { sent[try pipeline.send(request)] = Monotonic.now }
        while !sent.isEmpty {
            let (id, refusal) = try pipeline.receive()
            let now = Monotonic.now
            guard let since = sent.removeValue(forKey: id) else {
                throw .protocolViolation("a reply names no request in flight")
            }
            if let refusal { tally.refused[refusal.name, default: 0] += 1 } else { tally.latencies.append(now - since) }
            if now < end { sent[try pipeline.send(request)] = Monotonic.now }
        }
    }
}
