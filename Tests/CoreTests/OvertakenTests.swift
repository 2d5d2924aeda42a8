import ClavigerWire
import Glibc
import Synchronization
import Testing

@testable import ClavigerCore

/// A change whose permission is taken back while it is under way, and one that is asked for again after that: neither is made or answered.
@Suite struct OvertakenTests {
    private static let stranger = Caller(pid: 1, uid: 61_001, gid: 61_001, groups: [], unit: nil, pidfdVerified: true)

    private static func send(_ instance: TestInstance, _ opcode: Opcode, _ message: some WireMessage) throws {
        let isDone = try instance.ask(opcode, message) { _ in true }
        #expect(isDone)
    }

    /// Two rings, and the stranger a Writer in both; his grant in the first has number 1, in the second 2.
    private static func prepared() throws -> TestInstance {
        let instance = try TestInstance()
        for (number, ring) in ["ra", "rb"].enumerated() {
            try send(instance, .ringCreate, RingCreateRequest(id: ring, operation: OperationID(high: 3, low: UInt64(number))))
            try send(
                instance, .accessGrant,
                AccessGrantRequest(
                    subject: "user:61001", operation: OperationID(high: 1, low: UInt64(number + 1)), role: "Writer",
                    scope: "ring:\(ring)"))
        }
        return instance
    }

    private static func creation(_ number: UInt64) -> KeyCreateRequest {
        var request = KeyCreateRequest(name: "key\(number)", operation: OperationID(high: 5, low: number))
        request.ring = "ra"
        return request
    }

    private static func revocation(_ number: UInt64) -> AccessRevokeRequest {
        AccessRevokeRequest(id: OperationID(high: 1, low: number), operation: OperationID(high: 2, low: number))
    }

    private static func code<R>(_ body: () throws -> R) -> RefusalCode? {
        do {
            _ = try body()
            return nil
        } catch { return (error as? Refusal)?.code }
    }

    /// Revoked between the object on the token and the commit: denied, and what was made goes, at once and after a crash.
    @Test(arguments: [false, true]) func aRevokeOvertakesACreation(isCutOff: Bool) async {
        await #expect(processExitsWith: .success) { [isCutOff = isCutOff as Bool] in try OvertakenTests.creationChild(isCutOff) }
    }

    private static func creationChild(_ isCutOff: Bool) throws {
        let instance = try prepared()
        let files = try instance.objectFiles().count
        if isCutOff {
            // What a kill leaves behind: the intent, its object, and a grant that was revoked meanwhile.
            let key: KeyID = RandomSource.identifier()
            let change = TokenService.Change(
                operation: OperationID(high: 5, low: 1), caller: stranger, opcode: .keyCreate, body: [1],
                target: .create(TestInstance.key("cut off")))
            try instance.leaveIntent(change, key: key, name: "cut off", version: 1)
            try instance.makeObject(ObjectName(key: key, version: 1, role: .cipher))
            try send(instance, .accessRevoke, revocation(1))
            try instance.restart()
        } else {
            try revokeMeanwhile(instance, files)
            try instance.restart()
        }
        #expect(try instance.service.snapshots.current.keys.isEmpty)
        #expect(try instance.token.store.openIntents().isEmpty)
        let store = try instance.token.store
        let bound = Clock.monotonic() + 60_000_000_000
        while try instance.objectFiles().count != files || !store.destroyOrders().isEmpty, Clock.monotonic() < bound {
            usleep(10_000)
        }
        #expect(try instance.objectFiles().count == files && store.destroyOrders().isEmpty)
    }

    // Apart, so that nothing holds the service when it is to be restarted.
    private static func revokeMeanwhile(_ instance: TestInstance, _ files: Int) throws {
        let service = try instance.service
        let answer = Mutex<RefusalCode?>(nil)
        var worker: Worker?
        try service.ledger.alone { () throws(Refusal) in
            worker = Worker {
                let code = code { try TestInstance.ask(service, .keyCreate, creation(1), as: stranger) { _ in true } }
                answer.withLock { $0 = code }
            }
            // The object is there, and its commit waits for us.
            while ((try? instance.objectFiles(isAlone: false).count) ?? 0) <= files { usleep(1_000) }
            _ = try service.access.revoke(
                GrantID(high: 1, low: 1), operation: OperationID(high: 2, low: 1), by: TestInstance.root)
        }
        worker?.join()
        #expect(answer.withLock { $0 } == .denied)
        #expect(try instance.token.store.openIntents().isEmpty)
    }

    /// A grant elsewhere is no permission here, neither for what waits for its end nor for what is asked again.
    @Test func aGrantElsewhereDoesNotHelp() async {
        await #expect(processExitsWith: .success) { try OvertakenTests.elsewhereChild() }
    }

