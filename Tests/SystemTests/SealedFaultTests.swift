import ClavigerClient
import ClavigerWire
import Support
import Testing

/// Data keys that never leave the token, on a token that has faults: none is lost unnoticed, and none is another's.
@Suite struct SealedFaultTests {
    private func begin() throws -> (faulty: Faulty, key: KeyReference, envelope: [UInt8]) {
        let faulty = try Faulty()
        let client = faulty.daemon.client()
        let key = try client.createKey(name: "inside") { $0.suite = .aesKeyWrapWithHMAC }.id
        let envelope = try client.generateSealed(key: .id(key)).envelope
        return (faulty, .id(key), envelope)
    }

    /// An output of C_WrapKey that is wrong is nobody's answer.
    @Test func aWrongWrapIsNotAnswered() throws {
        let (faulty, key, envelope) = try begin()
        let client = faulty.daemon.client(retries: 0)
        let plaintext = try client.open(envelope)
        try faulty.faults.set("C_WrapKey corrupt=flip")
        #expect(throws: ClientError.self) { try client.wrap(key, [UInt8](repeating: 1, count: 32)) }
        #expect(throws: ClientError.self) { try client.generateSealed(key: key) }
        #expect(throws: ClientError.self) { try client.rewrap(envelope, key: key) }
        try faulty.faults.set()
        let patient = faulty.daemon.client(retries: 8)
        let fresh = try patient.rewrap(envelope, key: key)
        #expect(try patient.open(fresh.wrapped.envelope) == plaintext)
    }

    /// A session that dies in the middle of a rewrap: what was unwrapped in it is not looked for in the next.
    @Test func aRewrapBeginsAnewInAnotherSession() throws {
        let (faulty, key, envelope) = try begin()
        let client = faulty.daemon.client()
        let plaintext = try client.open(envelope)
        let before = try faulty.faults.calls().count
        try faulty.faults.set("C_WrapKey count=1 return=CKR_SESSION_HANDLE_INVALID")
        let fresh = try client.rewrap(envelope, key: key)
        let calls = try faulty.faults.calls().dropFirst(before).filter { $0.process == faulty.daemon.pid }
        try faulty.faults.set()
        #expect(try client.open(fresh.wrapped.envelope) == plaintext)
        func session(_ call: FaultModule.Call) -> String {
            call.line.split(separator: " ").first { $0.hasPrefix("session=") }.map(String.init) ?? ""
        }
        // Every wrap is of what was unwrapped in its own session.
        var unwrapped: Set<String> = []
        for call in calls {
            if call.function == "C_UnwrapKey" { unwrapped.insert(session(call)) }
            if call.function == "C_WrapKey" { #expect(unwrapped.contains(session(call)), "\(calls.map(\.line))") }
        }
        #expect(calls.filter { $0.function == "C_WrapKey" }.map(\.result) == ["CKR_SESSION_HANDLE_INVALID", "CKR_OK"])
        // Nothing of the data key is asked for.
        #expect(!calls.contains { $0.function == "C_GetAttributeValue" })
    }

    /// An envelope whose MAC fits and that does not open: tried once more, then refused for good.
    @Test func whatDoesNotOpenBehindItsMACIsRefusedForGood() throws {
        let (faulty, key, envelope) = try begin()
        let client = faulty.daemon.client(retries: 0)
        // The opening fails, the known answer opens, and so on.
        try faulty.faults.set("C_UnwrapKey every=2 return=CKR_WRAPPED_KEY_INVALID")
        for attempt in [0, 1] {
            let code: RefusalCode? =
                attempt == 0
                ? refusal { () throws(ClientError) in try client.open(envelope) }
                : refusal { () throws(ClientError) in try client.rewrap(envelope, key: key) }
            #expect(code == .decryptionFailed, "\(attempt)")
            try faulty.faults.set()
            try faulty.faults.set("C_UnwrapKey every=2 return=CKR_WRAPPED_KEY_INVALID count=100")
        }
        #expect(faulty.daemon.log.contains("an envelope whose MAC fits does not open"))
        // One that has passed costs nothing.
        try faulty.faults.set("C_UnwrapKey count=1 return=CKR_WRAPPED_KEY_INVALID")
        #expect(try client.open(envelope).count == 32)
    }
}
