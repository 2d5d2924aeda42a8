import ClavigerWire
import Glibc
import Synchronization
import Testing

@testable import ClavigerCore
@testable import ClavigerServer

@Suite struct ConnectionTests {
    @Test func keepsRepliesWholeWhenWorkersReplyAtOnce() throws {
        try TestServer.run(workers: 3) { server in
            let client = try server.connect()
            let requests: UInt32 = 3_000
            let writer = try TestThread {
                for id in 0..<requests {
                    let body = [UInt8](repeating: UInt8(truncatingIfNeeded: id), count: Int(id % 97) * 100)
                    guard (try? client.send(TestClient.frame(id: id, body: body))) != nil else { return false }
                }
                return true
            }
            var seen = Set<UInt32>()
            for _ in 0..<requests {
                let frame = try client.next()
                let id = frame.header.requestID
                #expect(seen.insert(id).inserted)
                #expect(frame.body == [UInt8](repeating: UInt8(truncatingIfNeeded: id), count: Int(id % 97) * 100))
            }
            #expect(writer.value() == true)
        }
    }

    @Test func servesSeveralRequestsOfAConnectionAtOnce() throws {
        let gate = Gate()
        let service = TestService { request in
            if request.request.opcode == .wrap { gate.wait() }
            return .echo
        }
        try TestServer.run(workers: 2, service: service) { server in
            let client = try server.connect()
            try client.send(TestClient.frame(.wrap, id: 1) + TestClient.frame(.wrap, id: 2))
            #expect(Patience.until { gate.arrived == 2 })
            gate.letIn()
            #expect(Set([try client.next().header.requestID, try client.next().header.requestID]) == [1, 2])
        }
    }

    // A peer goes while its request is being worked on, and another comes at once: it reads its own replies only.
    @Test func neverAnswersTheNextPeer() throws {
        let entered = Atomic<UInt32>(0)
        let released = Atomic<UInt32>(0)
        let service = TestService { request in
            guard request.request.opcode == .wrap else { return .echo }
            let round = request.request.header.requestID
            entered.store(round, ordering: .releasing)
            let end = MonotonicClock.now() + Patience.nanoseconds
            while released.load(ordering: .acquiring) < round, MonotonicClock.now() < end { sched_yield() }
            return .filler(200, 0xbb)
        }
        // Who the peer is does not matter here, and asking the kernel takes longer than all the rest.
        var tuning = Server.Tuning()
        tuning.identify = { _ throws(PeerIdentityError) in
            Caller(pid: 1, uid: 0, gid: 0, groups: [], unit: nil, pidfdVerified: false)
        }
        try TestServer.run(workers: 2, service: service, tuning: tuning) { server in
            for round in 1...UInt32(10_000) {
                do {
                    let leaving = try server.connect()
                    try leaving.send(TestClient.frame(.wrap, id: round))
                    let end = MonotonicClock.now() + Patience.nanoseconds
                    while entered.load(ordering: .acquiring) < round, MonotonicClock.now() < end { sched_yield() }
                }
                let next = try server.connect()
                try next.send(TestClient.frame(id: round))
                released.store(round, ordering: .releasing)
                let first = try next.next()
                let second = try next.ask(id: round + 1, body: [1])
                guard first.header.requestID == round, first.body.isEmpty, second.body == [1] else {
                    Issue.record("round \(round): a reply reached the wrong peer")
                    return
                }
            }
        }
    }

    @Test func tellsAWorkerThatThePeerIsGone() throws {
        let gate = Gate()
        let noticed = Atomic(false)
        let service = TestService { request in
            if request.request.opcode == .wrap {
                gate.wait()
                if Patience.until({ request.scheduling.isAbandoned }) { noticed.store(true, ordering: .releasing) }
            }
            return .echo
        }
        try TestServer.run(service: service) { server in
            do {
                let client = try server.connect()
                try client.send(TestClient.frame(.wrap, id: 1))
                #expect(Patience.until { gate.arrived == 1 })
            }
            gate.letIn()
            #expect(Patience.until { noticed.load(ordering: .acquiring) })
        }
    }

    @Test func answersAfterTheSendingHalfIsClosed() throws {
        let gate = Gate()
        let service = TestService { request in
            gate.wait()
            return .filler(500_000, request.body.first ?? 0)
        }
        try TestServer.run(service: service) { server in
            let client = try server.connect()
            try client.send(TestClient.frame(.wrap, id: 1, body: [7]) + TestClient.frame(.wrap, id: 2, body: [8]))
            #expect(Patience.until { gate.arrived == 2 })
            client.endSending()
            gate.letIn()
            for _ in 0..<2 {
                let frame = try client.next()
                #expect(frame.body == [UInt8](repeating: UInt8(frame.header.requestID) + 6, count: 500_000))
            }
            #expect(try client.isAtEnd())
        }
    }

