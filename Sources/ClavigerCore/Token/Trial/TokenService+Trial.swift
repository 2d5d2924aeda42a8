import ClavigerWire
import Cryptoki
import Logging
import Synchronization

extension TokenService {
    /// Tries out, after a login, what must hold of every token; one that fails is for the operator. Takes down which suites work.
    func examine(_ mechanisms: [MechanismType]) throws(TokenFailure) {
        let inFile = { (error: FileError) in TokenFailure(error, "what the token's generator gave before cannot be compared") }
        let directory = configuration.stateDirectory
        let earlier = try mapping(inFile) { () throws(FileError) in try RandomWitness.read(directory) }
        var witness = earlier
        let quirks = configuration.quirks
        let outcome: Result<([TrialRow], [Suite]), TokenFailure> = management.withLock { management in
            guard management.anchor != nil else { return .failure(.lost("there is no session")) }
            do throws(CryptokiError) {
                let rows = try TokenTrial.run(mechanisms, quirks: quirks, witness: &witness, session: &management.anchor!)
                let suites = try SuiteTrial(mechanisms, session: &management.anchor!, scratch: &management.scratch)
                return .success((rows + suites.rows, suites.suites))
            } catch {
                return .failure(.lost("the token cannot be tried out: \(error)"))
            }
        }
        let (rows, suites) = try outcome.get()
        live.withLock { $0?.suites = suites }
        let drawn = witness
        try mapping(inFile) { () throws(FileError) in try drawn.write(directory) }
        tell(
            rows.filter { $0.verdict == .notTried },
            "what could not be tried may be safe or not; 'claviger token doctor' says more")
        tell(rows.filter { $0.verdict == .refused }, "the token lists what it does not do")
        let dangers = rows.filter { $0.verdict == .dangerous }
        guard !dangers.isEmpty else { return }
        let text = dangers.map { "\($0.name): no (\($0.detail))" }.joined(separator: "; ")
        // What can be taken out by a thief can be accepted; what computes wrongly or repeats itself cannot.
        guard !configuration.quirks.isSecurityBoundary, dangers.allSatisfy(\.isAboutThieves) else {
            let reason = "this token is dangerous and is not used: \(text); 'claviger token doctor' says more"
            guard dangers.allSatisfy(\.mayPass) else { throw .needsOperator(reason) }
            // A token that goes away meanwhile gives errors too.
            guard unproven.add(1, ordering: .relaxed).newValue >= TokenService.trialBound else { throw .lost(reason) }
            throw .notOurs(reason)
        }
        log.warning("this token is no security boundary, as its configuration accepts", metadata: ["found": "\(text)"])
    }

    /// So many attempts in a row that end in an error of the trial's count as a token that went away: a few seconds'.
    private static let trialBound = 4

    private func tell(_ rows: [TrialRow], _ what: Logger.Message) {
        guard !rows.isEmpty else { return }
        let text = rows.map { "\($0.name): \($0.detail)" }.joined(separator: "; ")
        log.warning(what, metadata: ["found": "\(text)"])
    }
}
