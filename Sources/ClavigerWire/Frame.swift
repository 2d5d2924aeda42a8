/// What a frame is.
public enum FrameKind: UInt8, CaseIterable, Sendable {
    case request = 0
    case reply = 1
    case refusal = 2
    /// Reserved: a server may send events later, and clients ignore those they do not know.
    case event = 3
}

/// The 16 bytes before every body. All integers are big-endian.
public struct FrameHeader: Equatable, Sendable {
    /// The body's length in bytes.
    public var bodyLength: Int
    /// What the frame is.
    public var kind: FrameKind
    /// The operation, as a number: a reply to an unknown opcode repeats it.
    public var opcode: UInt16
    /// The client's number for the request; replies repeat it.
    public var requestID: UInt32
    /// In a request the deadline in milliseconds from the reading of the frame, 0 for the server's default; in a reply 0; in a
    /// refusal its code.
    public var detail: UInt32

    /// A header of these values.
    public init(bodyLength: Int, kind: FrameKind, opcode: UInt16, requestID: UInt32, detail: UInt32) {
        self.bodyLength = bodyLength
        self.kind = kind
        self.opcode = opcode
        self.requestID = requestID
        self.detail = detail
    }

    /// The whole frame's length in bytes.
    public var frameLength: Int { Limits.headerLength + bodyLength }

    /// The length of the whole frame whose first four bytes are given.
    ///
    /// - Throws: `frameLength` when the length field is outside its bounds; the stream cannot be followed any further.
    public static func frameLength(_ prefix: RawSpan) throws(Refusal) -> Int {
        let length = Int(prefix.bigEndian32(at: 0))
        guard length >= Limits.minimumFrameLength, length <= Limits.maximumFrameLength else { throw Refusal(.frameLength) }
        return length + 4
    }

    /// The header in the first 16 bytes of `bytes`, which must hold at least that many.
    ///
    /// - Throws: `frameLength`, `unsupportedVersion` or `invalidKind`; after each the connection ends, since nothing that
    ///   follows can be trusted to mean what it seems to.
    public init(_ bytes: RawSpan) throws(Refusal) {
        let frameLength = try FrameHeader.frameLength(bytes)
        guard bytes.byte(at: 4) == Limits.protocolVersion else { throw Refusal(.unsupportedVersion) }
        guard let kind = FrameKind(rawValue: bytes.byte(at: 5)) else { throw Refusal(.invalidKind) }
        self.init(
            bodyLength: frameLength - Limits.headerLength, kind: kind, opcode: bytes.bigEndian16(at: 6),
            requestID: bytes.bigEndian32(at: 8), detail: bytes.bigEndian32(at: 12))
    }

    /// Opcode and request id of a frame whose header did not parse, so that the refusal can name them.
    public static func salvage(_ bytes: RawSpan) -> (opcode: UInt16, requestID: UInt32) {
        guard bytes.byteCount >= Limits.headerLength else { return (0, 0) }
        return (bytes.bigEndian16(at: 6), bytes.bigEndian32(at: 8))
    }

    /// Writes the 16 bytes to the beginning of `buffer`, which must hold at least that many.
    public func write(to buffer: UnsafeMutableRawBufferPointer) {
        precondition(buffer.count >= Limits.headerLength && bodyLength >= 0 && bodyLength <= Limits.maximumBodyLength)
        buffer.storeBigEndian(UInt32(bodyLength + Limits.minimumFrameLength), at: 0)
        buffer[4] = Limits.protocolVersion
        buffer[5] = kind.rawValue
        buffer.storeBigEndian(opcode, at: 6)
        buffer.storeBigEndian(requestID, at: 8)
        buffer.storeBigEndian(detail, at: 12)
    }
}

extension UnsafeMutableRawBufferPointer {
    func storeBigEndian<Value: FixedWidthInteger>(_ value: Value, at offset: Int) {
        storeBytes(of: value.bigEndian, toByteOffset: offset, as: Value.self)
    }
}
