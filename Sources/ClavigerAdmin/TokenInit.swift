import ClavigerCore
import ClavigerWire
import Cryptoki
import Glibc
import SecureMemory

/// `claviger token init`: makes or adopts a token and sets an instance up on it.
///
/// Every step looks first whether it has been done, and is durable before the next: a kill anywhere is resumed by the next run, and
/// a run on a whole instance changes nothing.
package struct TokenInit: ~Copyable {
    /// What the admin decides; PINs come in locked memory and from nowhere else.
    package struct Request: ~Copyable {
        /// nil: adopt with the PIN that is known, or generate.
        package var userPIN: SecretBytes?
        /// nil: generate where one is needed.
        package var securityOfficerPIN: SecretBytes?
        /// Whether short PINs are accepted on a software token.
        package var allowsWeakPIN = false
        /// Where a generated SO PIN is written; nil hands it to `showSecurityOfficerPIN`.
        package var securityOfficerPINFile: String?

        package init() {}
    }

    /// What was done.
    package struct Outcome: Sendable, Equatable {
        package var instance: InstanceID
        package var label: String
        package var serial: String
        /// False when everything was there already.
        package var hasChanged: Bool
        /// What was done, a line each.
        package var steps: [String]
        /// Where the user PIN was written.
        package var userPINFile: String?
        /// Where the SO PIN was written.
        package var securityOfficerPINFile: String?
    }

    private static let command = "claviger token init"

    let access: TokenAccess
    let pending: PendingPINs
    let pendingToken: PendingToken
    // What a killed run left of a token.
    private let setAside: [String]
    var request: Request
    private var steps: [String] = []
    private let report: (String) -> Void
    let show: (String, UnsafeRawBufferPointer) -> Bool
    var userPINFile: String?
    /// The configured source, once the user PIN has been read from it.
    var userPINSource: PINSourceIdentity?

    /// Takes the locks and loads the module.
    ///
    /// - Parameters:
    ///   - report: called with each step as it is done.
    ///   - show: called once with a generated PIN that has no file to go to, and its name; returns whether it could be shown.
    package init(
        configuration: Configuration, request: consuming Request, report: @escaping (String) -> Void,
        show: @escaping (String, UnsafeRawBufferPointer) -> Bool
    ) throws(AdminError) {
        let directory = configuration.stateDirectory
        try TokenAccess.requireOwner(directory, TokenInit.command)
        try explain(AdminError.file) { () throws(FileError) in
            try Files.makeDirectory(directory)
            if let storage = configuration.module.storagePath { try Files.makeDirectory(storage) }
        }
        let making = PendingToken(stateDirectory: directory)
        var aside: [String] = []
        access = try TokenAccess(configuration, holder: TokenInit.command) { files throws(AdminError) in
            guard let before = try making.before() else { return }
            aside = try explain(AdminError.file) { () throws(FileError) in try files.setAsideHalfMade(except: before) }
        }
        pendingToken = making
        setAside = aside
        pending = PendingPINs(stateDirectory: directory)
        self.request = request
        self.report = report
        self.show = show
    }

    /// Does what is still to be done.
    package consuming func run() throws(AdminError) -> Outcome {
        for path in setAside { note("set aside what a run that was cut off left of a token: \(path)") }
        for path in access.restored { note("restored \(path) from its copy") }
        let store = try explain(AdminError.store) { () throws(StoreError) in
            try Store(directory: access.configuration.stateDirectory, create: true)
        }
        let existing = try explain(AdminError.store) { () throws(StoreError) in try store.instance() }
        if let existing, existing.isComplete {
            let (_, info) = try find(existing)
            guard info != nil else {
                throw .token("instance \(existing.id) is bound to serial \(existing.tokenSerial), which is not there")
            }
            try handOver()
            return outcome(existing, hasChanged: !steps.isEmpty)
        }
        let (slot, info) = try prepareToken(existing)
        var session = try logIn(slot, info)
        let memory = { (_: SecureMemoryError) in AdminError.setUp("memory cannot be locked: raise RLIMIT_MEMLOCK (ulimit -l)") }
        var scratch = try explain(memory) { () throws(SecureMemoryError) in try CipherScratch() }
        let suite = try suite(slot, store, &session, &scratch)
        let instance = try record(existing, info, store)
        try makeInstanceKeys(instance, suite, store, &session, &scratch)
        let users = FirstGrants.users(ownerOf: access.configuration.stateDirectory)
        try explain(AdminError.store) { () throws(StoreError) in
            try store.makeFirstGrants(to: users, now: Clock.date())
            try store.completeInstance()
        }
        note("instance \(instance.id) is bound to token '\(info.label)', serial \(info.serial)")
        try handOver()
        return outcome(instance, hasChanged: true)
    }

    mutating func note(_ step: String) {
        steps.append(step)
        report(step)
    }

    private func outcome(_ instance: InstanceRecord, hasChanged: Bool) -> Outcome {
        Outcome(
            instance: instance.id, label: instance.tokenLabel, serial: instance.tokenSerial, hasChanged: hasChanged, steps: steps,
            userPINFile: userPINFile, securityOfficerPINFile: request.securityOfficerPINFile)
    }

    // MARK: the token

    /// The token that the configuration names and, once there is one, the instance is bound to.
    private func find(_ instance: InstanceRecord?) throws(AdminError) -> (SlotID?, TokenInfo?) {
        let uri = access.uri
        let module = access.module
        let found = try explain(AdminError.cryptoki) { () throws(CryptokiError) -> [(SlotID, TokenInfo)] in
            var found: [(SlotID, TokenInfo)] = []
            for slot in try module.slots(withToken: true) {
                let info = try module.tokenInfo(slot)
                guard info.flags.contains(.initialized), uri.matches(info, in: slot) else { continue }
                if let instance, info.serial != instance.tokenSerial { continue }
                found.append((slot, info))
            }
            return found
        }
        guard found.count <= 1 else {
            let serials = found.map(\.1.serial).joined(separator: ", ")
            throw .token("token.uri names \(found.count) tokens, of serials \(serials): add ;serial=... to it")
        }
        return (found.first?.0, found.first?.1)
    }

    /// An initialised token whose user PIN is set: found, or made so.
    private mutating func prepareToken(_ instance: InstanceRecord?) throws(AdminError) -> (SlotID, TokenInfo) {
        var (slot, info) = try find(instance)
        if slot == nil {
            if let instance {
                throw .token("instance \(instance.id) is bound to serial \(instance.tokenSerial), which is not there")
            }
            try initialize()
            (slot, info) = try find(nil)
        }
        guard let slot, let info else { throw .token("the token was initialised but is not found again") }
        if !info.flags.contains(.userPINInitialized) {
            try setUserPIN(slot, info)
            return (slot, try explain(AdminError.cryptoki) { () throws(CryptokiError) in try access.module.tokenInfo(slot) })
        }
        return (slot, info)
    }

    private mutating func initialize() throws(AdminError) {
        let uri = access.uri
        let module = access.module
        guard let label = uri.label else { throw .setUp("token.uri names no token label (token=...), so none can be made") }
        guard uri.serial == nil else {
            throw .token("there is no token of serial \(uri.serial ?? ""); leave the serial out of token.uri to make a new one")
        }
        let free = try explain(AdminError.cryptoki) { () throws(CryptokiError) -> (SlotID, TokenInfo)? in
            for slot in try module.slots(withToken: true) {
                let info = try module.tokenInfo(slot)
                if !info.flags.contains(.initialized) { return (slot, info) }
            }
            return nil
        }
        guard let (slot, info) = free else {
            throw .token("there is no token labelled '\(label)' and none that is not initialised yet")
        }
        _ = try listedSuites(slot)
        guard !access.configuration.quirks.startsWithEmptyOfficerPIN else {
            try setFirstUserPIN()
            return
        }
        let pin = try securityOfficerPIN(info)
        if let files = access.files {
            try pendingToken.note(try explain(AdminError.file) { () throws(FileError) in try files.tokens() })
        }
        try explain(AdminError.cryptoki) { () throws(CryptokiError) in
            try module.initializeToken(slot, soPIN: pin.bytes, label: label)
            // Slots are numbered anew after C_InitToken; a fresh initialisation shows them as every later process sees them.
            try module.finalize()
            try module.initialize(reserved: access.configuration.module.initializeArguments)
        }
        try syncFiles()
        note("initialised token '\(label)'")
    }

    private mutating func setUserPIN(_ slot: SlotID, _ info: TokenInfo) throws(AdminError) {
        let soPIN = try securityOfficerPIN(info)
        let userPIN = try userPIN(info, mayGenerate: true)
        let module = access.module
        let files = access.files
        // A copy from before would bring an old PIN back; one of the token as it is now, without a user PIN, brings it back should the
        // login or the setting of the PIN be cut off.
        try explain(AdminError.file) { () throws(FileError) in
            try files?.destroyCopies()
            try files?.copy()
        }
        try explain({ (error: CryptokiError) in
            error.returnValue == .pinIncorrect
                ? .pin("the token refused the SO PIN; give it with --so-pin-file or --so-pin-prompt") : .cryptoki(error)
        }) { () throws(CryptokiError) in
            var session = try module.openSession(slot, readWrite: true)
            try session.login(.securityOfficer, pin: soPIN.bytes)
            try session.initializePIN(userPIN.bytes)
            try session.logout()
        }
        try syncFiles()
        try explain(AdminError.file) { () throws(FileError) in try files?.destroyCopies() }
        note("set the user PIN")
    }

    /// Sets the user PIN of a token that counts as initialised from then on, by the empty PIN of its security officer.
    private mutating func setFirstUserPIN() throws(AdminError) {
        let uri = access.uri
        let module = access.module
        let found = try explain(AdminError.cryptoki) { () throws(CryptokiError) -> (SlotID, TokenInfo) in
            let slot = try uri.select(in: module)
            return (slot, try module.tokenInfo(slot))
        }
        let userPIN = try userPIN(found.1, mayGenerate: true)
        try explain(AdminError.cryptoki) { () throws(CryptokiError) in
            var session = try module.openSession(found.0, readWrite: true)
            try session.login(.securityOfficer, pin: RawSpan())
            try session.initializePIN(userPIN.bytes)
            try session.logout()
        }
        note("set the user PIN")
    }

    private func syncFiles() throws(AdminError) {
        guard let files = access.files else { return }
        try explain(AdminError.file) { () throws(FileError) in try files.syncTokens() }
    }

    private mutating func logIn(_ slot: SlotID, _ info: TokenInfo) throws(AdminError) -> Session {
        let pin = try userPIN(info, mayGenerate: false)
        return try access.logIn(pin, slot, info, as: "token init", from: userPINSource)
    }

    // MARK: the instance

    private func record(
        _ existing: InstanceRecord?, _ info: TokenInfo, _ store: Store
    ) throws(AdminError) -> InstanceRecord {
        if let existing { return existing }
        let record = InstanceRecord(
            id: RandomSource.identifier(), created: Clock.date(), tokenLabel: info.label, tokenManufacturer: info.manufacturer,
            tokenModel: info.model, tokenSerial: info.serial, isComplete: false)
        try explain(AdminError.store) { () throws(StoreError) in try store.insertInstance(record) }
        return record
    }

    private mutating func makeInstanceKeys(
        _ instance: InstanceRecord, _ suite: Suite, _ store: Store, _ session: inout Session, _ scratch: inout CipherScratch
    ) throws(AdminError) {
        let factory = ObjectFactory(instance: instance.id, files: access.files, quirks: access.configuration.quirks)
        let known = try explain(AdminError.store) { () throws(StoreError) in try store.instanceKeys().map(\.role) }
        for role in KeyRole.instanceRoles where !known.contains(role) {
            let (version, answer) = try explain(AdminError.object) { () throws(ObjectFailure) -> (UInt32, KnownAnswer) in
                var version = Limits.firstVersion
                while true {
                    let name = ObjectName(instance: instance.id, version: version, role: role)
                    if let answer = try factory.findOrMake(name, suite, session: &session, scratch: &scratch) {
                        return (version, answer)
                    }
                    // What a killed run left half-made is not destroyed, but left under its version for the daemon to quarantine.
                    version += 1
                }
            }
            try explain(AdminError.store) { () throws(StoreError) in
                try store.insertInstanceKey(
                    InstanceKeyRecord(
                        role: role, version: version, suite: suite, created: Clock.date(), knownAnswer: answer))
            }
            note("made the instance key '\(role.name)'")
        }
    }
}
