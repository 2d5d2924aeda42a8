import ClavigerCore
import ClavigerWire
import Cryptoki

// The suite of the instance's own keys: tried before anything is made with it, since tokens list more than they do.
extension TokenInit {
    /// What the token lists, when the instance's keys may be possible with it. Asked before a token is initialised for nothing.
    func listedSuites(_ slot: SlotID) throws(AdminError) -> [MechanismType] {
        let module = access.module
        let mechanisms = try explain(AdminError.cryptoki) { () throws(CryptokiError) in try module.mechanisms(slot) }
        let choice = SuiteChoice(mechanisms: mechanisms)
        guard choice.hasOneForInstanceKeys else {
            throw .token("the token has neither AES-GCM nor AES-CBC with HMAC: no instance can live on it")
        }
        if let wanted = access.configuration.token.suite, !choice.suites.contains(wanted) {
            throw .token("the token does not list the mechanisms of \(wanted.name), which token.suite names")
        }
        return mechanisms
    }

    /// The suite of the keys that are there already, else the configured one, else the first that works.
    func suite(
        _ slot: SlotID, _ store: Store, _ session: inout Session, _ scratch: inout CipherScratch
    ) throws(AdminError) -> Suite {
        let known = try explain(AdminError.store) { () throws(StoreError) in try store.instanceKeys().first?.suite }
        if let known { return known }
        let mechanisms = try listedSuites(slot)
        let trial: SuiteTrial
        do throws(CryptokiError) {
            trial = try SuiteTrial(mechanisms, session: &session, scratch: &scratch)
        } catch {
            throw .cryptoki(error)
        }
        let found = trial.rows.filter { $0.verdict != .works }.map { "\($0.name): \($0.detail)" }.joined(separator: "; ")
        guard trial.rows.allSatisfy({ $0.verdict != .dangerous }) else {
            throw .token("this token is dangerous and is not used: \(found)")
        }
        if let wanted = access.configuration.token.suite {
            guard trial.suites.contains(wanted) else {
                throw .token("\(wanted.name), which token.suite names, does not work on the token: \(found)")
            }
            if wanted != .aesKeyWrapWithHMAC { return wanted }
        }
        guard let suite = trial.forInstanceKeys else {
            throw .token("neither AES-GCM nor AES-CBC with HMAC works on the token: no instance can live on it: \(found)")
        }
        return suite
    }
}
