import ArgumentParser
import ClavigerClient

extension KeyCommand {
    /// `claviger key read`.
    struct Read: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Writes what a standard key keeps.",
            discussion: """
                It goes to stdout unless that is a terminal, or to the file of --out (mode 0600; '-' insists on stdout).

                Examples:
                  claviger key read smtp-password --out password.txt
                  claviger key read smtp-password | mailer --password-stdin
                  claviger key read smtp-password --version 2 --out old.txt

                JSON (needs --out FILE): key, version.
                """)

        @OptionGroup var target: KeyArgument

        @Option(help: ArgumentHelp("This version instead of the newest.", valueName: "n"))
        var version: UInt32?

        @Option(
            help: ArgumentHelp("Write it to this file (mode 0600), or to stdout with '-'.", valueName: "file"),
            completion: .file())
        var out: String?

        @OptionGroup var options: GlobalOptions

        func validate() throws {
            if version == 0 { throw ValidationError("--version is 1 or more") }
            if options.json, out == nil || out == "-" {
                throw ValidationError("--json takes stdout: write the secret with --out FILE")
            }
        }

        func run() throws {
            guard out != nil || !StandardOutput.isTerminal else {
                throw CommandFailure.usage(
                    "the secret would be shown on this terminal",
                    "redirect stdout, name a file with --out FILE, or insist with --out -")
            }
            let destination = try PlaintextDestination(out)
            let secret = try options.ask(key: target.key) { (client) throws(ClientError) in
                try client.readKey(target.reference, version: version)
            }
            try destination.write(secret.payload.bytes)
            if options.json {
                try StandardOutput.print(JSON.encode(Document(key: secret.key.description, version: secret.version)))
            }
        }

        private struct Document: Encodable {
            var key: String
            var version: UInt32
        }
    }
}
