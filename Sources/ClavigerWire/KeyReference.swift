/// How a caller names a key: by id, or by alias or name. Neither is ever shaped like an id, so a text is one or the other.
public enum KeyReference: Hashable, Sendable, CustomStringConvertible {
    /// By its id.
    case id(KeyID)
    /// By an alias, which one key has, or a name, which several keys may carry.
    case name(String)

    /// The reference that `text` is.
    public init(_ text: String) {
        if let id = KeyID(text: text) { self = .id(id) } else { self = .name(text) }
    }

    /// The text on the wire and in messages.
    public var description: String {
        switch self {
        case .id(let id): id.description
        case .name(let name): name
        }
    }
}
