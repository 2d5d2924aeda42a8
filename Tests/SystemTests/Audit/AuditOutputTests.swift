import ClavigerWire
import Glibc
import Support
import Testing

@testable import ClavigerCore

/// What `claviger audit` makes of a log's files: searches, tables for spreadsheets, terminals. Needs no daemon.
@Suite final class AuditOutputTests {
    private let directory: String

    init() throws {
        var template = Array("/tmp/claviger-output-XXXXXX".utf8CString)
        let path = try #require(mkdtemp(&template))
        directory = String(cString: path)
    }

    deinit { _ = try? Child.run("/bin/rm", ["-rf", directory], directory: "/tmp") }

    private var log: String { directory + "/audit" }

    /// A log of these records, each the fields after its time.
    private func write(_ records: [(time: String, fields: String)]) throws {
        var bytes: [UInt8] = []
        var last = AuditPosition.beginning(of: InstanceID(high: 1, low: 2))
        for record in records {
            last = AuditLine.append(Array("\"eventTime\":\"\(record.time)\",\(record.fields)".utf8), after: last, to: &bytes)
        }
        mkdir(log, 0o700)
        try writeFile(AuditSegment(directory: log, first: 1).path, bytes)
    }

    private func claviger(_ arguments: String...) throws -> Finished {
        try Child.run(
            try Programs.path("claviger"), ["audit"] + arguments + ["--directory", log], directory: directory, environment: [])
    }

    /// Runs it with a terminal for everything.
    private func onTerminal(_ line: String) throws -> String {
        let program = try Programs.path("claviger")
        let ended = try Child.run(
            "/usr/bin/script", ["-qec", "\(program) audit \(line) --directory '\(log)'", "/dev/null"], directory: directory,
            environment: ["TERM=dumb"])
        #expect(ended.status == 0, "\(ended.text)")
        return ended.text
    }

    private func found(_ arguments: String...) throws -> [Int] {
        let ended = try Child.run(
            try Programs.path("claviger"), ["audit", "search", "--directory", log] + arguments, directory: directory,
            environment: [])
        #expect(ended.status == 0, "\(ended.errorText)")
        return ended.text.split(separator: "\n").compactMap { line in
            line.split(separator: " ").first { $0.hasPrefix("#") }.flatMap { Int($0.dropFirst()) }
        }
    }

    @Test func recordsAreFoundByCallerAndTime() throws {
        func caller(_ uid: Int, _ name: String, _ unit: String? = nil) -> String {
            #""event":"wrap","outcome":"success","initiator":{"id":"uid:\#(uid)","name":"\#(name)","uid":\#(uid),"gid":1,"pid":2"#
                + (unit.map { #","unit":"\#($0)""# } ?? "") + "}"
        }
        try write([
            ("2026-01-31T23:59:59.999Z", caller(1_000, "alice")),
            ("2026-02-01T00:00:00.000Z", caller(1_001, "bob", "backup.service")),
            ("2026-02-01T12:30:00.000Z", caller(1_000, "alice")),
            ("2026-02-02T00:00:00.000Z", caller(10_000, "carol")),
        ])
        #expect(try found() == [1, 2, 3, 4])
        #expect(try found("--caller", "1000") == [1, 3] && found("--caller", "alice") == [1, 3])
        #expect(try found("--caller", "backup.service") == [2] && found("--caller", "100").isEmpty)
        // From the first moment on, up to the last and without it.
        #expect(try found("--since", "2026-02-01") == [2, 3, 4])
        #expect(try found("--until", "2026-02-01") == [1])
        #expect(try found("--since", "2026-02-01", "--until", "2026-02-02") == [2, 3])
        #expect(try found("--since", "2026-02-01T12:30Z", "--caller", "alice") == [3])
    }

    @Test func tablesQuoteAndRunNothing() throws {
        try write([
            ("2026-01-01T00:00:00.000Z", #""event":"a","reason":{"reasonCode":200,"text":"=1+1"}"#),
            ("2026-01-01T00:00:00.000Z", #""event":"b","reason":{"reasonCode":200,"text":"with, comma and \"quotes\""}"#),
            ("2026-01-01T00:00:00.000Z", #""event":"c","reason":{"reasonCode":200,"text":"two\u000alines"}"#),
            ("2026-01-01T00:00:00.000Z", #""event":"d","reason":{"reasonCode":200,"text":"@SUM(A1),\"x\""}"#),
        ])
        let ended = try claviger("export", "--format", "csv")
        let lines = ended.text.split(separator: "\r\n")
        try #require(lines.count == 5, "\(ended.text)")
        #expect(lines[1].contains(",'=1+1,"))
        #expect(lines[2].contains(#","with, comma and ""quotes""","#))
        // Characters that begin a line are shown, not obeyed.
        #expect(lines[3].contains(#",two\u{a}lines,"#))
        #expect(lines[4].contains(#","'@SUM(A1),""x""","#))
        let columns = lines[0].split(separator: ",").count
        #expect(lines[1].split(separator: ",", omittingEmptySubsequences: false).count == columns)
    }

    /// JSON for a program is the record's own bytes; for a terminal what would move it is escaped, and says the same.
    @Test func terminalsObeyNoRecord() throws {
        let tricky = "a\u{202e}b\u{200b}c\u{e0041}d"
        try write([("2026-01-01T00:00:00.000Z", #""event":"wrap","reason":{"reasonCode":200,"text":"\#(tricky)"}"#)])
        let piped = try claviger("search", "--json").text
        #expect(piped.contains(tricky))
        for line in ["search --json", "export", "tail --json"] {
            let shown = try onTerminal(line)
            #expect(shown.contains(#"a\u202eb\u200bc\udb40\udc41d"#), "\(line): \(shown)")
            #expect(!shown.unicodeScalars.contains { ["\u{202e}", "\u{200b}", "\u{e0041}"].contains($0) }, "\(line)")
        }
        #expect(try onTerminal("search").contains(#"a\u{202e}b\u{200b}c\u{e0041}d"#))
    }

    /// A verify that takes a while shows how far it is, to people only.
    @Test func aLongVerifyShowsItsProgress() throws {
        let daemon = try DaemonHarness.running()
        let key = daemon.auditDirectory + "/key.pem"
        let filler = String(repeating: "x", count: 2_000)
        try write((0..<17_000).map { _ in ("2026-01-01T00:00:00.000Z", #""event":"wrap","note":"\#(filler)""#) })
        let shown = try onTerminal("verify --key '\(key)'")
        let bars = shown.split(separator: "\r").filter { $0.hasPrefix("[") && $0.hasSuffix("%") }
        #expect(bars.count >= 2 && bars.last?.hasSuffix("] 100 %") == true && bars.last?.contains(".") == false, "\(bars)")
        #expect(bars.first?.contains("#.") == true)
        #expect(shown.contains("the audit log is whole: 17000 records, 1 to 17000"))
        let piped = try claviger("verify", "--key", key)
        #expect(piped.status == 0 && !piped.errorText.contains("%"), "\(piped.errorText)")
    }

    /// A log without records proves nothing, and does not pass for whole.
    @Test func anEmptiedLogIsNotWhole() throws {
        let daemon = try DaemonHarness.running()
        let key = daemon.auditDirectory + "/key.pem"
        try write([])
        let ended = try claviger("verify", "--key", key)
        #expect(ended.status == 1 && ended.errorText.contains("there are no records"), "\(ended.text) \(ended.errorText)")
        #expect(!ended.text.contains("whole"))
    }
}
