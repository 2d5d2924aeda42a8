import ClavigerWire

/// Which requests may be let in between the items of a batch: those that need little time and little memory.
enum GuestRule {
    /// Whether `frame`, a whole frame of `opcode`, is small: a token request of at most one item that fits a guest's buffer.
    ///
    /// Its reply then fits ``ServerLimits/smallReply``, as `RequestWorker.handle` promises. The frame's length alone says nothing of
    /// the kind: 256 items that each ask for a new DEK take 4 KiB, and their reply 70 KiB.
    static func admits(_ frame: UnsafeRawBufferPointer, opcode: Opcode) -> Bool {
        frame.count <= ServerLimits.guestFrame && carriesItems(opcode) && (items(frame) ?? .max) <= 1
    }

    /// How many bytes the reply to `frame` may take of a buffer of `available`.
    static func replyRoom(_ frame: UnsafeRawBufferPointer, opcode: Opcode, available: Int) -> Int {
        // Small requests get a small buffer, because the whole of it is wiped after a refusal.
        admits(frame, opcode: opcode) ? min(available, ServerLimits.smallReply) : available
    }

    private static func carriesItems(_ opcode: Opcode) -> Bool {
        switch opcode {
        case .wrap, .unwrap, .rewrap: true
        case .ping, .health, .status, .whoami, .unlock, .tokenStatus, .keyCreate, .keyList, .keyShow, .keyVersions, .keyRotate:
            false
        }
    }

    /// The count that the list in field 2 (the items of wrap, unwrap and rewrap) begins with; nil when it cannot be found. Nothing is
    /// checked here: whoever does the request refuses what is malformed.
    private static func items(_ frame: UnsafeRawBufferPointer) -> Int? {
        var position = Limits.headerLength
        while frame.count - position >= 6 {
            let tag = Int(frame[position]) << 8 | Int(frame[position + 1])
            let length = word(frame, position + 2)
            position += 6
            guard length <= frame.count - position else { return nil }
            if tag == 2 { return length >= 4 ? word(frame, position) : nil }
            position += length
        }
        return nil
    }

    private static func word(_ bytes: UnsafeRawBufferPointer, _ offset: Int) -> Int {
        (0..<4).reduce(0) { $0 << 8 | Int(bytes[offset + $1]) }
    }
}
