import ClavigerWire
import Testing

@testable import ClavigerCore

/// What the daemon says it would do is what it does.
@Suite struct ExplainTests {
    private static let manager = Caller(pid: 1, uid: 61_001, gid: 61_001, groups: [], unit: nil, pidfdVerified: true)

    @Test func whatConcernsTheInstanceNeedsAGrantForIt() async {
        await #expect(processExitsWith: .success) { try ExplainTests.instanceChild() }
    }

    private static func explanation(_ instance: TestInstance, _ opcode: Opcode, _ target: String?) throws -> AccessExplainReply {
        let request = AccessExplainRequest(subject: "user:61001", action: opcode.entry.name, target: target)
        return try instance.ask(.accessExplain, request) { try AccessExplainReply.decode($0) }
    }

    private static func instanceChild() throws {
        let instance = try TestInstance()
        _ = try instance.ask(.ringCreate, RingCreateRequest(id: "rb", operation: OperationID(high: 1, low: 1))) { _ in true }
        _ = try instance.ask(
            .accessGrant,
            AccessGrantRequest(subject: "user:61001", operation: OperationID(high: 1, low: 2), role: "Manager", scope: "ring:rb")
        ) { _ in true }
        for opcode in Opcode.allCases where opcode.entry.isInstanceWide && opcode.entry.permission.reach != .everyone {
            for target in [nil, "ring:rb"] {
                #expect(try !explanation(instance, opcode, target).isAllowed, "\(opcode), \(target ?? "no target")")
            }
            // And so it is: nothing of the body is looked at before.
            do {
                _ = try instance.ask(opcode, EmptyMessage(), as: manager) { _ in true }
                Issue.record("\(opcode) is allowed")
            } catch { #expect((error as? Refusal)?.code == .denied, "\(opcode): \(error)") }
        }
        for opcode in [Opcode.keyCreate, .keyShow, .policySet] {
            #expect(try explanation(instance, opcode, "ring:rb").isAllowed, "\(opcode)")
        }
        let move = try explanation(instance, .keyMove, "ring:rb")
        #expect(move.details.contains { $0.contains("the ring that the key comes to") }, "\(move)")
    }
}
