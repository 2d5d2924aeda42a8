/// What a field's value is.
public indirect enum FieldKind: Sendable {
    /// One byte, within a range.
    case u8(ClosedRange<UInt8>)
    /// Four bytes, big-endian, within a range.
    case u32(ClosedRange<UInt32>)
    /// Eight bytes, big-endian.
    case u64
    /// Sixteen bytes.
    case id
    /// UTF-8, its length counted in Unicode scalars.
    case text(ClosedRange<Int>)
    /// A text of the letters and digits of ASCII, `-` and `_`.
    case word(ClosedRange<Int>)
    /// Texts: u32 count, then for each u32 length and UTF-8 bytes. So many of them, each so long.
    case texts(ClosedRange<Int>, ClosedRange<Int>)
    /// Texts that are words.
    case words(ClosedRange<Int>, ClosedRange<Int>)
    /// Bytes, so many.
    case bytes(ClosedRange<Int>)
    /// A context: u32 count, then for each string u32 length and UTF-8 bytes.
    case context
    /// u32 count, then for each item u32 length and a body of fields.
    case list(ClosedRange<Int>, [FieldEntry])

    /// The word on the protocol page.
    public var name: String {
        switch self {
        case .u8: "u8"
        case .u32: "u32"
        case .u64: "u64"
        case .id: "id"
        case .text, .word: "text"
        case .texts, .words: "texts"
        case .bytes: "bytes"
        case .context: "context"
        case .list: "list"
        }
    }
}

/// One field of a body.
public struct FieldEntry: Sendable {
    /// The tag. Below 0x8000 a receiver that does not know it refuses the message.
    public let tag: UInt16
    /// The name on the protocol page and in refusals.
    public let name: String
    /// What the value is.
    public let kind: FieldKind
    /// Whether it must be there.
    public let isRequired: Bool
    /// What it means, for the protocol page.
    public let meaning: String
    /// The code that refuses a value of the wrong length.
    public let sizeRefusal: RefusalCode

    init(
        _ tag: UInt16, _ name: String, _ kind: FieldKind, required: Bool = true, sizeRefusal: RefusalCode = .invalidValue,
        _ meaning: String
    ) {
        self.tag = tag
        self.name = name
        self.kind = kind
        self.isRequired = required
        self.meaning = meaning
        self.sizeRefusal = sizeRefusal
    }
}

/// A body of fields, checked against its entries and ready to be read.
///
/// Everything that can be wrong with a body's form is found here and nowhere else: a field cut off, tags that do not ascend or
/// repeat, unknown and missing fields, texts that are not UTF-8, numbers and lengths outside their range, lists too long.
public struct FieldMap: Sendable {
    /// The tags and values found, in order; ranges count from the beginning of the bytes that were parsed.
    private var values: [(tag: UInt16, range: ByteRange)] = []

    /// Reads the fields in `range` of `bytes`.
    ///
    /// - Throws: the refusal that names the first thing wrong. Cost is linear in the body's length; nothing is allocated by
    ///   lengths that the body claims.
    public init(_ bytes: RawSpan, _ range: ByteRange, _ entries: [FieldEntry]) throws(Refusal) {
        var cursor = range.offset
        let end = range.offset + range.count
        var previous: Int = -1
        var next = entries.startIndex
        while cursor < end {
            guard end - cursor >= 6 else { throw Refusal(.malformedBody, "a field is cut off") }
            let tag = bytes.bigEndian16(at: cursor)
            let length = Int(bytes.bigEndian32(at: cursor + 2))
            cursor += 6
            guard length <= end - cursor else { throw Refusal(.malformedBody, "field \(tag) is longer than its body") }
            if Int(tag) == previous { throw Refusal(.duplicateField, "field \(tag) stands twice") }
            guard Int(tag) > previous else { throw Refusal(.fieldOrder, "field \(tag) comes after field \(previous)") }
            previous = Int(tag)
            let value = ByteRange(offset: cursor, count: length)
            cursor += length
            while next < entries.endIndex, entries[next].tag < tag {
                try FieldMap.requireAbsentAllowed(entries[next])
                next += 1
            }
            guard next < entries.endIndex, entries[next].tag == tag else {
                if tag >= Limits.firstIgnorableTag { continue }
                throw Refusal(.unknownField, "field \(tag) is not known to this operation")
            }
            try FieldMap.check(bytes, value, entries[next])
            values.append((tag, value))
            next += 1
        }
        while next < entries.endIndex {
            try FieldMap.requireAbsentAllowed(entries[next])
            next += 1
        }
    }

    /// The range of the field's value, nil when it is absent.
    public func range(_ tag: UInt16) -> ByteRange? {
        for value in values where value.tag == tag { return value.range }
        return nil
    }

