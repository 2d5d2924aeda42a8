import ArgumentParser
import ClavigerClient

extension KeyCommand {
    /// `claviger key list`.
    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Lists, searches and counts keys.",
            discussion: """
                Without options: all keys but deleted ones, oldest first. Only keys that you may see are listed and counted.

                --search finds a text in names and aliases, upper or lower case; it takes the prefixes name: and alias: (where to look), \
                exact: (all of it), not: and escape: (what follows is no prefix).
                --filter takes conditions separated by spaces, which must all hold: state=active,suspended  kind=standard  and, \
                for creationDate, lastUpdateDate, lastRotateDate, expirationDate and deletionDate, date=lt:TIME lte: gt: gte: or \
                date=none.
                --sort takes fields separated by commas, each with - for the other way round: name, id, state, kind, imported, \
                creationDate, lastUpdateDate, lastRotateDate, expirationDate, deletionDate.

                Examples:
                  claviger key list
                  claviger key list --ring finance --sort -creationDate --limit 20
                  claviger key list --state all --search payroll
                  claviger key list --filter 'expirationDate=lt:2027-01-31T00:00:00Z'
                  claviger key list --count --state destroyed
                  claviger key list --json | jq -r '.keys[] | select(.name == "payroll") | .id'

                JSON: keys, a list of keys; with --count: count.
                """)

        @Option(help: ArgumentHelp("Only keys of this ring.", valueName: "ring"), completion: Completion.rings)
        var ring: String?

        @Option(
            help: ArgumentHelp(
                "Only keys in these states: active, suspended, deactivated, destroyed, separated by commas; or all.",
                valueName: "states"),
            completion: .list(KeyState.allCases.map(\.name) + ["all"]))
        var state: StateList?

        @Option(
            help: ArgumentHelp("Only root or standard keys.", valueName: "kind"), completion: .list(KeyKind.allCases.map(\.name)))
        var kind: KindWord?

        @Option(help: ArgumentHelp("Only keys that this is found in.", valueName: "text"))
        var search: String?

        @Option(help: ArgumentHelp("Only keys that these conditions hold for.", valueName: "conditions"))
        var filter: String?

        @Option(parsing: .unconditional, help: ArgumentHelp("The order.", valueName: "fields"))
        var sort: String?

        @Option(help: ArgumentHelp("How many at most.", valueName: "n"))
        var limit: Int?

        @Flag(help: "Print how many there are, not which.")
        var count = false

        @OptionGroup var options: GlobalOptions

        func validate() throws {
            if let limit, limit < 1 { throw ValidationError("--limit is 1 or more") }
            if count, limit != nil || sort != nil { throw ValidationError("--count takes neither --limit nor --sort") }
        }

        private var narrowed: KeyFilter {
            var filter = KeyFilter()
            filter.ring = ring
            filter.states = state?.states
            filter.kind = kind?.kind
            filter.search = search
            filter.filter = self.filter
            return filter
        }

        func run() throws {
            if count {
                let count = try options.ask { (client) throws(ClientError) in try client.countKeys(filter: narrowed) }
                return try options.print(CountDocument(count: count), orText: String(count))
            }
            let keys = try options.ask { (client) throws(ClientError) in
                try Pages.all(limit: limit) { (count, cursor) throws(ClientError) in
                    let page = try client.listKeys(limit: count, cursor: cursor, filter: narrowed, sort: sort)
                    return (page.keys, page.next)
                }
            }
            try options.print(Document(keys: keys.map(KeyDocument.init)), orText: text(keys))
        }

        private func text(_ keys: [KeyRecord]) -> String {
            guard !keys.isEmpty else {
                return narrowed == KeyFilter() ? "no keys; 'claviger key create NAME' makes one" : "no such keys"
            }
            var table = Table(["ID", "NAME", "STATE", "KIND", "RING", "VERSION", "CREATED", "ROTATED", "EXPIRES"])
            for key in keys {
                table.add([
                    key.id.description, key.name, key.state.name, (key.kind ?? .root).name, key.ring ?? "-", String(key.version),
                    Text.time(key.created), key.version > Limits.firstVersion ? Text.time(key.versionCreated) : "never",
                    key.expires.map(Text.time) ?? "never",
                ])
            }
            return table.text
        }

        private struct Document: Encodable {
            var keys: [KeyDocument]
        }

        private struct CountDocument: Encodable {
            var count: UInt64
        }
    }

    /// `claviger key show`.
    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Shows one key, deleted ones too; never what it keeps.",
            discussion: """
                Examples:
                  claviger key show payroll
                  claviger key show 6f1c9a52-0a4e-4f5e-9a77-2f8f5d1f3c11 --json

                JSON: \(KeyDocument.fields).
                """)

        @OptionGroup var target: KeyArgument

        @OptionGroup var options: GlobalOptions

        func run() throws {
            try options.printKey(target) { (client) throws(ClientError) in try client.showKey(target.reference) }
        }
    }
}

/// Key states as people write them.
struct StateList: ExpressibleByArgument {
    let states: [KeyState]

    init?(argument text: String) {
        guard text != "all" else {
            states = KeyState.allCases
            return
        }
        var states: [KeyState] = []
        for word in text.split(separator: ",", omittingEmptySubsequences: false) {
            guard let state = KeyState.allCases.first(where: { $0.name == word }), !states.contains(state) else { return nil }
            states.append(state)
        }
        self.states = states
    }
}

/// A kind of key as people write it.
struct KindWord: ExpressibleByArgument {
    let kind: KeyKind

    init?(argument text: String) {
        guard let kind = KeyKind.allCases.first(where: { $0.name == text }) else { return nil }
        self.kind = kind
    }
}
