import ArgumentParser
import ClavigerClient

/// `claviger unwrap`.
struct UnwrapCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "unwrap",
        abstract: "Opens an envelope and writes the data key in it.",
        discussion: """
            The envelope, text or raw bytes, comes from stdin or --in. It names its key; a KEY given must be that one. The data \
            key goes to stdout unless that is a terminal, or to the file of --plaintext-out (mode 0600; '-' insists on stdout). \
            An envelope of an older version is stale, and a note on stderr says so.

            Examples:
              claviger unwrap --context tenant=7 < dek.clv > dek.bin
              claviger unwrap payroll --in dek.clv --plaintext-out dek.bin
              claviger unwrap --in dek.clv --plaintext-out dek.bin --refreshed-out new.clv

            JSON (needs --plaintext-out FILE): key, version, stale, and refreshed with envelope, key, version.
            """)

    @Argument(help: "The key that must have made the envelope, by name or id.")
    var key: String?

    @OptionGroup var context: ContextOptions

    @Option(name: .customLong("in"), help: ArgumentHelp("Read the envelope from this file.", valueName: "file"))
    var input: String?

    @Option(help: ArgumentHelp("Write the data key to this file (mode 0600), or to stdout with '-'.", valueName: "file"))
    var plaintextOut: String?

    @Flag(help: "Ask for a new envelope when this one is stale.")
    var refresh = false

    @Option(
        help: ArgumentHelp("Where the new envelope goes; written only when there is one. Implies --refresh.", valueName: "file"))
    var refreshedOut: String?

    @Flag(help: "Write the new envelope's bytes, not its text form.")
    var raw = false

    @OptionGroup var options: GlobalOptions

    private var refreshes: Bool { refresh || refreshedOut != nil }

    func validate() throws {
        if refreshes, refreshedOut == nil, !options.json {
            throw ValidationError("--refresh needs --refreshed-out FILE or --json")
        }
        if raw, refreshedOut == nil { throw ValidationError("--raw is for --refreshed-out") }
        if options.json, plaintextOut == nil || plaintextOut == "-" {
            throw ValidationError("--json takes stdout: write the data key with --plaintext-out FILE")
        }
        if let plaintextOut, plaintextOut != "-", plaintextOut == refreshedOut {
            throw ValidationError("--plaintext-out and --refreshed-out name the same file")
        }
    }

    func run() throws {
        try PlaintextDestination.refuseTerminal(plaintextOut)
        // Read before a file is begun: whoever interrupts the wait for stdin finds nothing left behind.
        let envelope = try Input(input, what: "the envelope").readEnvelope()
        let destination = try PlaintextDestination(plaintextOut)
        let refreshedDestination = try refreshedOut.map { path in try EnvelopeDestination(path, raw: raw) }
        let unwrapped = try options.ask(key: key) { (client) throws(ClientError) in
            try client.unwrap(envelope, context: context.strings, key: key.map { KeyReference($0) }, refresh: refreshes)
        }
        try destination.write(unwrapped.plaintext.bytes)
        if let refreshed = unwrapped.refreshed, let refreshedDestination { try refreshedDestination.write(refreshed.envelope) }
        guard options.json else { return note(unwrapped.opened) }
        try StandardOutput.print(JSON.encode(OpenedDocument(unwrapped.opened)))
    }

    private func note(_ opened: Opened) {
        guard opened.isStale else { return }
        let about = "the envelope was made by version \(opened.version) of key \(opened.key), which has a newer one"
        if let refreshed = opened.refreshed, let refreshedOut {
            StandardError.note("\(about); \(refreshedOut) holds one made by version \(refreshed.version)")
        } else if refreshes {
            StandardError.note("\(about); no new envelope came: you may not wrap with this key")
        } else {
            StandardError.note("\(about); 'claviger rewrap' makes it anew")
        }
    }
}

private struct OpenedDocument: Encodable {
    var key: String
    var version: UInt32
    var stale: Bool
    var refreshed: EnvelopeDocument?

    init(_ opened: Opened) {
        key = opened.key.description
        version = opened.version
        stale = opened.isStale
        refreshed = opened.refreshed.map(EnvelopeDocument.init)
    }
}
