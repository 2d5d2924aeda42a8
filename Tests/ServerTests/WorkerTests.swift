import ClavigerWire
import Glibc
import Logging
import Synchronization
import Testing

@testable import ClavigerCore
@testable import ClavigerServer

@Suite struct WorkerTests {
    private static let milliseconds: UInt64 = 1_000_000

    /// A service whose wraps wait at `gate`.
    private static func blocking(_ gate: Gate) -> TestService {
        TestService { request in
            if request.request.opcode == .wrap { gate.wait() }
            return .echo
        }
    }

    @Test func answersHealthWhileAllWorkersAreInTheToken() throws {
        let gate = Gate()
        try TestServer.run(workers: 2, service: WorkerTests.blocking(gate)) { server in
            let client = try server.connect()
            try client.send(TestClient.frame(.wrap, id: 1) + TestClient.frame(.wrap, id: 2))
            #expect(Patience.until { gate.arrived == 2 })
            let other = try server.connect()
            for opcode in [Opcode.health, .status, .whoami, .ping] {
                #expect(try client.ask(opcode, id: 3).header.requestID == 3)
                #expect(try other.ask(opcode, id: 3, body: [UInt8](repeating: 1, count: 60_000)).header.kind == .reply)
            }
            gate.letIn()
            #expect(Set([try client.next().header.requestID, try client.next().header.requestID]) == [1, 2])
        }
    }

    @Test func refusesBusyWhenTheQueueIsFull() throws {
        let gate = Gate()
        try TestServer.run(workers: 1, service: WorkerTests.blocking(gate), configure: { $0.workers.queue = 2 }) { server in
            let client = try server.connect()
            try client.send(TestClient.frame(.wrap, id: 1))
            #expect(Patience.until { gate.arrived == 1 })
            try client.send(TestClient.frame(.wrap, id: 2) + TestClient.frame(.unwrap, id: 3) + TestClient.frame(.keyList, id: 4))
            let refused = try client.next()
            #expect(refused.refusal == .busy && refused.header.requestID == 4)
            let body = try refused.body.withUnsafeBytes { try RefusalBody.decode(RawSpan(_unsafeBytes: $0)) }
            #expect(body.retryAfter == ServerLimits.busyRetry)
            #expect(server.server.figures.queued == 2)
            gate.letIn()
            #expect(Set(try (0..<3).map { _ in try client.next().header.requestID }) == [1, 2, 3])
        }
    }

    @Test func servesQueuedRequestsInTheirOrder() throws {
        let gate = Gate()
        let order = Mutex<[UInt32]>([])
        let service = TestService { request in
            if request.request.opcode == .wrap { gate.wait() }
            order.withLock { $0.append(request.request.header.requestID) }
            return .echo
        }
        try TestServer.run(workers: 1, service: service) { server in
            let client = try server.connect()
            try client.send(TestClient.frame(.wrap, id: 1))
            #expect(Patience.until { gate.arrived == 1 })
            let body = [UInt8](repeating: 3, count: 9_000)
            for id in 2...9 as ClosedRange<UInt32> { try client.send(TestClient.frame(.unwrap, id: id, body: body)) }
            #expect(Patience.until { server.server.figures.queued == 8 })
            gate.letIn()
            for _ in 1...9 {
                let frame = try client.next()
                #expect(frame.header.requestID == 1 || frame.body == body)
            }
            #expect(order.withLock { $0 } == Array(1...9))
        }
    }

    @Test func refusesWhatIsQueuedPastItsDeadline() throws {
        let gate = Gate()
        let served = Mutex<[UInt32]>([])
        let service = TestService { request in
            served.withLock { $0.append(request.request.header.requestID) }
            if request.request.opcode == .wrap { gate.wait() }
            return .echo
        }
        try TestServer.run(workers: 1, service: service) { server in
            let client = try server.connect()
            try client.send(TestClient.frame(.wrap, id: 1))
            #expect(Patience.until { gate.arrived == 1 })
            let start = MonotonicClock.now()
            let frame = try client.ask(.unwrap, id: 2, deadline: 80, body: [UInt8](repeating: 0xaa, count: 5_000))
            #expect(frame.refusal == .deadline && frame.header.requestID == 2)
            #expect(MonotonicClock.now() - start >= 80 * WorkerTests.milliseconds)
            gate.letIn()
            #expect(try client.next().header.requestID == 1)
            #expect(served.withLock { $0 } == [1])
        }
    }

