import ClavigerWire
import Support
import Testing

@testable import ClavigerCore

/// The service in this process, with a clock that the run moves.
private final class ServiceTarget: LifecycleTarget {
    let instance: TestInstance

    init(_ instance: TestInstance) { self.instance = instance }

    func ask(_ opcode: Opcode, _ message: some WireMessage, source: [UInt8], as person: ModelPerson) throws -> LifecycleAnswer {
        let caller = Caller(pid: 1, uid: person.uid, gid: 0, groups: [], unit: nil, pidfdVerified: true)
        do {
            return .reply(try instance.ask(opcode, message, source: source, as: caller) { $0.withUnsafeBytes { Array($0) } })
        } catch let refusal as Refusal {
            return .refused(refusal.code)
        }
    }

    func restart(isCrash: Bool) throws { try instance.restart() }

    var interruptions: Int { 0 }

    var sweep: (() throws -> Void)? { { [instance] in try instance.service.housekeeper.sweep() } }

    var now: UInt64 { instance.clock.now }

    var advance: ((UInt64) -> Void)? { { [instance] in instance.clock.advance($0) } }
}

/// The service beside a plain model of what it must answer: random requests over the whole lifecycle, with time that passes to every
/// moment that matters and right beside it, two persons, and restarts in between. Answers never differ.
@Suite struct LifecycleModelTests {
    @Test(arguments: [UInt64(1), 2, 3]) func answersNeverDiffer(seed: UInt64) async {
        await #expect(processExitsWith: .success) { [seed] in
            try TestInstance.runAsAnother()
            let persons = [ModelPerson(uid: 0), ModelPerson(uid: TestInstance.other.uid)]
            let target = ServiceTarget(try TestInstance())
            let run = LifecycleRun(target, persons: persons, random: SeededRandom(seed: SeededRandom.seed(0) &+ seed))
            let changes: [Opcode] = [
                .keyCreate, .keyUpdate, .keyDisable, .keyEnable, .keyDelete, .keyRestore, .keyPurge, .keyRotate, .versionRetire,
                .versionDestroy, .ringCreate, .ringDelete, .keyMove, .aliasCreate, .aliasDelete, .registrationSet,
                .registrationRelease, .policySet, .approvalRequest, .approvalApprove, .approvalCancel, .wrap, .unwrap, .rewrap,
                .keyRead, .keyCensus, .importTokenCreate, .importTokenTake,
            ]
            let others = ["standard key", "plain import", "import", "import of a version"]
            do {
                try run.steps(SeededRandom.isLong ? 20_000 : 1_000, covering: changes, others)
                try run.restart(isCrash: false)
            } catch let difference as LifecycleDifference {
                Issue.record("\(difference)")
            }
            for opcode in changes where run.done[opcode.entry.name] == nil { Issue.record("\(opcode.entry.name) was never done") }
            for what in others + ["restart"] {
                #expect(run.done[what] != nil, "never: \(what)")
            }
            #expect(run.refused.count > 30, "\(run.refused)")
        }
    }
}
