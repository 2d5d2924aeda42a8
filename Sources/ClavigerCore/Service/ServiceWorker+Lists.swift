import ClavigerWire

// What is counted.
extension ServiceWorker {
    func countKeys(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        throw Refusal(.unknownOpcode)
    }
}
