import ClavigerWire

/// Where a page of keys ends: what the order compares of its last key. Keys that come and go between pages neither hide nor repeat
/// others; the last key itself may be gone.
///
/// To clients it is opaque bytes: a fingerprint of the order, a tag and value for each of its terms, and the key's id.
struct QueryCursor: Sendable, Equatable {
    let place: SortPlace

    init(_ place: SortPlace) { self.place = place }

    /// Reads a cursor that a client gives back.
    ///
    /// - Throws: `invalidValue` when it was not made for this order. It is the caller's own word about where to go on: a forged one
    ///   shows nothing that the list does not show.
    init(_ bytes: [UInt8], for sort: QuerySort) throws(Refusal) {
        guard let place = QueryCursor.parse(bytes, for: sort) else {
            throw Refusal(.invalidValue, "the cursor belongs to a list in another order; begin the list again without it")
        }
        self.place = place
    }

    /// The bytes for the client.
    func bytes(for sort: QuerySort) -> [UInt8] {
        var bytes = sort.fingerprint
        for value in place.values {
            switch value {
            case .absent: bytes.append(0)
            case .number(let number):
                bytes.append(1)
                withUnsafeBytes(of: number.bigEndian) { bytes.append(contentsOf: $0) }
            case .text(let text):
                bytes.append(2)
                withUnsafeBytes(of: UInt16(text.utf8.count).bigEndian) { bytes.append(contentsOf: $0) }
                bytes.append(contentsOf: text.utf8)
            }
        }
        return bytes + place.id.bytes
    }

    private static func parse(_ bytes: [UInt8], for sort: QuerySort) -> SortPlace? {
        let fingerprint = sort.fingerprint
        guard bytes.starts(with: fingerprint) else { return nil }
        var rest = bytes[fingerprint.count...]
        func take(_ count: Int) -> ArraySlice<UInt8>? {
            guard rest.count >= count else { return nil }
            defer { rest = rest.dropFirst(count) }
            return rest.prefix(count)
        }
        func number(_ count: Int) -> UInt64? { take(count)?.reduce(0) { $0 << 8 | UInt64($1) } }
        var values: [SortPlace.Value] = []
        for _ in sort.terms {
            switch number(1) {
            case 0: values.append(.absent)
            case 1:
                guard let value = number(8) else { return nil }
                values.append(.number(value))
            case 2:
                guard let length = number(2), let text = take(Int(length)), let value = String(validating: text, as: UTF8.self)
                else { return nil }
                values.append(.text(value))
            case _: return nil
            }
        }
        guard rest.count == KeyID.byteCount, let id = KeyID(Array(rest).span.bytes) else { return nil }
        return SortPlace(values: values, id: id)
    }
}
