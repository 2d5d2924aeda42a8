import ClavigerWire

// Standard keys and import tokens.
extension ServiceWorker {
    /// Creates a key whose material is given, or a standard key.
    func createKeyFromMaterial(
        _ message: KeyCreateRequest, _ call: Call, _ record: inout RequestRecord
    ) throws(Refusal) -> Int {
        throw Refusal(.unknownOpcode)
    }

    /// Rotates a key to material that is given, or a standard key.
    func rotateKeyWithMaterial(
        _ key: KeyEntry, _ message: KeyRotateRequest, _ call: Call, _ session: TokenSession
    ) throws(Refusal) -> KeyRecord {
        throw Refusal(.unknownOpcode)
    }

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
