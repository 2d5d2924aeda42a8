import ArgumentParser
import ClavigerClient

/// `claviger rewrap`.
struct RewrapCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rewrap",
        abstract: "Makes envelopes anew under their keys' newest versions; no data key is shown.",
        discussion: """
            One envelope comes from stdin or --in and goes to stdout or --out.

            With --all many are made anew, 256 with one request: files, each replaced in its place and in its form (text or bytes), or \
            with - a stream of one envelope a line from stdin to stdout. Strings behind the envelope of a line, each after a tab, are its \
            context instead of --context. An envelope that cannot be made anew stays as it is and is named on stderr; the rest go on, and \
            the exit status is 1. An interrupted run leaves every file old or new: run it again. What is current already is left alone.

            Examples:
              claviger rewrap --context tenant=7 < dek.clv > new.clv
              claviger rewrap --in dek.clv --out dek.clv
              claviger rewrap --all --context tenant=7 deks/*.clv
              claviger rewrap --all --key payroll - < envelopes.txt > new.txt
              find deks -name '*.clv' -print0 | xargs -0 claviger rewrap --all

            JSON: envelope (text form), key, version, previousVersion. With --all and files: rewrapped, current, failed: file, code, message; a \
            stream has it on stderr.
            """)

    @Argument(
        help: ArgumentHelp(
            "The key that must have made the envelope, by id, alias or name. With --all: the files, or - for a stream.",
            valueName: "key-or-files"),
        completion: .file())
    var arguments: [String] = []

    @Flag(help: "Make many envelopes anew.")
    var all = false

    @Option(
        help: ArgumentHelp("With --all: the key that must have made every envelope.", valueName: "key"),
        completion: Completion.keys)
    var key: String?

    @OptionGroup var context: ContextOptions

    @Option(
        name: .customLong("in"), help: ArgumentHelp("Read the envelope from this file.", valueName: "file"), completion: .file())
    var input: String?

    @Option(help: ArgumentHelp("Write the new envelope to this file.", valueName: "file"), completion: .file())
    var out: String?

    @Flag(help: "Write the envelope's bytes, not its text form.")
    var raw = false

    @OptionGroup var options: GlobalOptions

    func validate() throws {
        if all {
            if arguments.isEmpty { throw ValidationError("--all needs files, or - for a stream") }
            if arguments.contains("-"), arguments.count > 1 {
                throw ValidationError("- stands alone: files and a stream exclude each other")
            }
            if input != nil || out != nil || raw { throw ValidationError("--all takes neither --in, --out nor --raw") }
            return
        }
        if key != nil { throw ValidationError("--key is for --all; without it the key stands by itself") }
        if arguments.count > 1 { throw ValidationError("many envelopes need --all") }
        if raw, options.json, out == nil { throw ValidationError("--raw needs --out FILE when --json takes stdout") }
    }

    func run() throws {
        guard all else { return try rewrapOne() }
        let bulk = BulkRewrap(options: options, key: key.map { KeyReference($0) })
        if arguments == ["-"] {
            try StreamRewrap(bulk: bulk, context: context.strings).run()
        } else {
            try FileRewrap(bulk: bulk, context: context.strings).run(arguments)
        }
    }

    private func rewrapOne() throws {
        let key = arguments.first
        let envelope = try Input(input, what: "the envelope").readEnvelope()
        let destination: EnvelopeDestination? = options.json && out == nil ? nil : try EnvelopeDestination(out, raw: raw)
        let made = try options.ask(key: key) { (client) throws(ClientError) in
            try client.rewrap(envelope, context: context.strings, key: key.map { KeyReference($0) })
        }
        if let destination { try destination.write(made.wrapped.envelope) }
        if options.json { try StandardOutput.print(JSON.encode(Document(made))) }
    }

    private struct Document: Encodable {
        var envelope: String
        var key: String
        var version: UInt32
        var previousVersion: UInt32

        init(_ made: Rewrapped) {
            envelope = EnvelopeText.encode(made.wrapped.envelope.span.bytes)
            key = made.wrapped.key.description
            version = made.wrapped.version
            previousVersion = made.previousVersion
        }
    }
}
