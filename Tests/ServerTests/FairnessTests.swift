import ClavigerWire
import Glibc
import Support
import Synchronization
import Testing

@testable import ClavigerCore
@testable import ClavigerServer

/// What one caller may take of the server, and that callers take turns.
@Suite struct FairnessTests {
    /// Makes every second connection another user's; the first is 61001's.
    private static func twoUsers(_ proven: Bool = true) -> Server.Tuning {
        let count = Tally()
        var tuning = Server.Tuning()
        tuning.identify = { _ throws(PeerIdentityError) in
            Caller(pid: 1, uid: 61_001 + UInt32(count.next() % 2), gid: 1, groups: [], unit: nil, pidfdVerified: proven)
        }
        return tuning
    }

    /// The first connection is 61001's, all others 61002's.
    private static func hogAndOther() -> Server.Tuning {
        let count = Tally()
        var tuning = Server.Tuning()
        tuning.identify = { _ throws(PeerIdentityError) in
            Caller(pid: 1, uid: count.next() == 0 ? 61_001 : 61_002, gid: 1, groups: [], unit: nil, pidfdVerified: true)
        }
        return tuning
    }

    private final class Tally: Sendable {
        private let count = Atomic(0)
        func next() -> Int { count.add(1, ordering: .relaxed).oldValue }
    }

