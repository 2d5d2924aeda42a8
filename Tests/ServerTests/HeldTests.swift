import ClavigerWire
import Glibc
import Synchronization
import Testing

@testable import ClavigerCore
@testable import ClavigerServer

/// Answers that wait for their records: none leaves before, all leave in time, and workers do not wait with them.
@Suite struct HeldTests {
    private static let fault = Refusal(.auditUnavailable)

    @Test func workersGoOnWhileTheDiskIsAtWork() throws {
        let gate = Gate()
        let flushes = Mutex<[UInt64]>([])
        let service = TestService(disk: { number in
            flushes.withLock { $0.append(number) }
            gate.wait()
            return nil
        })
        try TestServer.run(workers: 1, service: service) { server in
            let client = try server.connect()
            try client.send(TestClient.frame(.wrap, id: 1, body: [1]))
            #expect(Patience.until { gate.arrived == 1 })
            // The only worker goes on while the disk is at work.
            for id in 2...40 as ClosedRange<UInt32> { try client.send(TestClient.frame(.wrap, id: id, body: [UInt8(id)])) }
            #expect(Patience.until { server.server.core.held.answers.count == 40 })
            #expect(server.server.figures.requests == 0, "an answer left before its record")
            gate.letIn()
            let answered = try (1...40).map { _ in try client.next() }
            for frame in answered { #expect(frame.body == [UInt8(frame.header.requestID)]) }
            #expect(answered.first?.header.requestID == 1 && Set(answered.map(\.header.requestID)) == Set(1...40))
            // Each is asked for once, when it is about to leave.
            #expect(flushes.withLock { $0.first == 1 && $0.count == 40 && Set($0) == Set(1...40) })
        }
    }

    /// What a flush has settled is sent by who has flushed, some of it, and by workers that come by: nobody need be woken for it.
    @Test func whoFlushedAndWorkersSendWhatIsSettled() throws {
        let (gate, work) = (Gate(), Gate())
        let service = TestService(disk: { _ in
            gate.wait()
            return nil
        }) { request in
            if request.request.opcode == .unwrap { work.wait() }
            return .echo
        }
        try TestServer.run(workers: 1, service: service) { server in
            let client = try server.connect()
            let most = UInt32(HeldAnswers.mostOfFlusher)
            let held = server.server.core.held
            for id in 1...(most + 5) { try client.send(TestClient.frame(.wrap, id: id, body: [UInt8(id)])) }
            #expect(Patience.until { held.answers.count == Int(most) + 5 })
            // The thread that sends waits for the disk, and for nothing else; the worker is at a request.
            try client.send(TestClient.frame(.unwrap, id: 99))
            #expect(Patience.until { gate.arrived == 1 && work.arrived == 1 })
            server.server.sendSettled()
            #expect(held.answers.count == Int(most) + 5, "an answer left before its record")
            service.settle(1...UInt64(most) + 4)
            server.server.sendSettled()
            for id in 1...most { #expect(try client.next().header.requestID == id) }
            #expect(held.answers.count == 5)
            // The worker comes by after its request.
            work.letIn()
            for id in (most + 1)...(most + 4) { #expect(try client.next().header.requestID == id) }
            gate.letIn()
            #expect(try Set([client.next(), client.next()].map(\.header.requestID)) == [most + 5, 99])
        }
    }

    @Test func aReplyWhoseRecordFailsIsARefusalInstead() throws {
        let service = TestService(disk: { $0 == 2 ? HeldTests.fault : nil }) { request in
            request.request.header.requestID == 3 ? .refusal(Refusal(.denied)) : .echo
        }
        try TestServer.run(workers: 1, service: service) { server in
            let client = try server.connect()
            #expect(try client.ask(.wrap, id: 1, body: [9]).body == [9])
            let refused = try client.ask(.wrap, id: 2, body: [7, 7, 7])
            #expect(refused.refusal == .auditUnavailable && !refused.body.contains(7))
            // A refusal gives nothing away, with a record or without.
            let denied = TestService(disk: { _ in HeldTests.fault }) { _ in .refusal(Refusal(.denied)) }
            try TestServer.run(workers: 1, service: denied) { server in
                let client = try server.connect()
                #expect(try client.ask(.wrap, id: 1).refusal == .denied)
            }
        }
    }

    @Test func whatTheDiskHoldsUpIsRefusedAtItsDeadline() throws {
        let gate = Gate()
        let service = TestService(disk: { _ in
            gate.wait()
            return nil
        })
        try TestServer.run(workers: 1, service: service) { server in
            let client = try server.connect()
            let frame = try client.ask(.wrap, id: 1, deadline: 80, body: [1])
            #expect(frame.refusal == .deadline && frame.header.requestID == 1)
            try client.send(TestClient.frame(.wrap, id: 2, deadline: 5_000, body: [2]))
            gate.letIn()
            // The late reply to the first is never sent.
            #expect(try client.next().header.requestID == 2)
        }
    }

    @Test func largeAnswersWaitToo() throws {
        let service = TestService(disk: { _ in nil }) { _ in .filler(200_000, 0x5a) }
        try TestServer.run(workers: 2, service: service) { server in
            let client = try server.connect()
            for id in 1...20 as ClosedRange<UInt32> {
                // A body of two items makes room for a large reply.
                let frame = try client.ask(.wrap, id: id, body: [UInt8](repeating: 2, count: 9_000))
                #expect(frame.body.count == 200_000 && frame.body.allSatisfy { $0 == 0x5a })
            }
        }
    }

    /// Without room in the pool a worker waits itself, and nothing is lost.
    @Test func aFullPoolHoldsNothing() throws {
        let gate = Gate()
        let service = TestService(disk: { _ in
            gate.wait()
            return nil
        })
        var tuning = Server.Tuning()
        tuning.poolChunks = ServerLimits.replyReserveChunks + 4
        try TestServer.run(workers: 1, service: service, tuning: tuning) { server in
            let client = try server.connect()
            for id in 1...30 as ClosedRange<UInt32> { try client.send(TestClient.frame(.wrap, id: id, body: [UInt8(id)])) }
            // Or the next request cannot even be read before there is room again; or, on a busy machine, the reserved worker reads it and
            // finds no room to leave it in.
            let core = server.server.core
            #expect(Patience.until { gate.arrived >= 2 || core.hasStarved || core.counters.requests > 0 })
            gate.letIn()
            let answered = try (1...30).map { _ in try client.next() }
            #expect(Set(answered.map(\.header.requestID)) == Set(1...30))
        }
    }

    /// Whoever takes something back waits for the answers that are held.
    @Test func theFenceWaitsForWhatIsHeld() throws {
        // On a busy machine the thread can begin to wait only after a later one is held.
        #expect(try (1...5).contains { _ in try HeldTests.waitsForEarlierOnly() })
    }

    /// Whether it waited for what was held, and not for what was held later.
    private static func waitsForEarlierOnly() throws -> Bool {
        let fence = AnswerFence()
        let order = Mutex<[String]>([])
        let held = (1...3).map { _ in fence.held.begin() }
        fence.held.end(held[1])
        let hasBegun = Atomic(false)
        let thread = try TestThread {
            hasBegun.store(true, ordering: .sequentiallyConsistent)
            fence.settle()
            order.withLock { $0.append("settled") }
        }
        #expect(Patience.until { hasBegun.load(ordering: .sequentiallyConsistent) })
        for _ in 1...1_000 { sched_yield() }
        // One that is held later is none of its business, in which order they ever leave.
        let later = (1...2).map { _ in fence.held.begin() }
        fence.held.end(later[1])
        fence.held.end(held[2])
        order.withLock { $0.append("left") }
        fence.held.end(held[0])
        let end = MonotonicClock.now() + 2_000_000_000
        while order.withLock({ $0.count }) < 2, MonotonicClock.now() < end { usleep(200) }
        let isInTime = order.withLock { $0.count } == 2
        fence.held.end(later[0])
        #expect(thread.value() != nil)
        #expect(order.withLock { $0 } == ["left", "settled"])
        fence.settle()
        return isInTime
    }

    @Test func stoppingSendsWhatIsHeld() throws {
        let gate = Gate()
        let service = TestService(disk: { _ in
            gate.wait()
            return nil
        })
        try TestServer.run(workers: 1, service: service) { server in
            let client = try server.connect()
            try client.send(TestClient.frame(.wrap, id: 1, body: [1]) + TestClient.frame(.wrap, id: 2, body: [2]))
            #expect(Patience.until { server.server.core.held.answers.count == 2 })
            let stopping = try ServerThread(name: "test") { _ = server.server.stop(drainTime: .seconds(10)) }
            gate.letIn()
            #expect(try client.next().body == [1])
            #expect(try client.next().body == [2])
            stopping.join()
        }
    }

    // MARK: records that only have to be in the file

    /// What waits for another's write is sent by the thread, and no worker waits with it.
    @Test func workersGoOnWhileAnotherIsAtTheFile() throws {
        let gate = Gate()
        let writers = Mutex<[String]>([])
        let service = TestService(
            disk: { _ in
                writers.withLock { $0.append(HeldTests.threadName) }
                gate.wait()
                return nil
            }, isFlushed: false)
        try TestServer.run(workers: 2, service: service) { server in
            let client = try server.connect()
            for id in 1...9 as ClosedRange<UInt32> { try client.send(TestClient.frame(.wrap, id: id, body: [UInt8(id)])) }
            #expect(Patience.until { server.server.core.held.answers.count == 9 && gate.arrived == 1 })
            #expect(server.server.figures.requests == 0, "an answer left before its record")
            gate.letIn()
            let answered = try (1...9).map { _ in try client.next() }
            for frame in answered { #expect(frame.body == [UInt8(frame.header.requestID)]) }
            #expect(Set(answered.map(\.header.requestID)) == Set(1...9))
            #expect(writers.withLock { $0.count == 9 && $0.allSatisfy { $0 == "clv-sender" } })
        }
    }

    /// A file that takes no records keeps no worker beside the one that writes to it: what waits is refused at its deadline, and takes no
    /// more memory then.
    @Test func whatTheFileHoldsUpIsRefusedAtItsDeadline() throws {
        let gate = Gate()
        let service = TestService(
            disk: { _ in
                gate.wait()
                return nil
            }, isFlushed: false)
        try TestServer.run(workers: 2, service: service) { server in
            let client = try server.connect()
            let core = server.server.core
            let pool = core.pool
            let whole = pool.available
            for id in 1...13 as ClosedRange<UInt32> { try client.send(TestClient.frame(.wrap, id: id, deadline: 500, body: [1])) }
            for _ in 1...13 { #expect(try client.next().refusal == .deadline) }
            // But for what each worker keeps to read into: twelve answers had a chunk each.
            #expect(Patience.until { pool.available >= whole - 3 })
            // Both workers wait for requests.
            #expect(Patience.until { core.idle.load(ordering: .sequentiallyConsistent) == 2 })
            gate.letIn()
            #expect(try client.ask(.wrap, id: 14, body: [4]).body == [4])
        }
    }

    /// An answer that comes when its caller has been told `deadline` takes no memory either, whoever sends is stuck or not.
    @Test func aLateAnswerIsNotHeld() throws {
        let (gate, work) = (Gate(), Gate())
        let service = TestService(
            disk: { _ in
                gate.wait()
                return nil
            }, isFlushed: false
        ) { request in
            if request.request.opcode == .unwrap { work.wait() }
            return .echo
        }
        try TestServer.run(workers: 1, service: service) { server in
            let client = try server.connect()
            let (held, pool) = (server.server.core.held, server.server.core.pool)
            try client.send(TestClient.frame(.wrap, id: 1, body: [1]))
            #expect(Patience.until { gate.arrived == 1 })
            #expect(
                Patience.until { (try? client.ask(.unwrap, id: 2, deadline: 200))?.refusal != .deadline || work.arrived == 1 })
            let before = pool.available
            work.letIn()
            #expect(Patience.until { held.answers.contains { $0.entry.header.requestID == 2 } })
            // While the other waits on.
            #expect(Patience.until { pool.available >= before && held.answers.contains { $0.entry.header.requestID == 1 } })
            gate.letIn()
            #expect(try client.next().body == [1])
        }
    }

    @Test func aReplyWhoseRecordIsNotWrittenIsARefusalInstead() throws {
        let service = TestService(disk: { $0 == 2 ? HeldTests.fault : nil }, isFlushed: false)
        try TestServer.run(workers: 1, service: service) { server in
            let client = try server.connect()
            #expect(try client.ask(.wrap, id: 1, body: [9]).body == [9])
            let refused = try client.ask(.wrap, id: 2, body: [7, 7, 7])
            #expect(refused.refusal == .auditUnavailable && !refused.body.contains(7))
        }
    }

    private static var threadName: String {
        guard let file = fopen("/proc/thread-self/comm", "r") else { return "" }
        defer { fclose(file) }
        var name = [UInt8](repeating: 0, count: 16)
        let count = fread(&name, 1, name.count, file)
        return String(decoding: name.prefix(count).prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
    }
}
