import ArgumentParser
import ClavigerClient
import ClavigerCore
import Glibc

/// `claviger audit`.
struct AuditCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit",
        abstract: "Verifies, shows and exports the audit log.",
        discussion: """
            verify, tail, search and export read the log's files and need no daemon; status, key, head and rotate ask it.

            Examples:
              claviger audit verify
              claviger audit tail -f
              claviger audit search --key 6f1d3c5a-9b7e-4a02-8c41-d2e3f4a5b6c7 --since 2026-01-31
              claviger audit head > /mnt/elsewhere/claviger.head
            """,
        subcommands: [
            AuditVerifyCommand.self, Tail.self, Search.self, Export.self, Status.self, Key.self, Head.self, Rotate.self,
        ])

    /// `claviger audit status`.
    struct Status: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Shows whether records are taken, where they go and how far they are sealed.",
            discussion: """
                Examples:
                  claviger audit status
                  claviger audit status --json | jq -r .failure

                JSON: directory, durability, failure, warning, sequence, segment, segmentBytes, sealedSequence, sealed, unsealed, \
                sealFailure, outbox, collector, collectorLag, collectorFailure.
                """)

        @OptionGroup var options: GlobalOptions

        func run() throws {
            let status = try options.ask { (client) throws(ClientError) in try client.auditStatus() }
            try options.print(Document(status), orText: Status.text(status))
        }

        private static func text(_ status: AuditStatusReply) -> String {
            var pairs = [("records", status.failure.map { "not taken: \($0)" } ?? "taken")]
            if let warning = status.warning { pairs.append(("warning", warning)) }
            pairs += [
                ("directory", status.directory), ("durability", status.durability), ("newest record", String(status.sequence)),
                ("file", status.segment.map { "\($0), \(status.segmentBytes) bytes" } ?? "none"),
                (
                    "sealed",
                    status.sealedSequence.map { "to record \($0) at \(Text.time(status.sealed ?? 0))" } ?? "not since the start"
                ), ("not sealed yet", "\(status.unsealed) records"),
            ]
            if let failure = status.sealFailure { pairs.append(("no checkpoint", failure)) }
            if status.outbox > 0 { pairs.append(("waiting", "\(status.outbox) records of changes, in the database")) }
            if let collector = status.collector {
                let lag = "\(status.collectorLag ?? 0) records behind"
                pairs.append(("collector", "\(collector), \(lag)" + (status.collectorFailure.map { ": \($0)" } ?? "")))
            }
            return Table.pairs(pairs)
        }

        private struct Document: Encodable {
            var directory: String
            var durability: String
            var failure: String?
            var warning: String?
            var sequence: UInt64
            var segment: String?
            var segmentBytes: UInt64
            var sealedSequence: UInt64?
            var sealed: String?
            var unsealed: UInt64
            var sealFailure: String?
            var outbox: UInt32
            var collector: String?
            var collectorLag: UInt64?
            var collectorFailure: String?

            init(_ status: AuditStatusReply) {
                directory = status.directory
                durability = status.durability
                failure = status.failure
                warning = status.warning
                sequence = status.sequence
                segment = status.segment
                segmentBytes = status.segmentBytes
                sealedSequence = status.sealedSequence
                sealed = status.sealed.map(Text.time)
                unsealed = status.unsealed
                sealFailure = status.sealFailure
                outbox = status.outbox
                collector = status.collector
                collectorLag = status.collectorLag
                collectorFailure = status.collectorFailure
            }
        }
    }

    /// `claviger audit key`.
    struct Key: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Prints the public key that checkpoints and heads are verified with, in PEM.",
            discussion: """
                Keep a copy where whoever can write the log cannot: a log is only as good as the key it is verified with.

                Examples:
                  claviger audit key > claviger-audit.pem
                  claviger audit key | openssl pkey -pubin -text -noout

                JSON: pem.
                """)

        @OptionGroup var options: GlobalOptions

        func run() throws {
            let reply = try options.ask { (client) throws(ClientError) in try client.auditKey() }
            guard let key = SigningPublicKey(der: reply.key) else {
                throw CommandFailure.failed("the daemon's answer is no key", "install the same version of both")
            }
            if options.json {
                try StandardOutput.print(JSON.encode(Document(pem: key.pem)))
            } else {
                try StandardOutput.write(Array(key.pem.utf8).span.bytes)
            }
        }

        private struct Document: Encodable {
            var pem: String
        }
    }

    /// `claviger audit head`.
    struct Head: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Prints a signed statement of where the log stands, to be kept elsewhere.",
            discussion: """
                One line of JSON. 'claviger audit verify --head FILE' proves later that nothing up to there was cut off.

                Examples:
                  claviger audit head > /mnt/elsewhere/claviger-$(date +%F).head

                JSON: instance, sequence, hash, time, signature.
                """)

        @OptionGroup var options: GlobalOptions

        func run() throws {
            let reply = try options.ask { (client) throws(ClientError) in try client.auditHead() }
            guard let hash = AuditHash(reply.hash) else {
                throw ClientError.protocolViolation("the head's hash has \(reply.hash.count) bytes")
            }
            let head = AuditHead(
                instance: reply.instance, position: AuditPosition(sequence: reply.sequence, hash: hash), time: reply.time,
                signature: reply.signature)
            try StandardOutput.print(head.json)
        }
    }

    /// `claviger audit rotate`.
    struct Rotate: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Seals the log's file and begins the next.",
            discussion: """
                Files that are no longer written may be moved or removed; 'verify' then says where the log begins.

                Examples:
                  claviger audit rotate

                JSON: segment, the name of the new file.
                """)

        @OptionGroup var options: GlobalOptions

        func run() throws {
            let reply = try options.ask { (client) throws(ClientError) in try client.rotateAudit() }
            try options.print(Document(segment: reply.segment), orText: "records go to \(reply.segment) now")
        }

        private struct Document: Encodable {
            var segment: String
        }
    }
}

/// Where the log's files are, for commands that read them.
struct AuditFiles: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The log's directory (default: audit.directory of the configuration, or 'audit' in its state-directory).",
            valueName: "path"))
    var directory: String?

    @OptionGroup var configurationOption: ConfigurationOption

    /// The directory.
    func resolved() throws(CommandFailure) -> String {
        if let directory { return directory }
        do throws(CommandFailure) {
            return try configurationOption.load().auditDirectory
        } catch {
            throw .failed(error.message, "name the log's directory with --directory, or the configuration with --config")
        }
    }

    /// The segments, oldest first; there is one at least.
    func segments() throws(CommandFailure) -> [AuditSegment] {
        let directory = try resolved()
        let segments: [AuditSegment]
        do throws(FileError) { segments = try AuditSegment.list(directory) } catch {
            throw .failed("\(error)", "run it as root or as the daemon's user, or name the directory with --directory")
        }
        guard !segments.isEmpty else {
            throw .failed("there is no audit log in \(directory)", "name its directory with --directory")
        }
        return segments
    }
}
