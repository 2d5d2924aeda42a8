import ClavigerWire
import Cryptoki
import Logging
import Synchronization

extension TokenService {
    /// Tries out, after a login, what must hold of every token; one that fails is for the operator.
    func examine(_ mechanisms: [MechanismType]) throws(TokenFailure) {
        let inFile = { (error: FileError) in TokenFailure(error, "what the token's generator gave before cannot be compared") }
        let directory = configuration.stateDirectory
        let earlier = try mapping(inFile) { () throws(FileError) in try RandomWitness.read(directory) }
        var witness = earlier
        let outcome: Result<[TrialRow], TokenFailure> = management.withLock { management in
            guard management.anchor != nil else { return .failure(.lost("there is no session")) }
            do throws(CryptokiError) {
                return .success(try TokenTrial.run(mechanisms, witness: &witness, session: &management.anchor!))
            } catch {
                return .failure(.lost("the token cannot be tried out: \(error)"))
            }
        }
        let rows = try outcome.get()
        let drawn = witness
        try mapping(inFile) { () throws(FileError) in try drawn.write(directory) }
        let dangers = rows.filter { $0.verdict == .dangerous }
        guard !dangers.isEmpty else { return }
        let text = dangers.map { "\($0.name): no (\($0.detail))" }.joined(separator: "; ")
        // What can be taken out by a thief can be accepted; what computes wrongly or repeats itself cannot.
        guard !configuration.quirks.isSecurityBoundary, dangers.allSatisfy(\.isAboutThieves) else {
            throw .needsOperator("this token is dangerous and is not used: \(text); 'claviger token doctor' says more")
        }
        log.warning("this token is no security boundary, as its configuration accepts", metadata: ["found": "\(text)"])
    }
}
