import ArgumentParser
import ClavigerAdmin
import ClavigerClient
import ClavigerCore

/// `claviger token doctor`.
struct DoctorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Tries out what the token can do and how safe keys are in it.",
        discussion: """
            Works on the token that the configuration names, while no daemon runs, with the user PIN. Makes objects of its own, tries \
            each mechanism, attribute and quirk that Claviger relies on and what a thief with the PIN would try, measures speed, and \
            removes what it made; objects that a killed run left are removed by the next. Nothing else on the token is touched.

            Verdicts: works; works with limits; refused (the token does not do it); not tried (it refused what the trial needs, so \
            nobody knows); dangerous (it does what it must not).

            Examples:
              claviger token doctor
              claviger token doctor --pin-prompt
              claviger token doctor --json > token.json

            JSON: token (label, manufacturer, model, serial, library, minimumPIN, maximumPIN, sessions), sections (title, rows: name, verdict, detail), speeds \
            (operation, subject, sessions, perSecond or failure), suites (names, best first), settings (lines of a configuration), \
            usable, dangerous, fullyTried.

            Exit status: 0 usable, all tried and nothing dangerous, 1 the token could not be examined, 4 no suite works, 5 dangerous, \
            6 something could not be tried.
            """)

    @Option(help: ArgumentHelp("Read the user PIN from this file (0400, yours or root's).", valueName: "file"))
    var pinFile: String?

    @Flag(help: "Ask for the user PIN.")
    var pinPrompt = false

    @Flag(help: "Print JSON, errors too.")
    var json = false

    @OptionGroup var configurationOption: ConfigurationOption

    /// No suite works on this token.
    private static let uselessStatus: Int32 = 4
    /// Keys are not safe in this token.
    private static let dangerousStatus: Int32 = 5
    /// It may be well or not: something could not be tried.
    private static let openStatus: Int32 = 6

    func validate() throws {
        if pinFile != nil, pinPrompt { throw ValidationError("give one of --pin-file and --pin-prompt") }
    }

    func run() throws {
        let report = try examine()
        try StandardOutput.print(json ? JSON.encode(DoctorDocument(report)) : DoctorDocument.text(report))
        if !report.dangers.isEmpty { throw ExitCode(DoctorCommand.dangerousStatus) }
        if report.suites.isEmpty { throw ExitCode(DoctorCommand.uselessStatus) }
        if !report.open.isEmpty { throw ExitCode(DoctorCommand.openStatus) }
    }

    private func examine() throws(CommandFailure) -> DoctorReport {
        let configuration = try configurationOption.load()
        var pin: SecretBytes?
        if let pinFile { pin = try PIN.file(pinFile) }
        if pinPrompt { pin = try PIN.prompt("user PIN of the token: ") }
        let isQuiet = json
        do throws(AdminError) {
            let doctor = try Doctor(configuration, pin: pin)
            return doctor.run(report: { if !isQuiet { StandardError.note($0) } })
        } catch {
            throw .failed("\(error)", "'claviger token status' shows the token that is there; stop the daemon first if it runs")
        }
    }
}
