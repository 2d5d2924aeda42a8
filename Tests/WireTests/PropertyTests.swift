import ClavigerWire
import Testing

/// What must hold for any bytes: reading gives a message or a refusal, never a trap; and a message written is the message read.
@Suite struct PropertyTests {
    #if DEBUG
        static let fuzzedBodies = 4_000
    #else
        static let fuzzedBodies = 100_000
    #endif

    static let types: [any WireMessage.Type] = {
        let all = Opcode.allCases.flatMap { [messageType($0, .request), messageType($0, .reply)] } + [RefusalBody.self]
        var seen: Set<ObjectIdentifier> = []
        return all.filter { seen.insert(ObjectIdentifier($0)).inserted }
    }()

    /// Reads `body`; what was read is written and read again, and must be the same.
    private func isStable(_ type: any WireMessage.Type, _ body: [UInt8]) -> Bool {
        guard let once = try? reencode(type, body: body) else { return true }
        guard let twice = try? reencode(type, body: once) else { return false }
        return once == twice && once.count <= body.count + 64
    }

    // MARK: random messages

    @Test(arguments: types.indices, 0..<8)
    func randomMessagesComeBack(_ index: Int, _ seed: Int) throws {
        let type = Self.types[index]
        var random = RandomBody(seed: UInt64(index * 1_000 + seed))
        for _ in 0..<25 {
            let body = random.body(type.schema, of: type)
            let back = try reencode(type, body: body)
            #expect(back == body, "\(type): \(hex(body))")
            // The same with fields that a later version might add, in the body itself.
            let later = body + field(0xfffe, [1]) + field(0xffff, random.random.bytes(3))
            #expect(try reencode(type, body: later) == body)
        }
    }

    // MARK: mutations of the vectors

    private static let frames = Result { try Checkout.vectors("messages") + Checkout.vectors("refusals") }

    private func type(of header: FrameHeader) -> any WireMessage.Type {
        guard header.kind != .refusal, let opcode = Opcode(rawValue: header.opcode) else { return RefusalBody.self }
        return messageType(opcode, header.kind)
    }

    /// Reads a frame as a receiver does: header, then the body that it announces, if it is all there.
    private func receive(_ frame: [UInt8]) -> Bool {
        guard frame.count >= Limits.headerLength, let header = try? FrameHeader(frame.span.bytes) else { return true }
        guard header.frameLength <= frame.count else { return true }
        return isStable(type(of: header), Array(frame[Limits.headerLength..<header.frameLength]))
    }

    @Test(arguments: try frames.get())
    func everyByteChangedIsReadOrRefused(_ vector: Vector) {
        for index in vector.frame.indices {
            var changed = vector.frame
            for mask: UInt8 in [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xff] {
                changed[index] = vector.frame[index] ^ mask
                if !receive(changed) { Issue.record("byte \(index) of \(vector.file) ^ \(mask)") }
            }
            for value: UInt8 in [0x00, 0x7f, 0xff] {
                changed[index] = value
                if !receive(changed) { Issue.record("byte \(index) of \(vector.file) = \(value)") }
            }
        }
    }

    /// A body that ends early is never taken for a whole one, unless the fields that are left are all that is required.
    @Test(arguments: try frames.get())
    func everyTruncationIsReadOrRefused(_ vector: Vector) throws {
        let type = try type(of: vector.frameHeader)
        let boundaries = fieldEnds(vector.body)
        for count in vector.body.indices {
            let cut = Array(vector.body.prefix(count))
            #expect(receive(Array(vector.frame.prefix(count + Limits.headerLength))))
            let code = code(type, cut)
            if boundaries.contains(count) {
                #expect(code == nil || code == .missingField)
            } else {
                #expect(code == .malformedBody, "\(count) bytes of \(vector.file)")
            }
        }
    }

    private func fieldEnds(_ body: [UInt8]) -> Set<Int> {
        var ends: Set<Int> = [0]
        var position = 0
        while position < body.count {
            position += 6 + body[position + 2..<position + 6].reduce(0) { $0 << 8 | Int($1) }
            ends.insert(position)
        }
        return ends
    }

