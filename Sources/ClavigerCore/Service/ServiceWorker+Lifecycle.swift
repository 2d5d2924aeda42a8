import ClavigerWire

// The states of keys and their versions.
extension ServiceWorker {
    func updateKey(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        throw Refusal(.unknownOpcode)
    }

    func disableKey(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        throw Refusal(.unknownOpcode)
    }

    func enableKey(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        throw Refusal(.unknownOpcode)
    }

    func deleteKey(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        throw Refusal(.unknownOpcode)
    }

    func restoreKey(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        throw Refusal(.unknownOpcode)
    }

    func purgeKey(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        throw Refusal(.unknownOpcode)
    }

    func takeCensus(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        throw Refusal(.unknownOpcode)
    }

    func retireVersion(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        throw Refusal(.unknownOpcode)
    }

    func destroyVersion(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        throw Refusal(.unknownOpcode)
    }
}
