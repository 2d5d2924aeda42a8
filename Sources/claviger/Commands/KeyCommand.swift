import ArgumentParser
import ClavigerClient

/// `claviger key`.
struct KeyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "key",
        abstract: "Creates, lists, shows and rotates root keys.",
        discussion: """
            Examples:
              claviger key create payroll
              claviger key list
              claviger key rotate payroll

            JSON of a key: id, name, state, created, version, versionCreated, suite; times are RFC 3339 in UTC.
            """,
        subcommands: [Create.self, List.self, Show.self, Versions.self, Rotate.self])

    /// `claviger key create`.
    struct Create: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Creates a root key in the token.",
            discussion: """
                The key is AES-256, made in the token, and never leaves it. Names may repeat; a name that two keys carry is \
                refused everywhere until they are named by id.

                Examples:
                  claviger key create payroll
                  id=$(claviger key create payroll --json | jq -r .id)
                """)

        @Argument(help: "The new key's name, 2 to 90 characters.")
        var name: String

        @OptionGroup var options: GlobalOptions

        func run() throws {
            let key = try options.ask(key: name) { (client) throws(ClientError) in try client.createKey(name: name) }
            try options.print(KeyDocument(key), orText: KeyDocument.text(key))
            if isAmbiguous() {
                StandardError.note("another key is named '\(name)' too: from now on name both by id, this one by \(key.id)")
            }
        }

        // Allowed, since names are for people; but whoever did it by accident finds every later command refused.
        private func isAmbiguous() -> Bool {
            do throws(CommandFailure) {
                _ = try options.ask(key: name) { (client) throws(ClientError) in try client.showKey(.name(name)) }
                return false
            } catch {
                return error.code == RefusalCode.ambiguousName.name
            }
        }
    }

    /// `claviger key list`.
    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Lists all keys, oldest first.",
            discussion: """
                Examples:
                  claviger key list
                  claviger key list --json | jq -r '.keys[] | select(.name == "payroll") | .id'

                JSON: keys, a list of keys.
                """)

        @OptionGroup var options: GlobalOptions

        func run() throws {
            let keys = try options.ask { (client) throws(ClientError) in
                var keys: [KeyRecord] = []
                try client.forEachKey { (key) throws(ClientError) in keys.append(key) }
                return keys
            }
            try options.print(Document(keys: keys.map(KeyDocument.init)), orText: List.text(keys))
        }

        private static func text(_ keys: [KeyRecord]) -> String {
            guard !keys.isEmpty else { return "no keys; 'claviger key create NAME' makes one" }
            var table = Table(["ID", "NAME", "STATE", "VERSION", "CREATED", "ROTATED"])
            for key in keys {
                table.add([
                    key.id.description, key.name, key.state.name, String(key.version), Text.time(key.created),
                    key.version > Limits.firstVersion ? Text.time(key.versionCreated) : "never",
                ])
            }
            return table.text
        }

        private struct Document: Encodable {
            var keys: [KeyDocument]
        }
    }

    /// `claviger key show`.
    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Shows one key.",
            discussion: """
                Examples:
                  claviger key show payroll
                  claviger key show 6f1c9a52-0a4e-4f5e-9a77-2f8f5d1f3c11 --json
                """)

        @Argument(help: "The key, by name or id.")
        var key: String

        @OptionGroup var options: GlobalOptions

        func run() throws {
            let record = try options.ask(key: key) { (client) throws(ClientError) in try client.showKey(KeyReference(key)) }
            try options.print(KeyDocument(record), orText: KeyDocument.text(record))
        }
    }

    /// `claviger key versions`.
    struct Versions: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Lists a key's versions, newest first.",
            discussion: """
                WRAPS is a bound on how often the version has encrypted: it is counted in blocks, so that no crash lowers it.

                Examples:
                  claviger key versions payroll
                  claviger key versions payroll --json | jq '.versions[] | select(.usable | not)'

                JSON: key, versions: version, created, suite, current, wraps, usable.
                """)

        @Argument(help: "The key, by name or id.")
        var key: String

        @OptionGroup var options: GlobalOptions

        func run() throws {
            let (id, versions) = try options.ask(key: key) { (client) throws(ClientError) in try Versions.all(client, key) }
            let document = Document(key: id.description, versions: versions.map(VersionDocument.init))
            try options.print(document, orText: Versions.text(versions))
        }

        // Names may change hands between two pages; the id of the first page keeps them of one key.
        private static func all(_ client: Client, _ key: String) throws(ClientError) -> (KeyID, [VersionRecord]) {
            var page = try client.versions(of: KeyReference(key), limit: Limits.maximumPage)
            var versions = page.versions
            while page.more, let last = versions.last {
                page = try client.versions(of: .id(page.key), limit: Limits.maximumPage, before: last.version)
                versions += page.versions
            }
            return (page.key, versions)
        }

        private static func text(_ versions: [VersionRecord]) -> String {
            var table = Table(["VERSION", "CREATED", "SUITE", "CURRENT", "WRAPS", "USABLE"])
            for version in versions {
                table.add([
                    String(version.version), Text.time(version.created), version.suite.name, version.isCurrent ? "yes" : "no",
                    "<= \(version.wraps)", version.isUsable ? "yes" : "NO",
                ])
            }
            return table.text
        }

        private struct Document: Encodable {
            var key: String
            var versions: [VersionDocument]
        }
    }

    /// `claviger key rotate`.
    struct Rotate: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Gives a key a new version, under which it wraps from then on.",
            discussion: """
                Envelopes of older versions still unwrap; 'claviger rewrap' makes them anew.

                Examples:
                  claviger key rotate payroll
                """)

        @Argument(help: "The key, by name or id.")
        var key: String

        @OptionGroup var options: GlobalOptions

        func run() throws {
            let record = try options.ask(key: key) { (client) throws(ClientError) in try client.rotateKey(KeyReference(key)) }
            try options.print(KeyDocument(record), orText: KeyDocument.text(record))
        }
    }
}

/// A key as it is printed.
struct KeyDocument: Encodable {
    var id: String
    var name: String
    var state: String
    var created: String
    var version: UInt32
    var versionCreated: String
    var suite: String

    init(_ key: KeyRecord) {
        id = key.id.description
        name = key.name
        state = key.state.name
        created = Text.time(key.created)
        version = key.version
        versionCreated = Text.time(key.versionCreated)
        suite = key.suite.name
    }

    /// Lines for people.
    static func text(_ key: KeyRecord) -> String {
        Table.pairs([
            ("id", key.id.description), ("name", key.name), ("state", key.state.name), ("created", Text.time(key.created)),
            ("version", "\(key.version), since \(Text.time(key.versionCreated))"), ("suite", key.suite.name),
        ])
    }
}

private struct VersionDocument: Encodable {
    var version: UInt32
    var created: String
    var suite: String
    var current: Bool
    var wraps: UInt64
    var usable: Bool

    init(_ record: VersionRecord) {
        version = record.version
        created = Text.time(record.created)
        suite = record.suite.name
        current = record.isCurrent
        wraps = record.wraps
        usable = record.isUsable
    }
}
