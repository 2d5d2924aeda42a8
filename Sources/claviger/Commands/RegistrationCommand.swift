import ArgumentParser
import ClavigerClient

/// `claviger registration`.
struct RegistrationCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "registration",
        abstract: "Says which resources a key protects, so that it is not deleted under them.",
        discussion: """
            A key that resources are registered with is deleted with --force only; one with a registration that retains it, not at \
            all. A registration with a lease ends by itself unless it is set again in time, which is possible until the key is deleted.

            Examples:
              claviger registration set payroll db/wages --description 'The wages database'
              claviger registration set payroll backup/2026 --retention
              claviger registration set payroll cache/7 --lease 24h
              claviger registration list payroll
              claviger registration release payroll db/wages
            """,
        subcommands: [Set.self, List.self, Release.self])

    struct Set: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Registers a resource with a key, or changes its registration.",
            discussion: """
                What is not given stays, or is nothing when the resource is new. Only who registered it may change it.

                Examples:
                  claviger registration set payroll db/wages --lease 24h
                  claviger registration set payroll db/wages --version 3 --no-retention

                JSON: \(RegistrationDocument.fields).
                """)

        @OptionGroup var target: KeyArgument

        @Argument(help: "The resource, as its owner calls it; up to 1000 characters.")
        var resource: String

        @Option(help: ArgumentHelp("What it is; '' removes the description.", valueName: "text"))
        var description: String?

        @Flag(inversion: .prefixedNo, help: "Forbid deleting the key while this is registered.")
        var retention: Bool?

        @Option(help: ArgumentHelp("Until it ends by itself: \(Span.form); 0s for never.", valueName: "span"))
        var lease: Span?

        @Option(help: ArgumentHelp("The key version that it is protected with; the newest unless given.", valueName: "n"))
        var version: UInt32?

        @Option(help: ArgumentHelp("Only if this is the registration's revision; 0: only if there is none.", valueName: "n"))
        var revision: UInt64?

        @OptionGroup var options: GlobalOptions

        func validate() throws {
            if version == 0 { throw ValidationError("--version is 1 or more") }
        }

        func run() throws {
            let record = try options.ask(key: target.key) { (client) throws(ClientError) in
                try client.register(resource, with: target.reference) { request in
                    request.description = description
                    request.retention = retention
                    request.lease = lease?.milliseconds
                    request.version = version
                    request.revision = revision
                }
            }
            try options.print(RegistrationDocument(record), orText: RegistrationDocument.text([record]))
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Lists registrations, of all keys or of one.",
            discussion: """
                Examples:
                  claviger registration list
                  claviger registration list payroll --retention
                  claviger registration list --resource 'db/*'

                JSON: registrations: \(RegistrationDocument.fields).
                """)

        @Argument(help: "Only those of this key, by id, alias or name.", completion: Completion.keys)
        var key: String?

        @Option(help: ArgumentHelp("Only resources of this name; * stands for any characters.", valueName: "pattern"))
        var resource: String?

        @Flag(inversion: .prefixedNo, help: "Only those with retention, or without.")
        var retention: Bool?

        @OptionGroup var options: GlobalOptions

        func run() throws {
            let records = try options.ask(key: key) { (client) throws(ClientError) in
                try Pages.all { (count, cursor) throws(ClientError) in
                    let page = try client.listRegistrations(
                        RegistrationListRequest(
                            key: key.map { KeyReference($0) }, limit: UInt32(count), cursor: cursor, resourcePattern: resource,
                            retention: retention))
                    return (page.registrations, page.next)
                }
            }
            let text = records.isEmpty ? "no registrations" : RegistrationDocument.text(records)
            try options.print(Document(registrations: records.map(RegistrationDocument.init)), orText: text)
        }

        private struct Document: Encodable {
            var registrations: [RegistrationDocument]
        }
    }

    struct Release: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Ends a registration.",
            discussion: """
                Examples:
                  claviger registration release payroll db/wages

                JSON: key, resource.
                """)

        @OptionGroup var target: KeyArgument

        @Argument(help: "The resource.")
        var resource: String

        @OptionGroup var options: GlobalOptions

        func run() throws {
            try options.ask(key: target.key) { (client) throws(ClientError) in
                try client.releaseRegistration(resource, of: target.reference)
            }
            try options.print(
                Document(key: target.key, resource: resource), orText: "\(Text.safe(resource)) is no longer registered")
        }

        private struct Document: Encodable {
            var key: String
            var resource: String
        }
    }
}

private struct RegistrationDocument: Encodable {
    static let fields =
        "key, resource, description, retention, leaseEnds, version, created, createdBy, ownerUID, updated, revision"

    var key: String
    var resource: String
    var description: String?
    var retention: Bool
    var leaseEnds: String?
    var version: UInt32
    var created: String
    var createdBy: String
    var ownerUID: UInt32
    var updated: String
    var revision: UInt64

    init(_ record: RegistrationRecord) {
        key = record.key.description
        resource = record.resource
        description = record.description
        retention = record.retention
        leaseEnds = record.leaseEnds.map(Text.time)
        version = record.version
        created = Text.time(record.created)
        createdBy = record.createdBy
        ownerUID = record.ownerUID
        updated = Text.time(record.updated)
        revision = record.revision
    }

    static func text(_ records: [RegistrationRecord]) -> String {
        var table = Table(["KEY", "RESOURCE", "VERSION", "RETENTION", "LEASE ENDS", "BY", "DESCRIPTION"])
        for record in records {
            table.add([
                record.key.description, record.resource, String(record.version), record.retention ? "yes" : "no",
                record.leaseEnds.map(Text.time) ?? "never", record.createdBy, record.description ?? "",
            ])
        }
        return table.text
    }
}
