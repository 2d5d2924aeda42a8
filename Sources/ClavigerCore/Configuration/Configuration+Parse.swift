import CLinux

extension Configuration {
    /// The configuration in `bytes`, which came from `file` (named in problems, not opened).
    ///
    /// Throws ``ConfigurationError/invalid(_:)`` with every problem, or ``ConfigurationError/tooLarge(path:)``. TOML that does not
    /// parse gives one problem: what follows the first syntax error cannot be trusted.
    ///
    /// - Parameter profiles: finds the profile of a name; without it a file that names one is refused.
    package static func parse(
        _ bytes: [UInt8], file: String, profiles: ProfileSource? = nil
    ) throws(ConfigurationError) -> Configuration {
        let entries = try entries(of: bytes, file: file)
        var reader = ConfigurationReader(entries: entries, file: file)
        var configuration = Configuration()
        try configuration.readProfile(&reader, profiles)
        configuration.stateDirectory = reader.absolutePath("state-directory")?.value ?? configuration.stateDirectory
        configuration.module.read(&reader)
        configuration.quirks.read(&reader)
        configuration.token.read(&reader)
        configuration.socket.read(&reader)
        configuration.quota.read(&reader)
        configuration.unlock.read(&reader)
        configuration.workers.read(&reader)
        configuration.requests.read(&reader)
        configuration.audit.read(&reader)
        configuration.log.read(&reader)
        if configuration.unlock.group != nil, configuration.socket.adminPath != nil, configuration.socket.adminGroup == nil,
            let line = reader.line("unlock.group")
        {
            // The PIN is presented on the admin socket, to which only its owner could connect.
            reader.problem(line, "unlock.group cannot connect to socket.admin-path: set socket.admin-group too")
        }
        let problems = reader.finish()
        guard problems.isEmpty else { throw .invalid(problems) }
        return configuration
    }
}

extension Configuration.Module {
    /// - Parameter isProfile: whether a profile is read, which knows how a token stores its files and not where.
    mutating func read(_ reader: inout ConfigurationReader, isProfile: Bool = false) {
        reader.table("module")
        path = reader.absolutePath("module.path")?.value ?? path
        let arguments = reader.string("module.initialize-arguments", maximum: ConfigurationLimits.textBytes)
        initializeArguments = arguments?.value ?? initializeArguments
        storagePath = reader.absolutePath("module.storage-path")?.value ?? storagePath
        let format = reader.choice("module.storage-format", of: Configuration.StorageFormat.self)
        storageFormat = format?.value ?? storageFormat
        if let format, !isProfile, reader.line("module.storage-path") == nil {
            reader.problem(format.line, "module.storage-format says how to read module.storage-path, which is missing")
        }
        softwareToken = reader.boolean("module.software-token")?.value ?? softwareToken
        let variables = Configuration.EnvironmentVariable.read(&reader)
        let names = Set(variables.map(\.name))
        environment = (environment.filter { !names.contains($0.name) } + variables).sorted { $0.name < $1.name }
    }
}

extension Configuration.EnvironmentVariable {
    fileprivate static func read(_ reader: inout ConfigurationReader) -> [Configuration.EnvironmentVariable] {
        let table = "module.environment"
        reader.table(table, open: true)
        let variables = reader.strings(under: table, maximum: ConfigurationLimits.textBytes)
        if variables.count > ConfigurationLimits.environmentVariables {
            let most = ConfigurationLimits.environmentVariables
            reader.problem(reader.line(table), "\(table) has \(variables.count) variables; at most \(most) are allowed")
        }
        for (name, found) in variables where !isName(name) {
            let most = ConfigurationLimits.environmentNameBytes
            let rule = "letters, digits and '_', not beginning with a digit, at most \(most) bytes"
            reader.problem(found.line, "\(table).\(name.prefix(most)): not a variable's name (\(rule))")
        }
        return variables.map { Self(name: $0.name, value: $0.found.value) }.sorted { $0.name < $1.name }
    }

    private static func isName(_ name: String) -> Bool {
        guard (1...ConfigurationLimits.environmentNameBytes).contains(name.utf8.count) else { return false }
        return name.utf8.enumerated().allSatisfy { position, byte in
            switch byte {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "_"): true
            case UInt8(ascii: "0")...UInt8(ascii: "9"): position > 0
            default: false
            }
        }
    }
}

extension Configuration.Token {
    fileprivate mutating func read(_ reader: inout ConfigurationReader) {
        reader.table("token")
        if let found = reader.string("token.uri", maximum: ConfigurationLimits.uriBytes) {
            uri = found.value
            Self.check(found, &reader)
        } else if reader.line("token.uri") == nil {
            reader.problem(
                reader.line("token"), "token.uri is missing: the PKCS#11 URI of the token, such as \"pkcs11:token=claviger\"")
        }
        suite = Configuration.Token.readSuite(&reader) ?? suite
        let file = reader.absolutePath("token.pin-file")
        let credential = reader.string("token.pin-credential", maximum: ConfigurationLimits.nameBytes)
        if let credential, credential.value.contains("/") || credential.value == "." || credential.value == ".." {
            reader.problem(credential.line, "token.pin-credential is the name of a file in $CREDENTIALS_DIRECTORY, not a path")
        }
        if let first = reader.line("token.pin-file"), let second = reader.line("token.pin-credential") {
            reader.problem(max(first, second), "token.pin-file and token.pin-credential: at most one of both")
        }
        pin = file.map { .file($0.value) } ?? credential.map { .credential($0.value) }
    }

