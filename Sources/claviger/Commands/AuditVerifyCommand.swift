import ArgumentParser
import ClavigerClient
import ClavigerCore
import Glibc

/// `claviger audit verify`.
struct AuditVerifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Proves that no record was changed, removed, inserted or moved.",
        discussion: """
            Needs the files and the public key, no secret and no daemon. The first bad record is named, and the exit status is 1; so it \
            is for a log without any record.

            What stands after the newest checkpoint is chained but not sealed: whoever can write the files could have replaced or cut \
            it. A head that was kept elsewhere proves all up to its record. Without --key the key beside the log is taken, which whoever \
            can write the log could have replaced as well. A head that is older than the oldest file kept proves only that the log went \
            on: keep a newer one.

            Examples:
              claviger audit verify
              claviger audit verify --key claviger-audit.pem --head claviger-2026-01-31.head
              claviger audit verify --key claviger-audit.pem /archive/audit-*.jsonl

            JSON: records, first, last, checkpoints, sealed (a record's number), sealedTime, unsealed, headProven, incidents: \
            sequence, event.
            """)

    @Argument(help: "The log's files; all of the directory when none is named.", completion: .file())
    var files: [String] = []

    @Option(help: ArgumentHelp("The public key, as 'claviger audit key' prints it.", valueName: "file"), completion: .file())
    var key: String?

    @Option(help: ArgumentHelp("A head, as 'claviger audit head' prints it.", valueName: "file"), completion: .file())
    var head: String?

    @OptionGroup var place: AuditFiles
    @OptionGroup var options: GlobalOptions

    func run() throws {
        let paths = try files.isEmpty ? place.segments().map(\.path) : sorted()
        let keyPath = try key ?? (files.isEmpty ? place.resolved() : directory(of: files[0])) + "/key.pem"
        if key == nil {
            StandardError.note("verified with the key beside the log, \(keyPath); --key takes one that was kept elsewhere")
        }
        guard let publicKey = SigningPublicKey(pem: try text(keyPath)) else {
            throw CommandFailure.failed("\(keyPath) holds no public key of P-256", "give what 'claviger audit key' printed")
        }
        let report = try verify(paths, publicKey, try readHead())
        try options.print(Document(report, hasHead: head != nil), orText: text(report))
    }

    private func verify(_ paths: [String], _ key: SigningPublicKey, _ head: AuditHead?) throws(CommandFailure)
        -> AuditVerifier.Report
    {
        do throws(AuditVerifier.Finding) {
            var verifier = try AuditVerifier(key: key, head: head)
            var progress = Progress(total: paths.reduce(0) { $0 + size($1) })
            defer { progress.end() }
            for path in paths {
                try verifier.feed(path) { progress.show($0) }
                progress.finish(size(path))
            }
            return try verifier.finish()
        } catch {
            throw .failed("the audit log is not whole: \(error)", "keep the files as they are, and find out who could write them")
        }
    }

    // The names sort as the records do, but a shell may have given them in any order and from several directories.
    private func sorted() throws(CommandFailure) -> [String] {
        files.sorted { name($0) < name($1) }
    }

    private func name(_ path: String) -> Substring { path.split(separator: "/").last ?? "" }

    private func directory(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    private func readHead() throws(CommandFailure) -> AuditHead? {
        guard let head else { return nil }
        guard let read = AuditHead(json: try text(head)) else {
            throw CommandFailure.failed("\(head) holds no head", "give what 'claviger audit head' printed")
        }
        return read
    }

    private func text(_ path: String) throws(CommandFailure) -> String {
        do throws(FileError) { return String(decoding: try Files.read(path), as: UTF8.self) } catch {
            throw .failed("\(error)", "check the name and the rights")
        }
    }

    private func size(_ path: String) -> Int { Files.status(path).map { Int($0.st_size) } ?? 0 }

    private func text(_ report: AuditVerifier.Report) -> String {
        let last = report.last?.sequence ?? 0
        var lines = ["the audit log is whole: \(report.records) records, \(report.first) to \(last)"]
        if report.first > 1 {
            lines.append("it begins with record \(report.first): older files have been removed or are elsewhere")
        }
        if let checkpoint = report.checkpoint {
            lines.append(
                "complete up to the checkpoint at record \(checkpoint.position.sequence), signed \(Text.time(checkpoint.time)); "
                    + "\(report.unsealed) records after it are not sealed yet")
        } else {
            lines.append("there is no checkpoint: nothing but the chain speaks for these records")
        }
        if report.isHeadOlder, let sequence = try? readHead()?.position.sequence {
            lines.append(
                "the head is of record \(sequence), older than the oldest file kept: the log goes on beyond it, but only a newer head "
                    + "proves where it ends, and only the older files what stood in them")
        } else if head != nil {
            lines.append("the head proves that nothing up to its record was cut off")
        }
        for incident in report.incidents { lines.append("record \(incident.sequence) reports \(incident.event): look at it") }
        return lines.joined(separator: "\n")
    }

    private struct Document: Encodable {
        var records: UInt64
        var first: UInt64
        var last: UInt64
        var checkpoints: UInt64
        var sealed: UInt64?
        var sealedTime: String?
        var unsealed: UInt64
        var headProven: Bool
        var incidents: [Incident]

        struct Incident: Encodable {
            var sequence: UInt64
            var event: String
        }

        init(_ report: AuditVerifier.Report, hasHead: Bool) {
            records = report.records
            first = report.first
            last = report.last?.sequence ?? 0
            checkpoints = report.checkpoints
            sealed = report.checkpoint?.position.sequence
            sealedTime = report.checkpoint.map { Text.time($0.time) }
            unsealed = report.unsealed
            headProven = hasHead && !report.isHeadOlder
            incidents = report.incidents.map { Incident(sequence: $0.sequence, event: $0.event) }
        }
    }

    /// A bar on a terminal's stderr, for logs that take a while.
    private struct Progress {
        private let total: Int
        private var done = 0
        private var shown = -1
        private let isShown: Bool
        private static let width = 40
        /// Shorter logs are done before anybody has read a bar.
        private static let least = 32 << 20

        init(total: Int) {
            self.total = total
            isShown = total >= Progress.least && isatty(STDERR_FILENO) == 1
        }

        mutating func show(_ part: Int) {
            guard isShown else { return }
            let percent = min(100, (done + part) * 100 / max(1, total))
            guard percent != shown else { return }
            shown = percent
            let filled = percent * Progress.width / 100
            let bar = String(repeating: "#", count: filled) + String(repeating: ".", count: Progress.width - filled)
            _ = writeAll(STDERR_FILENO, Array("\r[\(bar)] \(percent) %".utf8).span.bytes)
        }

        mutating func finish(_ size: Int) {
            done += size
            show(0)
        }

        mutating func end() {
            guard isShown, shown >= 0 else { return }
            _ = writeAll(STDERR_FILENO, Array("\r\u{1b}[K".utf8).span.bytes)
        }
    }
}
