import ClavigerWire
import Logging
import SecureMemory

/// One worker's part of the service: the choke point, and the session that the worker uses.
final class ServiceWorker: RequestWorker {
    let service: Service
    // Made when a request first needs the token, so that the reserved worker never has one.
    private var tokenSession: TokenSession?

    init(service: Service) { self.service = service }

    func handle(
        _ request: IncomingRequest, frame: UnsafeRawBufferPointer, reply: UnsafeMutableRawBufferPointer,
        scheduling: any RequestScheduling
    ) -> Int {
        var record = RequestRecord(request)
        let answer = Answer(request: request, buffer: reply)
        let outcome: Result<Int, Refusal>
        do throws(Refusal) {
            // Authorise: nothing of the body is even looked at before.
            guard service.authoriser.allows(request.opcode.entry.permission, to: request.caller) else {
                throw Refusal(.denied)
            }
            outcome = .success(
                try perform(request, UnsafeRawBufferPointer(rebasing: frame[Limits.headerLength...]), answer, scheduling, &record)
            )
        } catch {
            outcome = .failure(error)
        }
        switch outcome {
        case .success(let length):
            keep(record, nil)
            return length
        case .failure(let refusal):
            keep(record, refusal)
            return answer.refuse(refusal)
        }
    }

    /// Records the request, before its answer can leave.
    private func keep(_ record: RequestRecord, _ refusal: Refusal?) {
        switch record.request.opcode {
        case .ping, .health, .status, .whoami:
            if refusal != nil { record.write(outcome: refusal) }
        case .wrap, .unwrap, .rewrap, .tokenStatus, .keyList, .keyShow, .keyVersions:
            if service.isRecording { record.write(outcome: refusal) }
        case .unlock, .keyCreate, .keyRotate:
            record.write(outcome: refusal)
        }
    }

    private func perform(
        _ request: IncomingRequest, _ body: UnsafeRawBufferPointer, _ answer: Answer, _ scheduling: any RequestScheduling,
        _ record: inout RequestRecord
    ) throws(Refusal) -> Int {
        switch request.opcode {
        case .ping:
            _ = try EmptyMessage.decode(body.bytes)
            return try answer.reply(EmptyMessage())
        case .health:
            _ = try EmptyMessage.decode(body.bytes)
            return try answer.reply(service.health)
        case .status:
            _ = try EmptyMessage.decode(body.bytes)
            return try answer.reply(try status())
        case .whoami:
            _ = try EmptyMessage.decode(body.bytes)
            return try answer.reply(whoami(request.caller))
        case .wrap: return try wrap(body, answer, scheduling, &record)
        case .unwrap: return try unwrap(body, request.caller, answer, scheduling, &record)
        case .rewrap: return try rewrap(body, answer, scheduling, &record)
        case .unlock: return try unlock(body, answer)
        case .tokenStatus:
            _ = try EmptyMessage.decode(body.bytes)
            return try answer.reply(try service.token.describe())
        case .keyCreate: return try createKey(body, request, answer, &record)
        case .keyList: return try listKeys(body, answer)
        case .keyShow: return try showKey(body, answer, &record)
        case .keyVersions: return try listVersions(body, answer, &record)
        case .keyRotate: return try rotateKey(body, request, answer, &record)
        }
    }

    /// Runs `body` with the token: state checked, snapshot and session of one generation.
    func withToken<R>(_ body: (Snapshot, TokenSession) throws(Refusal) -> R) throws(Refusal) -> R {
        let session: TokenSession
        if let known = tokenSession {
            session = known
        } else {
            session = try mapping({ (_: SecureMemoryError) in
                Refusal(.internalError, "memory for secrets cannot be locked: raise LimitMEMLOCK")
            }) { () throws(SecureMemoryError) in try TokenSession() }
            tokenSession = session
        }
        let snapshot = try service.token.enter(session)
        defer { service.token.leave(session) }
        return try body(snapshot, session)
    }
}

/// Writes the answer to one request.
struct Answer {
    let request: IncomingRequest
    let buffer: UnsafeMutableRawBufferPointer

    /// Writes a reply that holds no ranges of other bytes.
    func reply(_ message: some WireMessage) throws(Refusal) -> Int {
        let length = FrameWriter.reply(
            message, opcode: request.opcode, requestID: request.header.requestID, source: RawSpan(), into: buffer)
        guard let length else { throw Refusal(.internalError, "the answer does not fit a frame") }
        return length
    }

    /// The memory for a body that is written piece by piece.
    var body: UnsafeMutableRawBufferPointer { UnsafeMutableRawBufferPointer(rebasing: buffer[Limits.headerLength...]) }

    /// Finishes a reply whose body of `count` bytes has been written to `body`.
    func finish(bodyLength count: Int) -> Int {
        FrameHeader(
            bodyLength: count, kind: .reply, opcode: request.opcode.rawValue, requestID: request.header.requestID, detail: 0
        ).write(to: buffer)
        return Limits.headerLength + count
    }

    /// Writes a refusal in place of whatever was written.
    func refuse(_ refusal: Refusal) -> Int {
        let bytes = FrameWriter.refusal(refusal, opcode: request.opcode.rawValue, requestID: request.header.requestID)
        buffer.copyBytes(from: bytes)
        return bytes.count
    }
}
