import ClavigerWire
import Testing

@testable import ClavigerCore

/// Who is told how many keys there are.
@Suite struct FiguresTests {
    @Test func metricsTellStrangersNothingOfKeys() async {
        await #expect(processExitsWith: .success) { try told { try FiguresTests.child() } }
    }

    private static let families = ["claviger_keys", "claviger_key_versions_unusable", "claviger_module_objects"]

    private static func child() throws {
        let instance = try TestInstance()
        let _: RingRecord = try instance.reply(.ringCreate, RingCreateRequest(id: "ra", operation: TestInstance.operation()))
        for name in ["one", "two"] { try instance.makeKey(name) }
        try instance.makeKey("three") { $0.ring = "ra" }
        func lines(_ caller: Caller?) throws -> [Substring] {
            let reply: MetricsReply = try instance.reply(.metrics, EmptyMessage(), as: caller)
            #expect(reply.text.hasSuffix("# EOF\n"))
            return reply.text.split(separator: "\n")
        }
        func keys(_ caller: Caller?) throws -> UInt32 {
            let reply: StatusReply = try instance.reply(.status, EmptyMessage(), as: caller)
            return reply.keys
        }
        func tellsOfKeys(_ caller: Caller?) throws -> Bool {
            let lines = try lines(caller)
            let told = families.filter { family in lines.contains { $0.hasPrefix("\(family) ") || $0 == "# TYPE \(family) gauge" }
            }
            #expect(told.isEmpty || told == families)
            return !told.isEmpty
        }
        let stranger = Caller(pid: 1, uid: 61_001, gid: 61_001, groups: [], unit: nil, pidfdVerified: true)
        let wrapper = try PromiseTests.person(61_002, "Wrapper", in: instance)
        let reader = try PromiseTests.person(61_003, "Reader", "ring:ra", in: instance)
        #expect(try lines(nil).contains("claviger_keys 3") && keys(nil) == 3)
        #expect(try lines(reader).contains("claviger_keys 1") && keys(reader) == 1)
        for caller in [stranger, wrapper] { #expect(try !tellsOfKeys(caller) && keys(caller) == 0) }
        // The rest is for whoever may connect.
        #expect(try lines(stranger).contains { $0.hasPrefix("claviger_uptime_seconds ") })
        // Before the database is verified nobody is told, not even who may unlock: what is known of keys may be wrong.
        try instance.service.access.unload()
        for caller in [nil, reader, stranger] { #expect(try !tellsOfKeys(caller) && keys(caller) == 0) }
    }
}
