import ArgumentParser
import ClavigerClient
import ClavigerImport

extension KeyCommand {
    /// `claviger key import`.
    struct Import: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "import",
            abstract: "Makes a root key of material that you have.",
            discussion: """
                The material, 16, 24 or 32 bytes, is encrypted here for an RSA key that the token makes for this import, so that \
                neither the socket nor the daemon ever sees it; with it goes a proof that you hold it. The token does not give it \
                back. --plain sends it as it is.

                Examples:
                  claviger key import payroll --from payroll.key
                  openssl rand 32 | tee payroll.key | claviger key import payroll --from -
                  claviger key import payroll --from key.b64 --encoding base64 --ring finance
                  claviger key import payroll --from payroll.key --import-token 2f0e1d3c-4b5a-4968-8776-655443322110

                JSON: \(KeyDocument.fields).
                """)

        @Argument(help: "The new key's name, 2 to 90 characters.")
        var name: String

        @Option(
            help: ArgumentHelp("The file with the material ('-' for stdin).", valueName: "file"), completion: .file())
        var from: String

        @OptionGroup var material: MaterialOptions
        @OptionGroup var new: NewKeyOptions
        @OptionGroup var options: GlobalOptions

        func run() throws {
            let bytes = try Input(from, what: "the material").readMaterial(material.encoding)
            let key = material.plain ? try sendPlain(bytes) : try ship(bytes)
            try options.print(KeyDocument(key), orText: KeyDocument.text(key))
        }

        private func sendPlain(_ bytes: borrowing SecretBytes) throws(CommandFailure) -> KeyRecord {
            let client = Client(options.clientOptions)
            defer { client.close() }
            do throws(ClientError) {
                return try client.createKey(name: name, payload: bytes.bytes) { request in
                    request.kind = .root
                    new.fill(&request)
                }
            } catch {
                throw CommandFailure(error, key: name)
            }
        }

        private func ship(_ bytes: borrowing SecretBytes) throws(CommandFailure) -> KeyRecord {
            var generator = SystemRandomNumberGenerator()
            let id = KeyID(random: (generator.next(), generator.next()))
            return try KeyShipment(options: options, importToken: material.importToken).ship(bytes, for: id, name: name) {
                (client, parts) throws(ClientError) in
                try client.createKey(name: name) { request in
                    new.fill(&request)
                    request.fill(parts, key: id)
                }
            }
        }
    }
}