    /// Asks what runs out while a worker is at it, at the gate; again when it ran out before, as it can on a busy machine.
    private static func expire(_ gate: Gate, _ count: Int, _ ask: () throws -> TestFrame) throws {
        let end = MonotonicClock.now() + Patience.nanoseconds
        repeat { #expect(try ask().refusal == .deadline) } while gate.arrived < count && MonotonicClock.now() < end
        #expect(gate.arrived == count)
    }

    @Test func refusesWhatAWorkerHasNotDoneByItsDeadline() throws {
        let gate = Gate()
        let abandoned = Atomic(false)
        let service = TestService { request in
            if request.request.opcode == .wrap {
                gate.wait()
                abandoned.store(request.scheduling.isAbandoned, ordering: .releasing)
            }
            return .echo
        }
        try TestServer.run(workers: 1, service: service) { server in
            let client = try server.connect()
            try WorkerTests.expire(gate, 1) { try client.ask(.wrap, id: 1, deadline: 80, body: [1]) }
            // The id is free again, and the late reply is never sent.
            #expect(try client.ask(id: 1, body: [2]).body == [2])
            gate.letIn()
            #expect(try client.ask(.unwrap, id: 1, body: [3]).body == [3])
            let wasAbandoned = abandoned.load(ordering: .acquiring)
            #expect(wasAbandoned)
        }
    }

    @Test func cutsDeadlinesToTheGreatestAllowed() throws {
        let deadlines = Mutex<[UInt64]>([])
        let service = TestService { request in
            deadlines.withLock { $0.append(request.request.deadline) }
            return .echo
        }
        func configure(_ configuration: inout Configuration) {
            configuration.requests.defaultDeadline = .seconds(5)
            configuration.requests.maximumDeadline = .seconds(20)
        }
        try TestServer.run(service: service, configure: configure) { server in
            let client = try server.connect()
            for (deadline, bound) in [(0, 5_000), (10_000, 10_000), (60_000, 20_000), (UInt32.max, 20_000)] {
                let start = MonotonicClock.now()
                _ = try client.ask(id: 1, deadline: deadline)
                let end = MonotonicClock.now()
                let bound = UInt64(bound) * WorkerTests.milliseconds
                // From its reading, between the two.
                let told = try #require(deadlines.withLock { $0.popLast() })
                #expect((start + bound...end + bound).contains(told))
            }
        }
    }

    @Test func replacesAStuckWorkerOnceAndGivesUpAtTheNext() throws {
        let gate = Gate()
        var tuning = Server.Tuning()
        tuning.workerStuckBound = 100 * WorkerTests.milliseconds
        try TestServer.run(workers: 1, service: WorkerTests.blocking(gate), tuning: tuning) { server in
            let client = try server.connect()
            try WorkerTests.expire(gate, 1) { try client.ask(.wrap, id: 1, deadline: 50) }
            // Served by the worker that took the place of the stuck one; until then it waits.
            #expect(try client.ask(.unwrap, id: 2, body: [2]).body == [2])
            #expect(gate.arrived == 1 && server.fatalities.count == 0)
            try WorkerTests.expire(gate, 2) { try client.ask(.wrap, id: 3, deadline: 50) }
            #expect(Patience.until { server.fatalities.count == 1 })
            gate.letIn()
            #expect(try client.ask(.unwrap, id: 4, body: [4]).body == [4])
            #expect(server.fatalities.count == 1)
        }
    }

    @Test func aWorkerThatCameBackIsTheNextSpare() throws {
        let gate = Gate()
        let round = Atomic(0)
        let service = TestService { request in
            if request.request.opcode == .wrap { gate.wait(times: round.add(1, ordering: .relaxed).newValue) }
            return .echo
        }
        var tuning = Server.Tuning()
        tuning.workerStuckBound = 60 * WorkerTests.milliseconds
        try TestServer.run(workers: 1, service: service, tuning: tuning) { server in
            let client = try server.connect()
            for id in 1...3 as ClosedRange<UInt32> {
                try WorkerTests.expire(gate, Int(id)) { try client.ask(.wrap, id: id, deadline: 30) }
                #expect(try client.ask(.unwrap, id: 100, body: [2]).body == [2])
                gate.letIn()
                #expect(Patience.until { server.server.crew.spareCount == 1 })
            }
            #expect(server.fatalities.count == 0)
        }
    }

    @Test func letsSmallRequestsGoBetweenTheItemsOfABatch() throws {
        let gate = Gate()
        let inBatch = Atomic(false)
        let service = TestService { request in
            let depth = inBatch.load(ordering: .acquiring)
            switch request.request.opcode {
            case .wrap where !depth:
                inBatch.store(true, ordering: .releasing)
                gate.wait()
                // Both requests that wait are looked at; the batch among them is left waiting.
                request.scheduling.letOthersIn()
                request.scheduling.letOthersIn()
                request.scheduling.letOthersIn()
                inBatch.store(false, ordering: .releasing)
                return .body([1])
            default:
                request.scheduling.letOthersIn()
                return .body([depth ? 1 : 0])
            }
        }
        func items(_ count: UInt8) -> [UInt8] { [0, 2, 0, 0, 0, 4, 0, 0, 0, count] }
        try TestServer.run(workers: 1, service: service) { server in
            let client = try server.connect()
            try client.send(TestClient.frame(.wrap, id: 1, body: items(9)))
            #expect(Patience.until { gate.arrived == 1 })
            try client.send(TestClient.frame(.unwrap, id: 2, body: items(2)))
            try client.send(TestClient.frame(.unwrap, id: 3, body: items(1)))
            try client.send(TestClient.frame(.keyList, id: 4))
            #expect(Patience.until { server.server.figures.queued == 3 })
            gate.letIn()
            var frames: [UInt32: [UInt8]] = [:]
            var order: [UInt32] = []
            for _ in 0..<4 {
                let frame = try client.next()
                frames[frame.header.requestID] = frame.body
                order.append(frame.header.requestID)
            }
            #expect(order == [3, 1, 2, 4])
            #expect(frames == [1: [1], 2: [0], 3: [1], 4: [0]])
        }
    }

    @Test func wipesWhatARefusalLeavesBehind() throws {
        let service = TestService { _ in .refusal(Refusal(.denied)) }
        try TestServer.run(service: service) { server in
            let client = try server.connect()
            let canary = [UInt8](repeating: 0xc5, count: 30_000)
            #expect(try client.ask(.wrap, id: 1, body: canary).refusal == .denied)
            // Wiped after the answer is sent, while the server goes on.
            #expect(Patience.until { server.server.crew.isWiped && server.server.core.pool.isWiped })
        }
    }

    @Test func finishesWhatIsInFlightWhenItStops() throws {
        let gate = Gate()
        try TestServer.run(workers: 1, service: WorkerTests.blocking(gate)) { server in
            let client = try server.connect()
            try client.send(TestClient.frame(.wrap, id: 1, body: [1]))
            #expect(Patience.until { gate.arrived == 1 })
            try client.send(TestClient.frame(.unwrap, id: 2, body: [2]))
            #expect(Patience.until { server.server.figures.queued == 1 })
            let stopping = try TestThread { server.server.stop(drainTime: .seconds(Patience.seconds)) }
            #expect(Patience.until { access(server.path, F_OK) != 0 })
            gate.letIn()
            #expect(Set([try client.next().body, try client.next().body]) == [[1], [2]])
            #expect(try client.isAtEnd())
            #expect(stopping.value() == Server.StopOutcome(unanswered: 0, stuckThreads: 0))
            #expect(throws: TestClientError.self) { try server.connect() }
        }
    }

    @Test func saysWhatItCouldNotFinish() throws {
        let gate = Gate()
        let directory = try TestDirectory()
        var configuration = Configuration()
        configuration.workers.count = 1
        let server = try Server(
            configuration: configuration, handler: WorkerTests.blocking(gate),
            listeners: [Listener(path: directory.path + "/s", group: nil, backlog: 8)], logger: .init(label: "test"),
            fatal: { _ in })
        try server.start()
        let client = try TestClient(directory.path + "/s")
        try client.send(TestClient.frame(.wrap, id: 1))
        #expect(Patience.until { gate.arrived == 1 })
        let outcome = server.stop(drainTime: .milliseconds(50))
        // One worker; and, on a busy machine, others that did not end in the little time.
        #expect(outcome.unanswered == 1 && (1...3).contains(outcome.stuckThreads))
        #expect(try client.isAtEnd())
        gate.letIn()
        #expect(Patience.until { server.figures.connections == 0 })
    }
}
