import ArgumentParser
import ClavigerClient
import FoundationEssentials

/// `claviger import-token`.
struct ImportTokenCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "import-token",
        abstract: "Makes RSA keys in the token, for which key material is encrypted before it is imported.",
        discussion: """
            'claviger key import' does all of it in one command; these are for material that is encrypted elsewhere.

            Examples:
              claviger import-token create --ttl 1h --uses 3
              claviger import-token list
              claviger import-token delete 2f0e1d3c-4b5a-4968-8776-655443322110
            """,
        subcommands: [Create.self, List.self, Take.self, Delete.self])

    struct Target: ParsableArguments {
        @Argument(help: "The import token's id.", transform: ImportTokenCommand.id)
        var id: ImportTokenID
    }

    @Sendable static func id(_ text: String) throws -> ImportTokenID {
        guard let id = ImportTokenID(text: text) else { throw ValidationError("'\(text)' is no id: it has 36 characters") }
        return id
    }

    struct Create: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Makes an import token.",
            discussion: """
                It ends with its time or its last use, whichever comes first; its private key is destroyed then.

                Examples:
                  claviger import-token create
                  claviger import-token create --ttl 1d --uses 20

                JSON: \(ImportTokenDocument.fields).
                """)

        @Option(help: ArgumentHelp("How long it is good for, 5min to 1d (default: 10min).", valueName: "span"))
        var ttl: Span?

        @Option(help: ArgumentHelp("For how many imports, 1 to \(Limits.maximumImportTokenUses).", valueName: "n"))
        var uses: UInt32 = 1

        @OptionGroup var options: GlobalOptions

        func validate() throws {
            let allowed = UInt64(Limits.minimumImportTokenLife)...UInt64(Limits.maximumImportTokenLife)
            if let ttl, !allowed.contains(ttl.seconds) { throw ValidationError("--ttl is from 5min to 1d") }
            guard uses >= 1, uses <= Limits.maximumImportTokenUses else {
                throw ValidationError("--uses is from 1 to \(Limits.maximumImportTokenUses)")
            }
        }

        func run() throws {
            let token = try options.ask(patiently: true) { (client) throws(ClientError) in
                try client.createImportToken(ttl: ttl.map { UInt32(clamping: $0.seconds) }, uses: uses)
            }
            try options.print(ImportTokenDocument(token), orText: ImportTokenDocument.text([token]))
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Lists import tokens.",
            discussion: """
                Examples:
                  claviger import-token list

                JSON: importTokens: \(ImportTokenDocument.fields).
                """)

        @OptionGroup var options: GlobalOptions

        func run() throws {
            let tokens = try options.ask { (client) throws(ClientError) in
                try Pages.all { (count, cursor) throws(ClientError) in
                    let page = try client.listImportTokens(limit: count, cursor: cursor)
                    return (page.tokens, page.next)
                }
            }
            let text = tokens.isEmpty ? "no import tokens" : ImportTokenDocument.text(tokens)
            try options.print(Document(importTokens: tokens.map(ImportTokenDocument.init)), orText: text)
        }

        private struct Document: Encodable {
            var importTokens: [ImportTokenDocument]
        }
    }

    struct Take: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Spends one use of an import token and prints what encrypting for it needs.",
            discussion: """
                The public key is printed as PEM, the nonce in hexadecimal; the protocol page says what is made of them. \
                'claviger key import' takes by itself.

                Examples:
                  claviger import-token take 2f0e1d3c-4b5a-4968-8776-655443322110 --json

                JSON: id, publicKey, nonce, oaep, remaining, expires.
                """)

        @OptionGroup var target: Target
        @OptionGroup var options: GlobalOptions

        func run() throws {
            let taken = try options.ask { (client) throws(ClientError) in try client.takeImportToken(target.id) }
            let document = Document(taken)
            let pairs = Table.pairs([
                ("id", document.id), ("nonce", document.nonce), ("OAEP", document.oaep), ("remaining", String(taken.remaining)),
                ("expires", document.expires),
            ])
            try options.print(document, orText: pairs + "\n" + document.publicKey)
        }

        private struct Document: Encodable {
            var id: String
            var publicKey: String
            var nonce: String
            var oaep: String
            var remaining: UInt32
            var expires: String

            init(_ taken: ImportTokenTakeReply) {
                id = taken.id.description
                let lines = Data(taken.publicKey).base64EncodedString(options: [.lineLength64Characters, .endLineWithLineFeed])
                publicKey = "-----BEGIN PUBLIC KEY-----\n\(lines)\n-----END PUBLIC KEY-----"
                nonce = taken.nonce.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
                oaep = taken.oaep.name
                remaining = taken.remaining
                expires = Text.time(taken.expires)
            }
        }
    }

    struct Delete: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Ends an import token and destroys its private key.",
            discussion: """
                Whatever was encrypted for it and not imported yet cannot be imported any more.

                Examples:
                  claviger import-token delete 2f0e1d3c-4b5a-4968-8776-655443322110 --yes

                JSON: id.
                """)

        @OptionGroup var target: Target
        @OptionGroup var confirmation: ConfirmationOption
        @OptionGroup var options: GlobalOptions

        func run() throws {
            try confirmation.confirm {
                "Delete the import token \(target.id)? What is encrypted for it can then not be imported."
            }
            try options.ask { (client) throws(ClientError) in try client.deleteImportToken(target.id) }
            try options.print(IDDocument(id: target.id.description), orText: "import token \(target.id) is deleted")
        }
    }
}

private struct ImportTokenDocument: Encodable {
    static let fields = "id, state, uses, used, oaep, created, createdBy, expires"

    var id: String
    var state: String
    var uses: UInt32
    var used: UInt32
    var oaep: String
    var created: String
    var createdBy: String
    var expires: String

    init(_ token: ImportTokenRecord) {
        id = token.id.description
        state = token.state.name
        uses = token.uses
        used = token.used
        oaep = token.oaep.name
        created = Text.time(token.created)
        createdBy = token.createdBy
        expires = Text.time(token.expires)
    }

    static func text(_ tokens: [ImportTokenRecord]) -> String {
        var table = Table(["ID", "STATE", "USED", "OAEP", "CREATED", "EXPIRES", "BY"])
        for token in tokens {
            table.add([
                token.id.description, token.state.name, "\(token.used) of \(token.uses)", token.oaep.name,
                Text.time(token.created), Text.time(token.expires), token.createdBy,
            ])
        }
        return table.text
    }
}
