import ClavigerCore
import ClavigerWire
import Glibc
import Synchronization

@testable import ClavigerServer

/// What the test service is asked.
struct TestRequest {
    let request: IncomingRequest
    let body: UnsafeRawBufferPointer
    let scheduling: any RequestScheduling
    let isReservedWorker: Bool
}

/// What the test service answers.
enum TestAnswer {
    /// The request's body.
    case echo
    /// A body of so many bytes of `fill`; large ones only for requests that the reserved worker never does.
    case filler(Int, UInt8)
    /// These bytes as the body.
    case body([UInt8])
    case refusal(Refusal)
}

/// A service that answers what a closure says. It writes replies like the real one: from the beginning of the buffer.
final class TestService: RequestHandler {
    private let answer: @Sendable (TestRequest) -> TestAnswer
    private let disk: (@Sendable (UInt64) -> Refusal?)?
    private let isFlushed: Bool
    private let durable: Range<UInt64>
    let heldAnswers = AnswerFence.Held()
    /// The records in the order in which their answers were about to leave.
    let secured = Mutex<[UInt64]>([])
    // What came of the records that somebody waited for.
    private let settled = Mutex<[UInt64: Refusal?]>([:])

    /// A service that keeps no records.
    init(_ answer: @escaping @Sendable (TestRequest) -> TestAnswer = { _ in .echo }) {
        self.answer = answer
        disk = nil
        isFlushed = true
        durable = 0..<0
    }

    /// A service whose records, by the numbers of the requests, `disk` makes durable, or only puts into the file; those in `durable`
    /// are so already.
    init(
        disk: @escaping @Sendable (UInt64) -> Refusal?, isFlushed: Bool = true,
        durable: Range<UInt64> = 0..<0,
        _ answer: @escaping @Sendable (TestRequest) -> TestAnswer = { _ in .echo }
    ) {
        self.answer = answer
        self.disk = disk
        self.isFlushed = isFlushed
        self.durable = durable
    }

    func secure(_ ticket: RecordTicket, of opcode: Opcode?) -> Refusal? {
        secured.withLock { $0.append(ticket.sequence) }
        if case .some(let result) = settled.withLock({ $0[ticket.sequence] }) { return result }
        return disk?(ticket.sequence)
    }

    func isSettled(_ ticket: RecordTicket) -> Bool {
        !ticket.isFlushed || durable.contains(ticket.sequence) || settled.withLock { $0[ticket.sequence] != nil }
    }

    func settle(_ ticket: RecordTicket) {
        let result = disk?(ticket.sequence)
        settled.withLock { $0[ticket.sequence] = .some(result) }
    }

    /// Makes records durable, whatever `disk` does.
    func settle(_ numbers: ClosedRange<UInt64>) {
        settled.withLock { for number in numbers { $0[number] = .some(nil) } }
    }

    func makeWorker(entersToken: Bool) -> any RequestWorker {
        Worker(answer: answer, entersToken: entersToken, records: disk.map { _ in isFlushed })
    }

    private final class Worker: RequestWorker {
        let answer: @Sendable (TestRequest) -> TestAnswer
        let entersToken: Bool
        // Whether the records that it keeps are flushed; nil when it keeps none.
        let records: Bool?

        init(answer: @escaping @Sendable (TestRequest) -> TestAnswer, entersToken: Bool, records: Bool?) {
            self.answer = answer
            self.entersToken = entersToken
            self.records = records
        }

        func delivered() {}

        func handle(
            _ request: IncomingRequest, frame: UnsafeRawBufferPointer, reply: UnsafeMutableRawBufferPointer,
            scheduling: any RequestScheduling
        ) -> Int {
            precondition(entersToken || !request.opcode.entry.usesToken, "the reserved worker was given a token request")
            let body = UnsafeRawBufferPointer(rebasing: frame[Limits.headerLength...])
            let asked = TestRequest(
                request: request, body: body, scheduling: scheduling, isReservedWorker: !entersToken)
            let target = UnsafeMutableRawBufferPointer(rebasing: reply[Limits.headerLength...])
            let count: Int
            defer {
                if let records {
                    let number = UInt64(request.header.requestID)
                    _ = scheduling.hold(until: RecordTicket(sequence: number, epoch: 0, isFlushed: records))
                }
            }
            switch answer(asked) {
            case .echo:
                target.copyMemory(from: body)
                count = body.count
            case .filler(let length, let fill):
                UnsafeMutableRawBufferPointer(rebasing: target[..<length]).initializeMemory(as: UInt8.self, repeating: fill)
                count = length
            case .body(let bytes):
                target.copyBytes(from: bytes)
                count = bytes.count
            case .refusal(let refusal):
                // What a service may leave behind when it gives up half-way.
                target.initializeMemory(as: UInt8.self, repeating: 0xee)
                let bytes = FrameWriter.refusal(refusal, opcode: request.header.opcode, requestID: request.header.requestID)
                reply.copyBytes(from: bytes)
                return bytes.count
            }
            FrameHeader(
                bodyLength: count, kind: .reply, opcode: request.header.opcode, requestID: request.header.requestID, detail: 0
            ).write(to: reply)
            return Limits.headerLength + count
        }
    }
}

/// A door that requests wait at until the test opens it.
final class Gate: Sendable {
    private let open = Atomic(0)
    private let waiting = Atomic(0)

    /// How many have come to the door so far.
    var arrived: Int { waiting.load(ordering: .acquiring) }

    /// Waits until the door was opened at least `times` times.
    func wait(times: Int = 1) {
        waiting.add(1, ordering: .acquiringAndReleasing)
        let end = MonotonicClock.now() + Patience.nanoseconds
        while open.load(ordering: .acquiring) < times, MonotonicClock.now() < end { usleep(200) }
    }

    func letIn() { open.add(1, ordering: .acquiringAndReleasing) }
}

/// How long tests wait for what must happen: only hangs take as long.
enum Patience {
    static let seconds = 20
    static let nanoseconds = UInt64(seconds) * 1_000_000_000

    /// Whether `condition` becomes true.
    static func until(_ condition: () -> Bool) -> Bool {
        let end = MonotonicClock.now() + nanoseconds
        while !condition() {
            if MonotonicClock.now() > end { return false }
            usleep(200)
        }
        return true
    }
}
