import ClavigerWire

/// Writes one JSON object as bytes, field by field in the caller's order, without spaces: the canonical form of the audit log.
///
/// Strings are UTF-8; only `"`, `\` and the control characters (U+0000 to U+001F, U+007F to U+009F) are escaped (RFC 8259 section 7),
/// the latter as `\u00xx`. One sequence of calls gives one sequence of bytes.
struct JSONText {
    private(set) var bytes: [UInt8] = []
    private var needsComma = false

    init() {}

    /// A text in the storage of another that is not needed any more.
    init(reusing storage: consuming [UInt8]) {
        storage.removeAll(keepingCapacity: true)
        bytes = storage
    }

    /// Begins an object: the value of a field, or an element of an array.
    mutating func open(_ name: StaticString? = nil) {
        begin(name)
        bytes.append(UInt8(ascii: "{"))
        needsComma = false
    }

    /// Ends an object.
    mutating func close() {
        bytes.append(UInt8(ascii: "}"))
        needsComma = true
    }

    /// Begins an array.
    mutating func openArray(_ name: StaticString? = nil) {
        begin(name)
        bytes.append(UInt8(ascii: "["))
        needsComma = false
    }

    /// Ends an array.
    mutating func closeArray() {
        bytes.append(UInt8(ascii: "]"))
        needsComma = true
    }

    /// A text.
    mutating func text(_ name: StaticString, _ value: String) {
        begin(name)
        quote(value)
    }

    /// A time, as `AuditTime` writes it.
    mutating func time(_ name: StaticString, _ milliseconds: UInt64) {
        begin(name)
        bytes.append(UInt8(ascii: "\""))
        AuditTime.append(milliseconds, to: &bytes)
        bytes.append(UInt8(ascii: "\""))
    }

    /// Fields of this object that another writer wrote, at least one.
    mutating func fields(_ written: [UInt8]) {
        begin(nil)
        bytes += written
    }

    /// A text of a fixed beginning and a number.
    mutating func text(_ name: StaticString, _ beginning: StaticString, _ number: some BinaryInteger) {
        begin(name)
        bytes.append(UInt8(ascii: "\""))
        beginning.withUTF8Buffer { bytes.append(contentsOf: $0) }
        JSONText.append(number, to: &bytes)
        bytes.append(UInt8(ascii: "\""))
    }

    /// The beginning of a text whose end follows: `beginning` and a hyphen.
    mutating func beginText(_ name: StaticString, _ beginning: String) {
        begin(name)
        quote(beginning)
        bytes[bytes.count - 1] = UInt8(ascii: "-")
    }

    /// The end of a text that was begun: a number.
    mutating func endText(_ number: UInt64) {
        JSONText.append(number, to: &bytes)
        bytes.append(UInt8(ascii: "\""))
    }

