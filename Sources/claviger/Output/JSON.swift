import FoundationEssentials

/// Results for programs.
enum JSON {
    /// The value on one line, its fields in alphabetical order; fields that do not apply are left out.
    static func encode(_ value: some Encodable) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // Every value is of this program's own plain types; one that cannot be encoded is a mistake in it, and says so.
        guard let data = try? encoder.encode(value) else {
            return "{\"error\":{\"kind\":\"failed\",\"message\":\"not encodable\"}}"
        }
        return String(decoding: data, as: UTF8.self)
    }
}
