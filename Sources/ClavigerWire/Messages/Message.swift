/// A message body: decoded from bytes it names parts of, encoded from bytes it names parts of.
///
/// Decoding what was encoded gives the same message. Encoding what was decoded from `source` gives the same bytes, unless they held
/// ignorable fields (left out), a flag that stands for its own absence (left out), or a key's id in capitals (written small).
public protocol WireMessage: Sendable, Equatable {
    /// The body's fields.
    static var schema: [FieldEntry] { get }
    /// Makes the message of checked fields; ranges count from the beginning of `bytes`.
    init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal)
    /// Writes the fields; ranges refer to `source`.
    func encode(to writer: inout BodyWriter, source: RawSpan)
}

extension WireMessage {
    /// The message in `range` of `bytes`, checked whole.
    public static func decode(_ bytes: RawSpan, _ range: ByteRange) throws(Refusal) -> Self {
        try Self(FieldMap(bytes, range, schema), bytes)
    }

    /// The message that `bytes` consist of, checked whole.
    public static func decode(_ bytes: RawSpan) throws(Refusal) -> Self {
        try decode(bytes, ByteRange(offset: 0, count: bytes.byteCount))
    }
}

/// The body of requests and replies that have no fields.
public struct EmptyMessage: WireMessage {
    public static var schema: [FieldEntry] { [] }
    /// The empty body.
    public init() {}
    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {}
    public func encode(to writer: inout BodyWriter, source: RawSpan) {}
}

// Reading of checked fields. The schema has proven presence, length and form; a missing required field is impossible here, and
// reads as the least value.
extension FieldMap {
    func u8(_ tag: UInt16, _ bytes: RawSpan) -> UInt8? { range(tag).map { bytes.byte(at: $0.offset) } }
    func u32(_ tag: UInt16, _ bytes: RawSpan) -> UInt32? { range(tag).map { bytes.bigEndian32(at: $0.offset) } }
    func u64(_ tag: UInt16, _ bytes: RawSpan) -> UInt64? { range(tag).map { bytes.bigEndian64(at: $0.offset) } }
    func flag(_ tag: UInt16, _ bytes: RawSpan) -> Bool? { u8(tag, bytes).map { $0 == 1 } }
    func text(_ tag: UInt16, _ bytes: RawSpan) -> String? { range(tag).flatMap { validatedText(bytes.part($0)) } }
    func id<Kind>(_ tag: UInt16, _ bytes: RawSpan) -> Identifier<Kind>? {
        range(tag).flatMap { Identifier(bytes.part($0)) }
    }

    func items<Item: WireMessage>(_ tag: UInt16, _ bytes: RawSpan, as type: Item.Type) throws(Refusal) -> [Item] {
        guard let list = range(tag) else { return [] }
        var cursor = ItemCursor(bytes, list)
        var items: [Item] = []
        for _ in 0..<cursor.count {
            let range = try cursor.next(bytes)
            items.append(try Item(FieldMap(bytes, range, Item.schema), bytes))
        }
        try cursor.finish()
        return items
    }
}

extension BodyWriter {
    mutating func items<Item: WireMessage>(_ tag: UInt16, _ items: [Item], source: RawSpan) {
        list(tag, count: items.count) { index, writer in items[index].encode(to: &writer, source: source) }
    }

    mutating func flag(_ tag: UInt16, _ value: Bool) { u8(tag, value ? 1 : 0) }
}
