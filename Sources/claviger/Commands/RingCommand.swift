import ArgumentParser
import ClavigerClient

/// `claviger ring`.
struct RingCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ring",
        abstract: "Creates, lists and deletes key rings: what rights can be given on.",
        discussion: """
            Every key is in one ring; 'default' is always there. 'claviger key move' moves a key.

            Examples:
              claviger ring create finance
              claviger key create payroll --ring finance
              claviger ring list
            """,
        subcommands: [Create.self, List.self, Delete.self])

    struct Create: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Creates a key ring.",
            discussion: """
                Examples:
                  claviger ring create finance

                JSON: \(RingDocument.fields).
                """)

        @Argument(help: "The new ring's id: 2 to 100 letters, digits, - and _.")
        var ring: String

        @OptionGroup var options: GlobalOptions

        func run() throws {
            let record = try options.ask { (client) throws(ClientError) in try client.createRing(ring) }
            try options.print(RingDocument(record), orText: RingDocument.text([record]))
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Lists all key rings.",
            discussion: """
                Examples:
                  claviger ring list

                JSON: rings: \(RingDocument.fields).
                """)

        @OptionGroup var options: GlobalOptions

        func run() throws {
            let rings = try options.ask { (client) throws(ClientError) in
                try Pages.all { (count, cursor) throws(ClientError) in
                    let page = try client.listRings(limit: count, cursor: cursor)
                    return (page.rings, page.next)
                }
            }
            try options.print(Document(rings: rings.map(RingDocument.init)), orText: RingDocument.text(rings))
        }

        private struct Document: Encodable {
            var rings: [RingDocument]
        }
    }

    struct Delete: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Deletes a key ring that holds no keys.",
            discussion: """
                Deleted keys that it still holds move to 'default' with --force; keys in any other state have to be moved first.

                The grants on it are revoked with it, so that another ring of its name begins with none; the audit log names each.

                Examples:
                  claviger ring delete finance
                  claviger ring delete finance --force

                JSON: ring, moved.
                """)

        @Argument(help: "The ring.", completion: Completion.rings)
        var ring: String

        @Flag(help: "Move deleted keys that it holds to 'default'.")
        var force = false

        @OptionGroup var options: GlobalOptions

        func run() throws {
            let moved = try options.ask { (client) throws(ClientError) in try client.deleteRing(ring, force: force) }
            let keys = moved == 0 ? "" : "; \(moved) deleted keys moved to 'default'"
            try options.print(Document(ring: ring, moved: moved), orText: "ring \(Text.safe(ring)) is deleted\(keys)")
        }

        private struct Document: Encodable {
            var ring: String
            var moved: UInt32
        }
    }
}

private struct RingDocument: Encodable {
    static let fields = "id, keys, created, createdBy"

    var id: String
    var keys: UInt32
    var created: String
    var createdBy: String

    init(_ ring: RingRecord) {
        id = ring.id
        keys = ring.keys
        created = Text.time(ring.created)
        createdBy = ring.createdBy
    }

    static func text(_ rings: [RingRecord]) -> String {
        var table = Table(["RING", "KEYS", "CREATED", "BY"])
        for ring in rings {
            table.add([ring.id, String(ring.keys), Text.time(ring.created), ring.createdBy.isEmpty ? "-" : ring.createdBy])
        }
        return table.text
    }
}
