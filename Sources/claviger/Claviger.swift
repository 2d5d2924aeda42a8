import ArgumentParser

/// The root of all commands.
struct Claviger: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "claviger",
        abstract: "Wraps and unwraps data keys under root keys that never leave their token.",
        discussion: """
            The everyday calls:
              claviger key create payroll
              claviger wrap payroll --context tenant=7 < dek.bin > dek.clv
              claviger wrap payroll --generate --plaintext-out dek.bin > dek.clv
              claviger unwrap --context tenant=7 < dek.clv > dek.bin
              claviger rewrap --context tenant=7 < dek.clv > new.clv

            A KEY is a key's name, its alias or its id. Every command takes --socket, --timeout and --json; they stand after the command.

            Exit status: 0 done; 1 refused or failed; 2 wrong usage; 3 the daemon cannot be reached or does not answer. \
            Errors go to stderr: what happened, then what to do; with --json as {"error": {"kind", "code", "message", "key", \
            "advice", "retryAfterMs", "exit"}}, where what does not apply is left out.
            """,
        subcommands: [
            StatusCommand.self, HealthCommand.self, MetricsCommand.self, WhoamiCommand.self, UnlockCommand.self, KeyCommand.self,
            WrapCommand.self, UnwrapCommand.self, RewrapCommand.self, AliasCommand.self, RingCommand.self,
            RegistrationCommand.self, ImportTokenCommand.self, PolicyCommand.self, SettingsCommand.self, ApprovalCommand.self,
            AccessCommand.self, AuditCommand.self, BenchCommand.self, TokenCommand.self,
        ])
}
