import ClavigerWire
import Glibc
import Synchronization
import Testing

@testable import ClavigerCore

/// What was taken back stays so: once a revoke or disable is acknowledged, no answer that rests on what was before is queued.
@Suite struct FenceTests {
    /// Has a worker do one request; what is refused is thrown.
    private static func send(_ instance: TestInstance, _ opcode: Opcode, _ message: some WireMessage) throws {
        let isDone = try instance.ask(opcode, message) { _ in true }
        #expect(isDone)
    }

    /// One worker's thread: asks without an end, and looks before each answer counts as queued whether it may.
    private static func flood(
        _ service: Service, _ frame: [UInt8], _ caller: Caller, _ acknowledged: Flag, _ counts: Counts
    ) throws {
        let worker = service.makeWorker(entersToken: true)
        var reply = [UInt8](repeating: 0, count: Limits.maximumReplySize)
        let header = try FrameHeader(frame.span.bytes)
        while counts.refusedAfter.load(ordering: .relaxed) < 20 {
            let length = frame.withUnsafeBytes { frame in
                reply.withUnsafeMutableBytes { reply in
                    worker.handle(
                        IncomingRequest(header: header, opcode: .wrap, caller: caller, deadline: .max), frame: frame,
                        reply: reply,
                        scheduling: Alone())
                }
            }
            // Between the return and `delivered` the server queues the answer.
            let isAfter = acknowledged.isSet.load(ordering: .sequentiallyConsistent)
            let isReply = reply[5] == FrameKind.reply.rawValue && length > 0
            // The item itself may hold the refusal.
            let isSuccess = isReply && reply[Limits.headerLength + 6 + 4 + 4 + 6 + 3] == 0
            if isSuccess { counts.successes.add(1, ordering: .relaxed) }
            if isAfter {
                if isSuccess { counts.late.add(1, ordering: .relaxed) } else { counts.refusedAfter.add(1, ordering: .relaxed) }
            }
            worker.delivered()
        }
    }

    private final class Counts: Sendable {
        let successes = Atomic(0)
        let late = Atomic(0)
        let refusedAfter = Atomic(0)
    }

    private struct Alone: RequestScheduling {
        var isAbandoned: Bool { false }
        func letOthersIn() {}
    }

    private final class Flag: Sendable { let isSet = Atomic(false) }

