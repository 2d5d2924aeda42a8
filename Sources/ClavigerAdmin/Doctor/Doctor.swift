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
        report.listed = SuiteChoice(mechanisms: mechanisms).suites
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
            let slot = try uri.select(in: module)
            var session = try Doctor.openAny(module, slot)
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

    /// A session that may read only, or one that may write where there is no other.
    private static func openAny(_ module: Module, _ slot: SlotID) throws(CryptokiError) -> Session {
        do throws(CryptokiError) {
            return try module.openSession(slot, readWrite: false)
        } catch {
            return try module.openSession(slot, readWrite: true)
        }
    }

    private static func logIn(
        _ access: borrowing TokenAccess, _ slot: SlotID, _ info: TokenInfo, _ given: consuming SecretBytes?
    ) throws(AdminError) -> Session {
        let pin: SecretBytes
        var configured: PINSourceIdentity?
        if let given = given.take() {
            pin = given
        } else {
            guard let source = access.configuration.token.pin, PINReader.isThere(source) else {
                throw .pin("give the user PIN with --pin-file or --pin-prompt: the configuration names none that is there")
            }
            let known = try explain(AdminError.file) { () throws(FileError) in try PINReader.read(source) }
            configured = known.source
            pin = try explain({ (_: SecureMemoryError) in .setUp("memory for a PIN cannot be locked") }) {
                () throws(SecureMemoryError) in try known.pin.prefix(known.pin.count)
            }
        }
        return try access.logIn(pin, slot, info, as: "token doctor", from: configured)
    }

    /// Examines the token. Whatever it refuses, there is a report.
    ///
    /// - Parameter report: called with the title of each theme as it begins.
    package consuming func run(report say: (String) -> Void) -> DoctorReport {
        let before = ScratchObjects.sweep(&session)
        if before.removed > 0 { say("removed \(before.removed) objects that a doctor's run left behind") }
        for theme in Theme.allCases {
            say(theme.rawValue)
            let rows: [TrialRow] =
                switch theme {
                case .everywhere: everywhere()
                case .sessions: sessions()
                case .attributes: attributes()
                case .suites: suites()
                case .others: others()
                case .attacks: attacks()
                }
            objects.remove(&session)
            report.sections.append(.init(title: theme.rawValue, rows: rows))
        }
        let dangers = report.dangers
        // What computes wrongly or repeats itself is accepted by no setting.
        report.quirks.isSecurityBoundary = dangers.isEmpty || !dangers.allSatisfy(\.isAboutThieves)
        say("speed")
        speeds()
        report.sections.append(.init(title: "afterwards", rows: [cleaned()]))
        return report
    }

    private enum Theme: String, CaseIterable {
        case everywhere = "what must hold of every token"
        case sessions
        case attributes = "keys and their attributes"
        case suites
        case others = "other objects"
        case attacks = "what a thief with the PIN can do"
    }

    private mutating func everywhere() -> [TrialRow] {
        var seen = witness
        var rows: [TrialRow]
        do throws(CryptokiError) {
            rows = try TokenTrial.run(mechanisms, quirks: nil, witness: &seen, session: &session)
        } catch {
            rows = [TrialRow("what the daemon tries after each login", .notTried, "the token went away: \(error)")]
        }
        do throws(FileError) {
            try seen.write(access.configuration.stateDirectory)
        } catch {
            rows.append(TrialRow("random numbers can be compared with the next run's", .notTried, error.description))
        }
        return rows + [stuckPIN()]
    }

    private mutating func cleaned() -> TrialRow {
        let name = "nothing of the doctor's is left"
        let after = ScratchObjects.sweep(&session)
        guard after.left > 0 || after.failure != nil else { return TrialRow(name, .works) }
        let count = after.left > 0 ? "\(after.left) objects stay" : "it cannot be looked"
        return TrialRow(name, .limited, "\(count): \(after.failure?.description ?? "")")
    }

    private func stuckPIN() -> TrialRow {
        let name = "the user PIN is not about to lock"
        guard let info = try? access.module.tokenInfo(slot) else { return TrialRow(name, .refused, "the token does not tell") }
        let bad = info.flags.intersection([.userPINCountLow, .userPINFinalTry, .userPINLocked])
        return bad.isEmpty ? TrialRow(name, .works) : TrialRow(name, .limited, "a wrong PIN has been given")
    }

    /// Runs one trial.
    ///
    /// - Parameter verdict: what an error of the token means: that nobody knows, unless the trial is of nothing but what it refuses.
    mutating func row(
        _ name: String, _ verdict: TrialRow.Verdict = .notTried,
        _ body: (inout Session) throws(CryptokiError) -> TrialRow
    ) -> TrialRow {
        do throws(CryptokiError) { return try body(&session) } catch { return TrialRow(name, verdict, error.description) }
    }
}
