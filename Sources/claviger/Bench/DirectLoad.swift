import ClavigerAdmin
import ClavigerClient
import ClavigerCore
import Synchronization

/// Load on the token without a daemon: so many threads, each with one request at a time, for so long.
struct DirectLoad: Sendable {
    var threads: Int
    var seconds: Double

    private struct Tally: Sendable {
        var latencies: [UInt64] = []
        var refused: [String: Int] = [:]
        var error: AdminError?
    }

    private final class Holder: Sendable {
        let tally = Mutex(Tally())
    }

    /// Finds or makes the key and measures wrap and unwrap.
    func run(_ configuration: Configuration, keyName: String) throws(CommandFailure) -> (KeyID, [Measurement]) {
        do throws(AdminError) {
            let bench = try DirectBench(configuration)
            defer { bench.stop() }
            let lane = try bench.makeLane()
            let zeroes = [UInt8](repeating: 0, count: Limits.defaultGenerated)
            let item = WrapItem(input: .given(ByteRange(offset: 0, count: zeroes.count)))
            let id: KeyID
            let envelope: [UInt8]
            do throws(Refusal) {
                id = try DirectLoad.key(keyName, lane)
                envelope = try lane.ask(.wrap, WrapRequest(key: .id(id), items: [item]), source: zeroes.span.bytes) {
                    (body) throws(Refusal) in
                    try CipherReply.decode(body).items.first?.envelope.map { body.part($0).array() } ?? []
                }
            } catch {
                throw .token(error.description)
            }
            let wrap = WrapRequest(key: .id(id), items: [item])
            let open = OpenItem(envelope: ByteRange(offset: 0, count: envelope.count))
            let unwrap = UnwrapRequest(key: nil, items: [open])
            return (
                id,
                [
                    try measure("wrap", .wrap, wrap, zeroes, bench), try measure("unwrap", .unwrap, unwrap, envelope, bench),
                ]
            )
        } catch {
            throw .failed("\(error)", "stop the daemon first; --direct needs its configuration (--config)")
        }
    }

    private static func key(_ name: String, _ lane: DirectBench.Lane) throws(Refusal) -> KeyID {
        do throws(Refusal) {
            return try lane.ask(.keyShow, KeyShowRequest(key: KeyReference(name)), source: RawSpan()) {
                (body) throws(Refusal) in try KeyRecord.decode(body).id
            }
        } catch {
            guard error.code == .denied else { throw error }
            let request = KeyCreateRequest(name: name, operation: RandomSource.identifier())
            return try lane.ask(.keyCreate, request, source: RawSpan()) { (body) throws(Refusal) in
                try KeyRecord.decode(body).id
            }
        }
    }

    private func measure(
        _ name: String, _ opcode: Opcode, _ message: some WireMessage, _ source: [UInt8], _ bench: DirectBench
    ) throws(AdminError) -> Measurement {
        let holder = Holder()
        let start = Monotonic.now
        let end = start + UInt64(seconds * 1_000_000_000)
        let started = Threads.run(threads) { _ in
            var tally = Tally()
            do throws(AdminError) {
                let lane = try bench.makeLane()
                var now = Monotonic.now
                while now < end {
                    do throws(Refusal) {
                        try lane.ask(opcode, message, source: source.span.bytes) { (body) throws(Refusal) in
                            _ = try CipherReply.decode(body)
                        }
                        let after = Monotonic.now
                        tally.latencies.append(after - now)
                        now = after
                    } catch {
                        tally.refused[error.code.name, default: 0] += 1
                        now = Monotonic.now
                    }
                }
            } catch {
                tally.error = error
            }
            let mine = tally
            holder.tally.withLock { total in
                total.latencies += mine.latencies
                total.refused.merge(mine.refused, uniquingKeysWith: +)
                total.error = total.error ?? mine.error
            }
        }
        let took = Double(Monotonic.now - start) / 1_000_000_000
        let tally = holder.tally.withLock { $0 }
        if let error = tally.error { throw error }
        guard started == threads else { throw .setUp("only \(started) of \(threads) threads could be started") }
        return Measurement(
            operation: name, requests: tally.latencies.count, refused: tally.refused, seconds: (took * 1000).rounded() / 1000,
            perSecond: (Double(tally.latencies.count) / took).rounded(),
            latencyMicroseconds: Measurement.Latency(tally.latencies))
    }
}
