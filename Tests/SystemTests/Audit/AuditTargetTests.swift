import ClavigerClient
import ClavigerCore
import ClavigerWire
import Glibc
import Support
import Testing

/// Refusals that are counted together are of one key: whom a record names, it is about.
@Suite struct AuditTargetTests {
    /// How many refusals with a reason are recorded of each key.
    private func counts(_ daemon: DaemonHarness, _ event: String, _ reason: String) throws -> [String: Int] {
        let refused = try daemon.auditRecords().filter { $0.event == event && $0.reasonType == reason }
        return Dictionary(refused.map { ($0.key, Int($0.count) ?? 0) }, uniquingKeysWith: +)
    }

    /// Requests that are refused as a whole, since their key may not be used so now.
    @Test func refusalsOfDifferentKeysAreCountedApart() throws {
        let daemon = try DaemonHarness.running()
        let client = daemon.client()
        var expected: [String: Int] = [:]
        var keys: [KeyID] = []
        for name in ["first", "second", "third"] {
            keys.append(try client.createKey(name: name).id)
            #expect(try daemon.claviger("key", "disable", name).status == 0)
        }
        for (index, key) in keys.enumerated() {
            for _ in 0..<(index + 4) {
                #expect(refusal { () throws(ClientError) in try client.wrap(.id(key), [1]) } == .keyState)
                expected["\(key)", default: 0] += 1
            }
        }
        #expect(try eventually { try counts(daemon, "wrap", "key-state") == expected })
        #expect(try counts(daemon, "wrap", "key-state") == expected)
        // Counted, not written one by one.
        #expect(try daemon.auditRecords().count { $0.event == "wrap" } < expected.values.reduce(0, +))
    }

    /// What is refused while nothing can be recorded names its key too, and the change of one key is not taken for another's.
    @Test func refusalsDuringAnOutageNameTheirKeys() throws {
        let daemon = try DaemonHarness()
        let cue = daemon.directory + "/eio"
        guard let shim = try AuditFailureTests().brokenDisk(daemon, cue) else {
            return skip("AuditTargetTests.refusalsDuringAnOutageNameTheirKeys", "needs a C compiler")
        }
        try daemon.start(environment: [shim])
        let client = daemon.client()
        var expected: [String: Int] = [:]
        let keys = try ["first", "second", "third"].map { try client.createKey(name: $0).id }
        let other = try client.createKey(name: "stopper").id
        try writeFile(cue, "")
        // Meets the broken flush itself.
        #expect(refusal { () throws(ClientError) in try client.wrap(.id(other), [1]) } == .auditUnavailable)
        for (index, key) in keys.enumerated() {
            for round in 0..<(index + 4) {
                let reference: KeyReference = round % 2 == 0 ? .id(key) : .name(["first", "second", "third"][index])
                #expect(refusal { () throws(ClientError) in try client.wrap(reference, [1]) } == .auditUnavailable)
                expected["\(key)", default: 0] += 1
            }
        }
        unlink(cue)
        #expect(try eventually { try client.health().state == .ready })
        func found() throws -> [String: Int] {
            try counts(daemon, "wrap", "audit-unavailable").filter { $0.key != "\(other)" }
        }
        #expect(try eventually { try found() == expected })
        #expect(try found() == expected)
        try daemon.verifyAudit()
    }
}
