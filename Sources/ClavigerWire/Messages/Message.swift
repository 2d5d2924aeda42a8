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

    func bytes(_ tag: UInt16, _ bytes: RawSpan) -> [UInt8]? { range(tag).map { bytes.part($0).array() } }
    func reference(_ tag: UInt16, _ bytes: RawSpan) -> KeyReference? { text(tag, bytes).map { KeyReference($0) } }
    func texts(_ tag: UInt16, _ bytes: RawSpan) -> [String]? {
        guard let list = range(tag) else { return nil }
        var position = list.offset + 4
        return (0..<Int(bytes.bigEndian32(at: list.offset))).map { _ in
            let part = ByteRange(offset: position + 4, count: Int(bytes.bigEndian32(at: position)))
            position = part.offset + part.count
            return validatedText(bytes.part(part)) ?? ""
        }
    }

    /// One of a closed set of values, nil when the field is absent. The schema's range can be wider than the set.
    func choice<Value: RawRepresentable<UInt8>>(_ tag: UInt16, _ bytes: RawSpan) throws(Refusal) -> Value? {
        guard let number = u8(tag, bytes) else { return nil }
        guard let value = Value(rawValue: number) else {
            throw Refusal(.invalidValue, "field \(tag) has no value \(number)")
        }
        return value
    }

    func choice<Value: RawRepresentable<UInt8>>(_ tag: UInt16, _ bytes: RawSpan) throws(Refusal) -> Value {
        guard let value: Value = try choice(tag, bytes) else { throw Refusal(.missingField, "field \(tag) is missing") }
        return value
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
    mutating func mark(_ tag: UInt16, _ value: Bool) { if value { u8(tag, 1) } }
    mutating func texts(_ tag: UInt16, _ values: [String]) {
        bytes(tag, bigEndianBytes(UInt32(values.count)) + values.flatMap { bigEndianBytes(UInt32($0.utf8.count)) + $0.utf8 })
    }

    // A value that is absent is left out.
    mutating func u8(_ tag: UInt16, _ value: UInt8?) { if let value { u8(tag, value) } }
    mutating func u32(_ tag: UInt16, _ value: UInt32?) { if let value { u32(tag, value) } }
    mutating func u64(_ tag: UInt16, _ value: UInt64?) { if let value { u64(tag, value) } }
    mutating func flag(_ tag: UInt16, _ value: Bool?) { if let value { flag(tag, value) } }
    mutating func text(_ tag: UInt16, _ value: String?) { if let value { text(tag, value) } }
    mutating func bytes(_ tag: UInt16, _ value: [UInt8]?) { if let value { bytes(tag, value) } }
    mutating func texts(_ tag: UInt16, _ values: [String]?) { if let values { texts(tag, values) } }
    mutating func id<Kind>(_ tag: UInt16, _ value: Identifier<Kind>?) { if let value { id(tag, value) } }
}
