import ArgumentParser
import ClavigerClient

extension KeyCommand {
    /// `claviger key delete`.
    struct Delete: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Deletes a key, or says what that would do.",
            discussion: """
                A deleted key does nothing any more, and every envelope of it is shut. It can be restored for as long as the setting \
                restore-window says on the day of its deletion; then its material is destroyed, and what it wrapped is lost.

                A key that resources are registered with is deleted with --force only; one with a registration that retains it, not \
                at all. Whether this is asked for depends on its policy too: 'claviger approval request delete KEY'.

                Examples:
                  claviger key delete payroll --dry-run
                  claviger key delete payroll
                  claviger key delete payroll --force --yes

                JSON: id, state, done, blocked (why it would be refused), registrations, retained, versions, aliases, wraps, unwraps, lastUsed, \
                restorableUntil, purgeFrom.
                """)

        @OptionGroup var target: KeyArgument

        @Flag(help: "Delete it though resources are registered with it.")
        var force = false

        @Flag(help: "Change nothing; say what would happen.")
        var dryRun = false

        @OptionGroup var confirmation: ConfirmationOption

        @OptionGroup var options: GlobalOptions

        func run() throws {
            if dryRun {
                let reply = try ask(target.reference, dryRun: true)
                return try options.print(Document(reply), orText: Delete.text(reply))
            }
            var reference = target.reference
            try confirmation.confirm { () throws(CommandFailure) in
                // What is shown and what is deleted are one key, whatever becomes of its name meanwhile.
                let preview = try ask(target.reference, dryRun: true)
                reference = .id(preview.id)
                return "Delete the key \"\(Text.safe(target.key))\"?\n\n\(Delete.text(preview))\n"
            }
            let reply = try ask(reference, dryRun: false)
            try options.print(Document(reply), orText: Delete.text(reply))
        }

        private func ask(_ key: KeyReference, dryRun: Bool) throws(CommandFailure) -> KeyDeleteReply {
            try options.ask(key: target.key) { (client) throws(ClientError) in
                try client.deleteKey(key, force: force, dryRun: dryRun)
            }
        }

        private static func text(_ reply: KeyDeleteReply) -> String {
            var pairs = [("id", reply.id.description)]
            if reply.isDone { pairs.append(("state", reply.state.name)) }
            if let blocked = reply.blocked { pairs.append(("would be refused", blocked)) }
            let retained = reply.retained > 0 ? ", \(reply.retained) of which forbid it" : ""
            pairs += [
                ("registrations", "\(reply.registrations)\(retained)"), ("versions", String(reply.versions)),
                ("aliases", String(reply.aliases)),
                (
                    "seen in use",
                    "\(reply.wraps) wraps, \(reply.unwraps) unwraps, last \(reply.lastUsed.map(Text.time) ?? "never")"
                ),
                ("can be restored", "until \(Text.time(reply.restorableUntil))"),
                ("can be purged", "from \(Text.time(reply.purgeFrom))"),
            ]
            return Table.pairs(pairs)
        }

        private struct Document: Encodable {
            var id: String
            var state: String
            var done: Bool
            var blocked: String?
            var registrations: UInt32
            var retained: UInt32
            var versions: UInt32
            var aliases: UInt32
            var wraps: UInt64
            var unwraps: UInt64
            var lastUsed: String?
            var restorableUntil: String
            var purgeFrom: String

            init(_ reply: KeyDeleteReply) {
                id = reply.id.description
                state = reply.state.name
                done = reply.isDone
                blocked = reply.blocked
                registrations = reply.registrations
                retained = reply.retained
                versions = reply.versions
                aliases = reply.aliases
                wraps = reply.wraps
                unwraps = reply.unwraps
                lastUsed = reply.lastUsed.map(Text.time)
                restorableUntil = Text.time(reply.restorableUntil)
                purgeFrom = Text.time(reply.purgeFrom)
            }
        }
    }

    /// `claviger key purge`.
    struct Purge: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Removes a deleted key for good.",
            discussion: """
                Material and metadata are destroyed; nobody can bring them back, and what the key wrapped is lost. The settings \
                purge-delay and auto-purge say, when a key is deleted, from when on that is possible and when it happens by itself.

                Examples:
                  claviger key purge payroll
                  claviger key purge 6f1c9a52-0a4e-4f5e-9a77-2f8f5d1f3c11 --yes

                JSON: id.
                """)

        @OptionGroup var target: KeyArgument
        @OptionGroup var why: ReasonOption
        @OptionGroup var confirmation: ConfirmationOption
        @OptionGroup var options: GlobalOptions

        func run() throws {
            var reference = target.reference
            try confirmation.confirm { () throws(CommandFailure) in
                let key = try options.ask(key: target.key) { (client) throws(ClientError) in try client.showKey(reference) }
                reference = .id(key.id)
                return "Purge this key? What it wrapped is lost for good.\n\n\(KeyDocument.text(key))\n"
            }
            let id = try options.ask(key: target.key) { (client) throws(ClientError) in
                try client.purgeKey(reference, reason: why.reason)
            }
            try options.print(IDDocument(id: id.description), orText: "key \(id) is purged")
        }
    }
}

/// The id of what is no more.
struct IDDocument: Encodable {
    var id: String
}
