import ClavigerClient
import ClavigerWire
import Glibc
import Support
import Testing

/// Many connections: what they cost the daemon, and what they cost each other.
@Suite(.serialized) struct ConnectionLoadTests {
    private static func resident(_ daemon: DaemonHarness) throws -> Int {
        let text = String(decoding: try readFile("/proc/\(try #require(daemon.pid))/status"), as: UTF8.self)
        let line = try #require(text.split(separator: "\n").first { $0.hasPrefix("VmRSS:") })
        return try #require(Int(line.split(whereSeparator: \.isWhitespace)[1]))
    }

    private static func descriptors(_ daemon: DaemonHarness) throws -> Int {
        try listDirectory("/proc/\(try #require(daemon.pid))/fd").count
    }

    private static func prepared() throws -> DaemonHarness {
        var settings = DaemonHarness.Settings()
        settings.socketLines = ["max-connections = 4096", "backlog = 1024"]
        return try DaemonHarness.running(settings)
    }

    /// The median and the 99th percentile of pings on a connection of their own, in microseconds.
    private static func latency(_ daemon: DaemonHarness) throws -> (Int, Int) {
        let peer = try WirePeer(daemon.socket)
        let clock = ContinuousClock()
        var times: [Duration] = []
        for id in 1...500 as ClosedRange<UInt32> {
            let began = clock.now
            _ = try peer.ask(.ping, id: id)
            times.append(clock.now - began)
        }
        times.sort()
        func micro(_ duration: Duration) -> Int { Int(duration.components.attoseconds / 1_000_000_000_000) }
        return (micro(times[250]), micro(times[495]))
    }

    private static func hasDescriptors(_ name: String) -> Bool {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        if limit.rlim_cur < 4_096 { skip("ConnectionLoadTests.\(name)", "needs 4,096 file descriptors (ulimit -n)") }
        return limit.rlim_cur >= 4_096
    }

    @Test func aThousandOpenAtOnce() throws {
        guard Self.hasDescriptors("aThousandOpenAtOnce") else { return }
        let daemon = try Self.prepared()
        let before = (try Self.resident(daemon), try Self.latency(daemon))
        let peers = try (0..<1_000).map { _ in try WirePeer(daemon.socket) }
        for peer in peers { #expect(try peer.ask(.ping, id: 1).header.kind == .reply) }
        let after = (try Self.resident(daemon), try Self.latency(daemon))
        // A connection is a few hundred bytes and its kernel's share; 16 KiB each would be a leak.
        #expect(after.0 - before.0 < 16_000, "\(before.0) KiB, then \(after.0)")
        print(
            "ConnectionLoadTests: 1,000 open: \(before.0) then \(after.0) KiB resident; ping p50/p99 \(before.1) then \(after.1) us"
        )
    }

    @Test func manyOpenedAndClosed() throws {
        let daemon = try Self.prepared()
        let count = isLong ? 10_000 : 2_000
        for _ in 0..<500 { _ = try WirePeer(daemon.socket).ask(.ping, id: 1) }
        let before = (try Self.resident(daemon), try Self.descriptors(daemon))
        let clock = ContinuousClock()
        let began = clock.now
        for round in 0..<count {
            let peer = try WirePeer(daemon.socket)
            // Some go without a word, some in the middle of one.
            switch round % 3 {
            case 0: _ = try peer.ask(.ping, id: 1)
            case 1: try peer.send([0, 0, 0])
            default: break
            }
        }
        let took = clock.now - began
        _ = try WirePeer(daemon.socket).ask(.ping, id: 1)
        #expect(eventually { (try? Self.descriptors(daemon)).map { $0 <= before.1 } ?? false })
        let after = try Self.resident(daemon)
        #expect(after - before.0 < 4_096, "\(before.0) KiB, then \(after)")
        print("ConnectionLoadTests: \(count) opened and closed in \(took): \(before.0) then \(after) KiB resident")
    }

    /// Half a frame each from hundreds of peers holds little memory, and keeps nobody else waiting.
    @Test func slowHalfFrames() throws {
        guard Self.hasDescriptors("slowHalfFrames") else { return }
        let daemon = try Self.prepared()
        let before = try Self.resident(daemon)
        let half = Array(WirePeer.frame(length: 60_000, opcode: 0x10, id: 1, body: [UInt8](repeating: 1, count: 600)))
        let peers = try (0..<500).map { _ in try WirePeer(daemon.socket) }
        for peer in peers { try? peer.send(half) }
        let latency = try Self.latency(daemon)
        let after = try Self.resident(daemon)
        #expect(after - before < 16_000, "\(before) KiB, then \(after)")
        #expect(try daemon.health.state == .ready)
        print("ConnectionLoadTests: 500 half frames: \(before) then \(after) KiB resident; others' ping p50/p99 \(latency) us")
    }
}
