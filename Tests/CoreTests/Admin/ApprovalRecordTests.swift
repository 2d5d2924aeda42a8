import ClavigerWire
import Support
import Testing

@testable import ClavigerCore

/// What the audit log says of what two persons do, and of keys that end by themselves.
@Suite struct ApprovalRecordTests {
    /// The records that wait for the log, of one event.
    private static func records(_ event: String, in instance: TestInstance) throws -> [String] {
        try instance.token.store.outbox().map { String(decoding: $0.body, as: UTF8.self) }
            .filter { $0.contains("\"event\":\"\(event)\"") }
    }

    private static func approve(_ action: ControlledAction, _ key: KeyID, in instance: TestInstance) throws -> ApprovalID {
        var message = ApprovalRequest(action: action, operation: TestInstance.operation(), key: .id(key))
        message.reason = "reason of \(action.name)"
        let asked: ApprovalRecord = try instance.reply(.approvalRequest, message)
        let _: ApprovalRecord = try instance.reply(
            .approvalApprove, ApprovalDecideRequest(id: asked.id, operation: TestInstance.operation()), as: TestInstance.other)
        return asked.id
    }

    /// What was approved is found under its own name, with its own weight, and says who wanted it.
    @Test func whatIsApprovedIsRecordedAsWhatItIs() async {
        await #expect(processExitsWith: .success) {
            try told {
                try TestInstance.runAsAnother()
                let instance = try TestInstance()
                let key = try instance.makeKey("guarded") { $0.dualControl = .all }.id
                let expected: [(ControlledAction, String, String)] = [
                    (.disable, "key-disable", "warning"), (.delete, "key-delete", "critical"), (.purge, "key-purge", "critical"),
                ]
                for (action, event, severity) in expected {
                    if action == .purge { instance.clock.advance(4 * 3_600_000) }
                    let id = try ApprovalRecordTests.approve(action, key, in: instance)
                    let found = try ApprovalRecordTests.records(event, in: instance)
                    #expect(found.count == 1, "\(event): \(found)")
                    guard let record = found.first else { return }
                    #expect(record.contains("\"severity\":\"\(severity)\"") && record.contains("\(key)"), "\(record)")
                    #expect(record.contains("\"uid\":\(TestInstance.other.uid)"), "\(record)")
                    #expect(record.contains("\"approval\":\"\(id)\""), "\(record)")
                    #expect(record.contains("\"requester\":\"\(TestInstance.root.label)\""), "\(record)")
                    #expect(record.contains("\"reason\":\"reason of \(action.name)\""), "\(record)")
                }
                let approvals = try ApprovalRecordTests.records("approval-approve", in: instance)
                #expect(approvals.count == 3 && approvals.allSatisfy { $0.contains("\"severity\":\"warning\"") }, "\(approvals)")
            }
        }
    }

    /// Material and keys that end by time weigh as much as those that somebody ends.
    @Test func whatEndsByTimeIsCritical() async {
        await #expect(processExitsWith: .success) {
            try told {
                let instance = try TestInstance()
                let key = try instance.makeKey("mortal").id
                try instance.delete(key)
                instance.clock.advance(30 * 86_400_000 + 1)
                try instance.keepHouse()
                instance.clock.advance(60 * 86_400_000)
                try instance.keepHouse()
                for (event, action) in [
                    ("key-wipe", "claviger.key-wipe"), ("key-purge-by-time", "kms.secrets.purge"),
                ] {
                    let found = try ApprovalRecordTests.records(event, in: instance)
                    #expect(found.count == 1, "\(event): \(found)")
                    #expect(
                        found.allSatisfy {
                            $0.contains("\"severity\":\"critical\"") && $0.contains("\"action\":\"\(action)\"")
                                && $0.contains("\(key)")
                        }, "\(found)")
                }
            }
        }
    }

    /// What a start completes of a change that a crash cut off can be tied to the request that began it.
    @Test func whatAStartCompletesNamesItsOperation() async {
        await #expect(processExitsWith: .success) {
            try told {
                let instance = try TestInstance()
                let change = TestInstance.change(9, .keyCreate, .create(TestInstance.key("left")))
                try instance.leaveIntent(change, key: KeyID(high: 5, low: 6), name: "left", version: 1)
                try instance.makeObject(ObjectName(key: KeyID(high: 5, low: 6), version: 1, role: .cipher))
                try instance.restart()
                let found = try ApprovalRecordTests.records("key-create", in: instance)
                #expect(found.count == 1, "\(found)")
                #expect(found.allSatisfy { $0.contains("\"operation\":\"\(change.operation)\"") }, "\(found)")
                #expect(found.allSatisfy { $0.contains("\"initiator\":{\"id\":\"claviger\"}") }, "\(found)")
            }
        }
    }

    /// Who accepts a database stands in the very transaction that believes it: a crash right after it cannot lose that.
    @Test func whoAcceptsADatabaseIsRecordedWithIt() async {
        await #expect(processExitsWith: .success) {
            try told {
                let instance = try TestInstance()
                _ = try instance.makeKey("key")
                try instance.restart()
                try instance.restart {
                    try SQLiteConnection(
                        path: instance.configuration.stateDirectory + "/" + Store.fileName, create: false
                    ).execute("UPDATE key SET name = 'other'")
                }
                #expect(try instance.status.state == .needsOperator)
                try instance.ask(.acceptRollback, EmptyMessage()) { _ in }
                let found = try ApprovalRecordTests.records("accept-rollback", in: instance)
                #expect(found.count == 1, "\(found)")
                #expect(
                    found.allSatisfy {
                        $0.contains("\"severity\":\"critical\"") && $0.contains("\"uid\":\(TestInstance.root.uid)")
                            && $0.contains("changed by somebody else")
                    }, "\(found)")
            }
        }
    }
}
