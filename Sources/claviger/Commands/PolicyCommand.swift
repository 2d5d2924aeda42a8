import ArgumentParser
import ClavigerClient

/// `claviger policy`.
struct PolicyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "policy",
        abstract: "Shows and changes the policies of keys and of the instance.",
        discussion: """
            A key's policies say when it is rotated and what needs a second person. The instance's are taken over by keys that are \
            created later, and say which keys may be created and imported at all.

            Examples:
              claviger policy show
              claviger policy show payroll
              claviger policy set payroll --rotation on --rotation-months 3
              claviger policy set --instance --dual-control delete,purge --dual-control-new-keys on
            """,
        subcommands: [Show.self, Set.self])

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Shows the policies of a key, or of the instance.",
            discussion: """
                Examples:
                  claviger policy show
                  claviger policy show payroll --json

                JSON: \(PolicyDocument.fields).
                """)

        @Argument(help: "The key, by id, alias or name; the instance when it is left away.", completion: Completion.keys)
        var key: String?

        @OptionGroup var options: GlobalOptions

        func run() throws {
            let reply = try options.ask(key: key) { (client) throws(ClientError) in
                try client.policies(of: key.map { KeyReference($0) })
            }
            try options.print(PolicyDocument(reply), orText: PolicyDocument.text(reply))
        }
    }

    struct Set: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Changes policies of a key or of the instance; what is not given stays.",
            discussion: """
                That a key's deletion needs a second person can be set and never be taken back. Where a change of policies itself \
                needs one, --request asks for it.

                Examples:
                  claviger policy set payroll --rotation on --rotation-months 3
                  claviger policy set payroll --dual-control delete,purge
                  claviger policy set --instance --access on --create-standard off
                  claviger policy set payroll --rotation off --request 'new schedule'

                JSON: \(PolicyDocument.fields); with --request as 'claviger approval list'.
                """)

        @Argument(help: "The key, by id, alias or name.", completion: Completion.keys)
        var key: String?

        @Flag(help: "The policies of the instance.")
        var instance = false

        @OptionGroup var changes: PolicyOptions

        @Option(help: ArgumentHelp("Only if this is the policies' revision.", valueName: "n"))
        var revision: UInt64?

        @Option(help: ArgumentHelp("Ask a second person to approve the change, for this reason.", valueName: "reason"))
        var request: String?

        @OptionGroup var options: GlobalOptions

        func validate() throws {
            if (key == nil) != instance { throw ValidationError("name a key, or give --instance") }
            if changes.values == PolicyValues() { throw ValidationError("say what to change, such as --rotation on") }
            if request != nil, revision != nil { throw ValidationError("--request and --revision exclude each other") }
        }

        func run() throws {
            let reference = key.map { KeyReference($0) }
            if let request {
                let record = try options.ask(key: key) { (client) throws(ClientError) in
                    try client.requestPolicies(of: reference, changes.values, reason: request)
                }
                return try options.print(ApprovalDocument(record), orText: ApprovalDocument.text([record]))
            }
            let reply = try options.ask(key: key) { (client) throws(ClientError) in
                try client.setPolicies(of: reference, revision: revision, changes.values)
            }
            try options.print(PolicyDocument(reply), orText: PolicyDocument.text(reply))
        }
    }
}

/// On or off.
enum Switch: String, ExpressibleByArgument, CaseIterable {
    case on
    case off

    var isOn: Bool { self == .on }
}

/// What can be changed of policies.
struct PolicyOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Rotate by policy; for the instance: new keys take it over.", valueName: "on|off"))
    var rotation: Switch?

    @Option(help: ArgumentHelp("Every so many months, 1 to 12.", valueName: "n"))
    var rotationMonths: UInt32?

    @Option(help: ArgumentHelp("What needs a second person: \(DualControlList.form).", valueName: "actions"))
    var dualControl: DualControlList?

    @Option(help: ArgumentHelp("Instance: new keys take that over.", valueName: "on|off"))
    var dualControlNewKeys: Switch?

    @Option(help: ArgumentHelp("Instance: the following rules on creating and importing hold.", valueName: "on|off"))
    var access: Switch?

    @Option(help: ArgumentHelp("Instance: root keys may be created.", valueName: "on|off"))
    var createRoot: Switch?

    @Option(help: ArgumentHelp("Instance: standard keys may be created.", valueName: "on|off"))
    var createStandard: Switch?

    @Option(help: ArgumentHelp("Instance: root keys may be imported.", valueName: "on|off"))
    var importRoot: Switch?

    @Option(help: ArgumentHelp("Instance: standard keys may be imported.", valueName: "on|off"))
    var importStandard: Switch?

    @Option(help: ArgumentHelp("Instance: keys are imported with an import token only.", valueName: "on|off"))
    var enforceToken: Switch?

    @Option(help: ArgumentHelp("Instance: metrics of requests are kept.", valueName: "on|off"))
    var metrics: Switch?

    func validate() throws {
        if let rotationMonths, !(1...Limits.maximumRotationMonths).contains(rotationMonths) {
            throw ValidationError("--rotation-months is from 1 to \(Limits.maximumRotationMonths)")
        }
    }

    /// As the client library takes them; what was not given is nil.
    var values: PolicyValues {
        var values = PolicyValues()
        values.rotationEnabled = rotation?.isOn
        values.rotationMonths = rotationMonths
        values.dualControl = dualControl?.set
        values.dualControlEnabled = dualControlNewKeys?.isOn
        values.accessEnabled = access?.isOn
        values.createRoot = createRoot?.isOn
        values.createStandard = createStandard?.isOn
        values.importRoot = importRoot?.isOn
        values.importStandard = importStandard?.isOn
        values.enforceToken = enforceToken?.isOn
        values.metricsEnabled = metrics?.isOn
        return values
    }
}
