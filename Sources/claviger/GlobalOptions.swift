import ArgumentParser
import CLinux
import ClavigerClient
import ClavigerCore

/// What every command takes.
struct GlobalOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The daemon's socket (default: $CLAVIGER_SOCKET, then \(ClientOptions.defaultSocketPath)).", valueName: "path"))
    var socket: String?

    @Flag(help: "Print JSON, errors too.")
    var json = false

    @Option(help: ArgumentHelp("How long to wait for the daemon in all.", valueName: "seconds"))
    var timeout: Double = 10

    func validate() throws {
        guard timeout >= 0.001, timeout <= 3600 else { throw ValidationError("--timeout is from 0.001 to 3600 seconds") }
        if let socket, socket.isEmpty { throw ValidationError("--socket needs a path") }
    }

    // A person waits: a daemon that is not there is reported after a tenth of a second, not after the library's 1.6.
    private static let retries = 4

    /// The options for the client library.
    var clientOptions: ClientOptions {
        let nanoseconds = Int64(timeout * 1_000_000_000)
        return ClientOptions(socketPath: socket, deadline: .nanoseconds(nanoseconds), retries: GlobalOptions.retries)
    }

    /// Options for what has the token make an RSA key, which takes longer than everything else.
    var patientOptions: ClientOptions {
        var options = clientOptions
        options.deadline = max(options.deadline, .seconds(60))
        return options
    }

    /// Asks the daemon; what goes wrong is thrown as a failure that names `key`.
    func ask<R: ~Copyable>(
        key: String? = nil, patiently: Bool = false, _ body: (Client) throws(ClientError) -> R
    ) throws(CommandFailure) -> R {
        let client = Client(patiently ? patientOptions : clientOptions)
        defer { client.close() }
        do throws(ClientError) {
            return try body(client)
        } catch {
            throw CommandFailure(error, key: key)
        }
    }

    /// Prints the result: the one for programs or the one for people.
    func print(_ value: some Encodable, orText text: @autoclosure () -> String) throws(CommandFailure) {
        try StandardOutput.print(json ? JSON.encode(value) : text())
    }
}

/// What commands take that work on the token without the daemon.
struct ConfigurationOption: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The daemon's configuration (default: $CLAVIGER_CONFIG, then \(Configuration.defaultPath)).", valueName: "file"))
    var config: String?

    /// Loads it and sets the module's environment. Call it before the first thread.
    func load() throws(CommandFailure) -> Configuration {
        let named = linux_secure_getenv("CLAVIGER_CONFIG").map { String(cString: $0) }
        do throws(ConfigurationError) {
            let configuration = try Configuration.load(path: config ?? named ?? Configuration.defaultPath)
            try configuration.applyEnvironment()
            return configuration
        } catch {
            throw .failed("\(error)", "correct the configuration, or name another one with --config")
        }
    }
}
