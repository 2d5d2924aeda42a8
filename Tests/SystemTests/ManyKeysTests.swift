import ClavigerClient
import ClavigerWire
import Glibc
import Support
import Testing

/// Many keys: 10,000 in the long form, 200 in the everyday one, with figures.
@Suite struct ManyKeysTests {
    private static let count = isLong ? 10_000 : 200
    /// What a call may take beyond the token's own work, at its 99th percentile, in the long form on a machine that does nothing else.
    private static let bound = Duration.milliseconds(50)

    @Test func manyKeysAreCreatedChangedAndFound() throws {
        let daemon = try DaemonHarness.running()
        let client = daemon.client()
        var made: [KeyID] = []
        let creating = try Timing(Self.count) { index in
            made.append(
                try client.createKey(name: "key \(index)") {
                    $0.tags = ["t\(index % 10)"]
                    if index % 100 == 0 { $0.aliases = ["alias-\(index)"] }
                }.id)
        }
        let calls = min(Self.count, 1_000)
        let step = Self.count / calls
        let showing = try Timing(calls) { _ = try client.showKey(.id(made[$0 * step])) }
        let wrapping = try Timing(calls) { _ = try client.making(.id(made[$0 * step])) }
        let updating = try Timing(calls) { index in
            _ = try client.updateKey(.id(made[index * step])) { $0.description = "changed \(index)" }
        }
        let disabling = try Timing(calls) { _ = try client.disableKey(.id(made[$0 * step])) }
        let deleting = try Timing(calls) { _ = try client.deleteKey(.id(made[$0 * step])) }
        var found: [KeyID] = []
        var pages = 0
        var cursor: [UInt8]?
        let clock = ContinuousClock()
        let listed = try clock.measure {
            repeat {
                let page = try client.listKeys(limit: 500, cursor: cursor)
                found += page.keys.map(\.id)
                cursor = page.next
                pages += 1
            } while cursor != nil
        }
        let deleted = Set((0..<calls).map { made[$0 * step] })
        #expect(found == made.filter { !deleted.contains($0) })
        let restarting = try clock.measure { try daemon.restart() }
        #expect(try daemon.client().status().keys == UInt32(Self.count))
        #expect(try daemon.health.state == .ready)
        let timings = [
            ("create", creating), ("show", showing), ("wrap", wrapping), ("update", updating), ("disable", disabling),
            ("delete", deleting),
        ]
        print(
            "ManyKeysTests: \(Self.count) keys; "
                + timings.map { "\($0.0) \($0.1)" }.joined(separator: "; ")
                + "; listed in \(pages) pages in \(listed); restart in \(restarting)")
        guard isLong else { return }
        // Creation and wrapping are the token's work.
        for (name, timing) in timings where name != "create" && name != "wrap" {
            #expect(timing.percentile(99) < Self.bound, "\(name) took \(timing)")
        }
    }
}

/// How long each of many calls took.
private struct Timing: CustomStringConvertible {
    private let sorted: [Duration]

    init(_ count: Int, _ call: (Int) throws -> Void) throws {
        let clock = ContinuousClock()
        sorted = try (0..<count).map { index in try clock.measure { try call(index) } }.sorted()
    }

    func percentile(_ percent: Int) -> Duration { sorted[min(sorted.count - 1, sorted.count * percent / 100)] }

    var description: String {
        "p50 \(Timing.text(percentile(50))) p99 \(Timing.text(percentile(99))) max \(Timing.text(sorted[sorted.count - 1]))"
    }

    private static func text(_ duration: Duration) -> String {
        let tenths = Int(duration / .microseconds(100))
        return "\(tenths / 10).\(tenths % 10) ms"
    }
}