    @Test func closesAPeerThatDoesNotReadAndServesTheOthers() throws {
        let service = TestService { $0.body.isEmpty ? .echo : .filler(600_000, 0xcc) }
        try TestServer.run(service: service, configure: { $0.requests.idleFrameTimeout = .milliseconds(300) }) { server in
            let slow = try server.connect()
            let other = try server.connect()
            try slow.send(TestClient.frame(.unwrap, id: 1, body: [1]))
            var asked: UInt32 = 0
            #expect(
                Patience.until {
                    asked += 1
                    return (try? other.ask(id: asked).header.requestID) == asked && server.server.figures.connections == 1
                })
            #expect(server.server.core.pool.isWiped)
            #expect(throws: TestClientError.self) { try slow.next() }
            #expect(try other.ask(id: 0).header.kind == .reply)
        }
    }

    @Test func readsNothingMoreFromAPeerThatDoesNotRead() throws {
        let service = TestService { $0.body.isEmpty ? .echo : .filler(300_000, 0xcc) }
        try TestServer.run(service: service) { server in
            let slow = try server.connect()
            let requests: UInt32 = 40
            for id in 0..<requests { try slow.send(TestClient.frame(.keyList, id: id, body: [1])) }
            // Unread replies bound what is taken on: far fewer than all are answered before the peer reads.
            let other = try server.connect()
            for id in 0..<200 as Range<UInt32> { #expect(try other.ask(id: id).header.requestID == id) }
            #expect(server.server.figures.requests < 200 + 10)
            for _ in 0..<requests { #expect(try slow.next().body.count == 300_000) }
        }
    }

    @Test func closesAPeerThatKeepsAFrameIncomplete() throws {
        try TestServer.run(configure: { $0.requests.idleFrameTimeout = .milliseconds(300) }) { server in
            let idle = try server.connect()
            let slow = try server.connect()
            let start = MonotonicClock.now()
            try slow.send(TestClient.frame(id: 1, body: [1, 2, 3]).dropLast())
            #expect(try slow.isAtEnd())
            #expect(MonotonicClock.now() - start >= 300_000_000)
            // One that has begun nothing may be idle for ever.
            #expect(try idle.ask(id: 1).header.kind == .reply)
        }
    }

    @Test func aDrippingPeerIsClosedToo() throws {
        try TestServer.run(configure: { $0.requests.idleFrameTimeout = .milliseconds(200) }) { server in
            let slow = try server.connect()
            let start = MonotonicClock.now()
            for byte in TestClient.frame(id: 1, body: [UInt8](repeating: 1, count: 100_000)) {
                guard (try? slow.send([byte])) != nil, MonotonicClock.now() - start < Patience.nanoseconds else { break }
                usleep(2_000)
            }
            #expect(MonotonicClock.now() - start < Patience.nanoseconds)
            #expect(try slow.isAtEnd())
        }
    }

    @Test func aBusyPeerMayAlwaysHaveBegunTheNextFrame() throws {
        try TestServer.run(configure: { $0.requests.idleFrameTimeout = .milliseconds(500) }) { server in
            let frame = TestClient.frame(id: 1, body: [UInt8](repeating: 1, count: 100))
            func staysOpen() throws -> Bool {
                let client = try server.connect()
                let start = MonotonicClock.now()
                try client.send(frame[..<50])
                while MonotonicClock.now() - start < 1_500_000_000 {
                    try client.send(frame[50...] + frame[..<50])
                    guard try client.next().body.count == 100 else { return false }
                }
                return true
            }
            // On a busy machine this client can seem to have stalled itself.
            #expect(Patience.until { (try? staysOpen()) == true })
        }
    }

    // Begun frames that never end take all that the pool can spare for input. They lose it as soon as others need it, long before the
    // time that a frame may take.
    @Test func takesMemoryBackFromStalledFrames() throws {
        var tuning = Server.Tuning()
        tuning.poolChunks = ServerLimits.minimumPoolChunks
        let service = TestService { .body([UInt8(truncatingIfNeeded: $0.body.count)]) }
        try TestServer.run(
            service: service, tuning: tuning, configure: { $0.requests.idleFrameTimeout = .seconds(60) }
        ) { server in
            let begun = TestClient.raw(
                length: UInt32(Limits.maximumFrameLength), kind: 0, opcode: 1, id: 1, body: [UInt8](repeating: 1, count: 2_000))
            let hogs = try (0..<6).map { _ in try server.connect() }
            for hog in hogs { try hog.send(begun) }
            let client = try server.connect()
            #expect(try client.ask(id: 1, body: [1, 2]).body == [2])
            #expect(try client.ask(id: 2, body: [UInt8](repeating: 1, count: 900_001)).body == [0xa1])
        }
    }

    // More of them than there is memory for beginnings: together they hold what the first of them lacks, so the last has to go.
    @Test func noRowOfBegunFramesStandsStill() throws {
        var tuning = Server.Tuning()
        tuning.poolChunks = ServerLimits.minimumPoolChunks
        let service = TestService { .body([UInt8(truncatingIfNeeded: $0.body.count)]) }
        try TestServer.run(
            service: service, tuning: tuning, configure: { $0.requests.idleFrameTimeout = .seconds(600) }
        ) { server in
            let begun = TestClient.raw(
                length: UInt32(Limits.maximumFrameLength), kind: 0, opcode: 1, id: 1, body: [UInt8](repeating: 1, count: 2_000))
            let hogs = try (0..<2 * ServerLimits.waitingChunks).map { _ in try server.connect() }
            for hog in hogs { try hog.send(begun) }
            let client = try server.connect()
            #expect(try client.ask(id: 1, body: [1, 2]).body == [2])
        }
    }

    // As many peers with one byte of a frame each hold as much: the small ones lose it as well.
    @Test func takesMemoryBackFromManySmallStalledFrames() throws {
        var tuning = Server.Tuning()
        tuning.poolChunks = ServerLimits.minimumPoolChunks
        let service = TestService { .body([UInt8(truncatingIfNeeded: $0.body.count)]) }
        try TestServer.run(
            service: service, tuning: tuning,
            configure: {
                $0.requests.idleFrameTimeout = .seconds(60)
                $0.socket.maximumConnections = 2 * ServerLimits.minimumPoolChunks
            }
        ) { server in
            let hogs = try (0..<ServerLimits.minimumPoolChunks).map { _ in try server.connect() }
            for hog in hogs { try? hog.send([0]) }
            let client = try server.connect()
            for id in 0..<3 as Range<UInt32> { #expect(try client.ask(id: id, body: [1, 2]).body == [2]) }
            // On a busy machine this client can seem to have stalled itself.
            let body = [UInt8](repeating: 1, count: 900_001)
            #expect(Patience.until { (try? server.connect().ask(id: 9, body: body))?.body == [0xa1] })
        }
    }

    // More frames than the pool can hold at once: each gets its turn.
    @Test func sharesASmallPoolAmongLargeFrames() throws {
        var tuning = Server.Tuning()
        tuning.poolChunks = ServerLimits.minimumPoolChunks
        let service = TestService { .body([UInt8(truncatingIfNeeded: $0.body.count), $0.body.last ?? 0]) }
        try TestServer.run(service: service, tuning: tuning) { server in
            let clients = try (0..<6).map { index in
                let client = try server.connect()
                return try TestThread { () -> Bool in
                    let fill = UInt8(index + 1)
                    let body = [UInt8](repeating: fill, count: 900_001)
                    for id in 0..<4 as Range<UInt32> {
                        if (try? client.ask(id: id, body: body))?.body == [0xa1, fill] { continue }
                        // As above.
                        guard Patience.until({ (try? server.connect().ask(id: id, body: body))?.body == [0xa1, fill] }) else {
                            return false
                        }
                    }
                    return true
                }
            }
            for client in clients { #expect(client.value() == true) }
        }
    }

    @Test func refusesConnectionsPastTheLimitUntilItIsRaised() throws {
        var configuration = Configuration()
        try TestServer.run(configure: {
            $0.socket.maximumConnections = 2; configuration = $0
        }) { server in
            let clients = [try server.connect(), try server.connect()]
            for client in clients { #expect(try client.ask(id: 1).header.kind == .reply) }
            let refused = try server.connect()
            #expect(try refused.next().refusal == .busy)
            #expect(try refused.isAtEnd())
            configuration.socket.maximumConnections = 3
            server.server.reload(configuration)
            #expect(try server.connect().ask(id: 1).header.kind == .reply)
        }
    }

    @Test func closesAPeerThatCannotBeIdentified() throws {
        var tuning = Server.Tuning()
        tuning.identify = { _ throws(PeerIdentityError) in throw .socketOption("SO_PEERCRED", code: ENOPROTOOPT) }
        try TestServer.run(tuning: tuning) { server in
            let client = try server.connect()
            #expect(try client.isAtEnd())
        }
    }

    @Test func tellsTheServiceWhoTheCallerIs() throws {
        let seen = Mutex<Caller?>(nil)
        let service = TestService { request in
            seen.withLock { $0 = request.request.caller }
            return .echo
        }
        try TestServer.run(service: service) { server in
            _ = try server.connect().ask(id: 1)
            let caller = try #require(seen.withLock { $0 })
            #expect(caller.pid == getpid() && caller.uid == geteuid() && caller.gid == getegid())
        }
    }
}
