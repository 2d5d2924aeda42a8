import ClavigerWire

/// Writes a body's fields as the vectors show them: tag, name, kind, value; a list's items below it.
///
/// It reads the bytes by the schema alone and shares nothing with the messages' own decoding.
struct ReadableFields {
    private var lines: [String] = []

    /// The lines for `body`.
    static func lines(_ body: ArraySlice<UInt8>, _ entries: [FieldEntry]) -> String {
        var fields = ReadableFields()
        fields.read(body, entries, indent: "")
        return fields.lines.joined(separator: "\n")
    }

    private mutating func read(_ body: ArraySlice<UInt8>, _ entries: [FieldEntry], indent: String) {
        var rest = body
        while rest.count >= 6 {
            let tag = UInt16(number(rest.prefix(2)))
            let length = Int(number(rest.dropFirst(2).prefix(4)))
            let value = rest.dropFirst(6).prefix(length)
            rest = rest.dropFirst(6 + length)
            guard let entry = entries.first(where: { $0.tag == tag }) else {
                lines.append("\(indent)\(tag) later bytes \(hex(value))")
                continue
            }
            let shown = show(value, entry.kind)
            lines.append("\(indent)\(tag) \(entry.name) \(entry.kind.name)\(shown.isEmpty ? "" : " " + shown)")
            if case .list(_, let itemEntries) = entry.kind {
                for item in items(value) {
                    lines.append(indent + "  item")
                    read(item, itemEntries, indent: indent + "    ")
                }
            }
        }
    }

    private func show(_ value: ArraySlice<UInt8>, _ kind: FieldKind) -> String {
        switch kind {
        case .u8, .u32, .u64: return String(number(value))
        case .id:
            let digits = hex(value)
            var text = ""
            for (index, digit) in digits.enumerated() {
                if [8, 12, 16, 20].contains(index) { text.append("-") }
                text.append(digit)
            }
            return text
        case .text, .word: return quoted(value)
        case .bytes: return hex(value)
        case .context, .texts, .words: return "[" + items(value).map(quoted).joined(separator: ", ") + "]"
        case .list: return ""
        }
    }

    private func quoted(_ value: ArraySlice<UInt8>) -> String {
        "\"" + String(decoding: value, as: UTF8.self).replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
    }

    private func items(_ value: ArraySlice<UInt8>) -> [ArraySlice<UInt8>] {
        var rest = value.dropFirst(4)
        return (0..<number(value.prefix(4))).map { _ in
            let length = Int(number(rest.prefix(4)))
            defer { rest = rest.dropFirst(4 + length) }
            return rest.dropFirst(4).prefix(length)
        }
    }

    private func number(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }
}