    /// What can be said about the URI without PKCS#11. Its text never enters a message: somebody may have put a PIN there.
    private static func check(_ found: ConfigurationReader.Found<String>, _ reader: inout ConfigurationReader) {
        guard found.value.hasPrefix("pkcs11:") else {
            reader.problem(found.line, "token.uri must be a PKCS#11 URI (RFC 7512), such as \"pkcs11:token=claviger\"")
            return
        }
        // RFC 7512 section 2.4. A PIN here would lie in ordinary memory and in a file that needs no secrecy otherwise.
        if found.value.contains("pin-value") || found.value.contains("pin-source") {
            reader.problem(found.line, "token.uri must not say where the PIN is; use token.pin-file or token.pin-credential")
        }
    }
}

extension Configuration.Socket {
    fileprivate mutating func read(_ reader: inout ConfigurationReader) {
        reader.table("socket")
        let longest = Int(linux_unix_path_maximum())
        path = reader.absolutePath("socket.path", maximum: longest, limit: "the kernel's sun_path")?.value ?? path
        group = Configuration.GroupName.read("socket.group", &reader)
        backlog = reader.integer("socket.backlog", in: ConfigurationLimits.backlog)?.value ?? backlog
        let most = reader.integer("socket.max-connections", in: ConfigurationLimits.connections)
        maximumConnections = most?.value ?? maximumConnections
        requiresPidfd = reader.boolean("socket.require-pidfd")?.value ?? requiresPidfd
        let admin = reader.absolutePath("socket.admin-path", maximum: longest, limit: "the kernel's sun_path")
        if let admin, admin.value == path {
            reader.problem(admin.line, "socket.admin-path and socket.path must differ")
        }
        adminPath = admin?.value
        adminGroup = Configuration.GroupName.read("socket.admin-group", &reader)
        if adminGroup != nil, let line = reader.line("socket.admin-group"), reader.line("socket.admin-path") == nil {
            reader.problem(line, "socket.admin-group is for socket.admin-path, which is missing")
        }
    }
}

extension Configuration.Quota {
    fileprivate mutating func read(_ reader: inout ConfigurationReader) {
        reader.table("quota")
        func limit(_ key: String, _ range: ClosedRange<Int>) -> Int? {
            let value = reader.integer(key, in: range)?.value ?? 0
            return value == 0 ? nil : value
        }
        requestsPerSecond = limit("quota.requests-per-second", ConfigurationLimits.requestRate)
        burst = limit("quota.burst", ConfigurationLimits.requestRate)
        inFlight = limit("quota.in-flight", ConfigurationLimits.inFlight)
        connections = limit("quota.connections", ConfigurationLimits.connectionQuota)
    }
}

extension Configuration.Unlock {
    fileprivate mutating func read(_ reader: inout ConfigurationReader) {
        reader.table("unlock")
        group = Configuration.GroupName.read("unlock.group", &reader)
    }
}

extension Configuration.GroupName {
    fileprivate static func read(_ path: String, _ reader: inout ConfigurationReader) -> Configuration.GroupName? {
        guard let found = reader.string(path, maximum: ConfigurationLimits.nameBytes) else { return nil }
        if found.value.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) {
            // chown(2) reads the largest number as "leave the group alone".
            if let number = UInt32(found.value), number != UInt32.max { return .number(number) }
            reader.problem(found.line, "\(path) must be a group's name or a number from 0 to \(UInt32.max - 1)")
            return nil
        }
        // The bytes that cannot stand in a line of /etc/group, and blanks, which are slips of the hand.
        guard !found.value.utf8.contains(where: { $0 == UInt8(ascii: ":") || $0 == UInt8(ascii: " ") }) else {
            reader.problem(found.line, "\(path) must be a group's name or number")
            return nil
        }
        return .name(found.value)
    }
}

extension Configuration.Workers {
    fileprivate mutating func read(_ reader: inout ConfigurationReader) {
        reader.table("workers")
        let wanted = reader.integer("workers.count", in: ConfigurationLimits.workers)?.value ?? 0
        count = wanted == 0 ? nil : wanted
        queue = reader.integer("workers.queue", in: ConfigurationLimits.queue)?.value ?? queue
    }
}

extension Configuration.Requests {
    fileprivate mutating func read(_ reader: inout ConfigurationReader) {
        reader.table("requests")
        let usual = reader.integer("requests.default-deadline-ms", in: ConfigurationLimits.deadline)
        let most = reader.integer("requests.max-deadline-ms", in: ConfigurationLimits.deadline)
        let idle = reader.integer("requests.idle-frame-timeout-ms", in: ConfigurationLimits.idleFrame)
        defaultDeadline = usual.map { .milliseconds($0.value) } ?? defaultDeadline
        maximumDeadline = most.map { .milliseconds($0.value) } ?? maximumDeadline
        idleFrameTimeout = idle.map { .milliseconds($0.value) } ?? idleFrameTimeout
        if defaultDeadline > maximumDeadline {
            let line = [usual?.line, most?.line].compactMap { $0 }.max()
            reader.problem(line, "requests.default-deadline-ms must not exceed requests.max-deadline-ms")
        }
    }
}

extension Configuration.Log {
    fileprivate mutating func read(_ reader: inout ConfigurationReader) {
        reader.table("log")
        level = reader.choice("log.level", of: Configuration.LogLevel.self)?.value ?? level
    }
}
