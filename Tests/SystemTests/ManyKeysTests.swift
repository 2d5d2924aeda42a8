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
        func time(_ name: String, _ count: Int, _ call: (Int) throws -> Void) throws {
            let timing = try Timing(name, count, meter, call)
            timings.append(timing)
            if isLong { print("ManyKeysTests: \(timing)") }
        }
        let calls = isLong ? 500 : Self.count / 2
        var made = try create(Self.count - calls, daemon)
        try time("create", calls) { index in
            made.append(try client.createKey(name: "key \(Self.count - calls + index)") { $0.tags = ["t\(index % 10)"] })
        }
        made.sort { ($0.created, $0.id) < ($1.created, $1.id) }
        let step = Self.count / calls
        func changing(_ name: String, _ change: (KeyReference) throws -> Void) throws {
            try time(name, calls) { try change(.id(made[$0 * step].id)) }
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
        let deleted = Set((0..<calls).map { made[$0 * step].id })
        try finding(client, made.filter { !deleted.contains($0.id) }, time)
        try changing("purge") { _ = try client.purgeKey($0) }
        let restarting = try ContinuousClock().measure { try daemon.restart() }
        #expect(try daemon.client().status().keys == UInt32(Self.count - calls))
        #expect(try daemon.health.state == .ready)
        print(
            "ManyKeysTests: \(Self.count) keys; \(timings.map { "\($0)" }.joined(separator: "; ")); restart in \(restarting)")
        guard isLong else { return }
        for timing in timings { #expect(timing.beyond(99) < Self.bound, "\(timing)") }
    }

    /// What a change asks of the token does not grow with the keys there: nothing in it looks through all objects.
    @Test func noChangeLooksThroughTheToken() throws {
        let daemon = try DaemonHarness()
        let faults = try daemon.useFaultModule()
        try daemon.start()
        let client = daemon.client()
        _ = try client.setSetting("purge-delay", to: 0)
        let before = try faults.calls("C_FindObjectsInit").count
        let key = KeyReference.id(try client.createKey(name: "one of many").id)
        _ = try client.updateKey(key) { $0.description = "changed" }
        _ = try client.rotateKey(key)
        _ = try client.disableKey(key)
        _ = try client.deleteKey(key)
        #expect(try faults.calls("C_FindObjectsInit").count == before)
        // Whatever was destroyed meanwhile, the newest anchor is the one that counts after a restart.
        try daemon.restart()
        #expect(try daemon.health.state == .ready)
    }

    /// Makes many keys, several at a time, so that they share what each change would else cost.
    private func create(_ count: Int, _ daemon: DaemonHarness) throws -> [KeyRecord] {
        let peer = try WirePeer(daemon.socket)
        var made: [KeyRecord] = []
        var sent = 0
        while made.count < count {
            while sent < count, sent < made.count + 16 {
                sent += 1
                var message = KeyCreateRequest(
                    name: "key \(sent - 1)", operation: OperationID(high: 0xca11, low: UInt64(sent)))
                message.tags = ["t\(sent % 10)"]
                if sent % 100 == 0 { message.aliases = ["alias-\(sent)"] }
                try peer.send(try WirePeer.frame(.keyCreate, id: UInt32(sent), message))
            }
            made.append(try peer.next().message(KeyRecord.self))
            if isLong, made.count % 1_000 == 0 { print("ManyKeysTests: \(made.count) keys are there") }
        }
        return made
    }

    /// Lists, searches, filters and counts the keys that are not deleted.
    private func finding(
        _ client: Client, _ there: [KeyRecord], _ time: (String, Int, (Int) throws -> Void) throws -> Void
    ) throws {
        for (sort, limit) in [(String?.none, 20), ("-updated,name", 500)] {
            var found: [KeyID] = []
            var cursor: [UInt8]?
            try time("list by \(sort ?? "creation"), \(limit) a page", (there.count + limit - 1) / limit) { _ in
                let page = try client.listKeys(limit: limit, cursor: cursor, sort: sort)
                found += page.keys.map(\.id)
                cursor = page.next
            }
            #expect(cursor == nil)
            if sort == nil { #expect(found == there.map(\.id)) }
            #expect(found.count == there.count && Set(found) == Set(there.map(\.id)))
        }
        let times = isLong ? 500 : 20
        var search = KeyFilter()
        search.search = "y 99"
        let named = there.filter { $0.name.contains("y 99") }
        var filter = KeyFilter()
        filter.filter = "tag=t3 created=gt:1970-01-01"
        let tagged = there.filter { $0.tags == ["t3"] }
        for (name, filter, wanted) in [("search", search, named), ("filter", filter, tagged)] {
            try time(name, times) { _ in
                let page = try client.listKeys(limit: 100, filter: filter)
                #expect(page.keys.map(\.id) == wanted.prefix(100).map(\.id))
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

    /// CLOCK_MONOTONIC in microseconds, as the fault module notes it.
    static func now() -> Int {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return time.tv_sec * 1_000_000 + time.tv_nsec / 1_000
    }

    /// How long between two moments the token was at work, for whomever: a change that has to wait until the token has destroyed
    /// something waits for the token.
    func spent(from start: Int, to end: Int) throws -> Duration {
        if descriptor < 0 { descriptor = open(path, O_RDONLY | O_CLOEXEC) }
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = read(descriptor, &buffer, buffer.count)
            guard count >= 0 else { throw HarnessError("\(path): \(systemText(errno))") }
            guard count > 0 else { break }
            rest += buffer[..<count]
        }
        guard let last = rest.lastIndex(of: UInt8(ascii: "\n")) else { return .zero }
        let calls = String(decoding: rest[..<last], as: UTF8.self).split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ")
            func number(_ name: String) -> Int? { words.first { $0.hasPrefix(name) }.flatMap { Int($0.dropFirst(name.count)) } }
            return number("at=").flatMap { began in number("us=").map { (began, began + $0) } }
        }
        rest.removeSubrange(...last)
        var (spent, reached) = (0, start)
        for (began, ended) in calls.sorted(by: { $0.0 < $1.0 }) where min(ended, end) > reached {
            spent += min(ended, end) - max(began, reached)
            reached = min(ended, end)
        }
        return .microseconds(spent)
    }
}

/// How long each of many calls took, and how much of it was not the token's.
private struct Timing: CustomStringConvertible {
    private let name: String
    private let whole: [Duration]
    private let beyond: [Duration]

    init(_ name: String, _ count: Int, _ meter: TokenMeter, _ call: (Int) throws -> Void) throws {
        var taken: [(whole: Duration, token: Duration)] = []
        for index in 0..<count {
            let start = TokenMeter.now()
            try call(index)
            let end = TokenMeter.now()
            taken.append((.microseconds(end - start), try meter.spent(from: start, to: end)))
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
