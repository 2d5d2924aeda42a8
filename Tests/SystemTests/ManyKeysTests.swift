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
        let daemon = try DaemonHarness()
        // It forwards every call and notes how long the token took for it.
        let meter = try TokenMeter(daemon.useFaultModule())
        try daemon.start()
        let client = daemon.client()
        for setting in ["enable-delay", "restore-delay", "purge-delay"] { _ = try client.setSetting(setting, to: 0) }
        var timings: [Timing] = []
        var made: [KeyID] = []
        func time(_ name: String, _ count: Int, _ call: (Int) throws -> Void) throws {
            let timing = try Timing(name, count, meter, call)
            timings.append(timing)
            if isLong { print("ManyKeysTests: \(timing)") }
        }
        try time("create", Self.count) { index in
            made.append(
                try client.createKey(name: "key \(index)") {
                    $0.tags = ["t\(index % 10)"]
                    if index % 100 == 0 { $0.aliases = ["alias-\(index)"] }
                }.id)
        }
        let calls = min(Self.count / 2, 500)
        let step = Self.count / calls
        func changing(_ name: String, _ change: (KeyReference) throws -> Void) throws {
            try time(name, calls) { try change(.id(made[$0 * step])) }
        }
        try changing("show") { _ = try client.showKey($0) }
        try changing("wrap") { _ = try client.making($0) }
        try changing("update") { key in _ = try client.updateKey(key) { $0.description = "changed" } }
        try changing("rotate") { _ = try client.rotateKey($0) }
        try changing("disable") { _ = try client.disableKey($0) }
        try changing("enable") { _ = try client.enableKey($0) }
        try changing("delete") { _ = try client.deleteKey($0) }
        try changing("restore") { _ = try client.restoreKey($0) }
        try changing("delete again") { _ = try client.deleteKey($0) }
        try finding(client, made, deleted: calls, step: step, time)
        try changing("purge") { _ = try client.purgeKey($0) }
        let restarting = try ContinuousClock().measure { try daemon.restart() }
        #expect(try daemon.client().status().keys == UInt32(Self.count - calls))
        #expect(try daemon.health.state == .ready)
        print(
            "ManyKeysTests: \(Self.count) keys; \(timings.map { "\($0)" }.joined(separator: "; ")); restart in \(restarting)")
        guard isLong else { return }
        for timing in timings { #expect(timing.beyond(99) < Self.bound, "\(timing)") }
    }

    /// Lists, searches, filters and counts keys, of which the first of every `step` are deleted.
    private func finding(
        _ client: Client, _ made: [KeyID], deleted: Int, step: Int, _ time: (String, Int, (Int) throws -> Void) throws -> Void
    ) throws {
        let there = made.indices.filter { $0 % step != 0 || $0 / step >= deleted }
        for (sort, limit) in [(String?.none, 20), ("-updated,name", 500)] {
            var found: [KeyID] = []
            var cursor: [UInt8]?
            try time("list by \(sort ?? "creation"), \(limit) a page", (there.count + limit - 1) / limit) { _ in
                let page = try client.listKeys(limit: limit, cursor: cursor, sort: sort)
                found += page.keys.map(\.id)
                cursor = page.next
            }
            #expect(cursor == nil)
            if sort == nil { #expect(found == there.map { made[$0] }) }
            #expect(found.count == there.count && Set(found) == Set(there.map { made[$0] }))
        }
        let times = isLong ? 500 : 20
        var search = KeyFilter()
        search.search = "y 99"
        let named = there.filter { "key \($0)".contains("y 99") }.map { made[$0] }
        var filter = KeyFilter()
        filter.filter = "tag=t3 created=gt:1970-01-01"
        let tagged = there.filter { $0 % 10 == 3 }.map { made[$0] }
        for (name, filter, wanted) in [("search", search, named), ("filter", filter, tagged)] {
            try time(name, times) { _ in
                let page = try client.listKeys(limit: 100, filter: filter)
                #expect(page.keys.map(\.id) == Array(wanted.prefix(100)))
            }
            try time("count by \(name)", times) { _ in
                let count = try client.countKeys(filter: filter)
                #expect(count == UInt64(wanted.count))
            }
        }
    }
}

/// How long the token itself was at work, as the fault module notes it.
private final class TokenMeter {
    private let path: String
    private var descriptor: Int32 = -1
    private var rest: [UInt8] = []

    init(_ module: FaultModule) { path = module.traceFile }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// The token's time since this was asked last: that of the thread for which it worked longest, so that what it does for others
    /// meanwhile excuses nobody.
    func spent() throws -> Duration {
        if descriptor < 0 { descriptor = open(path, O_RDONLY | O_CLOEXEC) }
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = read(descriptor, &buffer, buffer.count)
            guard count >= 0 else { throw HarnessError("\(path): \(systemText(errno))") }
            guard count > 0 else { break }
            rest += buffer[..<count]
        }
        guard let end = rest.lastIndex(of: UInt8(ascii: "\n")) else { return .zero }
        var threads: [Substring: Int] = [:]
        for line in String(decoding: rest[..<end], as: UTF8.self).split(separator: "\n") {
            let words = line.split(separator: " ")
            func word(_ name: String) -> Substring? { words.first { $0.hasPrefix(name) }?.dropFirst(name.count) }
            guard let thread = word("tid="), let spent = word("us=").flatMap({ Int($0) }) else { continue }
            threads[thread, default: 0] += spent
        }
        rest.removeSubrange(...end)
        return .microseconds(threads.values.max() ?? 0)
    }
}

/// How long each of many calls took, and how much of it was not the token's.
private struct Timing: CustomStringConvertible {
    private let name: String
    private let whole: [Duration]
    private let beyond: [Duration]

    init(_ name: String, _ count: Int, _ meter: TokenMeter, _ call: (Int) throws -> Void) throws {
        let clock = ContinuousClock()
        var taken: [(whole: Duration, token: Duration)] = []
        _ = try meter.spent()
        for index in 0..<count {
            let whole = try clock.measure { try call(index) }
            taken.append((whole, try meter.spent()))
        }
        self.name = name
        whole = taken.map(\.whole).sorted()
        beyond = taken.map { max(.zero, $0.whole - $0.token) }.sorted()
    }

    /// What a call took beyond the token, at a percentile.
    func beyond(_ percent: Int) -> Duration { Timing.percentile(percent, of: beyond) }

    private static func percentile(_ percent: Int, of sorted: [Duration]) -> Duration {
        sorted[min(sorted.count - 1, sorted.count * percent / 100)]
    }

    var description: String {
        func text(_ sorted: [Duration]) -> String {
            [50, 99, 100].map { Timing.text(Timing.percentile($0, of: sorted)) }.joined(separator: "/")
        }
        return "\(name) (\(whole.count)) p50/p99/max \(text(whole)) ms, beyond the token \(text(beyond)) ms"
    }

    private static func text(_ duration: Duration) -> String {
        let tenths = Int(duration / .microseconds(100))
        return "\(tenths / 10).\(tenths % 10)"
    }
}
