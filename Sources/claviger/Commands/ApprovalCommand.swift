import ArgumentParser
import ClavigerClient

/// `claviger approval`.
struct ApprovalCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "approval",
        abstract: "Asks for what needs a second person, and approves what another asked for.",
        discussion: """
            Where a policy asks for a second person, an action is asked for by one and approved by another, with rights to do it \
            themselves; the approval does it at once. What nobody approves in the time that the \
            setting approval-window gives ends by itself, and so does what somebody asked for who may not do it any more.

            Examples:
              claviger approval request delete payroll --reason 'service retired'
              claviger approval list
              claviger approval approve 9d8c7b6a-5f4e-4d3c-8b2a-190807f6e5d4
              claviger approval cancel 9d8c7b6a-5f4e-4d3c-8b2a-190807f6e5d4

            A change of policies is asked for with 'claviger policy set --request'.
            """,
        subcommands: [Request.self, List.self, Approve.self, Cancel.self])

    struct Target: ParsableArguments {
        @Argument(help: "The request's id.", transform: ApprovalCommand.id)
        var id: ApprovalID
    }

    @Sendable static func id(_ text: String) throws -> ApprovalID {
        guard let id = ApprovalID(text: text) else { throw ValidationError("'\(text)' is no id: it has 36 characters") }
        return id
    }

    struct Request: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Asks for an action on a key.",
            discussion: """
                Examples:
                  claviger approval request delete payroll --reason 'service retired'
                  claviger approval request purge payroll

                JSON: \(ApprovalDocument.fields).
                """)

        /// What can be asked for here; changes of policies have a command of their own.
        enum Action: String, ExpressibleByArgument, CaseIterable {
            case delete
            case purge
            case disable
            case restore

            var action: ControlledAction {
                switch self {
                case .delete: .delete
                case .purge: .purge
                case .disable: .disable
                case .restore: .restore
                }
            }
        }

        @Argument(help: "delete, purge, disable or restore.")
        var action: Action

        @OptionGroup var target: KeyArgument

        @OptionGroup var why: ReasonOption

        @Flag(help: "Delete the key though resources are registered with it.")
        var force = false

        @OptionGroup var options: GlobalOptions

        func validate() throws {
            if force, action != .delete { throw ValidationError("--force is for delete") }
        }

        func run() throws {
            let record = try options.ask(key: target.key) { (client) throws(ClientError) in
                try client.requestApproval(of: action.action, key: target.reference, reason: why.reason, force: force)
            }
            try options.print(ApprovalDocument(record), orText: ApprovalDocument.text([record]))
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Lists what waits for a second person.",
            discussion: """
                Examples:
                  claviger approval list
                  claviger approval list --all --json

                JSON: approvals: \(ApprovalDocument.fields).
                """)

        @Flag(help: "What is decided or expired, too.")
        var all = false

        @OptionGroup var options: GlobalOptions

        func run() throws {
            let records = try ApprovalCommand.list(options, all: all)
            let text = records.isEmpty ? "nothing waits for approval" : ApprovalDocument.text(records)
            try options.print(Document(approvals: records.map(ApprovalDocument.init)), orText: text)
        }

        private struct Document: Encodable {
            var approvals: [ApprovalDocument]
        }
    }

    struct Approve: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Approves what another person asked for, and has it done at once.",
            discussion: """
                Examples:
                  claviger approval approve 9d8c7b6a-5f4e-4d3c-8b2a-190807f6e5d4

                JSON: \(ApprovalDocument.fields).
                """)

        @OptionGroup var target: Target
        @OptionGroup var confirmation: ConfirmationOption
        @OptionGroup var options: GlobalOptions

        func run() throws {
            try confirmation.confirm { () throws(CommandFailure) in
                let open = try ApprovalCommand.list(options, all: false)
                guard let record = open.first(where: { $0.id == target.id }) else {
                    throw .failed("no such request is open", "'claviger approval list' shows those that are")
                }
                return "Approve this, and have it done at once?\n\n\(ApprovalDocument.text([record]))\n"
            }
            let record = try options.ask { (client) throws(ClientError) in try client.approve(target.id) }
            try options.print(ApprovalDocument(record), orText: ApprovalDocument.text([record]))
        }
    }

    struct Cancel: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Withdraws what was asked for.",
            discussion: """
                Examples:
                  claviger approval cancel 9d8c7b6a-5f4e-4d3c-8b2a-190807f6e5d4

                JSON: \(ApprovalDocument.fields).
                """)

        @OptionGroup var target: Target
        @OptionGroup var options: GlobalOptions

        func run() throws {
            let record = try options.ask { (client) throws(ClientError) in try client.cancelApproval(target.id) }
            try options.print(ApprovalDocument(record), orText: ApprovalDocument.text([record]))
        }
    }

    private static func list(_ options: GlobalOptions, all: Bool) throws(CommandFailure) -> [ApprovalRecord] {
        try options.ask { (client) throws(ClientError) in
            try Pages.all { (count, cursor) throws(ClientError) in
                let page = try client.listApprovals(limit: count, cursor: cursor, all: all)
                return (page.approvals, page.next)
            }
        }
    }
}