    @Test(arguments: try frames.get())
    func bytesPutInAreReadOrRefused(_ vector: Vector) {
        var random = SplitMix64(seed: 7)
        for index in vector.body.indices {
            var longer = vector.body
            longer.insert(contentsOf: random.bytes(Int.random(in: 1...7, using: &random)), at: index)
            if !receive(frame(kind: vector.frame[5], opcode: UInt16(vector.frame[6]) << 8 | UInt16(vector.frame[7]), longer)) {
                Issue.record("\(vector.file): \(hex(longer))")
            }
        }
    }

    // MARK: random bodies

    @Test(arguments: types.indices)
    func randomBodiesAreReadOrRefused(_ index: Int) {
        let type = Self.types[index]
        var random = RandomBody(seed: UInt64(index) &+ 77)
        for _ in 0..<Self.fuzzedBodies / Self.types.count {
            let body = random.soup(type.schema)
            if !isStable(type, body) { Issue.record("\(type): \(hex(body))") }
        }
    }

    @Test func identifiersComeBack() {
        var random = SplitMix64(seed: 8)
        for _ in 0..<2_000 {
            let id = KeyID(random: (random.next(), random.next()))
            #expect(KeyID(text: id.description) == id)
            #expect(KeyID(text: id.description.uppercased()) == id)
            let bytes = id.bytes
            #expect(KeyID(bytes.span.bytes) == id)
            #expect(bytes[6] >> 4 == 4 && bytes[8] >> 6 == 2, "version 4, RFC 9562 section 5.4")
            var text = Array(id.description.utf8)
            text[Int.random(in: 0..<36, using: &random)] = UInt8.random(in: 0...127, using: &random)
            if let changed = KeyID(text: String(decoding: text, as: UTF8.self)) {
                #expect(changed.description == String(decoding: text, as: UTF8.self).lowercased())
            }
        }
        for text in ["", "6f1d3c5a", "6f1d3c5a-9b7e-4a02-8c41-d2e3f4a5b6c7 ", "{6f1d3c5a-9b7e-4a02-8c41-d2e3f4a5b6c7}"] {
            #expect(KeyID(text: text) == nil)
        }
    }
}

/// Makes bodies by a schema: good ones, and ones that are nearly good.
struct RandomBody {
    var random: SplitMix64

    init(seed: UInt64) { random = SplitMix64(seed: seed) }

    /// A body that the message accepts and writes back byte for byte.
    mutating func body(_ entries: [FieldEntry], of type: any WireMessage.Type) -> [UInt8] {
        let generates = random.chance(1, in: 2)
        var body: [UInt8] = []
        for entry in entries {
            switch (entry.name, type == WrapItem.self) {
            case ("plaintext", true): if !generates { body += field(1, random.bytes(length(1...4_096))) }
            case ("sealed", true) where !generates: break
            case ("generate", true): if generates { body += field(2, bigEndian(UInt32.random(in: 16...64, using: &random))) }
            case ("refresh", _): if random.chance(1, in: 2) { body += field(entry.tag, [1]) }
            default: if entry.isRequired || random.chance(2, in: 3) { body += field(entry.tag, value(entry, of: type)) }
            }
        }
        return body
    }

