import ClavigerWire

/// What of a key can be filtered and sorted by, each by our word and, where it has one, Key Protect's.
package enum QueryProperty: String, CaseIterable, Sendable {
    case id
    case name
    case kind
    case state
    case imported
    case ring
    case tag
    case created
    case updated
    case rotated
    case expires
    case deleted

    /// The property of a name: our word, or Key Protect's for the same thing.
    init?(named name: some StringProtocol) {
        switch name {
        case "creationDate": self = .created
        case "lastUpdateDate": self = .updated
        case "lastRotateDate": self = .rotated
        case "expirationDate": self = .expires
        case "deletionDate": self = .deleted
        case "keyRing": self = .ring
        case "extractable": self = .kind
        case _: self.init(rawValue: String(name))
        }
    }

    /// Whether it is a moment.
    var isDate: Bool {
        switch self {
        case .created, .updated, .rotated, .expires, .deleted: true
        case .id, .name, .kind, .state, .imported, .ring, .tag: false
        }
    }

    /// Whether a filter may name it: names are searched, and an id needs no filter.
    var isFilter: Bool {
        switch self {
        case .id, .name: false
        case .kind, .state, .imported, .ring, .tag, .created, .updated, .rotated, .expires, .deleted: true
        }
    }

    /// Whether lists can be sorted by it: a key has many tags.
    var isOrder: Bool { self != .tag }

    /// The moment that a key has for it; nil when it has none, or the property is no moment.
    func moment(of key: StoredKey) -> UInt64? {
        switch self {
        case .created: key.created
        case .updated: key.updated
        case .rotated: key.rotated
        case .expires: key.expires
        case .deleted: key.deleted
        case .id, .name, .kind, .state, .imported, .ring, .tag: nil
        }
    }

    /// The names among which a caller chooses, for refusals.
    static func names(_ isAllowed: (QueryProperty) -> Bool) -> String {
        allCases.filter(isAllowed).map(\.rawValue).joined(separator: ", ")
    }
}

extension StringProtocol {
    /// The text as a refusal repeats it: in quotes, cut after a few characters.
    var quotedForRefusal: String {
        let scalars = unicodeScalars.prefix(QueryLimits.quoted)
        let isCut = scalars.endIndex != unicodeScalars.endIndex
        return "'" + String(String.UnicodeScalarView(scalars)) + (isCut ? "…'" : "'")
    }
}
