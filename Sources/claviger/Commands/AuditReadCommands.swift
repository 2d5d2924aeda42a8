import ArgumentParser
import ClavigerClient
import ClavigerCore
import Glibc

/// Which records are wanted.
struct AuditFilter: ParsableArguments {
    @Option(help: ArgumentHelp("Records of this key, by id, or by alias or name while the daemon runs.", valueName: "key"))
    var key: String?

    @Option(help: ArgumentHelp("Records of this caller: a user's id or name, or a systemd unit.", valueName: "who"))
    var caller: String?

    @Option(help: ArgumentHelp("Records of this event ('wrap') or action ('kms.secrets.wrap').", valueName: "name"))
    var event: String?

    @Option(help: ArgumentHelp("success, failure, or partial; of a batch, what came of any of its items.", valueName: "outcome"))
    var outcome: String?

    @Option(help: ArgumentHelp("Records refused for this reason, such as 'denied'.", valueName: "code"))
    var reason: String?

    @Option(help: ArgumentHelp("Records with this correlation id.", valueName: "id"))
    var correlation: String?

    @Option(help: ArgumentHelp("Records from this time on: 2026-01-31, 2026-01-31T09:30Z, in UTC.", valueName: "time"))
    var since: String?

    @Option(help: ArgumentHelp("Records before this time.", valueName: "time"))
    var until: String?

    func validate() throws {
        for (name, value) in [("--since", since), ("--until", until)] {
            guard value == nil || value.flatMap(AuditTime.milliseconds) != nil else {
                throw ValidationError("\(name) is a time such as 2026-01-31 or 2026-01-31T09:30:00Z")
            }
        }
        guard outcome == nil || outcome.flatMap(AuditRecord.Outcome.init) != nil else {
            throw ValidationError("--outcome is success, failure or partial")
        }
    }

    /// What is looked for. The log knows keys by id alone, so a name has the daemon asked.
    func query(_ options: GlobalOptions) throws(CommandFailure) -> AuditQuery {
        var query = AuditQuery()
        query.key = try key.map { (key) throws(CommandFailure) in try id(of: key, options) }
        query.caller = caller
        query.event = event
        query.outcome = outcome
        query.reason = reason
        query.correlation = correlation
        query.since = since.flatMap(AuditTime.milliseconds)
        query.until = until.flatMap(AuditTime.milliseconds)
        return query
    }
}

extension AuditFilter {
    private func id(of key: String, _ options: GlobalOptions) throws(CommandFailure) -> String {
        guard case .name(let name) = KeyReference(key) else { return key }
        do throws(CommandFailure) {
            return try options.ask(key: name) { (client) throws(ClientError) in "\(try client.showKey(.name(name)).id)" }
        } catch {
            throw .failed(
                "the log knows keys by id, and the daemon does not say which key \"\(name)\" is: \(error.message)",
                "look for the key by its id, such as the record of its creation has: 'claviger audit search --event key-create'")
        }
    }
}

/// Records as people read them.
enum AuditText {
    static func line(_ entry: AuditEntry) -> String {
        var words = [entry.time, "#\(entry.sequence)", entry.event, word(for: entry)]
        if entry.count != "1" { words.append("x\(entry.count)") }
        if !entry.key.isEmpty { words.append("key=\(entry.key)" + (entry.version.isEmpty ? "" : "/\(entry.version)")) }
        words.append("by \(entry.name.isEmpty ? "uid:\(entry.uid)" : entry.name)" + (entry.uid.isEmpty ? "" : "(\(entry.uid))"))
        if !entry.unit.isEmpty { words.append("unit=\(entry.unit)") }
        if !entry.reason.isEmpty { words.append("(\(entry.reason))") }
        words += entry.details
        return Text.safe(words.joined(separator: " "))
    }

    private static func word(for entry: AuditEntry) -> String {
        switch AuditRecord.Outcome(rawValue: entry.outcome) {
        case .success?: "ok"
        case .partial?: "partial"
        case .failure?, nil: entry.reasonType
        }
    }

