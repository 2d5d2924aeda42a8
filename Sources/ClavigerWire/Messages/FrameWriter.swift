/// Writes whole frames: header and body in one buffer.
public enum FrameWriter {
    /// Writes a request.
    ///
    /// - Parameters:
    ///   - message: the body.
    ///   - opcode: the operation whose request the message is.
    ///   - requestID: the client's number for it, which the answer repeats.
    ///   - deadline: in milliseconds from the reading of the frame; 0 for the server's default.
    ///   - source: what the message's ranges refer to.
    ///   - buffer: memory for the whole frame, owned and wiped by the caller.
    /// - Returns: the frame's length, nil when it does not fit the buffer.
    public static func request<Message: WireMessage>(
        _ message: Message, opcode: Opcode, requestID: UInt32, deadline: UInt32 = 0, source: RawSpan,
        into buffer: UnsafeMutableRawBufferPointer
    ) -> Int? {
        frame(message, .request, opcode.rawValue, requestID, deadline, source, buffer)
    }

    /// Writes a reply; parameters and result as for `request`.
    public static func reply<Message: WireMessage>(
        _ message: Message, opcode: Opcode, requestID: UInt32, source: RawSpan, into buffer: UnsafeMutableRawBufferPointer
    ) -> Int? {
        frame(message, .reply, opcode.rawValue, requestID, 0, source, buffer)
    }

    /// The bytes of a refusal. A message too long is cut, so that there is always an answer.
    public static func refusal(_ refusal: Refusal, opcode: UInt16, requestID: UInt32) -> [UInt8] {
        var cut = refusal
        if cut.message.unicodeScalars.count > Limits.maximumMessage {
            cut.message = String(String.UnicodeScalarView(cut.message.unicodeScalars.prefix(Limits.maximumMessage)))
        }
        let body = RefusalBody(cut)
        let capacity = Limits.headerLength + 32 + cut.message.utf8.count
        return [UInt8](unsafeUninitializedCapacity: capacity) { storage, count in
            let buffer = UnsafeMutableRawBufferPointer(storage)
            count = frame(body, .refusal, opcode, requestID, cut.code.rawValue, RawSpan(), buffer) ?? 0
        }
    }

    private static func frame<Message: WireMessage>(
        _ message: Message, _ kind: FrameKind, _ opcode: UInt16, _ requestID: UInt32, _ detail: UInt32, _ source: RawSpan,
        _ buffer: UnsafeMutableRawBufferPointer
    ) -> Int? {
        guard buffer.count >= Limits.headerLength else { return nil }
        let room = min(buffer.count, Limits.maximumFrameSize) - Limits.headerLength
        let bodyBuffer = UnsafeMutableRawBufferPointer(rebasing: buffer[Limits.headerLength..<Limits.headerLength + room])
        var writer = BodyWriter(bodyBuffer)
        message.encode(to: &writer, source: source)
        guard writer.isComplete else { return nil }
        FrameHeader(bodyLength: writer.count, kind: kind, opcode: opcode, requestID: requestID, detail: detail).write(to: buffer)
        return Limits.headerLength + writer.count
    }
}
