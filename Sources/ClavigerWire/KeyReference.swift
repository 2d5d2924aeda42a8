/// How a caller names a key: by id or by name. A name is never shaped like an id, so a text is one or the other.
public enum KeyReference: Hashable, Sendable, CustomStringConvertible {
    /// By its id.
    case id(KeyID)
    /// By its name, which several keys may carry.
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

/// The rules for a key's name.
public enum KeyName {
    /// Checks a name for a new key: 2 to 90 printable characters, no space at either end, not shaped like a UUID.
    ///
    /// - Throws: `invalidName`.
    public static func check(_ name: String) throws(Refusal) {
        let scalars = name.unicodeScalars
        guard scalars.count >= Limits.minimumName, scalars.count <= Limits.maximumName, KeyID(text: name) == nil,
            let first = scalars.first, let last = scalars.last,
            !first.properties.isWhitespace, !last.properties.isWhitespace,
            scalars.allSatisfy(isPrintable)
        else { throw Refusal(.invalidName) }
    }

    // Controls, line breaks, unassigned and private code points and the invisible format characters (which can make two names
    // look alike) do not belong in a name that people must recognise.
    private static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator: false
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter, .nonspacingMark,
            .spacingMark, .enclosingMark, .decimalNumber, .letterNumber, .otherNumber, .connectorPunctuation,
            .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation, .finalPunctuation,
            .otherPunctuation, .mathSymbol, .currencySymbol, .modifierSymbol, .otherSymbol, .spaceSeparator:
            true
        @unknown default: false
        }
    }
}