    /// An identifier in its 8-4-4-4-12 form.
    mutating func identifier<Kind>(_ name: StaticString, _ value: Identifier<Kind>) {
        begin(name)
        // At once, as records have several of them.
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 38) { text in
            text[0] = UInt8(ascii: "\"")
            var place = 1
            for index in 0..<16 {
                if index == 4 || index == 6 || index == 8 || index == 10 {
                    text[place] = UInt8(ascii: "-")
                    place += 1
                }
                let byte = UInt8(truncatingIfNeeded: (index < 8 ? value.high : value.low) >> UInt64(8 * (7 - index % 8)))
                text[place] = JSONText.digit(byte >> 4)
                text[place + 1] = JSONText.digit(byte & 15)
                place += 2
            }
            text[place] = UInt8(ascii: "\"")
            bytes.append(contentsOf: text)
        }
    }

    /// A text as an element of an array.
    mutating func text(_ value: String) {
        begin(nil)
        quote(value)
    }

    /// A text whose field's name is not fixed.
    mutating func text(named name: String, _ value: String?) {
        if needsComma { bytes.append(UInt8(ascii: ",")) }
        needsComma = true
        quote(name)
        bytes.append(UInt8(ascii: ":"))
        if let value { quote(value) } else { bytes += "null".utf8 }
    }

    /// A number.
    mutating func number(_ name: StaticString, _ value: some BinaryInteger) {
        begin(name)
        JSONText.append(value, to: &bytes)
    }

    /// A truth.
    mutating func flag(_ name: StaticString, _ value: Bool) {
        begin(name)
        bytes += (value ? "true" : "false").utf8
    }

    /// Bytes in hexadecimal.
    mutating func hex(_ name: StaticString, _ value: some Sequence<UInt8>) {
        begin(name)
        quoteHex(value)
    }

    /// Bytes in hexadecimal as an element of an array.
    mutating func hex(_ value: some Sequence<UInt8>) {
        begin(nil)
        quoteHex(value)
    }

    private mutating func quoteHex(_ value: some Sequence<UInt8>) {
        bytes.append(UInt8(ascii: "\""))
        JSONText.appendHex(value, to: &bytes)
        bytes.append(UInt8(ascii: "\""))
    }

    private mutating func begin(_ name: StaticString?) {
        let comma = needsComma ? 1 : 0
        needsComma = true
        guard let name else {
            if comma > 0 { bytes.append(UInt8(ascii: ",")) }
            return
        }
        // At once: every field of a record begins so.
        name.withUTF8Buffer { name in
            withUnsafeTemporaryAllocation(of: UInt8.self, capacity: name.count + 4) { text in
                text[0] = UInt8(ascii: ",")
                text[comma] = UInt8(ascii: "\"")
                for index in name.indices { text[comma + 1 + index] = name[index] }
                text[comma + 1 + name.count] = UInt8(ascii: "\"")
                text[comma + 2 + name.count] = UInt8(ascii: ":")
                bytes.append(contentsOf: UnsafeBufferPointer(rebasing: text[..<(comma + name.count + 3)]))
            }
        }
    }

    private mutating func quote(_ text: String) {
        bytes.append(UInt8(ascii: "\""))
        defer { bytes.append(UInt8(ascii: "\"")) }
        // Nearly every text is one that needs no escapes.
        let isPlain = text.utf8.withContiguousStorageIfAvailable { text in
            guard !text.contains(where: JSONText.isSpecial) else { return false }
            bytes.append(contentsOf: text)
            return true
        }
        if isPlain != true { escape(text) }
    }

    // Whether more than the byte itself must be looked at.
    private static func isSpecial(_ byte: UInt8) -> Bool {
        byte < 0x20 || byte >= 0x7f || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\")
    }

    private mutating func escape(_ text: String) {
        var isAfterC2 = false
        for byte in text.utf8 {
            defer { isAfterC2 = byte == 0xc2 }
            switch byte {
            case 0x80..<0xa0 where isAfterC2:
                // U+0080 to U+009F: terminals obey some of them.
                bytes.removeLast()
                bytes += "\\u00".utf8
                JSONText.appendHex(CollectionOfOne(byte), to: &bytes)
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                bytes.append(UInt8(ascii: "\\"))
                bytes.append(byte)
            case 0..<0x20, 0x7f:
                bytes += "\\u00".utf8
                JSONText.appendHex(CollectionOfOne(byte), to: &bytes)
            case _: bytes.append(byte)
            }
        }
    }

    private static func digit(_ value: UInt8) -> UInt8 {
        value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") - 10 + value
    }

    /// Appends bytes in lower-case hexadecimal.
    static func appendHex(_ value: some Sequence<UInt8>, to bytes: inout [UInt8]) {
        for byte in value {
            bytes.append(digit(byte >> 4))
            bytes.append(digit(byte & 15))
        }
    }

    /// Appends a hash in lower-case hexadecimal, at once, as every record has one.
    static func appendHash(_ hash: AuditHash, to bytes: inout [UInt8]) {
        hash.withBytes { hash in
            withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 2 * hash.count) { text in
                for index in hash.indices {
                    text[2 * index] = digit(hash[index] >> 4)
                    text[2 * index + 1] = digit(hash[index] & 15)
                }
                bytes.append(contentsOf: text)
            }
        }
    }

    /// Appends a number in decimal.
    static func append(_ value: some BinaryInteger, to bytes: inout [UInt8]) {
        if value < 0 { bytes.append(UInt8(ascii: "-")) }
        // At once, as records have several.
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: mostDigits) { text in
            var rest = UInt64(value.magnitude)
            var start = mostDigits
            repeat {
                start -= 1
                text[start] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
                rest /= 10
            } while rest > 0
            bytes.append(contentsOf: UnsafeBufferPointer(rebasing: text[start...]))
        }
    }

    // Those of the greatest number of 64 bits.
    private static let mostDigits = 20
}
