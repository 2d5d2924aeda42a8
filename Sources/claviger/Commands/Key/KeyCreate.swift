import ArgumentParser
import ClavigerClient

/// What can be said of a key when it comes to be, generated or imported.
struct NewKeyOptions: ParsableArguments {
    @Option(help: ArgumentHelp("What the key is for, 2 to 240 characters.", valueName: "text"))
    var description: String?

    @Option(
        name: .customLong("tag"), parsing: .singleValue,
        help: ArgumentHelp("A tag, up to 30 characters; repeat it for more.", valueName: "text"))
    var tags: [String] = []

    @Option(
        name: .customLong("alias"), parsing: .singleValue,
        help: ArgumentHelp("Another name, which no other key has; repeat it for more.", valueName: "alias"))
    var aliases: [String] = []

    @Option(help: ArgumentHelp("When the key stops wrapping: \(Moment.form).", valueName: "when"))
    var expires: Moment?

    @Option(help: ArgumentHelp("The key ring that it belongs to.", valueName: "ring"), completion: Completion.rings)
    var ring: String?

    @Option(
        help: ArgumentHelp(
            "Have it rotated every so many months, 1 to 12; 0 for never. Else as the instance's policy.", valueName: "n"))
    var rotateEvery: UInt32?

    @Option(
        help: ArgumentHelp(
            "What needs a second person: \(DualControlList.form). Else as the instance's policy.", valueName: "actions"))
    var dualControl: DualControlList?

    @Flag(help: "Take over none of the instance's policies for new keys.")
    var noPolicies = false

    func validate() throws {
        if let rotateEvery, rotateEvery > Limits.maximumRotationMonths {
            throw ValidationError("--rotate-every is from 0 to \(Limits.maximumRotationMonths) months")
        }
        if expires == .never { throw ValidationError("leave --expires away for a key that never expires") }
    }

    /// Puts it into a request.
    func fill(_ request: inout KeyCreateRequest) {
        request.description = description
        request.tags = tags
        request.aliases = aliases
        request.expires = expires?.milliseconds
        request.ring = ring
        request.rotationMonths = rotateEvery
        request.dualControl = dualControl?.set
        request.withoutPolicies = noPolicies
    }
}

/// The suites, as people write them.
enum SuiteWord: String, ExpressibleByArgument, CaseIterable {
    case aesGCM = "aes-gcm"
    case aesCBCWithHMAC = "aes-cbc-hmac"
    case aesKeyWrapWithHMAC = "aes-kw-hmac"

    static let form = "aes-gcm, aes-cbc-hmac (tokens without GCM) or aes-kw-hmac (data keys that stay in the token)"

    var suite: Suite {
        switch self {
        case .aesGCM: .aesGCM
        case .aesCBCWithHMAC: .aesCBCWithHMAC
        case .aesKeyWrapWithHMAC: .aesKeyWrapWithHMAC
        }
    }
}

/// The actions that need a second person, as people write them.
struct DualControlList: ExpressibleByArgument {
    static let form = "delete, purge, disable, restore, policy, separated by commas; or none"

    let set: DualControl

    init?(argument text: String) {
        guard text != "none" else {
            set = []
            return
        }
        var set: DualControl = []
        for word in text.split(separator: ",", omittingEmptySubsequences: false) {
            guard let action = ControlledAction.allCases.first(where: { $0.name == word }) else { return nil }
            set.insert(DualControl(action))
        }
        self.set = set
    }
}

extension KeyCommand {
    /// `claviger key create`.
    struct Create: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Creates a key.",
            discussion: """
                A root key is AES-256, made in the token, and never leaves it. A standard key keeps what --from holds, 1 to \
                \(Limits.maximumPayload) bytes as they are, or 32 random bytes.

                Names may repeat; a name that two keys carry is refused everywhere until they are named by id. Aliases never repeat.

                Examples:
                  claviger key create payroll
                  claviger key create payroll --ring finance --rotate-every 3 --dual-control delete,purge
                  claviger key create vault --suite aes-kw-hmac
                  claviger key create smtp-password --standard --from password.txt --expires 90d
                  id=$(claviger key create payroll --json | jq -r .id)

                JSON: \(KeyDocument.fields).
                """)

        @Argument(help: "The new key's name, 2 to 90 characters.")
        var name: String

        @Flag(help: "Create a standard key.")
        var standard = false

        @Option(
            help: ArgumentHelp("Keep what this file holds ('-' for stdin); for --standard.", valueName: "file"),
            completion: .file())
        var from: String?

        @Option(help: ArgumentHelp("How it wraps: \(SuiteWord.form). Else as the configuration says.", valueName: "suite"))
        var suite: SuiteWord?

        @OptionGroup var new: NewKeyOptions

        @OptionGroup var options: GlobalOptions

        func validate() throws {
            if suite != nil, standard { throw ValidationError("--suite is for root keys: a standard key wraps nothing") }
            if from != nil, !standard {
                throw ValidationError("--from is for --standard; 'claviger key import' makes a root key of given material")
            }
        }

        func run() throws {
            let key = try from.map { (path) throws(CommandFailure) in try keeping(path) } ?? generated()
            try options.print(KeyDocument(key), orText: KeyDocument.text(key))
            if isAmbiguous() {
                StandardError.note("another key is named '\(name)' too: from now on name both by id, this one by \(key.id)")
            }
        }

        private func generated() throws(CommandFailure) -> KeyRecord {
            try options.ask(key: name) { (client) throws(ClientError) in
                try client.createKey(name: name) { request in
                    if standard { request.kind = .standard }
                    request.suite = suite?.suite
                    new.fill(&request)
                }
            }
        }

        private func keeping(_ path: String) throws(CommandFailure) -> KeyRecord {
            let secret = try Input(path, what: "the secret").readPayload()
            let client = Client(options.clientOptions)
            do throws(ClientError) {
                return try client.createKey(name: name, payload: secret.bytes, new.fill)
            } catch {
                throw CommandFailure(error, key: name)
            }
        }

        // Allowed, since names are for people; but whoever did it by accident finds every later command refused.
        private func isAmbiguous() -> Bool {
            do throws(CommandFailure) {
                _ = try options.ask(key: name) { (client) throws(ClientError) in try client.showKey(.name(name)) }
                return false
            } catch {
                return error.code == RefusalCode.ambiguousName.name
            }
        }
    }
}
