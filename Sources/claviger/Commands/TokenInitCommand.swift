import ArgumentParser
import ClavigerAdmin
import ClavigerClient
import ClavigerCore
import Glibc

/// `claviger token init`.
struct TokenInitCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "init",
        abstract: "Initialises or adopts the token and sets this instance up on it.",
        discussion: """
            Works on the token that the configuration names, while no daemon runs. A token that does not exist yet is made where \
            the module can; one that is initialised is adopted and keeps everything that is on it. Made once: the instance's own \
            keys and the record that binds the instance to the token's serial number. A second run changes nothing; one that was \
            cut off is resumed.

            PINs are generated unless given. The user PIN goes to the configuration's token.pin-file, mode 0400, where there is \
            one; otherwise, and the SO PIN without --so-pin-out, PINs are shown once. The SO PIN can reset the user PIN: keep it \
            away from this machine. No PIN is ever taken from the command line or the environment.

            Examples:
              claviger token init
              claviger token init --so-pin-out /root/claviger-so.pin
              claviger token init --pin-prompt --so-pin-prompt
              claviger token init --pin-credential claviger.pin

            JSON: instance, label, serial, changed, steps, pinFile, soPinFile.
            """)

    @Option(help: ArgumentHelp("Read the user PIN from this file (0400, yours or root's).", valueName: "file"))
    var pinFile: String?

    @Flag(help: "Ask for the user PIN.")
    var pinPrompt = false

    @Option(help: ArgumentHelp("Read the user PIN from this systemd credential.", valueName: "name"))
    var pinCredential: String?

    @Option(help: ArgumentHelp("Read the SO PIN from this file (0400, yours or root's).", valueName: "file"))
    var soPinFile: String?

    @Flag(help: "Ask for the SO PIN.")
    var soPinPrompt = false

    @Option(help: ArgumentHelp("Read the SO PIN from this systemd credential.", valueName: "name"))
    var soPinCredential: String?

    @Option(help: ArgumentHelp("Write a generated SO PIN to this file (0400) instead of showing it.", valueName: "file"))
    var soPinOut: String?

    @Flag(help: "Accept a short PIN on a software token.")
    var weakPin = false

    @Flag(help: "Print JSON, errors too.")
    var json = false

    @OptionGroup var configurationOption: ConfigurationOption

    func validate() throws {
        guard [pinFile != nil, pinPrompt, pinCredential != nil].count(where: { $0 }) <= 1 else {
            throw ValidationError("give one of --pin-file, --pin-prompt and --pin-credential")
        }
        guard [soPinFile != nil, soPinPrompt, soPinCredential != nil].count(where: { $0 }) <= 1 else {
            throw ValidationError("give one of --so-pin-file, --so-pin-prompt and --so-pin-credential")
        }
    }

    func run() throws {
        let outcome = try initialise()
        let document = Document(
            instance: outcome.instance.description, label: outcome.label, serial: outcome.serial, changed: outcome.hasChanged,
            steps: outcome.steps, pinFile: outcome.userPINFile, soPinFile: outcome.securityOfficerPINFile)
        try StandardOutput.print(json ? JSON.encode(document) : TokenInitCommand.text(outcome))
    }

    private func initialise() throws(CommandFailure) -> TokenInit.Outcome {
        let configuration = try configurationOption.load()
        var request = TokenInit.Request()
        request.userPIN = try pin(pinFile, pinPrompt, pinCredential, "user PIN of the token: ")
        request.securityOfficerPIN = try pin(soPinFile, soPinPrompt, soPinCredential, "SO PIN of the token: ")
        request.allowsWeakPIN = weakPin
        request.securityOfficerPINFile = soPinOut
        let isQuiet = json
        do throws(AdminError) {
            let work = try TokenInit(
                configuration: configuration, request: request,
                report: { if !isQuiet { StandardError.note($0) } }, show: TokenInitCommand.show)
            return try work.run()
        } catch {
            throw .failed("\(error)", TokenInitCommand.advice(error))
        }
    }

    private func pin(
        _ file: String?, _ prompt: Bool, _ credential: String?, _ words: String
    ) throws(CommandFailure) -> SecretBytes? {
        if let file { return try PIN.file(file) }
        if prompt { return try PIN.prompt(words) }
        if let credential { return try PIN.credential(credential) }
        return nil
    }

    /// Shows a generated PIN once: on the terminal where there is one, so that it does not end in a file by accident.
    private static func show(_ name: String, _ pin: UnsafeRawBufferPointer) -> Bool {
        let terminal = open("/dev/tty", O_WRONLY | O_CLOEXEC | O_NOCTTY)
        let file = terminal >= 0 ? terminal : STDERR_FILENO
        defer { if terminal >= 0 { close(terminal) } }
        return writeAll(file, Array("\(name), shown this once: ".utf8).span.bytes) && writeAll(file, pin.bytes)
            && writeAll(file, Array("\n".utf8).span.bytes)
    }

    private static func advice(_ error: AdminError) -> String {
        switch error {
        case .setUp: "correct this and run it again; nothing that was done is lost"
        case .token: "'claviger token status' shows the token that is there; check module.path and token.uri"
        case .pin: "nothing else was changed; run it again with the right PIN"
        }
    }

    private static func text(_ outcome: TokenInit.Outcome) -> String {
        guard outcome.hasChanged else {
            return "nothing to do: instance \(outcome.instance) is set up on token '\(outcome.label)', serial \(outcome.serial)"
        }
        return "instance \(outcome.instance) is ready on token '\(outcome.label)', serial \(outcome.serial)\n"
            + "next: start clavigerd, then 'claviger key create NAME'"
    }

    private struct Document: Encodable {
        var instance: String
        var label: String
        var serial: String
        var changed: Bool
        var steps: [String]
        var pinFile: String?
        var soPinFile: String?
    }
}
