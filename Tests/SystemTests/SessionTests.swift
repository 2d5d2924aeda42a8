import ClavigerClient
import ClavigerWire
import Glibc
import Support
import Testing

/// Sessions that die, logins that end, and what the metrics say meanwhile.
@Suite struct SessionTests {
    /// The session that logged in is held for as long as the token is: a token logs out with its last session.
    @Test func c5_theLoginsSessionStaysOpen() throws {
        let faulty = try Faulty()
        func session(_ call: FaultModule.Call) -> Substring? {
            call.line.split(separator: " ").first { $0.hasPrefix("session=") }
        }
        let login = try #require(try faulty.calls("C_Login").first.flatMap(session))
        // Calls of every kind, in sessions of their own that come and go.
        for number in 0..<3 { _ = try faulty.daemon.client().createKey(name: "another \(number)") }
        #expect(try faulty.daemon.client().open(faulty.envelope) == Faulty.plaintext)
        #expect(try faulty.calls("C_CloseSession").allSatisfy { session($0) != login })
        // What is made is made in it, so it lives.
        #expect(try faulty.calls("C_GenerateKey").allSatisfy { session($0) == login })
        #expect(try faulty.calls("C_Login").count == 1)
    }

    /// One dead session costs that session, whatever it was used for: not the others' login.
    @Test func c6_aDeadSessionOfASystemKey() throws {
        let faulty = try Faulty()
        for (number, code) in ["CKR_SESSION_HANDLE_INVALID", "CKR_SESSION_CLOSED"].enumerated() {
            // A secret that is given is recognised by the instance's HMAC key; one that is made comes from the token's generator.
            try faulty.faults.set("C_SignInit label=:mac count=1 return=\(code)")
            let given = try faulty.daemon.shell(
                "head -c 20 /dev/urandom > secret\(number) && claviger key create given\(number) --standard --from secret\(number)"
            )
            #expect(given.status == 0, "\(given.errorText)")
            try faulty.faults.set("C_GenerateRandom count=1 return=\(code)")
            let made = try faulty.daemon.claviger("key", "create", "made\(number)", "--standard")
            #expect(made.status == 0, "\(made.errorText)")
            // Said otherwise: the rule before has fired as often as it should.
            try faulty.faults.set("C_GenerateRandom nth=1 count=1 return=\(code)")
            _ = try faulty.daemon.client().making(.id(faulty.key))
        }
        #expect(try faulty.faults.calls().filter(\.isInjected).count == 6)
        #expect(try faulty.calls("C_Initialize").count == 1)
        #expect(!faulty.daemon.log.contains("token lost"))
    }

    /// A session that is logged out, or a module that somebody else has ended: refused at once, and back by itself.
    @Test(arguments: ["CKR_USER_NOT_LOGGED_IN", "CKR_CRYPTOKI_NOT_INITIALIZED"]) func c9_aLoginThatEnded(code: String) throws {
        let faulty = try Faulty()
        try faulty.faults.set("C_DecryptInit return=\(code)")
        #expect(refusal { () throws(ClientError) in try faulty.daemon.client().opening(faulty.envelope) } == .tokenUnavailable)
        try faulty.faults.set()
        try faulty.daemon.wait(for: .ready)
        #expect(try faulty.daemon.client().open(faulty.envelope) == Faulty.plaintext)
        #expect(try faulty.calls("C_Initialize").count >= 2)
    }

    /// The state stands in the metrics, as in health.
    @Test func c3_theStateIsInTheMetrics() throws {
        let faulty = try Faulty()
        func states() throws -> [String: Substring] {
            let samples = try faulty.daemon.client().metrics().matches(of: /claviger_state\{claviger_state="([a-z-]+)"\} ([01])/)
            return Dictionary(uniqueKeysWithValues: samples.map { (String($0.output.1), $0.output.2) })
        }
        let names = ["ready", "degraded", "lost", "needs-operator", "sealed"]
        func only(_ name: String) -> [String: Substring] {
            Dictionary(uniqueKeysWithValues: names.map { ($0, $0 == name ? "1" : "0") })
        }
        #expect(try states() == only("ready"))
        try faulty.faults.set("absent")
        try faulty.daemon.wait(for: .lost)
        #expect(try states() == only("lost"))
        try faulty.faults.set("C_GetTokenInfo serial=ffffffffffffffff")
        try faulty.daemon.wait(for: .needsOperator)
        #expect(try states() == only("needs-operator"))
        try faulty.faults.set()
        try faulty.daemon.wait(for: .ready)
        #expect(try states() == only("ready"))
    }

    /// The token's memory of the database's epoch is tried again after an error of the moment, and the gap is shown while it lasts.
    @Test func g3_theEpochIsRememberedAgain() throws {
        let faulty = try Faulty()
        #expect(try faulty.daemon.client().status().isAnchored == true)
        try faulty.faults.set("C_CreateObject return=CKR_DEVICE_MEMORY")
        _ = try faulty.daemon.client().createKey(name: "second")
        #expect(try eventually { try faulty.daemon.client().status().isAnchored == false })
        #expect(try faulty.daemon.claviger("status").text.contains("not noticed"))
        try faulty.faults.set()
        // Nobody changes anything more.
        #expect(try eventually { try faulty.daemon.client().status().isAnchored == true })
        #expect(try faulty.calls("C_Initialize").count == 1)
    }
}
