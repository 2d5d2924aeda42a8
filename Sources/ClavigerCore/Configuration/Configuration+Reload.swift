extension Configuration {
    /// What a new file changes in a running daemon.
    package struct ReloadDifference: Sendable, Equatable {
        /// Changed keys that take effect at once, by their names in the file.
        package internal(set) var effective: [String] = []
        /// Changed keys that take effect with the next start.
        package internal(set) var needsRestart: [String] = []

        /// What each of them was and is, for the record; what may hold a secret is not told.
        package internal(set) var changes: [ChangeNote.Change] = []

        /// Whether nothing changed.
        package var isEmpty: Bool { effective.isEmpty && needsRestart.isEmpty }
    }

    /// What changes when the daemon that runs with `old` is told to take this configuration.
    package func reloadDifference(from old: Configuration) -> ReloadDifference {
        var difference = ReloadDifference()
        for setting in Self.settings where setting.differs(self, old) {
            if setting.reloads { difference.effective.append(setting.key) } else { difference.needsRestart.append(setting.key) }
            difference.changes.append(ChangeNote.Change(setting.key, from: setting.text(old), to: setting.text(self)))
        }
        return difference
    }

    /// The configuration that a daemon running with `self` has after a reload: `new` in the keys that reload, `self` in the others.
    package func reloaded(with new: Configuration) -> Configuration {
        var result = self
        result.audit.context = new.audit.context
        result.log = new.log
        result.requests = new.requests
        result.socket.maximumConnections = new.socket.maximumConnections
        result.socket.requiresPidfd = new.socket.requiresPidfd
        result.quota = new.quota
        result.workers.queue = new.workers.queue
        return result
    }

    /// The name of every key of the file.
    static let keys = settings.map(\.key)

    private struct Setting: Sendable {
        let key: String
        let reloads: Bool
        let differs: @Sendable (Configuration, Configuration) -> Bool
        /// The value as the record shows it; nil for none.
        let text: @Sendable (Configuration) -> String?

        /// - Parameter isShown: whether its value may be recorded.
        init<Value: Equatable & Sendable>(
            _ key: String, reloads: Bool = false, isShown: Bool = true, _ value: @escaping @Sendable (Configuration) -> Value
        ) {
            self.key = key
            self.reloads = reloads
            self.differs = { value($0) != value($1) }
            self.text = { isShown ? Setting.text(value($0)) : Setting.hidden }
        }

        private static let hidden = "(not recorded)"

        private static func text(_ value: some Any) -> String? {
            // An optional is a collection of one or none to a mirror.
            let mirror = Mirror(reflecting: value)
            if mirror.displayStyle == .optional { return mirror.children.first.flatMap { text($0.value) } }
            if let named = value as? any RawRepresentable { return "\(named.rawValue)" }
            return "\(value)"
        }
    }

    /// Every key of the file. Those that reload are read at each use; the others are built into sockets, threads and the token's login.
    private static let settings: [Setting] = [
        Setting("state-directory") { $0.stateDirectory },
        Setting("profile") { $0.profile },
        Setting("module.path") { $0.module.path },
        // What a module is told may be a password.
        Setting("module.initialize-arguments", isShown: false) { $0.module.initializeArguments },
        Setting("module.environment", isShown: false) { $0.module.environment },
        Setting("module.storage-path") { $0.module.storagePath },
        Setting("module.storage-format") { $0.module.storageFormat },
        Setting("module.software-token") { $0.module.softwareToken },
        Setting("token.uri") { $0.token.uri },
        Setting("token.suite") { $0.token.suite },
        Setting("token.pin-file") { $0.token.pin?.file },
        Setting("token.pin-credential") { $0.token.pin?.credential },
        Setting("quirks.keeps-copyable") { $0.quirks.openAttributes.contains(.copyable) },
        Setting("quirks.keeps-destroyable") { $0.quirks.openAttributes.contains(.destroyable) },
        Setting("quirks.keeps-modifiable") { $0.quirks.openAttributes.contains(.modifiable) },
        Setting("quirks.keeps-allowed-mechanisms") { $0.quirks.openAttributes.contains(.allowedMechanisms) },
        Setting("quirks.keeps-local") { $0.quirks.openAttributes.contains(.local) },
        Setting("quirks.audit-key") { $0.quirks.auditKey },
        Setting("quirks.key-wrap-limit") { $0.quirks.keyWrapLimit },
        Setting("quirks.holds-private-data") { $0.quirks.holdsPrivateData },
        Setting("quirks.is-security-boundary") { $0.quirks.isSecurityBoundary },
        Setting("quirks.empty-so-pin") { $0.quirks.startsWithEmptyOfficerPIN },
        Setting("quirks.read-only-sessions") { $0.quirks.opensReadOnlySessions },
        Setting("quirks.session-limit") { $0.quirks.sessionLimit },
        Setting("socket.path") { $0.socket.path },
        Setting("socket.group") { $0.socket.group },
        Setting("socket.backlog") { $0.socket.backlog },
        Setting("socket.max-connections", reloads: true) { $0.socket.maximumConnections },
        Setting("socket.require-pidfd", reloads: true) { $0.socket.requiresPidfd },
        Setting("socket.admin-path") { $0.socket.adminPath },
        Setting("socket.admin-group") { $0.socket.adminGroup },
        Setting("quota.requests-per-second", reloads: true) { $0.quota.requestsPerSecond },
        Setting("quota.burst", reloads: true) { $0.quota.burst },
        Setting("quota.in-flight", reloads: true) { $0.quota.inFlight },
        Setting("quota.connections", reloads: true) { $0.quota.connections },
        Setting("unlock.group") { $0.unlock.group },
        Setting("workers.count") { $0.workers.count },
        Setting("workers.queue", reloads: true) { $0.workers.queue },
        Setting("requests.default-deadline-ms", reloads: true) { $0.requests.defaultDeadline },
        Setting("requests.max-deadline-ms", reloads: true) { $0.requests.maximumDeadline },
        Setting("requests.idle-frame-timeout-ms", reloads: true) { $0.requests.idleFrameTimeout },
        Setting("audit.directory") { $0.audit.directory },
        Setting("audit.durability") { $0.audit.durability },
        Setting("audit.context", reloads: true) { $0.audit.context },
        Setting("audit.segment-size-mib") { $0.audit.segmentMebibytes },
        Setting("audit.segment-age-hours") { $0.audit.segmentHours },
        Setting("audit.checkpoint-records") { $0.audit.checkpointRecords },
        Setting("audit.checkpoint-seconds") { $0.audit.checkpointSeconds },
        Setting("audit.collector") { $0.audit.collector },
        Setting("log.level", reloads: true) { $0.log.level },
    ]
}

extension Configuration.PINSource {
    fileprivate var file: String? {
        switch self {
        case .file(let path): path
        case .credential: nil
        }
    }

    fileprivate var credential: String? {
        switch self {
        case .file: nil
        case .credential(let name): name
        }
    }
}
