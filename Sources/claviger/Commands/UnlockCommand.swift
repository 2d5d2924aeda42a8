import ArgumentParser
import ClavigerClient

/// `claviger unlock`.
struct UnlockCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "unlock",
        abstract: "Tells the daemon the token's user PIN.",
        discussion: """
            The PIN is asked for without echo, or comes from a file (mode 0400 or 0600, yours or root's) or from stdin; one \
            newline at its end is not part of it. It is sent once, and only to a process that runs as root, as 'claviger' or as \
            you. The daemon presents it to the token once.

            Examples:
              claviger unlock
              claviger unlock --pin-file /root/claviger.pin
              secret-tool lookup claviger pin | claviger unlock --pin-stdin

            JSON: serves, state, reason.
            """)

    @Option(help: ArgumentHelp("Read the PIN from this file.", valueName: "file"))
    var pinFile: String?

    @Flag(help: "Read the PIN from stdin.")
    var pinStdin = false

    @OptionGroup var options: GlobalOptions

    func validate() throws {
        if pinStdin, pinFile != nil { throw ValidationError("--pin-file and --pin-stdin exclude each other") }
    }

    func run() throws {
        let health = try present(try pin())
        try options.print(HealthDocument(health), orText: HealthDocument.text(health))
        if !health.state.serves { throw ExitCode(ExitStatus.refused.rawValue) }
    }

    private func pin() throws(CommandFailure) -> SecretBytes {
        if let pinFile { return try PIN.file(pinFile) }
        return pinStdin ? try PIN.standardInput() : try PIN.prompt("PIN of the token's user: ")
    }

    private func present(_ pin: borrowing SecretBytes) throws(CommandFailure) -> HealthReply {
        let client = Client(options.clientOptions)
        do throws(ClientError) {
            return try client.unlock(pin: pin)
        } catch {
            throw CommandFailure(error, key: nil)
        }
    }
}