    private static func requireAbsentAllowed(_ entry: FieldEntry) throws(Refusal) {
        guard !entry.isRequired else { throw Refusal(.missingField, "field \(entry.tag) (\(entry.name)) is missing") }
    }

    private static func check(_ bytes: RawSpan, _ range: ByteRange, _ entry: FieldEntry) throws(Refusal) {
        switch entry.kind {
        case .u8(let allowed):
            guard range.count == 1, allowed.contains(bytes.byte(at: range.offset)) else { throw sizeRefusal(entry) }
        case .u32(let allowed):
            guard range.count == 4, allowed.contains(bytes.bigEndian32(at: range.offset)) else { throw sizeRefusal(entry) }
        case .u64:
            guard range.count == 8 else { throw sizeRefusal(entry) }
        case .id:
            guard range.count == 16 else { throw sizeRefusal(entry) }
        case .text(let allowed):
            try checkText(bytes.part(range), allowed, entry)
        case .word(let allowed):
            try checkWord(bytes.part(range), allowed, entry)
        case .texts(let count, let allowed):
            try checkTexts(bytes, range, count, entry) { (part) throws(Refusal) in try checkText(part, allowed, entry) }
        case .words(let count, let allowed):
            try checkTexts(bytes, range, count, entry) { (part) throws(Refusal) in try checkWord(part, allowed, entry) }
        case .bytes(let allowed):
            guard allowed.contains(range.count) else { throw sizeRefusal(entry) }
        case .context:
            try Context.check(bytes.part(range))
        case .list(let allowed, _):
            // The items' own fields are checked when the list is read; its length here, before anything is made of it.
            guard range.count >= 4 else { throw Refusal(.malformedBody, "field \(entry.tag) (\(entry.name)) is not a list") }
            guard allowed.contains(Int(bytes.bigEndian32(at: range.offset))) else { throw sizeRefusal(entry) }
        }
    }

    private static func checkText(_ part: RawSpan, _ allowed: ClosedRange<Int>, _ entry: FieldEntry) throws(Refusal) {
        // Four bytes a scalar bound the work before the text is looked at.
        guard part.byteCount <= allowed.upperBound * 4 else { throw sizeRefusal(entry) }
        guard let text = validatedText(part) else {
            throw Refusal(.invalidText, "field \(entry.tag) (\(entry.name)) is not valid UTF-8")
        }
        guard allowed.contains(text.unicodeScalars.count) else { throw sizeRefusal(entry) }
    }

    private static func checkWord(_ part: RawSpan, _ allowed: ClosedRange<Int>, _ entry: FieldEntry) throws(Refusal) {
        guard allowed.contains(part.byteCount) else { throw sizeRefusal(entry) }
        for index in 0..<part.byteCount {
            switch part.byte(at: index) {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
                continue
            default:
                let message = "field \(entry.tag) (\(entry.name)) has letters and digits of ASCII, '-' and '_' only"
                throw Refusal(entry.sizeRefusal, message)
            }
        }
    }

    private static func checkTexts(
        _ bytes: RawSpan, _ range: ByteRange, _ count: ClosedRange<Int>, _ entry: FieldEntry,
        _ check: (RawSpan) throws(Refusal) -> Void
    ) throws(Refusal) {
        guard range.count >= 4 else { throw Refusal(.malformedBody, "field \(entry.tag) (\(entry.name)) is cut off") }
        let texts = Int(bytes.bigEndian32(at: range.offset))
        guard count.contains(texts) else { throw sizeRefusal(entry) }
        var cursor = ItemCursor(bytes, range)
        for _ in 0..<texts { try check(bytes.part(try cursor.next(bytes))) }
        try cursor.finish()
    }

    private static func sizeRefusal(_ entry: FieldEntry) -> Refusal {
        guard entry.sizeRefusal == .invalidValue else { return Refusal(entry.sizeRefusal) }
        return Refusal(.invalidValue, "field \(entry.tag) (\(entry.name)) is outside its range")
    }
}

/// The items of a list field, read one after the other.
struct ItemCursor {
    private var position: Int
    private let end: Int
    /// How many items the list says it has; checked against the schema before this is made.
    let count: Int

    init(_ bytes: RawSpan, _ list: ByteRange) {
        position = list.offset + 4
        end = list.offset + list.count
        count = Int(bytes.bigEndian32(at: list.offset))
    }

    mutating func next(_ bytes: RawSpan) throws(Refusal) -> ByteRange {
        guard end - position >= 4 else { throw Refusal(.malformedBody, "a list ends before its last item") }
        let length = Int(bytes.bigEndian32(at: position))
        position += 4
        guard length <= end - position else { throw Refusal(.malformedBody, "an item is longer than its list") }
        defer { position += length }
        return ByteRange(offset: position, count: length)
    }

    func finish() throws(Refusal) {
        guard position == end else { throw Refusal(.malformedBody, "bytes follow a list's last item") }
    }
}
