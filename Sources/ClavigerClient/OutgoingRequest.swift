import ClavigerWire

/// A request, encoded once; each attempt stamps its number and what is left of the deadline into the header, so that a retry has
/// the same body and the same operation id.
struct OutgoingRequest: Sendable {
    let opcode: Opcode
    /// How many items it carries, 0 where its operation has none.
    let items: Int
    let buffer: FrameBuffer

    /// Encodes `message`, whose ranges refer to `source`.
    init<Message: WireMessage>(
        _ opcode: Opcode, _ message: Message, source: RawSpan = RawSpan(), items: Int = 0, text: String = ""
    ) throws(ClientError) {
        self.opcode = opcode
        self.items = items
        // Room for the header, the fields' tags and lengths, ids and numbers, beside what the source and the text hold.
        let estimate = 256 + 64 * items + source.byteCount + text.utf8.count
        guard estimate <= Limits.maximumFrameSize else { throw .refused(ServerRefusal(Refusal(.frameLength))) }
        var capacity = estimate
        while true {
            let buffer = try FrameBuffer(capacity: capacity)
            let length = buffer.withMutableBytes { bytes in
                FrameWriter.request(message, opcode: opcode, requestID: 0, source: source, into: bytes)
            }
            if let length {
                buffer.count = length
                self.buffer = buffer
                return
            }
            // Texts and lists of texts are not in the estimate: few requests have any, and writing twice is cheap.
            guard capacity < Limits.maximumFrameSize else { throw .refused(ServerRefusal(Refusal(.frameLength))) }
            capacity = min(2 * buffer.capacity, Limits.maximumFrameSize)
        }
    }

    /// Writes the attempt's number and deadline (milliseconds) into the header.
    func stamp(requestID: UInt32, deadline: UInt32) {
        let header = FrameHeader(
            bodyLength: buffer.count - Limits.headerLength, kind: .request, opcode: opcode.rawValue, requestID: requestID,
            detail: deadline)
        buffer.withMutableBytes { header.write(to: $0) }
    }
}

/// The bytes that a request's ranges refer to, gathered in locked memory.
struct RequestSource {
    let buffer: FrameBuffer

    /// Room for `capacity` bytes; more than a frame holds is refused as the daemon would refuse it.
    init(capacity: Int) throws(ClientError) {
        guard capacity <= Limits.maximumFrameSize else { throw .refused(ServerRefusal(Refusal(.frameLength))) }
        buffer = try FrameBuffer(capacity: capacity)
    }

    /// A copy of `bytes`.
    func add(_ bytes: RawSpan) -> ByteRange { buffer.append(bytes) }

    /// A copy of an encoded context; nil for the empty one, which is left out.
    func add(context: [UInt8]) -> ByteRange? {
        context == Context.empty ? nil : buffer.append(context.span.bytes)
    }
}

/// The encoding of a context's strings.
func encodeContext(_ strings: [String]) throws(ClientError) -> [UInt8] {
    do throws(Refusal) {
        return try Context.encode(strings)
    } catch {
        throw .refused(ServerRefusal(error))
    }
}
