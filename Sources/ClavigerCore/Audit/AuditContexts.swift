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

    /// Different contexts that one record lists: a batch rarely has more, and a record stays short.
    static let most = 16
    /// UTF-8 bytes of the strings that one record shows in clear.
    static let mostBytes = 8 << 10

    private var hashes: [[UInt8]] = []
    private var strings: [[String]] = []
    private var bytes = 0
    /// How many different ones are not listed.
    private var omitted = 0

    package init() {}

    var isEmpty: Bool { hashes.isEmpty && strings.isEmpty && omitted == 0 }

    /// Notes one item's context in its encoded form (see `Form.hash`); the empty one is not worth a note.
    mutating func note(encoded context: RawSpan, form: Form) {
        guard form != .none, context.byteCount > 4 else { return }
        let hash = SHA256.digest(context)
        guard !hashes.contains(hash) else { return }
        let list = form == .clear ? (try? Context.decode(context)) ?? [] : []
        let size = list.reduce(0) { $0 + $1.utf8.count }
        guard hashes.count < AuditContexts.most, bytes + size <= AuditContexts.mostBytes else {
            omitted += 1
            return
        }
        hashes.append(hash)
        if form == .clear { strings.append(list) }
        bytes += size
    }

    func write(to text: inout JSONText) {
        guard !isEmpty else { return }
        if strings.isEmpty {
            text.openArray("contextHashes")
            for hash in hashes { text.hex(hash) }
            text.closeArray()
        } else {
            text.openArray("contexts")
            for list in strings {
                text.openArray()
                for string in list { text.text(string) }
                text.closeArray()
            }
            text.closeArray()
        }
        if omitted > 0 { text.number("contextsOmitted", omitted) }
    }
}