    /// Floods from several threads, takes something back, and says what was answered.
    private static func run(_ instance: TestInstance, _ key: KeyID, _ caller: Caller, takeBack: () throws -> Void) throws {
        let counts = Counts()
        let flag = Flag()
        let item = WrapItem(input: .given(ByteRange(offset: 0, count: 3)))
        var frame = [UInt8](repeating: 0, count: 4_096)
        let source: [UInt8] = [1, 2, 3]
        let length = try #require(
            frame.withUnsafeMutableBytes {
                FrameWriter.request(
                    WrapRequest(key: .id(key), items: [item]), opcode: .wrap, requestID: 1, source: source.span.bytes, into: $0)
            })
        let request = Array(frame.prefix(length))
        let service = try instance.service
        let threads = (0..<6).map { _ in
            Worker { try? flood(service, request, caller, flag, counts) }
        }
        while counts.successes.load(ordering: .relaxed) < 1_000 { sched_yield() }
        try takeBack()
        flag.isSet.store(true, ordering: .sequentiallyConsistent)
        for thread in threads { thread.join() }
        #expect(counts.late.load(ordering: .relaxed) == 0, "answers after the acknowledgement")
        #expect(counts.refusedAfter.load(ordering: .relaxed) >= 20)
    }

    static let stranger = Caller(pid: 1, uid: 61_001, gid: 61_001, groups: [], unit: nil, pidfdVerified: true)

    /// Lesson E10: unknown, forbidden and in another ring are refused in the same bytes after the same number of statements: none. An
    /// operation that is allowed shows that the count counts.
    @Test func denialsTakeTheSameSteps() async {
        await #expect(processExitsWith: .success) { try FenceTests.denials() }
    }

    private static func denials() throws {
        let instance = try TestInstance()
        try send(instance, .ringCreate, RingCreateRequest(id: "other", operation: OperationID(high: 1, low: 2)))
        var envelopes: [[UInt8]] = []
        for (number, name) in ["granted", "forbidden", "far"].enumerated() {
            var key = TestInstance.key(name)
            if name == "far" { key.ring = "other" }
            let made = try instance.perform(TestInstance.change(UInt64(number), .keyCreate, .create(key)))
            if name != "granted" { envelopes.append(try instance.wrap([1, 2, 3], made.id)) }
            guard name == "forbidden" else { continue }
            // The same envelope of a key that is not there.
            var absent = try #require(envelopes.last)
            let place = try #require(absent.indices.first { absent[$0...].starts(with: made.id.bytes) })
            absent.replaceSubrange(place..<place + 16, with: (RandomSource.identifier() as KeyID).bytes)
            envelopes.append(absent)
        }
        try send(
            instance, .accessGrant,
            AccessGrantRequest(
                subject: "user:61001", operation: OperationID(high: 1, low: 1), role: "Manager", scope: "key:granted"))
        let store = try instance.token.store
        var answers: Set<String> = []
        for reference in ["forbidden", "far", "absent", "6f1d3c5a-9b7e-4a02-8c41-d2e3f4a5b6c7"] {
            for opcode in [Opcode.keyShow, .keyVersions, .keyDisable, .keyRotate] {
                let before = try store.withConnection { connection throws(StoreError) in connection.statements }
                do {
                    if opcode == .keyShow || opcode == .keyVersions {
                        _ = try instance.ask(opcode, KeyShowRequest(key: KeyReference(reference)), as: stranger) { _ in true }
                    } else {
                        let message = KeyChangeRequest(key: KeyReference(reference), operation: RandomSource.identifier())
                        _ = try instance.ask(opcode, message, as: stranger) { _ in true }
                    }
                    Issue.record("\(opcode) of \(reference) is allowed")
                } catch let refusal as Refusal {
                    answers.insert("\(opcode) \(refusal)")
                }
                let after = try store.withConnection { connection throws(StoreError) in connection.statements }
                answers.insert("\(opcode) takes \(after - before)")
            }
        }
        // An envelope names its key by itself: another way to it, and the same steps.
        for envelope in envelopes {
            for opcode in [Opcode.unwrap, .rewrap] {
                let before = try store.withConnection { connection throws(StoreError) in connection.statements }
                let item = OpenItem(envelope: ByteRange(offset: 0, count: envelope.count))
                let code =
                    opcode == .unwrap
                    ? try instance.ask(opcode, UnwrapRequest(key: nil, items: [item]), source: envelope, as: stranger) {
                        try CipherReply.decode($0).items[0].code
                    }
                    : try instance.ask(opcode, RewrapRequest(key: nil, items: [item]), source: envelope, as: stranger) {
                        try CipherReply.decode($0).items[0].code
                    }
                let after = try store.withConnection { connection throws(StoreError) in connection.statements }
                answers.insert("\(opcode) \(code)")
                answers.insert("\(opcode) takes \(after - before)")
                #expect(code == RefusalCode.denied.rawValue)
            }
        }
        // One refusal and one count for each operation, whatever was named.
        #expect(answers.count == 12, "\(answers.sorted())")
        let before = try store.withConnection { connection throws(StoreError) in connection.statements }
        let message = KeyChangeRequest(key: .name("granted"), operation: RandomSource.identifier())
        #expect(try instance.ask(.keyDisable, message, as: stranger) { _ in true })
        #expect(try store.withConnection { connection throws(StoreError) in connection.statements } > before + 2)
    }

    @Test func noAnswerAfterARevoke() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            let key = try instance.perform(TestInstance.change(1, .keyCreate, .create(TestInstance.key("key")))).id
            for round in UInt64(0)..<5 {
                let id = OperationID(high: 9, low: 2 * round)
                try FenceTests.send(
                    instance, .accessGrant,
                    AccessGrantRequest(subject: "user:61001", operation: id, role: "Wrapper", scope: "key:key"))
                try FenceTests.run(instance, key, FenceTests.stranger) {
                    try FenceTests.send(
                        instance, .accessRevoke, AccessRevokeRequest(id: id, operation: OperationID(high: 9, low: 2 * round + 1)))
                }
            }
        }
    }

    @Test func noAnswerAfterADisable() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            for round in UInt64(0)..<5 {
                let key = try instance.perform(
                    TestInstance.change(round, .keyCreate, .create(TestInstance.key("key\(round)")))
                ).id
                try FenceTests.run(instance, key, TestInstance.root) {
                    try FenceTests.send(
                        instance, .keyDisable, KeyChangeRequest(key: .id(key), operation: OperationID(high: 8, low: round)))
                }
            }
        }
    }
}
