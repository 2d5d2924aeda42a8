import ArgumentParser
import ClavigerClient

/// `claviger access`.
struct AccessCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "access",
        abstract: "Grants and revokes, and says who may do what and why not.",
        discussion: """
            A grant gives a SUBJECT a ROLE: for the whole instance, for a key ring, or for one key. What no grant allows is denied.

            SUBJECT is user:NAME, group:NAME or unit:NAME.service, or several with commas between, which must all hold. A user or \
            group is pinned by number and name: an account made anew inherits nothing.

            Examples:
              claviger access grant group:claviger-clients Reader
              claviger access grant unit:payroll.service Unwrapper --key payroll --context tenant=7
              claviger access explain --as unit:payroll.service unwrap payroll
              claviger access list
              claviger access revoke 6f1d3c5a-9b7e-4a02-8c41-d2e3f4a5b6c7
            """,
        subcommands: [Grant.self, Revoke.self, List.self, Roles.self, RoleCommand.self, Explain.self])

    /// `claviger access grant`.
    struct Grant: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Gives a subject a role.",
            discussion: """
                'claviger access roles' shows the roles. With --context the grant holds only for envelopes whose context begins \
                with these strings, and gives only wrap, unwrap and rewrap.

                Examples:
                  claviger access grant user:ann Manager
                  claviger access grant group:claviger-clients Wrapper --ring billing
                  claviger access grant unit:payroll.service,user:payroll Reader --key payroll --for 90d
                """)

        @Argument(help: "Who: user:NAME, group:NAME, unit:NAME.service, or several with commas between.")
        var subject: String

        @Argument(help: "The role's name.")
        var role: String

        @Option(help: "Only for this key, by id, alias or name.")
        var key: String?

        @Option(help: "Only for keys of this ring.")
        var ring: String?

        @Option(name: .customLong("for"), help: ArgumentHelp("How long, \(Span.form); for ever without.", valueName: "span"))
        var span: Span?

        @Option(help: ArgumentHelp("Only where the context begins with this string; repeat it for the next.", valueName: "text"))
        var context: [String] = []

        @OptionGroup var options: GlobalOptions

        func validate() throws {
            if key != nil, ring != nil { throw ValidationError("--key and --ring exclude each other") }
        }

        func run() throws {
            let scope = key.map { "key:\($0)" } ?? ring.map { "ring:\($0)" } ?? "instance"
            let expires = span.map { Moment.fromNow($0).milliseconds }
            let grant = try options.ask(key: key) { (client) throws(ClientError) in
                try client.grant(role, to: subject, on: scope, expires: expires, context: context)
            }
            try options.print(GrantDocument(grant), orText: GrantDocument.text(grant))
        }
    }

    /// `claviger access revoke`.
    struct Revoke: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Takes a grant back, at once.",
            discussion: """
                When it returns, nothing that was asked under the grant is answered any more, requests in flight included.

                Examples:
                  claviger access revoke 6f1d3c5a-9b7e-4a02-8c41-d2e3f4a5b6c7
                """)

        @Argument(help: "The grant's id, as 'claviger access list' shows it.")
        var grant: String

        @OptionGroup var options: GlobalOptions

        func validate() throws {
            guard OperationID(text: grant) != nil else { throw ValidationError("'\(grant)' is no grant's id") }
        }

        func run() throws {
            guard let id = OperationID(text: grant) else { return }
            let revoked = try options.ask { (client) throws(ClientError) in try client.revokeGrant(id) }
            try options.print(
                GrantDocument(revoked), orText: "revoked: \(revoked.role) on \(revoked.scope) for \(Text.safe(revoked.subject))")
        }
    }

    /// `claviger access list`.
    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Lists the grants, oldest first.",
            discussion: """
                Examples:
                  claviger access list
                  claviger access list --subject group:claviger-clients
                  claviger access list --json | jq -r '.grants[] | select(.trouble) | .id'

                JSON: grants, a list of: id, subject, uid, gid, role, scope, created, createdBy, expires, context, trouble.
                """)

        @Option(help: "Only grants of this subject.")
        var subject: String?

        @OptionGroup var options: GlobalOptions

        func run() throws {
            let grants = try options.ask { (client) throws(ClientError) in try client.allGrants(of: subject) }
            try options.print(Document(grants: grants.map(GrantDocument.init)), orText: List.text(grants))
        }

        private static func text(_ grants: [GrantRecord]) -> String {
            guard !grants.isEmpty else { return "no grants" }
            var table = Table(["ID", "SUBJECT", "ROLE", "SCOPE", "UNTIL", "CONTEXT", "TROUBLE"])
            for grant in grants {
                table.add([
                    grant.id.description, grant.subject, grant.role, grant.scope, grant.expires.map(Text.time) ?? "-",
                    grant.contextStrings.isEmpty ? "-" : grant.contextStrings.joined(separator: " "), grant.trouble ?? "-",
                ])
            }
            return table.text
        }

        private struct Document: Encodable { var grants: [GrantDocument] }
    }

    /// `claviger access roles`.
    struct Roles: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Lists the roles and what they allow.",
            discussion: """
                Examples:
                  claviger access roles
                  claviger access roles --json | jq -r '.roles[] | select(.name == "Auditor") | .permissions[]'

                JSON: roles, a list of: name, summary, builtIn, permissions.
                """)

        @OptionGroup var options: GlobalOptions

        func run() throws {
            let roles = try options.ask { (client) throws(ClientError) in try client.listRoles() }
            var table = Table(["ROLE", "", "ALLOWS"])
            for role in roles {
                table.add([role.name, role.isBuiltIn ? "built in" : "", role.permissions.joined(separator: " ")])
            }
            try options.print(Document(roles: roles.map(RoleDocument.init)), orText: table.text)
        }

        private struct Document: Encodable { var roles: [RoleDocument] }
    }

    /// `claviger access explain`.
    struct Explain: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Says why somebody may or may not do something, and what would change it.",
            discussion: """
                ACTION is an operation (wrap, unwrap, key-rotate, ...) or a permission. A user counts with all groups of a login. \
                Exit status 0 whether it would be allowed or not.

                Examples:
                  claviger access explain --as unit:payroll.service unwrap payroll
                  claviger access explain --as user:ann,unit:payroll.service wrap payroll --context tenant=7
                  claviger access explain --as group:claviger-clients key-create ring:billing

                JSON: allowed, decidedBy, details.
                """)

        @Option(name: .customLong("as"), help: "As whom: user:NAME, group:NAME, unit:NAME.service, or several with commas.")
        var subject: String

        @Argument(help: "What: an operation or a permission.")
        var action: String

        @Argument(help: "With what: a key, ring:NAME, or instance.")
        var target: String?

        @Option(help: ArgumentHelp("A string of the envelope's context; repeat it for the next.", valueName: "text"))
        var context: [String] = []

        @OptionGroup var options: GlobalOptions

        func run() throws {
            let answer = try options.ask { (client) throws(ClientError) in
                try client.explain(action, as: subject, target: target, context: context.isEmpty ? nil : context)
            }
            let lines = ["\(answer.isAllowed ? "allowed" : "denied"): \(answer.decidedBy)"] + answer.details
            try options.print(
                Document(allowed: answer.isAllowed, decidedBy: answer.decidedBy, details: answer.details),
                orText: lines.map(Text.safe).joined(separator: "\n"))
        }

        private struct Document: Encodable {
            var allowed: Bool
            var decidedBy: String
            var details: [String]
        }
    }
}
