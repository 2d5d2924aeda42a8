import ClavigerCore
import ClavigerWire

/// What can be told of a request without decoding it. Nothing is checked here: whoever does the request refuses what is malformed.
enum RequestShape {
    /// Whether `frame`, a whole frame of `opcode`, may be let in between the items of a batch: a token request of at most one item that
    /// fits a guest's buffer.
    ///
    /// Its reply then fits ``ServerLimits/smallReply``, as `RequestWorker.handle` promises. The frame's length alone says nothing of
    /// the kind: 256 items that each ask for a new DEK take 4 KiB, and their reply 70 KiB.
    static func isGuest(_ frame: UnsafeRawBufferPointer, opcode: Opcode) -> Bool {
        frame.count <= ServerLimits.guestFrame && carriesItems(opcode) && (items(frame) ?? .max) <= 1
    }

    /// How many bytes the reply to `frame` may take of a buffer of `available`.
    static func replyRoom(_ frame: UnsafeRawBufferPointer, opcode: Opcode, available: Int) -> Int {
        // Small requests get a small buffer, because the whole of it is wiped after a refusal.
        isGuest(frame, opcode: opcode) ? min(available, ServerLimits.smallReply) : available
    }

    /// About how many bytes the reply to `frame` has at most.
    static func expectedReply(_ frame: UnsafeRawBufferPointer, opcode: Opcode, caller: Caller) -> Int {
        if carriesItems(opcode) {
            // An item's numbers, key and a generated DEK, or its message, stay below 512 bytes; what it was given comes back at most
            // twice, opened and made anew. A body in which no items are found is refused.
            return min(Limits.maximumReplySize, 512 + 2 * frame.count + min(items(frame) ?? 1, Limits.maximumItems) * 512)
        }
        // A group is a list item of 14 bytes; a grant has a line of a thousand characters at most.
        if opcode == .whoami { return 16_384 + caller.groups.count * 14 }
        let entry = opcode.entry
        guard entry.isManagement else { return 4_096 }
        let isPage = entry.reply.contains { field in if case .list = field.kind { true } else { false } }
        return isPage ? Limits.maximumReplySize : recordReply
    }

    /// A key's record with the longest name and description, and as many tags and aliases as a message can hold, takes 20 KiB; what
    /// a standard key keeps is smaller.
    private static let recordReply = 24 << 10

    private static func carriesItems(_ opcode: Opcode) -> Bool { opcode == .wrap || opcode == .unwrap || opcode == .rewrap }

    /// The count that the list in field 2 (the items of wrap, unwrap and rewrap) begins with; nil when it cannot be found.
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
