import CToml

/// One key of a TOML document and what stands there.
struct TOMLEntry: Equatable {
    /// What stands at a key. Arrays, floats and dates are told apart but not read: no setting is one.
    enum Value: Equatable {
        case table
        case array
        case string(String)
        case integer(Int64)
        case float
        case boolean(Bool)
        case dateTime

        /// The type in words, with its article.
        var kind: String {
            switch self {
            case .table: "a table"
            case .array: "an array"
            case .string: "a string"
            case .integer: "an integer"
            case .float: "a number with a fraction"
            case .boolean: "a boolean"
            case .dateTime: "a date or time"
            }
        }
    }

    /// The names from the root, joined by dots; a name that is not bare stands in quotes, so it equals no name of ours.
    let path: String
    /// How many names the path has, from 1.
    let depth: Int
    /// What stands there.
    let value: Value
    /// Where the key stands, from 1.
    let line: Int
}

/// A TOML 1.0 document, parsed by toml++.
enum TOMLDocument {
    /// Why bytes are not a document.
    struct SyntaxError: Error, Equatable {
        let line: Int
        let column: Int
        let message: String
    }

    /// The keys of the document in `bytes`, from top to bottom.
    static func parse(_ bytes: [UInt8]) throws(SyntaxError) -> [TOMLEntry] {
        let parsed = bytes.withUnsafeBytes { toml_parse($0.baseAddress?.assumingMemoryBound(to: CChar.self), $0.count) }
        guard let document = parsed else { throw SyntaxError(line: 1, column: 1, message: "not enough memory to parse it") }
        defer { toml_free(document) }
        var message: UnsafePointer<CChar>?
        var line: UInt32 = 0
        var column: UInt32 = 0
        if toml_failed(document, &message, &line, &column) {
            // toml++ reports position 0 for errors it meets before the first character.
            let text = message.map { String(cString: $0) } ?? "not TOML"
            throw SyntaxError(line: max(1, Int(line)), column: max(1, Int(column)), message: text)
        }
        return (0..<toml_entry_count(document)).map { entry(toml_entry_at(document, $0)) }
    }

    private static func entry(_ raw: toml_entry) -> TOMLEntry {
        let value: TOMLEntry.Value =
            switch UInt32(raw.type) {
            case TOML_TYPE_TABLE.rawValue: .table
            case TOML_TYPE_ARRAY.rawValue: .array
            case TOML_TYPE_STRING.rawValue: .string(text(raw.string, raw.string_length))
            case TOML_TYPE_INTEGER.rawValue: .integer(raw.integer)
            case TOML_TYPE_FLOAT.rawValue: .float
            case TOML_TYPE_BOOLEAN.rawValue: .boolean(raw.boolean)
            default: .dateTime
            }
        return TOMLEntry(path: text(raw.path, raw.path_length), depth: Int(raw.depth), value: value, line: Int(raw.line))
    }

    private static func text(_ start: UnsafePointer<CChar>?, _ count: Int) -> String {
        // toml++ has checked that it is UTF-8.
        String(decoding: UnsafeRawBufferPointer(start: start, count: count), as: UTF8.self)
    }
}
