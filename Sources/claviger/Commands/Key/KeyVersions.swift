import ArgumentParser
import ClavigerClient

extension KeyCommand {
    /// `claviger key versions`.
    struct Versions: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Lists a key's versions, newest first.",
            discussion: """
                WRAPS is a bound on how often the version has encrypted: it is counted in blocks, so that no crash lowers it.

                Examples:
                  claviger key versions payroll
                  claviger key versions payroll --json | jq '.versions[] | select(.usable | not)'

                JSON: key, versions: \(VersionDocument.fields).
                """)

        @OptionGroup var target: KeyArgument

        @OptionGroup var options: GlobalOptions

        func run() throws {
            let (id, versions) = try options.ask(key: target.key) { (client) throws(ClientError) in
                try Pages.versions(of: target.reference, number: \.version) { (key, before) throws(ClientError) in
                    let page = try client.versions(of: key, limit: Limits.maximumPage, before: before)
                    return (page.key, page.versions, page.more)
                }
            }
            let document = Document(key: id.description, versions: versions.map(VersionDocument.init))
            try options.print(document, orText: VersionDocument.text(versions))
        }

        private struct Document: Encodable {
            var key: String
            var versions: [VersionDocument]
        }
    }

    /// `claviger key census`.
    struct Census: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Says how often each version of a key was used and when last: which can be retired.",
            discussion: """
                WRAPS and UNWRAPS are what the daemon saw; after a crash up to some hundreds can be missing. An envelope that was never \
                opened shows in WRAPS alone: a version is needed no more when all its envelopes were made anew ('claviger rewrap').

                Examples:
                  claviger key census payroll
                  claviger key census payroll --json | jq '.versions[] | select(.retirable)'

                JSON: key, versions: version, state, wraps, unwraps, lastWrap, lastUnwrap, retirable.
                """)

        @OptionGroup var target: KeyArgument

        @OptionGroup var options: GlobalOptions

        func run() throws {
            let (id, versions) = try options.ask(key: target.key) { (client) throws(ClientError) in
                try Pages.versions(of: target.reference, number: \.version) { (key, before) throws(ClientError) in
                    let page = try client.census(of: key, limit: Limits.maximumPage, before: before)
                    return (page.id, page.versions, page.more)
                }
            }
            try options.print(Document(key: id.description, versions: versions.map(Item.init)), orText: Census.text(versions))
        }

        private static func text(_ versions: [CensusRecord]) -> String {
            var table = Table(["VERSION", "STATE", "WRAPS", "LAST WRAP", "UNWRAPS", "LAST UNWRAP", "RETIRABLE"])
            for version in versions {
                table.add([
                    String(version.version), version.state.name, String(version.wraps),
                    version.lastWrap.map(Text.time) ?? "never",
                    String(version.unwraps), version.lastUnwrap.map(Text.time) ?? "never", version.isRetirable ? "yes" : "no",
                ])
            }
            return table.text
        }

        private struct Document: Encodable {
            var key: String
            var versions: [Item]
        }

        private struct Item: Encodable {
            var version: UInt32
            var state: String
            var wraps: UInt64
            var unwraps: UInt64
            var lastWrap: String?
            var lastUnwrap: String?
            var retirable: Bool

            init(_ record: CensusRecord) {
                version = record.version
                state = record.state.name
                wraps = record.wraps
                unwraps = record.unwraps
                lastWrap = record.lastWrap.map(Text.time)
                lastUnwrap = record.lastUnwrap.map(Text.time)
                retirable = record.isRetirable
            }
        }
    }

    /// `claviger key version`.
    struct Version: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Retires a version of a key, and destroys it.",
            discussion: """
                A retired version opens nothing; that can be taken back. After as long as the setting purge-delay says its material can \
                be destroyed, which cannot: by whoever may purge keys, once a census was taken since it was retired.

                Examples:
                  claviger key census payroll
                  claviger key version retire payroll 1
                  claviger key version destroy payroll 1
                """,
            subcommands: [Retire.self, Reinstate.self, Destroy.self])

        struct Target: ParsableArguments {
            @OptionGroup var key: KeyArgument

            @Argument(help: "The version's number.")
            var version: UInt32

            func validate() throws {
                if version == 0 { throw ValidationError("versions count from 1") }
            }
        }

        struct Retire: ParsableCommand {
            static let configuration = CommandConfiguration(
                abstract: "Retires a version: its envelopes are refused from then on.",
                discussion: """
                    Examples:
                      claviger key version retire payroll 1

                    JSON: \(VersionDocument.fields).
                    """)

            @OptionGroup var target: Target
            @OptionGroup var options: GlobalOptions

            func run() throws { try Version.change(target, options, undo: false) }
        }

        struct Reinstate: ParsableCommand {
            static let configuration = CommandConfiguration(
                abstract: "Takes the retiring of a version back.",
                discussion: """
                    Examples:
                      claviger key version reinstate payroll 1

                    JSON: \(VersionDocument.fields).
                    """)

            @OptionGroup var target: Target
            @OptionGroup var options: GlobalOptions

            func run() throws { try Version.change(target, options, undo: true) }
        }

        struct Destroy: ParsableCommand {
            static let configuration = CommandConfiguration(
                abstract: "Destroys the material of a retired version for good.",
                discussion: """
                    Whatever envelopes it made and nobody made anew are lost. It takes the permission purge-keys, and somebody must have \
                    looked at its uses since it was retired: 'claviger key census KEY', or the question here.

                    Examples:
                      claviger key version destroy payroll 1
                      claviger key version destroy payroll 1 --yes

                    JSON: \(VersionDocument.fields).
                    """)

            @OptionGroup var target: Target
            @OptionGroup var confirmation: ConfirmationOption
            @OptionGroup var options: GlobalOptions

            func run() throws {
                let number = target.version
                var reference = target.key.reference
                try confirmation.confirm { () throws(CommandFailure) in
                    let census = try options.ask(key: target.key.key) { (client) throws(ClientError) in
                        // The one version: the first that is older than the next.
                        try client.census(of: reference, limit: 1, before: number == .max ? nil : number + 1)
                    }
                    reference = .id(census.id)
                    let seen = census.versions.first { $0.version == number }
                    let use = seen.map { "\($0.wraps) envelopes made, \($0.unwraps) opened" } ?? "no such version"
                    return """
                        Destroy version \(number) of the key "\(Text.safe(target.key.key))" (\(census.id))?
                        Seen of it: \(use). Those not made anew under a newer version are lost.

                        """
                }
                let record = try options.ask(key: target.key.key) { (client) throws(ClientError) in
                    try client.destroyVersion(number, of: reference)
                }
                try options.print(VersionDocument(record), orText: VersionDocument.text([record]))
            }
        }

        private static func change(_ target: Target, _ options: GlobalOptions, undo: Bool) throws(CommandFailure) {
            let record = try options.ask(key: target.key.key) { (client) throws(ClientError) in
                try client.retireVersion(target.version, of: target.key.reference, undo: undo)
            }
            try options.print(VersionDocument(record), orText: VersionDocument.text([record]))
        }
    }
}