    private mutating func value(_ entry: FieldEntry, of type: any WireMessage.Type) -> [UInt8] {
        switch entry.kind {
        case .u8(let range):
            let value = UInt8.random(in: range, using: &random)
            // 4 is no state of a key: the number of SP 800-57's "compromised" is left free.
            let isKeyState =
                entry.name == "state" && range.upperBound == 5 && type != HealthReply.self && type != StatusReply.self
            return [isKeyState && value == 4 ? 5 : value]
        case .u32 where entry.name == "bits": return bigEndian([UInt32(128), 192, 256].randomElement(using: &random) ?? 128)
        case .u32(let range): return bigEndian(UInt32.random(in: range, using: &random))
        case .u64: return bigEndian(random.next())
        case .id: return random.bytes(16)
        case .text(let range):
            var count = Int.random(in: range.lowerBound...min(range.upperBound, 90), using: &random)
            // An empty description removes the one there is; one of a single character is refused.
            if entry.name == "description", count == 1 { count = 2 }
            return (0..<count).flatMap { _ in Array((["a", "é", "漢", "🔑"].randomElement(using: &random) ?? "a").utf8) }
        case .word(let range): return word(range)
        case .texts(let count, let range):
            return context(
                (0..<Int.random(in: count.lowerBound...min(count.upperBound, 4), using: &random)).map { _ in
                    (0..<Int.random(in: range, using: &random)).flatMap { _ in Array("ä".utf8) }
                })
        case .words(let count, let range):
            return context(
                (0..<Int.random(in: count.lowerBound...min(count.upperBound, 4), using: &random)).map { _ in word(range) })
        case .bytes(let range): return random.bytes(length(range))
        case .context:
            let count = random.chance(1, in: 20) ? 255 : Int.random(in: 0...3, using: &random)
            return context((0..<count).map { _ in Array("tenant=7".utf8.prefix(Int.random(in: 0...8, using: &random))) })
        case .list(let range, let items):
            let count = Int.random(in: range.lowerBound...min(range.upperBound, 4), using: &random)
            // The wrap item's schema is told from the others by its first optional field.
            let itemType: any WireMessage.Type = items.map(\.name) == Schema.wrapItem.map(\.name) ? WrapItem.self : type
            let isRecord = items.map(\.name) == Schema.key.map(\.name)
            return list((0..<count).map { _ in body(items, of: isRecord ? KeyRecord.self : itemType) })
        }
    }

    private mutating func word(_ range: ClosedRange<Int>) -> [UInt8] {
        let letters = Array("ABCxyz019-_".utf8)
        return (0..<Int.random(in: range, using: &random)).map { _ in letters.randomElement(using: &random) ?? 0x61 }
    }

    private mutating func length(_ range: ClosedRange<Int>) -> Int {
        random.chance(1, in: 10)
            ? min(range.upperBound, 8_000)
            : Int.random(in: range.lowerBound...max(range.lowerBound, min(range.upperBound, 64)), using: &random)
    }

    /// Fields with tags near those of the schema, of any length and order, some of them cut off.
    mutating func soup(_ entries: [FieldEntry]) -> [UInt8] {
        guard random.chance(9, in: 10) else { return random.bytes(Int.random(in: 0...40, using: &random)) }
        var body: [UInt8] = []
        for entry in entries where random.chance(9, in: 10) {
            let tag = random.chance(19, in: 20) ? entry.tag : UInt16.random(in: 0...UInt16.max, using: &random)
            var bytes = nearly(entry)
            if random.chance(1, in: 30), !bytes.isEmpty { bytes.removeLast() }
            if random.chance(1, in: 30), !bytes.isEmpty { bytes[bytes.indices.randomElement(using: &random) ?? 0] ^= 0xff }
            let claimed = random.chance(1, in: 40) ? random.next() : UInt64(bytes.count)
            body += bigEndian(tag) + bigEndian(UInt32(truncatingIfNeeded: claimed)) + bytes
        }
        if random.chance(1, in: 10) { body += random.bytes(Int.random(in: 1...9, using: &random)) }
        return body
    }

    private mutating func nearly(_ entry: FieldEntry) -> [UInt8] {
        guard random.chance(9, in: 10) else { return random.bytes(Int.random(in: 0...24, using: &random)) }
        if case .list(_, let items) = entry.kind {
            let bodies = (0..<Int.random(in: 0...3, using: &random)).map { _ in soup(items) }
            let counted = list(bodies)
            return random.chance(1, in: 10) ? random.bytes(4) + counted.dropFirst(4) : counted
        }
        return value(entry, of: EmptyMessage.self)
    }
}
