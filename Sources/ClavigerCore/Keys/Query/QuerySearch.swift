import ClavigerWire

/// A search: text that is looked for in keys' names and aliases.
///
/// ```
/// search = { prefix } text
/// prefix = "not:"      keys in which the text is not found
///        | "exact:"    the text is the whole name or alias, not a part of it
///        | "name:"     only names are looked at
///        | "alias:"    only aliases are looked at; with "name:" too, both, as without either
///        | "escape:"   what follows is the text, whatever it begins with
/// ```
/// Prefixes come in any order, each at most once, in small letters. The text has at least one character. Capitals and small letters
/// count as the same, by Unicode's own mapping, which does not depend on a language.
package struct QuerySearch: Sendable, Equatable {
    /// Whether keys are wanted in which the text is not found.
    package private(set) var isNegated = false
    /// Whether the text is to be all of a name or alias.
    package private(set) var isExact = false
    /// Whether names are looked at.
    package private(set) var looksAtNames = true
    /// Whether aliases are looked at.
    package private(set) var looksAtAliases = true

    /// Finds the text in small letters.
    private let finder: TextFinder

    /// Reads a search.
    ///
    /// - Throws: `invalidValue` when nothing is left to look for, or a prefix stands twice.
    package init(_ search: String) throws(Refusal) {
        var rest = search[...]
        var seen: Set<Prefix> = []
        while let prefix = Prefix.allCases.first(where: { rest.utf8.starts(with: $0.rawValue.utf8) }) {
            guard seen.insert(prefix).inserted else {
                throw Refusal(
                    .invalidValue, "search: '\(prefix.rawValue)' stands twice; write 'escape:' before text that begins so")
            }
            rest = rest[rest.utf8.index(rest.startIndex, offsetBy: prefix.rawValue.utf8.count)...]
            if prefix == .escape { break }
        }
        guard !rest.isEmpty else { throw Refusal(.invalidValue, "search: there is no text to look for") }
        isNegated = seen.contains(.not)
        isExact = seen.contains(.exact)
        if seen.contains(.name) != seen.contains(.alias) {
            looksAtNames = seen.contains(.name)
            looksAtAliases = seen.contains(.alias)
        }
        finder = TextFinder(Array(rest.lowercased().utf8))
    }

    /// Whether a key of this name and these aliases is wanted.
    package func matches(name: String, aliases: [String]) -> Bool {
        let isFound = (looksAtNames && stands(in: name)) || (looksAtAliases && aliases.contains { stands(in: $0) })
        return isFound != isNegated
    }

    private enum Prefix: String, CaseIterable {
        case not = "not:"
        case exact = "exact:"
        case name = "name:"
        case alias = "alias:"
        case escape = "escape:"
    }

    private func stands(in text: String) -> Bool {
        let lower = text.lowercased()
        return isExact ? lower.utf8.elementsEqual(finder.needle) : finder.end(in: lower.utf8) != nil
    }
}
