import Glibc
import Testing

@testable import ClavigerCore

/// The commented sample says what the code does.
@Suite struct SampleTests {
    private static let path = #filePath.split(separator: "/").dropLast(3).map { "/" + $0 }.joined() + "/hsm-config/claviger.toml"

    private func sample() throws -> String {
        let file = open(Self.path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw TestError.system(errno) }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: ConfigurationLimits.fileBytes)
        let count = read(file, &bytes, bytes.count)
        return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
    }

    @Test func whatItSaysIsTheDefault() throws {
        #expect(try parsed(sample()) == parsed(minimal))
    }

    @Test func whatItOffersIsAccepted() throws {
        // Settings that are off are written "#key = value"; prose has a blank after the '#'.
        let offered = try sample().split(separator: "\n").map { $0.hasPrefix("#") && !$0.hasPrefix("# ") ? $0.dropFirst() : $0 }
        let text = offered.filter { !$0.hasPrefix("pin-credential") }.joined(separator: "\n")
        let configuration = try Configuration.parse(Array(text.utf8), file: "c.toml") { _ in ("p.toml", []) }
        let difference = configuration.reloadDifference(from: try parsed(minimal))
        #expect(difference.effective.isEmpty, "a default of the sample is not the code's")
        #expect(
            difference.needsRestart == [
                "profile", "module.path", "module.initialize-arguments", "module.environment", "module.storage-path",
                "module.storage-format", "token.suite",
                "token.pin-file", "quirks.session-limit", "socket.group", "socket.admin-path", "socket.admin-group",
                "unlock.group", "audit.directory",
                "audit.collector",
            ])
    }

    @Test(arguments: Configuration.keys)
    func everyKeyIsThereAndMarkedWhenItReloads(key: String) throws {
        let lines = try sample().split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        var table = ""
        var places: [Int] = []
        for (number, line) in lines.enumerated() {
            if line.hasPrefix("[") {
                table = String(line.dropFirst().prefix { $0 != "]" }) + "."
                if table == key + "." { places.append(number) }
            } else if line != "#" && !line.hasPrefix("# "), let name = line.split(separator: " ").first {
                if table + name.drop(while: { $0 == "#" }) == key { places.append(number) }
            }
        }
        #expect(places.count == 1, "\(key) stands \(places.count) times")
        // The comment is the block of prose right above.
        let above = lines[..<(places.first ?? 0)].reversed().drop { !$0.hasPrefix("# ") }.prefix { $0.hasPrefix("# ") }
        let reloads = try parsed(minimal).reloaded(with: Configuration.changed(key)) != parsed(minimal)
        #expect(above.contains { $0.contains("[reload]") } == reloads, "\(above)")
    }

    @Test(arguments: [
        ("backlog", ConfigurationLimits.backlog), ("max-connections", ConfigurationLimits.connections),
        ("count", ConfigurationLimits.workers), ("queue", ConfigurationLimits.queue),
        ("key-wrap-limit", ConfigurationLimits.keyWrap), ("#session-limit", ConfigurationLimits.sessions),
        ("idle-frame-timeout-ms", ConfigurationLimits.idleFrame), ("max-deadline-ms", ConfigurationLimits.deadline),
    ])
    func rangesAreTheCodes(key: String, range: ClosedRange<Int>) throws {
        let before = try #require(try sample().split(separator: "\n\(key) =").first)
        #expect(before.suffix(250).contains("(\(range.lowerBound) to \(range.upperBound))"))
    }
}

extension Configuration {
    /// The minimal configuration with another value for `key`, as far as the key reloads.
    fileprivate static func changed(_ key: String) throws -> Configuration {
        let values = [
            "socket.max-connections": "1", "workers.queue": "1", "requests.default-deadline-ms": "1",
            "requests.max-deadline-ms": "60001", "requests.idle-frame-timeout-ms": "100", "log.level": "\"debug\"",
            "audit.context": "\"clear\"",
            "socket.require-pidfd": "true", "quota.requests-per-second": "1", "quota.burst": "1", "quota.in-flight": "1",
            "quota.connections": "1",
        ]
        return try parsed(values[key].map { file(key, $0) } ?? minimal)
    }
}
