import ClavigerWire

// What needs a second person.
extension ServiceWorker {
    func requestApproval(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        throw Refusal(.unknownOpcode)
    }

    func listApprovals(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        throw Refusal(.unknownOpcode)
    }

    func approve(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        throw Refusal(.unknownOpcode)
    }

    func cancelApproval(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        throw Refusal(.unknownOpcode)
    }
}
