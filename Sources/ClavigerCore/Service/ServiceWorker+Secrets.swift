import ClavigerWire

// Standard keys and import tokens.
extension ServiceWorker {
    func readKey(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        throw Refusal(.unknownOpcode)
    }

    func createImportToken(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        throw Refusal(.unknownOpcode)
    }

    func takeImportToken(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        throw Refusal(.unknownOpcode)
    }

    func listImportTokens(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        throw Refusal(.unknownOpcode)
    }

    func deleteImportToken(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        throw Refusal(.unknownOpcode)
    }
}
