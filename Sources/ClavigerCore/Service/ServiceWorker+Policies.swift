import ClavigerWire

// Policies and settings.
extension ServiceWorker {
    func showPolicies(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        throw Refusal(.unknownOpcode)
    }

    func setPolicies(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        throw Refusal(.unknownOpcode)
    }

    func showSettings(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        throw Refusal(.unknownOpcode)
    }

    func setSetting(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        throw Refusal(.unknownOpcode)
    }
}
