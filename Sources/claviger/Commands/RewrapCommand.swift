import ArgumentParser
import ClavigerClient

/// `claviger rewrap`.
struct RewrapCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rewrap",
        abstract: "Makes an envelope anew under its key's newest version; the data key is not shown.",
        discussion: """
            Examples:
              claviger rewrap --context tenant=7 < dek.clv > new.clv
              claviger rewrap --in dek.clv --out dek.clv

            JSON: envelope (text form), key, version, previousVersion.
            """)

    @Argument(help: "The key that must have made the envelope, by name or id.")
    var key: String?

    @OptionGroup var context: ContextOptions

    @Option(name: .customLong("in"), help: ArgumentHelp("Read the envelope from this file.", valueName: "file"))
    var input: String?

    @Option(help: ArgumentHelp("Write the new envelope to this file.", valueName: "file"))
    var out: String?

    @Flag(help: "Write the envelope's bytes, not its text form.")
    var raw = false

    @OptionGroup var options: GlobalOptions

    func validate() throws {
        if raw, options.json, out == nil { throw ValidationError("--raw needs --out FILE when --json takes stdout") }
    }

    func run() throws {
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