    /// Against a plain model: each caller's items in their order, callers in turn.
    @Test(arguments: 0..<8) func aQueueOfTurns(round: UInt64) {
        var random = SeededGenerator(seed: 40 + round)
        let accounts = (0..<4).map { uid in
            CallerAccount(
                CallerAccount.Key(Caller(pid: 1, uid: UInt32(uid), gid: 0, groups: [], unit: nil, pidfdVerified: true)),
                isPrivileged: false)
        }
        var queue = FairQueue<Int>()
        var lanes: [[Int]] = [[], [], [], []]
        var order: [Int] = []
        var next = 0
        for _ in 0..<2_000 {
            switch Int.random(in: 0..<6, using: &random) {
            case 0, 1:
                let lane = Int.random(in: 0..<4, using: &random)
                queue.push(next, of: accounts[lane])
                if lanes[lane].isEmpty { order.append(lane) }
                lanes[lane].append(next)
                next += 1
            case 2, 3:
                let item = queue.pop()
                guard let lane = order.first else {
                    #expect(item == nil)
                    break
                }
                order.removeFirst()
                #expect(item == lanes[lane].removeFirst())
                if !lanes[lane].isEmpty { order.append(lane) }
            case 4:
                let item = queue.popFirst { $0.isMultiple(of: 3) }
                guard let lane = order.first(where: { lanes[$0][0].isMultiple(of: 3) }) else {
                    #expect(item == nil)
                    break
                }
                order.removeAll { $0 == lane }
                #expect(item == lanes[lane].removeFirst())
                if !lanes[lane].isEmpty { order.append(lane) }
            default:
                let wanted = Int.random(in: 0...max(1, next), using: &random)
                let found = queue.remove { $0 == wanted }
                guard let lane = lanes.firstIndex(where: { $0.contains(wanted) }) else {
                    #expect(found == nil)
                    break
                }
                #expect(found == wanted)
                lanes[lane].removeAll { $0 == wanted }
                // That was its turn.
                order.removeAll { $0 == lane }
                if !lanes[lane].isEmpty { order.append(lane) }
            }
            #expect(queue.count == lanes.reduce(0) { $0 + $1.count })
            for lane in 0..<4 { #expect(queue.count(of: accounts[lane]) == lanes[lane].count) }
        }
    }

    /// Who is taken out of turn, as a guest between two items of a batch, has had his turn.
    @Test func aGuestHasHadItsTurn() {
        let accounts = [1, 2].map { uid in
            CallerAccount(
                CallerAccount.Key(Caller(pid: 1, uid: uid, gid: 0, groups: [], unit: nil, pidfdVerified: true)),
                isPrivileged: false)
        }
        var queue = FairQueue<Int>()
        for item in 0..<10 { queue.push(item, of: accounts[0]) }
        for item in 10..<12 { queue.push(item, of: accounts[1]) }
        let taken = (0..<5).compactMap { _ in queue.remove { _ in true } }
        #expect(taken == [0, 10, 1, 11, 2])
    }

    /// Sessions and the service manager of a user are the user; services are apart; who is in other namespaces is one for all.
    @Test func oneCallerIsOneAccount() {
        func key(_ uid: UInt32, _ unit: String? = nil, isForeign: Bool = false) -> CallerAccount.Key {
            CallerAccount.Key(
                Caller(pid: 1, uid: uid, gid: 0, groups: [], unit: unit, pidfdVerified: true, isForeign: isForeign))
        }
        for unit in ["session-1.scope", "session-c2.scope", "user@1000.service", "run-u7.scope"] {
            #expect(key(1_000, unit) == key(1_000))
        }
        #expect(key(1_000, "a.service") != key(1_000, "b.service"))
        #expect(key(1_000, "a.service") != key(1_001, "a.service"))
        #expect(key(1_000) != key(1_001))
        #expect(key(0, isForeign: true) == key(100_000, isForeign: true))
        #expect(key(0, isForeign: true) != key(0))
    }

    /// Workers that look at the same time do not all take a caller's last turn.
    @Test func turnsAreCountedAsTheyAreTaken() throws {
        let account = CallerAccount(
            CallerAccount.Key(Caller(pid: 1, uid: 1, gid: 0, groups: [], unit: nil, pidfdVerified: true)), isPrivileged: false)
        let most = Atomic(0)
        let threads = try (0..<8).map { _ in
            try TestThread {
                var taken = 0
                for _ in 0..<200 {
                    // All of them see the same count before any of them counts itself.
                    let isMine = account.takeTurn { working in
                        usleep(50)
                        return working >= 2
                    }
                    guard isMine else { continue }
                    taken += 1
                    most.max(account.working, ordering: .relaxed)
                    account.endTurn()
                }
                return taken
            }
        }
        #expect(threads.reduce(0) { $0 + ($1.value() ?? 0) } > 0)
        #expect((1...2).contains(most.load(ordering: .relaxed)))
        #expect(account.working == 0)
    }

    /// One who has a hundred requests waiting is served once between two of another.
    @Test func anotherIsServedAfterOneOfMany() throws {
        let gate = Gate()
        let served = Mutex<[UInt32]>([])
        let service = TestService { request in
            served.withLock { $0.append(request.request.caller.uid) }
            if request.request.opcode == .wrap { gate.wait() }
            return .echo
        }
        try TestServer.run(workers: 1, service: service, tuning: Self.twoUsers()) { server in
            let hog = try server.connect()
            try hog.send(TestClient.frame(.wrap, id: 1))
            #expect(Patience.until { gate.arrived == 1 })
            let victim = try server.connect()
            // Both are known, so that turns are taken; the worker is busy until all of this waits.
            #expect(Patience.until { server.server.figures.connections == 2 })
            for id in 2...50 as ClosedRange<UInt32> { try hog.send(TestClient.frame(.unwrap, id: id)) }
            try victim.send(TestClient.frame(.unwrap, id: 1) + TestClient.frame(.unwrap, id: 2))
            #expect(Patience.until { server.server.figures.queued == 51 })
            gate.letIn()
            for _ in 1...50 { _ = try hog.next() }
            for _ in 1...2 { _ = try victim.next() }
            let order = served.withLock { $0 }
            let second = order.indices.filter { order[$0] == 61_002 }
            #expect(second.count == 2 && second[1] <= 6, "\(order)")
        }
    }

    /// So it is with answers that wait for their records: those of one do not hold up that of another.
    @Test func anotherIsAnsweredAfterOneOfMany() throws {
        let gate = Gate()
        let service = TestService(disk: { _ in
            gate.wait()
            return nil
        })
        try TestServer.run(workers: 1, service: service, tuning: Self.twoUsers()) { server in
            let hog = try server.connect()
            let victim = try server.connect()
            #expect(Patience.until { server.server.figures.connections == 2 })
            for id in 1...40 as ClosedRange<UInt32> { try hog.send(TestClient.frame(.wrap, id: id)) }
            #expect(Patience.until { server.server.core.held.answers.count == 40 })
            for id in 101...102 as ClosedRange<UInt32> { try victim.send(TestClient.frame(.wrap, id: id)) }
            #expect(Patience.until { server.server.core.held.answers.count == 42 })
            // One flush is all of theirs.
            service.settle(1...102)
            gate.letIn()
            for _ in 1...40 { _ = try hog.next() }
            for _ in 1...2 { _ = try victim.next() }
            let order = service.secured.withLock { $0 }
            let second = order.indices.filter { order[$0] > 100 }
            #expect(second.count == 2 && second[0] <= 2 && second[1] <= 4, "\(order)")
        }
    }

    /// An answer that waits for the disk still does not hold up those that do not.
    @Test func whatWaitsForTheDiskHoldsUpNobody() throws {
        let (first, disk) = (Gate(), Gate())
        let service = TestService(
            disk: { number in
                if number == 1 { first.wait() }
                if number == 101 { disk.wait() }
                return nil
            }, durable: 0..<100)
        try TestServer.run(workers: 1, service: service, tuning: Self.twoUsers()) { server in
            let one = try server.connect()
            let other = try server.connect()
            #expect(Patience.until { server.server.figures.connections == 2 })
            try one.send(TestClient.frame(.wrap, id: 1))
            #expect(Patience.until { first.arrived == 1 })
            try other.send(TestClient.frame(.wrap, id: 101))
            #expect(Patience.until { server.server.core.held.answers.count == 2 })
            for id in 2...9 as ClosedRange<UInt32> { try one.send(TestClient.frame(.wrap, id: id)) }
            #expect(Patience.until { server.server.core.held.answers.count == 10 })
            first.letIn()
            #expect(try Set((1...9).map { _ in try one.next().header.requestID }) == Set(1...9))
            #expect(Patience.until { disk.arrived == 1 })
            disk.letIn()
            #expect(try other.next().header.requestID == 101)
        }
    }

    /// While another is at work one worker is left to it.
    @Test func aCallerLeavesOneWorkerToOthers() throws {
        let gate = Gate()
        let service = TestService { request in
            if request.request.opcode == .wrap { gate.wait() }
            return .echo
        }
        var tuning = Self.twoUsers()
        // However slow the machine is, the other one is at work all the while.
        tuning.callerMemory = 3_600_000_000_000
        try TestServer.run(workers: 3, service: service, tuning: tuning) { server in
            let hog = try server.connect()
            let other = try server.connect()
            #expect(Patience.until { server.server.figures.connections == 2 })
            #expect(try other.ask(.unwrap, id: 1).header.requestID == 1)
            for id in 1...9 as ClosedRange<UInt32> { try hog.send(TestClient.frame(.wrap, id: id)) }
            #expect(Patience.until { gate.arrived == 2 })
            // Every one of the other's is answered though the hog's would fill all workers.
            for id in 2...500 as ClosedRange<UInt32> { #expect(try other.ask(.unwrap, id: id).header.requestID == id) }
            #expect(gate.arrived == 2)
            gate.letIn()
        }
    }

    /// When the other has been quiet for a moment, a caller has all workers, whether what it asks is read from the socket or with the
    /// first of it.
    @Test(arguments: [false, true]) func aCallerAloneHasAllWorkers(isReadTogether: Bool) throws {
        let gate = Gate()
        let service = TestService { request in
            if request.request.opcode == .wrap { gate.wait() }
            return .echo
        }
        try TestServer.run(workers: 3, service: service, tuning: Self.twoUsers()) { server in
            let hog = try server.connect()
            let other = try server.connect()
            #expect(Patience.until { server.server.figures.connections == 2 })
            #expect(try other.ask(.unwrap, id: 1).header.requestID == 1)
            // Nothing else comes: who was passed over meanwhile is looked at again.
            let frames = (1...3).map { TestClient.frame(.wrap, id: UInt32($0)) }
            for part in isReadTogether ? [frames.flatMap { $0 }] : frames { try hog.send(part) }
            #expect(Patience.until { gate.arrived == 3 })
            gate.letIn()
        }
    }

    /// Who has its share at work is told in time what becomes of the rest: it is not left unread.
    @Test func whoIsPassedOverIsToldInTime() throws {
        let gate = Gate()
        let service = TestService { request in
            if request.request.opcode == .wrap { gate.wait() }
            return .echo
        }
        var tuning = Self.hogAndOther()
        tuning.callerMemory = 3_600_000_000_000
        try TestServer.run(workers: 2, service: service, tuning: tuning, configure: { $0.quota.inFlight = 4 }) { server in
            let other = try server.connect()
            let clients = try (0..<8).map { _ in try server.connect() }
            #expect(Patience.until { server.server.figures.connections == 9 })
            #expect(try other.ask(.unwrap, id: 1).header.requestID == 1)
            for client in clients { try client.send(TestClient.frame(.wrap, id: 1, deadline: 3_000)) }
            #expect(Patience.until { gate.arrived == 1 })
            // One is at work, three wait for it until their deadline, four are over the share; the other worker stays for the other.
            let codes = try clients.map { try $0.next().refusal }
            #expect(codes.filter { $0 == .busy }.count == 4 && codes.filter { $0 == .deadline }.count == 4, "\(codes)")
            #expect(gate.arrived == 1)
            #expect(try other.ask(.unwrap, id: 2).header.requestID == 2)
            gate.letIn()
        }
    }

    @Test func whoWasAtWorkOfLate() {
        let account = CallerAccount(
            CallerAccount.Key(Caller(pid: 1, uid: 1, gid: 1, groups: [], unit: nil, pidfdVerified: true)), isPrivileged: false)
        let table = CallerTable()
        let other = CallerAccount(
            CallerAccount.Key(Caller(pid: 1, uid: 2, gid: 1, groups: [], unit: nil, pidfdVerified: true)), isPrivileged: false)
        #expect(!table.hasOther(than: account, since: 0))
        table.noteTurn(of: account, now: 100)
        #expect(!table.hasOther(than: account, since: 0) && table.hasOther(than: other, since: 100))
        #expect(!table.hasOther(than: other, since: 101))
        table.noteTurn(of: other, now: 200)
        table.noteTurn(of: account, now: 300)
        #expect(table.hasOther(than: account, since: 200) && !table.hasOther(than: account, since: 201))
        // And whether it waits for an answer.
        let settings = ServerSettings(Configuration())
        #expect(table.otherWaits(than: account) == nil)
        #expect(other.enter(settings, isShared: true, now: 250) == nil && table.otherWaits(than: account) == 200)
        table.noteTurn(of: account, now: 400)
        #expect(table.otherWaits(than: account) == 200 && table.otherWaits(than: other) == nil)
        other.leave()
        #expect(table.otherWaits(than: account) == nil)
    }

    @Test func requestsInFlightAreBounded() throws {
        let gate = Gate()
        let service = TestService { request in
            if request.request.opcode == .wrap { gate.wait() }
            return .echo
        }
        try TestServer.run(workers: 2, service: service, configure: { $0.quota.inFlight = 2 }) { server in
            let clients = try (0..<3).map { _ in try server.connect() }
            for client in clients.prefix(2) { try client.send(TestClient.frame(.wrap, id: 1)) }
            #expect(Patience.until { gate.arrived == 2 })
            // At the bound two are in flight; one past it is told so at once, by name and with the time to wait.
            let refused = try clients[2].ask(.ping, id: 1)
            #expect(refused.refusal == .busy)
            gate.letIn()
            for client in clients.prefix(2) { #expect(try client.next().header.kind == .reply) }
            #expect(try clients[2].ask(.ping, id: 2).header.kind == .reply)
        }
    }

    @Test func theRateIsBounded() throws {
        try TestServer.run(configure: {
            $0.quota.requestsPerSecond = 1
            $0.quota.burst = 3
        }) { server in
            let client = try server.connect()
            let started = MonotonicClock.now()
            for id in 1...3 as ClosedRange<UInt32> { #expect(try client.ask(id: id).header.kind == .reply) }
            let refused = try client.ask(id: 4)
            // Unless the machine took more than a second for all this, the fourth was too fast.
            if MonotonicClock.now() - started < 1_000_000_000 {
                let body = try RefusalBody.decode(refused.body.span.bytes)
                #expect(refused.refusal == .busy)
                #expect(body.retryAfter.map { (1...1_001).contains($0) } == true)
            }
            // Another connection of the same caller is the same caller.
            let again = try server.connect()
            #expect(Patience.until { (try? again.ask(id: 5))?.header.kind == .reply })
        }
    }

    /// What is refused anyway counts as asked: an unknown operation, and an id that is in flight.
    @Test(arguments: [false, true]) func whatIsRefusedAnywayIsBoundedToo(isDuplicate: Bool) throws {
        let gate = Gate()
        let service = TestService { request in
            if request.request.opcode == .wrap { gate.wait() }
            return .echo
        }
        try TestServer.run(
            service: service,
            configure: {
                $0.quota.requestsPerSecond = 1
                $0.quota.burst = 3
                $0.quota.inFlight = 2
            }
        ) { server in
            let client = try server.connect()
            let started = MonotonicClock.now()
            try client.send(TestClient.frame(.wrap, id: 9))
            #expect(Patience.until { gate.arrived == 1 })
            var refusals: [RefusalCode?] = []
            for _ in 0..<6 {
                try client.send(
                    TestClient.raw(kind: 0, opcode: isDuplicate ? Opcode.ping.rawValue : 0x7777, id: isDuplicate ? 9 : 8))
                refusals.append(try client.next().refusal)
            }
            let code: RefusalCode = isDuplicate ? .duplicateRequestID : .unknownOpcode
            if MonotonicClock.now() - started < 1_000_000_000 {
                #expect(refusals == [code, code, .busy, .busy, .busy, .busy])
            }
            gate.letIn()
            #expect(try client.next().header.requestID == 9)
            // Nothing of it stays on the account as in flight.
            #expect(Patience.until { (try? client.ask(id: 10))?.header.kind == .reply })
            #expect(Patience.until { (try? client.ask(id: 11))?.header.kind == .reply })
        }
    }

    /// The bucket: at its bound, one past it, and full again after an hour.
    @Test func aBucketOfTokens() {
        var configuration = Configuration()
        configuration.quota.requestsPerSecond = 10
        configuration.quota.burst = 5
        let settings = ServerSettings(configuration)
        let account = CallerAccount(
            CallerAccount.Key(Caller(pid: 1, uid: 1, gid: 1, groups: [], unit: nil, pidfdVerified: true)), isPrivileged: false)
        let start: UInt64 = 1_000_000_000_000
        func take(_ now: UInt64) -> UInt32? {
            guard let refusal = account.enter(settings, isShared: false, now: now) else {
                account.leave()
                return nil
            }
            return refusal.retryAfter
        }
        for _ in 0..<5 { #expect(take(start) == nil) }
        #expect(take(start) == 101)
        #expect(take(start + 99_999_999) == 1)
        #expect(take(start + 100_000_000) == nil)
        #expect(take(start + 100_000_000) != nil)
        for _ in 0..<5 { #expect(take(start + 3_600_000_000_000_000) == nil) }
        #expect(take(start + 3_600_000_000_000_000) != nil)
        // A clock that seems to go back gives nothing.
        #expect(take(start) != nil)
    }

    @Test func oneCallerCannotHoldAllConnections() throws {
        try TestServer.run(
            tuning: Self.twoUsers(),
            configure: {
                $0.socket.maximumConnections = 10
                $0.quota.connections = 2
            }
        ) { server in
            // Connections alternate between the two users.
            let clients = try (0..<4).map { _ in try server.connect() }
            for client in clients { #expect(try client.ask(id: 1).header.kind == .reply) }
            for _ in 0..<2 {
                let refused = try server.connect()
                #expect(try refused.next().refusal == .busy)
                #expect(try refused.isAtEnd())
            }
        }
    }

    @Test func unprovenPeersAreRefusedWhereProofIsAsked() throws {
        try TestServer.run(tuning: Self.twoUsers(false), configure: { $0.socket.requiresPidfd = true }) { server in
            let refused = try server.connect()
            #expect(try refused.next().refusal == .identityUnproven)
            #expect(try refused.isAtEnd())
        }
        try TestServer.run(tuning: Self.twoUsers(false)) { server in
            let client = try server.connect()
            #expect(try client.ask(id: 1).header.kind == .reply)
        }
    }
}
