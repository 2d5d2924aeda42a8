import ArgumentParser
import ClavigerClient

/// Why something is done, for the record.
struct ReasonOption: ParsableArguments {
    @Option(help: ArgumentHelp("Why, for the record.", valueName: "text"))
    var reason: String?
}

extension KeyCommand {
    /// `claviger key disable`.
    struct Disable: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Suspends a key: nothing is wrapped, unwrapped or read until it is enabled.",
            discussion: """
                It takes effect with the next request.

                Examples:
                  claviger key disable payroll --reason 'audit of the payroll service'

                JSON: as 'claviger key show'.
                """)

        @OptionGroup var target: KeyArgument
        @OptionGroup var why: ReasonOption
        @OptionGroup var options: GlobalOptions

        func run() throws {
            try options.printKey(target) { (client) throws(ClientError) in
                try client.disableKey(target.reference, reason: why.reason)
            }
        }
    }

    /// `claviger key enable`.
    struct Enable: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Makes a suspended key active again.",
            discussion: """
                Possible from 30 seconds after it was disabled ('claviger settings show enable-delay').

                Examples:
                  claviger key enable payroll

                JSON: as 'claviger key show'.
                """)

        @OptionGroup var target: KeyArgument
        @OptionGroup var why: ReasonOption
        @OptionGroup var options: GlobalOptions

        func run() throws {
            try options.printKey(target) { (client) throws(ClientError) in
                try client.enableKey(target.reference, reason: why.reason)
            }
        }
    }

    /// `claviger key restore`.
    struct Restore: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Gives a deleted key back the state that it had.",
            discussion: """
                Possible until the date that 'claviger key show' says, which the setting restore-window gave it when it was deleted. A \
                key whose expiration date has passed meanwhile comes back deactivated.

                Examples:
                  claviger key restore payroll
                  claviger key list --state destroyed

                JSON: as 'claviger key show'.
                """)

        @OptionGroup var target: KeyArgument
        @OptionGroup var why: ReasonOption
        @OptionGroup var options: GlobalOptions

        func run() throws {
            try options.printKey(target) { (client) throws(ClientError) in
                try client.restoreKey(target.reference, reason: why.reason)
            }
        }
    }
}
