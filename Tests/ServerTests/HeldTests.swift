import ClavigerWire
import Glibc
import Synchronization
import Testing

@testable import ClavigerCore
@testable import ClavigerServer

/// Answers that wait for their records: none leaves before, all leave in time, and workers do not wait with them.
@Suite struct HeldTests {
    private static let fault = Refusal(.auditUnavailable)

    @Test func oneFlushServesAllThatWait() throws {
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
            #expect(Patience.until { server.server.core.held.entries.count == 40 })
            #expect(server.server.figures.requests == 0, "an answer left before its record")
            gate.letIn()
            for id in 1...40 as ClosedRange<UInt32> {
                let frame = try client.next()
                #expect(frame.header.requestID == id && frame.body == [UInt8(id)])
            }
            // Each flush for the last of those that wait, then what became of each.
            #expect(flushes.withLock { Array($0.prefix(3)) } == [1, 1, 40])
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
            #expect(Patience.until { gate.arrived >= 2 })
            gate.letIn()
            let answered = try (1...30).map { _ in try client.next() }
            #expect(Set(answered.map(\.header.requestID)) == Set(1...30))
        }
    }

    /// Whoever takes something back waits for the answers that are held.
    @Test func theFenceWaitsForWhatIsHeld() throws {
        let fence = AnswerFence()
        let order = Mutex<[String]>([])
        for _ in 1...3 { fence.held.begin() }
        fence.held.end()
        let hasBegun = Atomic(false)
        let thread = try TestThread {
            hasBegun.store(true, ordering: .sequentiallyConsistent)
            fence.settle()
            order.withLock { $0.append("settled") }
        }
        #expect(Patience.until { hasBegun.load(ordering: .sequentiallyConsistent) })
        for _ in 1...1_000 { sched_yield() }
        // One that is held later is none of its business.
        fence.held.begin()
        fence.held.end()
        order.withLock { $0.append("left") }
        fence.held.end()
        #expect(thread.value() != nil)
        #expect(order.withLock { $0 } == ["left", "settled"])
        fence.held.end()
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
            #expect(Patience.until { server.server.core.held.entries.count == 2 })
            let stopping = try ServerThread(name: "test") { _ = server.server.stop(drainTime: .seconds(10)) }
            gate.letIn()
            #expect(try client.next().body == [1])
            #expect(try client.next().body == [2])
            stopping.join()
        }
    }
}
