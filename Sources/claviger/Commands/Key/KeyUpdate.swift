import ArgumentParser
import ClavigerClient

extension KeyCommand {
    /// `claviger key update`.
    struct Update: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Changes a key's name, description, tags or expiry.",
            discussion: """
                What is not given stays. --revision, which 'claviger key show' prints, makes the change only if nobody else changed the \
                key since.

                Examples:
                  claviger key update payroll --description 'Wraps the wages' --tag eu --tag wages
                  claviger key update payroll --expires 2027-12-31
                  claviger key update payroll --expires never --description ''
                  claviger key update payroll --name payroll-eu --revision 4

                JSON: as 'claviger key show'.
                """)

        @OptionGroup var target: KeyArgument

        @Option(help: ArgumentHelp("The new name.", valueName: "name"))
        var name: String?

        @Option(help: ArgumentHelp("The new description; '' removes it.", valueName: "text"))
        var description: String?

        @Option(
            name: .customLong("tag"), parsing: .singleValue,
            help: ArgumentHelp("A tag; those given replace all that there are.", valueName: "text"))
        var tags: [String] = []

        @Flag(help: "Remove all tags.")
        var noTags = false

        @Option(help: ArgumentHelp("When the key stops wrapping: \(Moment.form).", valueName: "when"))
        var expires: Moment?

        @Option(help: ArgumentHelp("Only if this is the key's revision.", valueName: "n"))
        var revision: UInt64?

        @OptionGroup var options: GlobalOptions

        func validate() throws {
            if noTags, !tags.isEmpty { throw ValidationError("--tag and --no-tags exclude each other") }
            if name == nil, description == nil, tags.isEmpty, !noTags, expires == nil {
                throw ValidationError("say what to change: --name, --description, --tag, --no-tags or --expires")
            }
        }

        func run() throws {
            try options.printKey(target) { (client) throws(ClientError) in
                try client.updateKey(target.reference) { request in
                    request.name = name
                    request.description = description
                    request.tags = noTags || !tags.isEmpty ? tags : nil
                    request.expires = expires?.milliseconds
                    request.revision = revision
                }
            }
        }
    }

    /// `claviger key move`.
    struct Move: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Moves a key to another key ring.",
            discussion: """
                Whoever has rights on the old ring loses them on the key, whoever has some on the new one gains them, with the next \
                request.

                Examples:
                  claviger key move payroll finance

                JSON: as 'claviger key show'.
                """)

        @OptionGroup var target: KeyArgument

        @Argument(help: "The ring that it moves to.", completion: Completion.rings)
        var ring: String

        @OptionGroup var options: GlobalOptions

        func run() throws {
            try options.printKey(target) { (client) throws(ClientError) in try client.moveKey(target.reference, to: ring) }
        }
    }

    /// `claviger key rotate`.
    struct Rotate: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Gives a key a new version, under which it wraps from then on.",
            discussion: """
                Envelopes of older versions still unwrap; 'claviger rewrap' makes them anew. An imported key's new version is made of \
                what --from holds, as by 'claviger key import'. A standard key's new version keeps what --from holds, or 32 random \
                bytes. Soon after a rotation another is refused unless --emergency says why.

                Examples:
                  claviger key rotate payroll
                  claviger key rotate payroll --emergency 'laptop of an admin stolen'
                  claviger key rotate imported-key --from next.key
                  claviger key rotate smtp-password --from new-password.txt

                JSON: as 'claviger key show'.
                """)

        @OptionGroup var target: KeyArgument

        @Option(help: ArgumentHelp("Rotate at once, for this reason, which is recorded.", valueName: "reason"))
        var emergency: String?

        @Option(
            help: ArgumentHelp(
                "An imported root key's new material, or what a standard key is to keep ('-' for stdin).", valueName: "file"),
            completion: .file())
        var from: String?

        @OptionGroup var material: MaterialOptions

        @OptionGroup var options: GlobalOptions

        func run() throws {
            guard let from else {
                return try options.printKey(target) { (client) throws(ClientError) in
                    try client.rotateKey(target.reference) { $0.reason = emergency }
                }
            }
            let record = try options.ask(key: target.key) { (client) throws(ClientError) in
                try client.showKey(target.reference)
            }
            // Said before an RSA key is made for nothing.
            if record.kind != .standard, !record.isImported {
                throw CommandFailure.usage(
                    "key '\(target.key)' was generated in the token, and so are its versions", "rotate it without --from")
            }
            let key = record.kind == .standard ? try keeping(from) : try ship(from, record.id)
            try options.print(KeyDocument(key), orText: KeyDocument.text(key))
        }

        private func keeping(_ path: String) throws(CommandFailure) -> KeyRecord {
            guard !material.isForRootKeys else {
                throw .usage(
                    "--plain, --import-token and --encoding are for root keys, and '\(target.key)' is a standard key",
                    "leave them away: the file's bytes are kept as they are")
            }
            let secret = try Input(path, what: "the secret").readPayload()
            return try send(secret)
        }

        private func ship(_ path: String, _ id: KeyID) throws(CommandFailure) -> KeyRecord {
            let bytes = try Input(path, what: "the material").readMaterial(material.encoding)
            if material.plain { return try send(bytes) }
            return try KeyShipment(options: options, importToken: material.importToken).ship(bytes, for: id, name: target.key) {
                (client, parts) throws(ClientError) in
                try client.rotateKey(.id(id)) { request in
                    request.reason = emergency
                    request.fill(parts)
                }
            }
        }

        private func send(_ bytes: borrowing SecretBytes) throws(CommandFailure) -> KeyRecord {
            let client = Client(options.clientOptions)
            defer { client.close() }
            do throws(ClientError) {
                return try client.rotateKey(target.reference, payload: bytes.bytes) { $0.reason = emergency }
            } catch {
                throw CommandFailure(error, key: target.key)
            }
        }
    }
}
