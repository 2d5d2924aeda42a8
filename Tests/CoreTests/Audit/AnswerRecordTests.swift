import ClavigerWire
import Synchronization
import Testing

@testable import ClavigerCore

/// What a refused question waits for before it is answered: it gives nothing away, and still its record comes first.
@Suite struct AnswerRecordTests {
    /// Takes on what is offered, as the server does.
    private final class Scheduling: RequestScheduling {
        let mayWrite: Bool
        let tickets = Mutex<[RecordTicket]>([])

        init(mayWrite: Bool) { self.mayWrite = mayWrite }

        var isAbandoned: Bool { false }
        func letOthersIn() {}
        func hold(until ticket: RecordTicket) -> Bool {
            tickets.withLock { $0.append(ticket) }
            return true
        }
    }

    @Test func aRefusedQuestionWaitsForTheFlush() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance(durability: "fsync")
            for mayWrite in [false, true] { try AnswerRecordTests.ask(instance, mayWrite, isHeld: true, isFlushed: true) }
        }
    }

    @Test func aRefusedQuestionIsInTheFile() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance(durability: "buffered")
            try AnswerRecordTests.ask(instance, false, isHeld: true, isFlushed: false)
            // A worker that may writes it itself.
            try AnswerRecordTests.ask(instance, true, isHeld: false, isFlushed: false)
        }
    }

    private static func ask(_ instance: TestInstance, _ mayWrite: Bool, isHeld: Bool, isFlushed: Bool) throws {
        let service = try instance.service
        let audit = try #require(service.audit)
        let scheduling = Scheduling(mayWrite: mayWrite)
        let worker = service.makeWorker(entersToken: mayWrite)
        // A body where none belongs. Another question each time: like refusals of one second are one record.
        let opcode: Opcode = mayWrite ? .health : .ping
        var frame = [UInt8](repeating: 0, count: 1_024)
        var reply = [UInt8](repeating: 0, count: Limits.maximumReplySize)
        let message = KeyShowRequest(key: KeyReference("none"))
        let source: [UInt8] = []
        let length = try #require(
            frame.withUnsafeMutableBytes {
                FrameWriter.request(message, opcode: opcode, requestID: 1, source: source.span.bytes, into: $0)
            })
        let header = try FrameHeader(frame.span.bytes)
        let request = IncomingRequest(header: header, opcode: opcode, caller: TestInstance.root, deadline: .max)
        let before = audit.log.condition.position.sequence
        _ = frame.withUnsafeBytes { frame in
            reply.withUnsafeMutableBytes {
                let whole = UnsafeRawBufferPointer(rebasing: frame[..<length])
                return worker.handle(request, frame: whole, reply: $0, scheduling: scheduling)
            }
        }
        #expect(try FrameHeader(reply.span.bytes).detail == RefusalCode.unknownField.rawValue)
        let after = audit.log.condition.position.sequence
        #expect(after - before == (isHeld ? 0 : 1))
        let tickets = scheduling.tickets.withLock { $0 }
        #expect(tickets.count == (isHeld ? 1 : 0) && tickets.allSatisfy { $0.isFlushed == isFlushed })
        for ticket in tickets {
            #expect(audit.secure(ticket) == nil)
            #expect(audit.log.condition.position.sequence == ticket.sequence && ticket.sequence == before + 1)
        }
        worker.delivered()
    }
}
