/// A value read from JSON text (RFC 8259): what the tools need that search and show audit records.
package indirect enum JSONValue: Sendable, Equatable {
    case object([(name: String, value: JSONValue)])
    case array([JSONValue])
    case text(String)
    /// A whole number that is not negative: the log has no others.
    case number(UInt64)
    case flag(Bool)
    case null

    /// Why a text is not taken.
    package struct Failure: Error, Equatable {
        /// The byte at which it stops being JSON of the log's kind.
        package let place: Int
    }

    /// Objects and arrays within each other: records have four; a bound keeps a hostile line from the stack.
    static let maximumDepth = 16

    /// The value that a text consists of.
    package init(_ bytes: [UInt8]) throws(Failure) {
        var reader = JSONReader(bytes)
        self = try reader.value(depth: 0)
        try reader.end()
    }

    /// The field of an object.
    package subscript(_ name: String) -> JSONValue? {
        guard case .object(let fields) = self else { return nil }
        return fields.first { $0.name == name }?.value
    }

    /// The text, if it is one.
    package var text: String? {
        guard case .text(let text) = self else { return nil }
        return text
    }

    /// The number, if it is one.
    package var number: UInt64? {
        guard case .number(let number) = self else { return nil }
        return number
    }

    /// The elements of an array; none for anything else.
    package var elements: [JSONValue] {
        guard case .array(let elements) = self else { return [] }
        return elements
    }

    package static func == (left: JSONValue, right: JSONValue) -> Bool {
        switch (left, right) {
        case (.object(let left), .object(let right)):
            left.count == right.count && zip(left, right).allSatisfy { $0.name == $1.name && $0.value == $1.value }
        case (.array(let left), .array(let right)): left == right
        case (.text(let left), .text(let right)): left == right
        case (.number(let left), .number(let right)): left == right
        case (.flag(let left), .flag(let right)): left == right
        case (.null, .null): true
        case (.object, _), (.array, _), (.text, _), (.number, _), (.flag, _), (.null, _): false
        }
    }
}

private struct JSONReader {
    private let bytes: [UInt8]
    private var place = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    mutating func value(depth: Int) throws(JSONValue.Failure) -> JSONValue {
        guard depth < JSONValue.maximumDepth else { throw failure }
        skipSpace()
        switch peek {
        case UInt8(ascii: "{"): return try object(depth)
        case UInt8(ascii: "["): return try array(depth)
        case UInt8(ascii: "\""): return .text(try text())
        case UInt8(ascii: "t"): return try word("true", .flag(true))
        case UInt8(ascii: "f"): return try word("false", .flag(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        case _: return .number(try number())
        }
    }

    mutating func end() throws(JSONValue.Failure) {
        skipSpace()
        guard place == bytes.count else { throw failure }
    }

    private mutating func object(_ depth: Int) throws(JSONValue.Failure) -> JSONValue {
        place += 1
        var fields: [(name: String, value: JSONValue)] = []
        skipSpace()
        if take("}") { return .object(fields) }
        while true {
            skipSpace()
            guard peek == UInt8(ascii: "\"") else { throw failure }
            let name = try text()
            skipSpace()
            guard take(":") else { throw failure }
            fields.append((name, try value(depth: depth + 1)))
            skipSpace()
            if take("}") { return .object(fields) }
            guard take(",") else { throw failure }
        }
    }

    private mutating func array(_ depth: Int) throws(JSONValue.Failure) -> JSONValue {
        place += 1
        var elements: [JSONValue] = []
        skipSpace()
        if take("]") { return .array(elements) }
        while true {
            elements.append(try value(depth: depth + 1))
            skipSpace()
            if take("]") { return .array(elements) }
            guard take(",") else { throw failure }
        }
    }

    private mutating func text() throws(JSONValue.Failure) -> String {
        place += 1
        var content: [UInt8] = []
        while true {
            guard let byte = peek, byte >= 0x20 else { throw failure }
            place += 1
            switch byte {
            case UInt8(ascii: "\""):
                guard let text = String(validating: content, as: UTF8.self) else { throw failure }
                return text
            case UInt8(ascii: "\\"): try escape(&content)
            case _: content.append(byte)
            }
        }
    }

    private mutating func escape(_ content: inout [UInt8]) throws(JSONValue.Failure) {
        guard let byte = peek else { throw failure }
        place += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): content.append(byte)
        case UInt8(ascii: "n"): content.append(0x0a)
        case UInt8(ascii: "t"): content.append(0x09)
        case UInt8(ascii: "r"): content.append(0x0d)
        case UInt8(ascii: "b"): content.append(0x08)
        case UInt8(ascii: "f"): content.append(0x0c)
        case UInt8(ascii: "u"):
            guard place + 4 <= bytes.count else { throw failure }
            var value: UInt32 = 0
            for byte in bytes[place..<(place + 4)] {
                let digit = AuditLine.hexadecimal(byte | (byte >= 0x41 && byte <= 0x46 ? 0x20 : 0))
                guard digit < 16 else { throw failure }
                value = value << 4 | UInt32(digit)
            }
            // Halves of a pair are never written here: what is beyond ASCII stands as UTF-8.
            guard let scalar = Unicode.Scalar(value) else { throw failure }
            place += 4
            content += Array(String(scalar).utf8)
        case _: throw failure
        }
    }

    private mutating func number() throws(JSONValue.Failure) -> UInt64 {
        var value: UInt64 = 0
        let start = place
        while let byte = peek, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) {
            let (product, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.addingReportingOverflow(UInt64(byte - UInt8(ascii: "0")))
            guard !overflow, !carry else { throw failure }
            value = sum
            place += 1
        }
        guard place > start else { throw failure }
        return value
    }

    private mutating func word(_ word: StaticString, _ value: JSONValue) throws(JSONValue.Failure) -> JSONValue {
        let matches = word.withUTF8Buffer { word in
            place + word.count <= bytes.count && zip(word, bytes[place...]).allSatisfy { $0 == $1 }
        }
        guard matches else { throw failure }
        place += word.utf8CodeUnitCount
        return value
    }

    private var failure: JSONValue.Failure { JSONValue.Failure(place: place) }

    private var peek: UInt8? { place < bytes.count ? bytes[place] : nil }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard peek == UInt8(ascii: character) else { return false }
        place += 1
        return true
    }

    private mutating func skipSpace() {
        while let byte = peek, byte == 0x20 || byte == 0x09 || byte == 0x0a || byte == 0x0d { place += 1 }
    }
}
