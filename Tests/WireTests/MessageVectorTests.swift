import ClavigerWire
import Testing

/// The golden vectors: every message of every opcode, every refusal, and the reserved event, as checked-in bytes.
@Suite struct MessageVectorTests {
    static let messages = Result { try Checkout.vectors("messages") }
    static let refusals = Result { try Checkout.vectors("refusals") }

    @Test(arguments: try messages.get())
    func messageHasTheHeaderItShows(_ vector: Vector) throws {
        let header = try vector.frameHeader
        let opcode = try #require(Opcode(rawValue: header.opcode))
        #expect(header.frameLength == vector.frame.count)
        #expect(vector["opcode"] == "0x\(hex(bigEndian(opcode.rawValue))) \(opcode.entry.name)")
        #expect(vector["kind"] == (header.kind == .request ? "request" : "reply"))
        #expect(vector["request-id"] == String(header.requestID))
        #expect(vector["detail"] == String(header.detail))
        #expect(vector["name"] == vector.file)
    }

    @Test(arguments: try messages.get())
    func messageHasTheFieldsItShows(_ vector: Vector) throws {
        let header = try vector.frameHeader
        let opcode = try #require(Opcode(rawValue: header.opcode))
        #expect(ReadableFields.lines(vector.body[...], entries(opcode, header.kind)) == vector.fields)
    }

    @Test(arguments: try messages.get())
    func messageDecodesToWhatItMeansAndBack(_ vector: Vector) throws {
        let expected = try #require(try ExpectedMessages.message(vector), "no expectation is written for \(vector.file)")
        let header = try vector.frameHeader
        let opcode = try #require(Opcode(rawValue: header.opcode))
        #expect(type(of: expected) == messageType(opcode, header.kind))
        try compare(expected, with: vector, opcode: opcode, header: header)
    }

    private func compare<Message: WireMessage>(
        _ expected: Message, with vector: Vector, opcode: Opcode, header: FrameHeader
    ) throws {
        let source = vector.frame.span.bytes
        let body = ByteRange(offset: Limits.headerLength, count: header.bodyLength)
        #expect(try Message.decode(source, body) == expected)
        var buffer = [UInt8](repeating: 0, count: vector.frame.count)
        let length = buffer.withUnsafeMutableBytes { buffer in
            header.kind == .request
                ? FrameWriter.request(
                    expected, opcode: opcode, requestID: header.requestID, deadline: header.detail, source: source,
                    into: buffer)
                : FrameWriter.reply(expected, opcode: opcode, requestID: header.requestID, source: source, into: buffer)
        }
        #expect(length == vector.frame.count)
        #expect(buffer == vector.frame)
        // One byte less, and the writer says so instead of cutting.
        let short = buffer.withUnsafeMutableBytes { buffer in
            FrameWriter.reply(
                expected, opcode: opcode, requestID: 1, source: source,
                into: UnsafeMutableRawBufferPointer(rebasing: buffer.dropLast()))
        }
        #expect(short == nil)
    }

    @Test(arguments: Opcode.allCases)
    func opcodeHasVectors(_ opcode: Opcode) throws {
        let headers = try Self.messages.get().map { try $0.frameHeader }.filter { $0.opcode == opcode.rawValue }
        #expect(headers.contains { $0.kind == .request })
        #expect(headers.contains { $0.kind == .reply })
    }

    /// Opcodes that share a message (wrap's reply is unwrap's) share its vectors.
    @Test func everyFieldStandsInAVector() throws {
        let shown = try Self.messages.get().map { vector in
            let header = try vector.frameHeader
            let opcode = try #require(Opcode(rawValue: header.opcode))
            return (type: ObjectIdentifier(messageType(opcode, header.kind)), fields: vector.fields)
        }
        for opcode in Opcode.allCases {
            for kind in [FrameKind.request, .reply] {
                let type = ObjectIdentifier(messageType(opcode, kind))
                for name in names(entries(opcode, kind)) {
                    let stands = shown.contains { $0.type == type && $0.fields.contains(" \(name) ") }
                    #expect(stands, "field \(name) of \(opcode.entry.name) stands in no vector")
                }
            }
        }
    }

    private func names(_ entries: [FieldEntry]) -> [String] {
        entries.flatMap { entry in
            if case .list(_, let items) = entry.kind { return [entry.name] + names(items) }
            return [entry.name]
        }
    }

    @Test(arguments: RefusalCode.allCases)
    func refusalHasAVector(_ code: RefusalCode) throws {
        let vector = try Checkout.vector("refusals", "refusal-" + code.name)
        let header = try vector.frameHeader
        #expect(header.kind == .refusal)
        #expect(header.detail == code.rawValue)
        #expect(header.frameLength == vector.frame.count)
        #expect(vector["detail"] == String(header.detail))
        #expect(vector["request-id"] == String(header.requestID))
        #expect(vector["opcode"].hasPrefix("0x\(hex(bigEndian(header.opcode)))"))
        #expect(ReadableFields.lines(vector.body[...], Schema.refusal) == vector.fields)

        let body = try RefusalBody.decode(
            vector.frame.span.bytes, ByteRange(offset: Limits.headerLength, count: header.bodyLength))
        #expect(body.message == code.entry.message)
        #expect(body.retryAfter == ([.busy, .tokenUnavailable].contains(code) ? 250 : nil))
        let refusal = Refusal(code, body.message, retryAfter: body.retryAfter)
        #expect(FrameWriter.refusal(refusal, opcode: header.opcode, requestID: header.requestID) == vector.frame)
    }

    @Test func noRefusalVectorIsOfAnUnknownCode() throws {
        #expect(try Self.refusals.get().count == RefusalCode.allCases.count)
    }

    @Test func reservedEventParses() throws {
        let vector = try Checkout.vector("events", "event-unknown")
        let header = try vector.frameHeader
        #expect(header.kind == .event)
        #expect(header.frameLength == vector.frame.count)
        #expect(ReadableFields.lines(vector.body[...], []) == vector.fields)
        #expect(code(EmptyMessage.self, vector.body) == nil)
    }

    @Test func namesAndNumbersAreUnique() {
        #expect(Set(Opcode.allCases.map(\.entry.name)).count == Opcode.allCases.count)
        #expect(Set(RefusalCode.allCases.map(\.name)).count == RefusalCode.allCases.count)
        #expect(Set(DaemonState.allCases.map(\.name)).count == DaemonState.allCases.count)
        #expect(Set(KeyState.allCases.map(\.name)).count == KeyState.allCases.count)
    }
}
