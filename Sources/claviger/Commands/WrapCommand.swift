import ArgumentParser
import ClavigerClient

/// The options of what binds an envelope to its use.
struct ContextOptions: ParsableArguments {
    @Option(
        name: .customLong("context"), parsing: .singleValue,
        help: ArgumentHelp(
            "A string that the envelope is bound to; repeat it for more. Unwrapping needs the same strings in the same order.",
            valueName: "string"))
    var strings: [String] = []
}

/// `claviger wrap`.
struct WrapCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "wrap",
        abstract: "Wraps a data key under a root key and prints its envelope.",
        discussion: """
            The data key, 1 to \(Limits.maximumPlaintext) bytes as they are, comes from stdin or --in, or is made by the token with --generate. \
            A generated key is shown only where --plaintext-out says; without it, the envelope alone is kept. With --sealed it is made inside \
            the token and the daemon never sees it either, which needs a root key made with --suite aes-kw-hmac.

            Examples:
              claviger wrap payroll --context tenant=7 < dek.bin > dek.clv
              claviger wrap payroll --generate --plaintext-out dek.bin > dek.clv
              claviger wrap payroll --bytes 64 --out dek.clv
              claviger wrap vault --generate --sealed > dek.clv
              claviger wrap payroll --in dek.bin --json | jq -r .envelope

            JSON: envelope (text form), key, version.
            """)

    @Argument(help: "The key, by name or id.")
    var key: String

    @OptionGroup var context: ContextOptions

    @Option(name: .customLong("in"), help: ArgumentHelp("Read the data key from this file.", valueName: "file"))
    var input: String?

    @Flag(help: "Have the token make the data key.")
    var generate = false

    @Option(
        help: ArgumentHelp(
            "How long a generated data key is, \(Limits.minimumGenerated) to \(Limits.maximumGenerated) bytes (default: \(Limits.defaultGenerated)); implies --generate.",
            valueName: "n"))
    var bytes: Int?

    @Flag(help: "Make the data key inside the token, and show it to nobody; with --generate or --bytes.")
    var sealed = false

    @Option(
        help: ArgumentHelp("Write the generated data key to this file (mode 0600), or to stdout with '-'.", valueName: "file"))
    var plaintextOut: String?

    @Option(help: ArgumentHelp("Write the envelope to this file.", valueName: "file"))
    var out: String?

    @Flag(help: "Write the envelope's bytes, not its text form.")
    var raw = false

    @OptionGroup var options: GlobalOptions

    private var generates: Bool { generate || bytes != nil }

    func validate() throws {
        if generates, input != nil { throw ValidationError("--generate and --in exclude each other") }
        if !generates, plaintextOut != nil {
            throw ValidationError("--plaintext-out is for --generate: a given data key is yours already")
        }
        if sealed, !generates { throw ValidationError("--sealed goes with --generate or --bytes") }
        if sealed, plaintextOut != nil { throw ValidationError("--sealed and --plaintext-out exclude each other") }
        if let bytes, !(Limits.minimumGenerated...Limits.maximumGenerated).contains(bytes) {
            throw ValidationError("--bytes is from \(Limits.minimumGenerated) to \(Limits.maximumGenerated)")
        }
        if plaintextOut == "-", out == nil || options.json {
            throw ValidationError("--plaintext-out - takes stdout: write the envelope with --out FILE, and leave --json away")
        }
        if raw, options.json, out == nil { throw ValidationError("--raw needs --out FILE when --json takes stdout") }
        if let plaintextOut, plaintextOut == out {
            throw ValidationError("--plaintext-out and --out name the same file")
        }
    }

    func run() throws {
        generates ? try wrapGenerated() : try wrapGiven()
    }

    private func wrapGiven() throws(CommandFailure) {
        let source = try Input(input, what: "the data key")
        // Read before a file is begun: whoever interrupts the wait for stdin finds nothing left behind.
        guard let plaintext = try source.readSecret(limit: Limits.maximumPlaintext) else {
            throw .failed(
                "\(source.name) holds more than \(Limits.maximumPlaintext) bytes, the most that an envelope takes",
                "wrap a data key, and encrypt larger data with that key")
        }
        guard plaintext.count > 0 else { throw .failed("\(source.name) is empty: there is no data key", "give 1 to 4096 bytes") }
        let destination = try envelopeDestination()
        try finish(destination, try ask(plaintext))
    }

    private func ask(_ plaintext: borrowing SecretBytes) throws(CommandFailure) -> Wrapped {
        let client = Client(options.clientOptions)
        do throws(ClientError) {
            return try client.wrap(key: KeyReference(key), plaintext: plaintext, context: context.strings)
        } catch {
            throw CommandFailure(error, key: key)
        }
    }

    private func wrapGenerated() throws(CommandFailure) {
        let destination = try envelopeDestination()
        guard !sealed else { return try finish(destination, try generatedInside()) }
        guard let plaintextOut else {
            return try finish(destination, try generated().wrapped)
        }
        let plaintextDestination = try PlaintextDestination(plaintextOut)
        let made = try generated()
        // The plaintext first: an envelope without its data key can be unwrapped, a lost data key with no envelope cannot.
        try plaintextDestination.write(made.plaintext.bytes)
        try finish(destination, made.wrapped)
    }

    private func generated() throws(CommandFailure) -> Generated {
        try options.ask(key: key) { (client) throws(ClientError) in
            try client.generate(key: KeyReference(key), count: bytes ?? Limits.defaultGenerated, context: context.strings)
        }
    }

    private func generatedInside() throws(CommandFailure) -> Wrapped {
        try options.ask(key: key) { (client) throws(ClientError) in
            try client.generateSealed(key: KeyReference(key), count: bytes ?? Limits.defaultGenerated, context: context.strings)
        }
    }

    // With --json stdout belongs to the document, which holds the envelope.
    private func envelopeDestination() throws(CommandFailure) -> EnvelopeDestination? {
        options.json && out == nil ? nil : try EnvelopeDestination(out, raw: raw)
    }

    private func finish(_ destination: consuming EnvelopeDestination?, _ wrapped: Wrapped) throws(CommandFailure) {
        if let destination { try destination.write(wrapped.envelope) }
        if options.json { try StandardOutput.print(JSON.encode(EnvelopeDocument(wrapped))) }
    }
}

/// An envelope as it is printed.
struct EnvelopeDocument: Encodable {
    var envelope: String
    var key: String
    var version: UInt32

    init(_ wrapped: Wrapped) {
        envelope = EnvelopeText.encode(wrapped.envelope.span.bytes)
        key = wrapped.key.description
        version = wrapped.version
    }
}
