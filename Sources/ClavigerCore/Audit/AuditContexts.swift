import ClavigerWire
import SecureMemory

/// The contexts of a request as the log shows them: by their hash, in clear, or not at all.
package struct AuditContexts: Sendable, Equatable {
    /// How contexts are recorded.
    package enum Form: String, Sendable, CaseIterable {
        /// SHA-256 of the context's encoding (count u32 BE, then for each string its length u32 BE and its UTF-8 bytes): records of one
        /// context can be found together. Short strings can be guessed from it.
        case hash
        /// The strings themselves.
        case clear
        /// Not at all.
        case none
    }

    /// UTF-8 bytes of the strings that one record shows in clear; what is beyond stands by its hash. Escaped they are up to six times as
    /// many, and with a hash for each of a batch's items a record is still shorter than `AuditLine.maximum`.
    static let mostBytes = 8 << 10

    // Every different context of the request is in one of the two, so at most `Limits.maximumItems`.
    private var hashes: [[UInt8]] = []
    private var strings: [[String]] = []
    private var bytes = 0
    private var seen: Set<[UInt8]> = []

    package init() {}

    var isEmpty: Bool { hashes.isEmpty && strings.isEmpty }

    /// Notes one item's context in its encoded form (see `Form.hash`); the empty one is not worth a note.
    mutating func note(encoded context: RawSpan, form: Form) {
        guard form != .none, context.byteCount > 4 else { return }
        let hash = SHA256.digest(context)
        guard seen.insert(hash).inserted else { return }
        guard form == .clear, let list = try? Context.decode(context) else { return hashes.append(hash) }
        // What stands around a string counts too: many short ones must not make a long record.
        let size = list.reduce(0) { $0 + $1.utf8.count + 3 }
        guard bytes + size <= AuditContexts.mostBytes else { return hashes.append(hash) }
        strings.append(list)
        bytes += size
    }

    /// The condition of a grant, which is the beginning of contexts, in its encoded form, as the log shows it; nil where it shows none.
    static func text(ofCondition condition: [UInt8], _ form: Form) -> String? {
        switch form {
        case .clear: return ContextCondition.text(condition)
        case .hash:
            var text = Array("sha256:".utf8)
            JSONText.appendHex(SHA256.digest(condition.span.bytes), to: &text)
            return String(decoding: text, as: UTF8.self)
        case .none: return nil
        }
    }

    func write(to text: inout JSONText) {
        guard !isEmpty else { return }
        if !hashes.isEmpty {
            text.openArray("contextHashes")
            for hash in hashes { text.hex(hash) }
            text.closeArray()
        }
        if !strings.isEmpty {
            text.openArray("contexts")
            for list in strings {
                text.openArray()
                for string in list { text.text(string) }
                text.closeArray()
            }
            text.closeArray()
        }
    }
}