    private static func elsewhereChild() throws {
        let instance = try prepared()
        let service = try instance.service
        #expect(try instance.ask(.keyCreate, creation(1), as: stranger) { _ in true })
        // Asked again it has its answer, as long as it may be asked.
        #expect(try instance.ask(.keyCreate, creation(1), as: stranger) { _ in true })
        let key = try #require(service.snapshots.current.keys.values.first { _ in true })
        let update = KeyUpdateRequest(key: .id(key.id), operation: OperationID(high: 6, low: 1))
        #expect(try instance.ask(.keyUpdate, update, as: stranger) { _ in true })
        let allowed = ChangeNote(event: Opcode.keyCreate.entry.name, caller: stranger, ring: "ra")
        var judged = allowed
        judged.allowances = [Allowance(permission: .createKeys, target: .ring("ra"))]
        #expect(service.authoriser.mayStill(judged, in: service.snapshots.current))
        try send(instance, .accessRevoke, revocation(1))
        #expect(!service.authoriser.mayStill(judged, in: service.snapshots.current))
        // The other ring is still his.
        judged.allowances = [Allowance(permission: .createKeys, target: .ring("rb"))]
        #expect(service.authoriser.mayStill(judged, in: service.snapshots.current))
        judged.allowances.append(Allowance(permission: .managePolicies, target: .ring("rb")))
        #expect(!service.authoriser.mayStill(judged, in: service.snapshots.current))
        #expect(code { try instance.ask(.keyCreate, creation(1), as: stranger) { _ in true } } == .denied)
        #expect(code { try instance.ask(.keyUpdate, update, as: stranger) { _ in true } } == .denied)
    }

    /// What a request was allowed by is what is asked again: here the approver's right to the action, not only to approve.
    @Test func eachPermissionIsAskedAgain() async {
        await #expect(processExitsWith: .success) { try OvertakenTests.eachChild() }
    }

    private static func eachChild() throws {
        let instance = try prepared()
        let service = try instance.service
        let notes = Mutex<[ChangeNote]>([])
        service.store.hooks.withLock { hooks in
            let before = hooks.admission
            hooks.admission = { note in
                notes.withLock { $0.append(note) }
                return before?(note) ?? true
            }
        }
        func last() throws -> Set<Allowance> { Set(try #require(notes.withLock { $0.last }).allowances) }
        #expect(try instance.ask(.keyCreate, creation(1), as: stranger) { _ in true })
        let key = try #require(service.snapshots.current.keys.values.first { _ in true })
        #expect(try last() == [Allowance(permission: .createKeys, target: .ring("ra"))])
        try send(
            instance, .keyMove, KeyMoveRequest(key: .id(key.id), operation: OperationID(high: 6, low: 2), ring: "rb"))
        #expect(
            try last() == [
                Allowance(permission: .moveKeys, target: .key(key.id, ring: "ra")),
                Allowance(permission: .moveKeys, target: .ring("rb")),
            ])
        try send(
            instance, .settingsSet,
            SettingSetRequest(name: InstanceSetting.maximumTags.name, operation: OperationID(high: 6, low: 3), value: 5))
        #expect(try last() == [Allowance(permission: .managePolicies, target: .instance)])
    }

    /// What tells without changing anything, asked while the right to it is taken back, at each moment of the request: none of it leaves
    /// after the revoke is acknowledged.
    @Test(arguments: [false, true]) func aRevokeOvertakesWhatChangesNothing(isRehearsal: Bool) async {
        await #expect(processExitsWith: .success) {
            [isRehearsal = isRehearsal as Bool] in try told { try OvertakenTests.unchangedChild(isRehearsal) }
        }
    }

    private static func unchangedChild(_ isRehearsal: Bool) throws {
        let instance = try TestInstance()
        let service = try instance.service
        let key = try instance.makeKey("key").id
        let update = KeyUpdateRequest(key: .id(key), operation: OperationID(high: 6, low: 1))
        func ask() throws -> Bool {
            guard isRehearsal else { return try instance.ask(.keyUpdate, update, as: stranger) { _ in true } }
            return try instance.ask(
                .keyDelete, KeyDeleteRequest(key: .id(key), operation: OperationID(high: 6, low: 2), dryRun: true), as: stranger
            ) { _ in true }
        }
        var moment = 0
        var isOver = false
        while !isOver {
            moment += 1
            let id = OperationID(high: 9, low: UInt64(moment))
            let grant = AccessGrantRequest(subject: "user:61001", operation: id, role: "Manager", scope: "instance")
            try send(instance, .accessGrant, grant)
            // The first answer, which is then repeated.
            if moment == 1 { #expect(try ask()) }
            instance.clock.interrupt(at: moment) {
                let acknowledged = Worker {
                    _ = try? service.access.revoke(
                        GrantID(high: id.high, low: id.low), operation: OperationID(high: 10, low: id.low), by: TestInstance.root)
                    service.settle()
                }
                acknowledged.join()
            }
            let outcome = code { try ask() }
            isOver = instance.clock.forgetInterruption()
            #expect(outcome == (isOver ? nil : .denied), "at moment \(moment)")
            if isOver {
                try send(
                    instance, .accessRevoke,
                    AccessRevokeRequest(id: id, operation: OperationID(high: 10, low: id.low)))
            }
        }
        // It was overtaken at its admission and later.
        #expect(moment > 2)
    }
}