    static func print(_ entry: AuditEntry, asJSON: Bool) throws(CommandFailure) {
        guard asJSON else { return try StandardOutput.print(line(entry)) }
        try writeLine(entry)
    }

    private static let isTerminal = isatty(STDOUT_FILENO) == 1

    /// A record's line as it stands in the log; to a terminal with what it would obey escaped, as JSON allows.
    static func writeLine(_ entry: AuditEntry) throws(CommandFailure) {
        let line = isTerminal ? Array(Text.safeJSON(String(decoding: entry.line, as: UTF8.self)).utf8) : entry.line
        try StandardOutput.write((line + [0x0a]).span.bytes)
    }
}

extension AuditFiles {
    /// Calls `body` with every record that is looked for, oldest first.
    func forEach(_ query: AuditQuery, _ body: (AuditEntry) throws(CommandFailure) -> Void) throws(CommandFailure) {
        for segment in try segments() {
            try AuditLines.read(
                segment.path, failed: { CommandFailure.failed("\($0)", "check the rights of the log's files") }
            ) { (line, _) throws(CommandFailure) in
                guard let entry = AuditEntry(Array(line)), query.matches(entry) else { return }
                try body(entry)
            }
        }
    }
}

extension AuditCommand {
    /// `claviger audit tail`.
    struct Tail: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Shows the newest records, and with -f those that come.",
            discussion: """
                Examples:
                  claviger audit tail
                  claviger audit tail -n 100 --outcome failure
                  claviger audit tail -f --json | jq -c .event

                JSON: the records' lines as they stand in the log.
                """)

        @Option(name: [.customShort("n"), .long], help: ArgumentHelp("How many.", valueName: "n"))
        var lines = 10

        @Flag(name: [.customShort("f"), .long], help: "Go on with the records that come, until interrupted.")
        var follow = false

        @OptionGroup var filter: AuditFilter
        @OptionGroup var place: AuditFiles
        @OptionGroup var options: GlobalOptions

        private static let most = 100_000
        private static let pause: UInt32 = 100_000

        func validate() throws {
            guard (0...Tail.most).contains(lines) else { throw ValidationError("--lines is from 0 to \(Tail.most)") }
        }

        func run() throws {
            let query = try filter.query(options)
            let unreadable = { (error: FileError) in CommandFailure.failed("\(error)", "check the rights of the log's files") }
            var newest: [AuditEntry] = []
            // Before the look back, so that no record falls between.
            let directory = try place.resolved()
            _ = try place.segments()
            var follower: AuditFollower
            do throws(FileError) { follower = try AuditFollower(directory) } catch { throw unreadable(error) }
            try place.forEach(query) { (entry) throws(CommandFailure) in
                newest.append(entry)
                if newest.count > 2 * lines + 1 { newest.removeFirst(newest.count - lines) }
            }
            var last: UInt64 = 0
            for entry in newest.suffix(lines) {
                try AuditText.print(entry, asJSON: options.json)
                last = entry.sequence
            }
            guard follow else { return }
            while true {
                var failure: CommandFailure?
                do throws(FileError) {
                    try follower.next { line in
                        guard let entry = AuditEntry(Array(line)), entry.sequence > last, query.matches(entry) else {
                            return true
                        }
                        do throws(CommandFailure) {
                            try AuditText.print(entry, asJSON: options.json)
                            return true
                        } catch {
                            failure = error
                            return false
                        }
                    }
                } catch {
                    throw unreadable(error)
                }
                if let failure { throw failure }
                usleep(Tail.pause)
            }
        }
    }

    /// `claviger audit search`.
    struct Search: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Shows the records of a key, a caller, an event, a time, an outcome.",
            discussion: """
                All conditions must hold. Records are shown as they stand: 'claviger audit verify' says whether they can be believed.

                Examples:
                  claviger audit search --caller alice --outcome failure
                  claviger audit search --event key-rotate --since 2026-01-01 --until 2026-02-01
                  claviger audit search --key payroll --outcome failure
                  claviger audit search --key 6f1d3c5a-9b7e-4a02-8c41-d2e3f4a5b6c7 --json

                JSON: the records' lines as they stand in the log.
                """)

        @OptionGroup var filter: AuditFilter
        @OptionGroup var place: AuditFiles
        @OptionGroup var options: GlobalOptions

        func run() throws {
            var found = 0
            try place.forEach(filter.query(options)) { (entry) throws(CommandFailure) in
                found += 1
                try AuditText.print(entry, asJSON: options.json)
            }
            if found == 0 { StandardError.note("no record matches") }
        }
    }

    /// `claviger audit export`.
    struct Export: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Writes records as JSON lines or CSV.",
            discussion: """
                JSON lines are the log's own and can be verified when nothing is filtered. CSV has a heading; a cell that a spreadsheet \
                would take for a formula begins with an apostrophe.

                Examples:
                  claviger audit export --format csv --since 2026-01-01 --out january.csv
                  claviger audit export | gzip > audit.jsonl.gz
                """)

        enum Format: String, ExpressibleByArgument, CaseIterable {
            case jsonl
            case csv
        }

        @Option(help: "jsonl or csv.")
        var format = Format.jsonl

        @Option(help: ArgumentHelp("The file to write; stdout when none is named.", valueName: "file"), completion: .file())
        var out: String?

        @OptionGroup var filter: AuditFilter
        @OptionGroup var place: AuditFiles
        @OptionGroup var options: GlobalOptions

        func run() throws {
            guard let out else {
                guard format == .csv else {
                    return try place.forEach(filter.query(options)) { (entry) throws(CommandFailure) in
                        try AuditText.writeLine(entry)
                    }
                }
                try write { (bytes) throws(CommandFailure) in try StandardOutput.write(bytes.span.bytes) }
                return
            }
            let file = try OutputFile(out, mode: 0o600)
            // An export fits memory as it fits the disk's cache; the file appears whole or not at all.
            var content: [UInt8] = []
            try write { (bytes) throws(CommandFailure) in content += bytes }
            try file.commit(content.span.bytes)
        }

        private func write(_ put: ([UInt8]) throws(CommandFailure) -> Void) throws(CommandFailure) {
            let query = try filter.query(options)
            switch format {
            case .jsonl:
                try place.forEach(query) { (entry) throws(CommandFailure) in try put(entry.line + [0x0a]) }
            case .csv:
                try put(Array((Export.columns.map(\.name).joined(separator: ",") + "\r\n").utf8))
                try place.forEach(query) { (entry) throws(CommandFailure) in
                    let cells = Export.columns.map { Export.cell($0.value(entry)) }
                    try put(Array((cells.joined(separator: ",") + "\r\n").utf8))
                }
            }
        }

        private static var columns: [(name: String, value: (AuditEntry) -> String)] {
            [
                ("sequence", { String($0.sequence) }), ("time", \.time), ("event", \.event), ("action", \.action),
                ("outcome", \.outcome), ("severity", \.severity), ("reasonCode", \.reasonCode), ("reasonType", \.reasonType),
                ("reason", \.reason), ("uid", \.uid), ("gid", \.gid), ("pid", \.pid), ("name", \.name), ("unit", \.unit),
                ("key", \.key), ("keyVersion", \.version), ("keyRing", \.ring), ("count", \.count),
                ("correlationId", \.correlation), ("details", { $0.details.joined(separator: "; ") }),
            ]
        }

        // RFC 4180 section 2. Names come from others: a leading '=' and its like would be run by a spreadsheet.
        private static func cell(_ text: String) -> String {
            var text = Text.safe(text)
            if let first = text.first, "=+-@\t\r".contains(first) { text = "'" + text }
            guard text.contains(where: { $0 == "," || $0 == "\"" || $0.isNewline }) else { return text }
            return "\"" + text.replacing("\"", with: "\"\"") + "\""
        }
    }
}
