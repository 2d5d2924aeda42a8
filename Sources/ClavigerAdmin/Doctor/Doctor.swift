import ClavigerCore
import ClavigerWire
import Cryptoki
import SecureMemory

/// `claviger token doctor`: tries out what Claviger relies on, and what a thief with the user PIN would do, on objects of its own.
///
/// Works while no daemon runs, under the same locks. The token is as before afterwards.
package struct Doctor: ~Copyable {
    let access: TokenAccess
    let slot: SlotID
    let mechanisms: [MechanismType]
    let witness: RandomWitness
    var session: Session
    var scratch: CipherScratch
    var objects = ScratchObjects()
    var hasCurve = false
    var report: DoctorReport

    /// Takes the locks, loads the module and logs in.
    ///
    /// - Parameter pin: nil reads the configured source.
    package init(_ configuration: Configuration, pin: consuming SecretBytes?) throws(AdminError) {
        let access = try TokenAccess(configuration, holder: "claviger token doctor")
        let module = access.module
        let uri = access.uri
        let witness = try Doctor.drawBefore(access)
        let (slot, info, library, mechanisms) = try explain(AdminError.cryptoki) {
            () throws(CryptokiError) -> (SlotID, TokenInfo, String, [MechanismType]) in
            let slot = try uri.select(in: module)
            let about = try module.info()
            let name = "\(about.description) \(about.libraryVersion) by \(about.manufacturer)"
            return (slot, try module.tokenInfo(slot), name, try module.mechanisms(slot))
        }
        let memory = { (_: SecureMemoryError) in AdminError.setUp("memory cannot be locked: raise RLIMIT_MEMLOCK (ulimit -l)") }
        let scratch = try explain(memory) { () throws(SecureMemoryError) in try CipherScratch() }
        let session = try Doctor.logIn(access, slot, info, pin)
        // Noncopyable values are taken over when nothing can fail any more.
        self.access = access
        self.slot = slot
        self.mechanisms = mechanisms
        self.witness = witness
        self.scratch = scratch
        self.session = session
        report = DoctorReport(
            label: info.label, manufacturer: info.manufacturer, model: info.model, serial: info.serial, library: library,
            pinLengths: info.minimumPINLength...max(info.minimumPINLength, info.maximumPINLength),
            sessions: Doctor.number(info.maximumSessions))
    }

    /// The limit as the report has it.
    private static func number(_ limit: TokenInfo.SessionLimit) -> UInt? {
        switch limit {
        case .unlimited: 0
        case .unavailable: nil
        case .count(let count): count
        }
    }

    /// What the generator gave after earlier initialisations: the last process's, and one of our own for this.
    private static func drawBefore(_ access: borrowing TokenAccess) throws(AdminError) -> RandomWitness {
        let directory = access.configuration.stateDirectory
        var witness = try explain(AdminError.file) { () throws(FileError) in try RandomWitness.read(directory) }
        let (module, uri) = (access.module, access.uri)
        let reserved = access.configuration.module.initializeArguments
        let drawn = try explain(AdminError.cryptoki) { () throws(CryptokiError) -> RandomWitness? in
            var session = try module.openSession(try uri.select(in: module), readWrite: false)
            // Some tokens give nobody random numbers before a login: then the earlier process's must do.
            let drawn = try? RandomWitness(drawingFrom: &session)
            try session.close()
            try module.finalize()
            try module.initialize(reserved: reserved)
            return drawn
        }
        if let drawn { witness.join(drawn) }
        return witness
    }

    private static func logIn(
        _ access: borrowing TokenAccess, _ slot: SlotID, _ info: TokenInfo, _ given: consuming SecretBytes?
    ) throws(AdminError) -> Session {
        let pin: SecretBytes
        if let given = given.take() {
            pin = given
        } else {
            guard let source = access.configuration.token.pin, PINReader.isThere(source) else {
                throw .pin("give the user PIN with --pin-file or --pin-prompt: the configuration names none that is there")
            }
            let known = try explain(AdminError.file) { () throws(FileError) in try PINReader.read(source) }
            pin = try explain({ (_: SecureMemoryError) in .setUp("memory for a PIN cannot be locked") }) {
                () throws(SecureMemoryError) in try known.pin.prefix(known.pin.count)
            }
        }
        return try access.logIn(pin, slot, info, as: "token doctor")
    }

    /// Examines the token.
    ///
    /// - Parameter report: called with the title of each theme as it begins.
    package consuming func run(report say: (String) -> Void) throws(AdminError) -> DoctorReport {
        let left = try trying { (session) throws(CryptokiError) in try ScratchObjects.sweep(&session) }
        if left > 0 { say("removed \(left) objects that a doctor's run left behind") }
        do throws(AdminError) {
            try examine(say)
        } catch {
            objects.remove(&session)
            _ = try? ScratchObjects.sweep(&session)
            throw error
        }
        objects.remove(&session)
        _ = try trying { (session) throws(CryptokiError) in try ScratchObjects.sweep(&session) }
        return report
    }

    private mutating func examine(_ say: (String) -> Void) throws(AdminError) {
        say("what must hold of every token")
        let listed = mechanisms
        var seen = witness
        var rows = try trying { (session) throws(CryptokiError) in
            try TokenTrial.run(listed, witness: &seen, session: &session)
        }
        let drawn = seen
        let directory = access.configuration.stateDirectory
        try explain(AdminError.file) { () throws(FileError) in try drawn.write(directory) }
        rows.append(stuckPIN())
        report.sections.append(.init(title: "what must hold of every token", rows: rows))
        for (title, theme) in [
            ("keys and their attributes", Theme.attributes), ("suites", .suites), ("other objects", .others),
            ("what a thief with the PIN can do", .attacks),
        ] {
            say(title)
            let rows: [TrialRow] =
                switch theme {
                case .attributes: attributes()
                case .suites: suites()
                case .others: others()
                case .attacks: attacks()
                }
            objects.remove(&session)
            report.sections.append(.init(title: title, rows: rows))
        }
        report.quirks.isSecurityBoundary = report.dangers.isEmpty
        say("speed")
        speeds()
    }

    private enum Theme { case attributes, suites, others, attacks }

    private func stuckPIN() -> TrialRow {
        let name = "the user PIN is not about to lock"
        guard let info = try? access.module.tokenInfo(slot) else { return TrialRow(name, .refused, "the token does not tell") }
        let bad = info.flags.intersection([.userPINCountLow, .userPINFinalTry, .userPINLocked])
        return bad.isEmpty ? TrialRow(name, .works) : TrialRow(name, .limited, "a wrong PIN has been given")
    }

    mutating func trying<R>(_ body: (inout Session) throws(CryptokiError) -> R) throws(AdminError) -> R {
        do throws(CryptokiError) { return try body(&session) } catch { throw .cryptoki(error) }
    }

    /// Runs one trial; an error of the token makes it refused.
    mutating func row(
        _ name: String, _ body: (inout Session) throws(CryptokiError) -> TrialRow
    ) -> TrialRow {
        do throws(CryptokiError) { return try body(&session) } catch { return TrialRow(name, .refused, error.description) }
    }
}
