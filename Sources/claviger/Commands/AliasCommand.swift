import ArgumentParser
import ClavigerClient

/// `claviger alias`.
struct AliasCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "alias",
        abstract: "Gives keys further names, which no other key has.",
        discussion: """
            Applications name keys by alias, so that one key can take another's place. 2 to 90 letters, digits, - and _.

            Examples:
              claviger alias create payroll payroll-2025
              claviger alias list
              claviger alias delete payroll-2025
            """,
        subcommands: [Create.self, List.self, Delete.self])

    struct Create: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Gives a key an alias.",
            discussion: """
                Examples:
                  claviger alias create payroll payroll-2025

                JSON: as 'claviger key show'.
                """)

        @OptionGroup var target: KeyArgument

        @Argument(help: "The alias.")
        var alias: String

        @OptionGroup var options: GlobalOptions

        func run() throws {
            try options.printKey(target) { (client) throws(ClientError) in try client.createAlias(alias, of: target.reference) }
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Lists the aliases of all keys, or of one.",
            discussion: """
                Deleted keys keep their aliases until they are purged.

                Examples:
                  claviger alias list
                  claviger alias list payroll

                JSON: aliases: alias, key, name, state.
                """)

        @Argument(help: "Only those of this key, by id, alias or name.", completion: Completion.keys)
        var key: String?

        @OptionGroup var options: GlobalOptions

        func run() throws {
            let keys = try options.ask(key: key) { (client) throws(ClientError) in
                if let key { return [try client.showKey(KeyReference(key))] }
                var filter = KeyFilter()
                filter.states = KeyState.allCases
                var keys: [KeyRecord] = []
                try client.forEachKey(filter: filter) { (key) throws(ClientError) in
                    if !key.aliases.isEmpty { keys.append(key) }
                }
                return keys
            }
            let items = keys.flatMap { key in key.aliases.map { Item($0, key) } }.sorted { $0.alias < $1.alias }
            guard !items.isEmpty || options.json else { return try StandardOutput.print("no aliases") }
            var table = Table(["ALIAS", "KEY", "NAME", "STATE"])
            for item in items { table.add([item.alias, item.key, item.name, item.state]) }
            try options.print(Document(aliases: items), orText: table.text)
        }

        private struct Document: Encodable {
            var aliases: [Item]
        }

        private struct Item: Encodable {
            var alias: String
            var key: String
            var name: String
            var state: String

            init(_ alias: String, _ key: KeyRecord) {
                self.alias = alias
                self.key = key.id.description
                name = key.name
                state = key.state.name
            }
        }
    }

    struct Delete: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Takes an alias from its key.",
            discussion: """
                The key stays; whoever named it by this alias is refused from then on.

                Examples:
                  claviger alias delete payroll-2025

                JSON: alias.
                """)

        @Argument(help: "The alias.")
        var alias: String

        @OptionGroup var options: GlobalOptions

        func run() throws {
            try options.ask(key: alias) { (client) throws(ClientError) in try client.deleteAlias(alias) }
            try options.print(Document(alias: alias), orText: "alias \(Text.safe(alias)) is free")
        }

        private struct Document: Encodable {
            var alias: String
        }
    }
}
