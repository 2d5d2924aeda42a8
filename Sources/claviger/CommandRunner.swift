import ArgumentParser
import CLinux

/// Runs the command line and says how it ended.
enum CommandRunner {
    /// Parses and runs; prints what is wrong.
    ///
    /// - Returns: the exit status: 0 done, 1 refused or failed, 2 usage, 3 no answer from the daemon.
    static func run(_ arguments: [String]) -> Int32 {
        // Plaintext and PINs pass through this process: no core, no reading of its memory by the same user's other programs.
        _ = linux_set_undumpable()
        let asJSON = arguments.contains("--json")
        do {
            guard !hasInvalidText else {
                throw CommandFailure.usage(
                    "an argument is not UTF-8", "give names and contexts as UTF-8 text; other bytes would not be told apart")
            }
            var command = try Claviger.parseAsRoot(arguments)
            try command.run()
            return ExitStatus.done.rawValue
        } catch let failure as CommandFailure {
            failure.print(asJSON: asJSON)
            return failure.exit.rawValue
        } catch let code as ExitCode {
            // The command has said all there is to say.
            return code.rawValue
        } catch {
            return report(error, asJSON: asJSON)
        }
    }

    // Swift repairs such arguments in silence: two contexts that differ in a wrong byte would then be one and the same.
    private static var hasInvalidText: Bool {
        (0..<Int(CommandLine.argc)).contains { index in
            CommandLine.unsafeArgv[index].map { String(validatingCString: $0) == nil } ?? false
        }
    }

    // What the parser throws: requests for help end well and go to stdout, the rest is usage.
    private static func report(_ error: any Error, asJSON: Bool) -> Int32 {
        guard Claviger.exitCode(for: error) != .success else {
            do throws(CommandFailure) {
                try StandardOutput.print(Claviger.fullMessage(for: error))
                return ExitStatus.done.rawValue
            } catch {
                error.print(asJSON: asJSON)
                return error.exit.rawValue
            }
        }
        guard asJSON else {
            var message = Claviger.fullMessage(for: error)
            if message.hasPrefix("Error: ") {
                message.replaceSubrange(..<message.index(message.startIndex, offsetBy: 7), with: "claviger: ")
            }
            StandardError.print(message)
            return ExitStatus.usage.rawValue
        }
        CommandFailure.usage(Claviger.message(for: error), "see 'claviger help'").print(asJSON: true)
        return ExitStatus.usage.rawValue
    }
}

/// The exit statuses, promised to scripts.
enum ExitStatus: Int32 {
    case done = 0
    case refused = 1
    case usage = 2
    case unreachable = 3
}
