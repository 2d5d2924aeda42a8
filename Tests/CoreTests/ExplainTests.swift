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

    /// Rights that mean nothing where they were given are promised nowhere, and what is not about keys takes none.
    @Test func whatAGrantOnAKeyDoesNotGive() async {
        await #expect(processExitsWith: .success) { try told { try ExplainTests.keyChild() } }
    }

    private static func keyChild() throws {
        let instance = try TestInstance()
        let key = try instance.makeKey("payroll").id
        try instance.makeKey("instance")
        let writer = try PromiseTests.person(61_001, "Writer", "key:payroll", in: instance)
        let mine: WhoamiReply = try instance.reply(.whoami, EmptyMessage(), as: writer)
        for permission in [Permission.createKeys, .createRings, .readRings] {
            #expect(!mine.permissions.contains(permission.rawValue), "\(permission)")
        }
        #expect(mine.permissions.contains(Permission.rotateKeys.rawValue))
        // And so it is.
        let create = KeyCreateRequest(name: "more", operation: TestInstance.operation())
        #expect(instance.refusal(.keyCreate, create, as: writer) == .denied)
        #expect(instance.refusal(.ringList, PageRequest(), as: writer) == .denied)
        for action in [Opcode.keyCreate.entry.name, Permission.createKeys.rawValue, Opcode.ringList.entry.name] {
            let request = AccessExplainRequest(subject: "user:61001", action: action, target: "payroll")
            #expect(instance.refusal(.accessExplain, request) == .invalidValue, "\(action)")
            for target in [nil, "ring:default", "instance"] {
                let request = AccessExplainRequest(subject: "user:61001", action: action, target: target)
                let answer: AccessExplainReply = try instance.reply(.accessExplain, request)
                #expect(!answer.isAllowed, "\(action), \(target ?? "no target")")
            }
        }
        // The instance, a key that is called so, and that key alone.
        #expect(try !explanation(instance, .keyRotate, "instance").isAllowed)
        #expect(try !explanation(instance, .policyShow, "instance").isAllowed)
        #expect(try explanation(instance, .keyRotate, "key:payroll").isAllowed)
        #expect(try !explanation(instance, .keyRotate, "key:instance").isAllowed)
        #expect(try explanation(instance, .keyRotate, "\(key)").isAllowed)
    }

    /// What decides is what decides about requests, and a condition is not said of what has none.
    @Test func aConditionIsNotSaidOfWhatHasNone() async {
        await #expect(processExitsWith: .success) { try told { try ExplainTests.conditionChild() } }
    }

    private static func conditionChild() throws {
        let instance = try TestInstance()
        try instance.makeKey("payroll")
        func grant(_ context: [String]?) throws -> OperationID {
            var request = AccessGrantRequest(
                subject: "user:61001", operation: TestInstance.operation(), role: "Unwrapper", scope: "key:payroll")
            request.context = try context.map { try Context.encode($0) }
            try instance.ask(.accessGrant, request) { _ in }
            instance.clock.advance(1)
            return request.operation
        }
        let conditional = try grant(["tenant=7"])
        let first = try explanation(instance, .unwrap, "payroll")
        #expect(first.isAllowed && first.decidedBy.contains("\(conditional)"))
        #expect(first.details.contains { $0.contains("only for a context that begins with 'tenant=7'") })
        let other = try grant(["tenant=8"])
        let second = try explanation(instance, .unwrap, "payroll")
        #expect(second.details.count { $0.contains("only for a context") } == 2, "\(second)")
        // A newer one without a condition gives all of it.
        let plain = try grant(nil)
        let third = try explanation(instance, .unwrap, "payroll")
        #expect(third.isAllowed && third.decidedBy.contains("\(plain)"), "\(third)")
        #expect(!third.details.contains { $0.contains("only for a context") }, "\(third)")
        var request = AccessExplainRequest(subject: "user:61001", action: "unwrap", target: "payroll")
        request.context = try Context.encode(["tenant=8", "more"])
        let fourth: AccessExplainReply = try instance.reply(.accessExplain, request)
        #expect(fourth.isAllowed && !fourth.decidedBy.contains("\(conditional)"), "\(fourth)")
        _ = other
    }

    /// What an operation needs beside its permission, and whether that is there.
    @Test func whatElseIsNeeded() async {
        await #expect(processExitsWith: .success) { try told { try ExplainTests.moreChild() } }
    }

    private static func moreChild() throws {
        let instance = try TestInstance()
        let manager = try PromiseTests.person(61_001, "Manager", in: instance)
        let name = InstanceSetting.autoPurge.name
        let lower = {
            SettingSetRequest(
                name: name, operation: TestInstance.operation(), value: InstanceSetting.autoPurge.entry.standard - 1)
        }
        func has(_ opcode: Opcode, _ words: String) throws -> Bool {
            try explanation(instance, opcode, nil).details.contains { $0.contains(words) }
        }
        #expect(try has(.settingsSet, "needs purge-keys for the instance too, which it has not"))
        #expect(instance.refusal(.settingsSet, lower(), as: manager) == .denied)
        try PromiseTests.person(61_001, "KeyPurge", in: instance)
        #expect(try has(.settingsSet, "needs purge-keys for the instance too, which it has"))
        #expect(try !has(.settingsSet, "which it has not"))
        let _: SettingRecord = try instance.reply(.settingsSet, lower(), as: manager)

        let request = AccessExplainRequest(subject: "user:61002", action: Opcode.keyCreate.entry.name, target: "ring:default")
        let writer = try PromiseTests.person(61_002, "Writer", "ring:default", in: instance)
        let answer: AccessExplainReply = try instance.reply(.accessExplain, request)
        #expect(answer.isAllowed && answer.details.contains { $0.contains("manage-policies on the ring too, which it has not") })
        var create = KeyCreateRequest(name: "key", operation: TestInstance.operation())
        create.rotationMonths = 3
        #expect(instance.refusal(.keyCreate, create, as: writer) == .denied)
    }
}
