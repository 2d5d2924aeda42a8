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
    static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
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

/// The rules for an alias, beyond its characters and length.
public enum AliasName {
    /// The words that no alias may be, as in Key Protect: they stand for something else where keys are addressed by path.
    public static let reserved: Set<String> = [
        "allowed_ip", "key", "keys", "metadata", "policy", "policies", "registration", "registrations", "ring", "rings", "rotate",
        "wrap", "unwrap", "rewrap", "version", "versions",
    ]

    /// Checks a new alias: not shaped like a UUID, not reserved.
    ///
    /// - Throws: `invalidName`.
    public static func check(_ alias: String) throws(Refusal) {
        guard KeyID(text: alias) == nil else { throw Refusal(.invalidName, "an alias is not shaped like a UUID") }
        guard !reserved.contains(alias) else { throw Refusal(.invalidName, "'\(alias)' is reserved and cannot be an alias") }
    }
}

/// The rules for what else is said of a key.
public enum KeyText {
    /// The characters that no tag has: they mean something where tags are written side by side or searched for.
    public static let notInTags: Set<Unicode.Scalar> = ["<", ">", ",", ":", "&", "|"]

    /// Checks a description: empty, or from 2 characters on, and printable.
    ///
    /// - Throws: `invalidValue`.
    public static func check(description: String?) throws(Refusal) {
        guard let scalars = description?.unicodeScalars, !scalars.isEmpty else { return }
        guard scalars.count >= Limits.minimumDescription, scalars.allSatisfy(KeyName.isPrintable) else {
            throw Refusal(
                .invalidValue,
                "a description has from \(Limits.minimumDescription) to \(Limits.maximumDescription) printable characters")
        }
    }

    /// Checks tags.
    ///
    /// - Throws: `invalidValue`.
    public static func check(tags: [String]?) throws(Refusal) {
        for tag in tags ?? [] {
            guard tag.unicodeScalars.allSatisfy({ KeyName.isPrintable($0) && !notInTags.contains($0) }) else {
                throw Refusal(.invalidValue, "a tag has printable characters, none of < > , : & |")
            }
        }
    }

    /// Checks the size of imported material.
    ///
    /// - Throws: `invalidValue`.
    public static func check(bits: UInt32?) throws(Refusal) {
        guard let bits else { return }
        guard bits == 128 || bits == 192 || bits == 256 else {
            throw Refusal(.invalidValue, "a root key's material has 128, 192 or 256 bits")
        }
    }
}
