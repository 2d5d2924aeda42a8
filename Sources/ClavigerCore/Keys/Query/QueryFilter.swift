import ClavigerWire

/// A filter: conditions that all must hold of a key.
///
/// ```
/// filter    = clause { " " clause }
/// clause    = date "=" ( order ":" moment | "none" )
///           | word "=" value { "," value }
/// date      = "created" | "updated" | "rotated" | "expires" | "deleted"
/// order     = "lt" | "lte" | "gt" | "gte"
/// word      = "kind"      root, standard
///           | "state"     active, suspended, deactivated, destroyed, or their numbers 1, 2, 3, 5
///           | "imported"  true, false
///           | "ring"      a ring's id
///           | "tag"       a tag; the key has at least one of those given
/// ```
/// A moment is what `QueryDate` reads; `none` holds when the key has no such moment. A value with a space or comma stands in double
/// quotes, where `\"` is a quote and `\\` a backslash. A date may stand in three clauses, a word in one. Key Protect's names are
/// understood too: `creationDate`, `lastUpdateDate`, `lastRotateDate`, `expirationDate`, `deletionDate`, `keyRing`, and `extractable`
/// with `true` (standard) and `false` (root).
package struct QueryFilter: Sendable, Equatable {
    /// One condition.
    package enum Clause: Sendable, Equatable {
        case moment(QueryProperty, Order, UInt64)
        case absent(QueryProperty)
        case kinds(Set<KeyKind>)
        case states(Set<KeyState>)
        case imported(Set<Bool>)
        case rings(Set<String>)
        case tags(Set<String>)
    }

    /// How a key's moment lies to the one given.
    package enum Order: String, Sendable {
        case before = "lt"
        case until = "lte"
        case after = "gt"
        case from = "gte"
    }

    /// What must hold.
    package let clauses: [Clause]

    /// Whether it says by itself which states are wanted: then destroyed keys are not left out beforehand.
    package let namesStates: Bool

    /// Reads a filter.
    ///
    /// - Throws: `invalidValue` that says what is wrong where.
    package init(_ text: String) throws(Refusal) {
        var reader = FilterReader(text)
        var clauses: [Clause] = []
        var seen: [QueryProperty: Int] = [:]
        while let (name, values) = try reader.next() {
            guard let property = QueryProperty(named: name), property.isFilter else {
                throw Refusal(
                    .invalidValue,
                    "filter: \(name.quotedForRefusal) is no property; there are \(QueryProperty.names(\.isFilter))")
            }
            let limit = property.isDate ? QueryLimits.clausesPerDate : 1
            seen[property, default: 0] += 1
            guard seen[property, default: 0] <= limit else {
                throw Refusal(.invalidValue, "filter: '\(name)' stands more than \(limit == 1 ? "once" : "\(limit) times")")
            }
            clauses.append(try QueryFilter.clause(property, name, values))
        }
        guard !clauses.isEmpty else { throw Refusal(.invalidValue, "filter: there is no condition in it") }
        self.clauses = clauses
        namesStates = seen[.state] != nil || seen[.deleted] != nil
    }

    /// Whether a key fulfils all conditions at a moment.
    package func matches(_ key: StoredKey, at now: UInt64) -> Bool {
        clauses.allSatisfy { clause in
            switch clause {
            case .moment(let property, let order, let bound):
                guard let moment = property.moment(of: key) else { return false }
                return switch order {
                case .before: moment < bound
                case .until: moment <= bound
                case .after: moment > bound
                case .from: moment >= bound
                }
            case .absent(let property): return property.moment(of: key) == nil
            case .kinds(let kinds): return kinds.contains(key.kind)
            case .states(let states): return states.contains(key.state(at: now))
            case .imported(let values): return values.contains(key.isImported)
            case .rings(let rings): return rings.contains(key.ring)
            case .tags(let tags): return key.tags.contains { tags.contains($0) }
            }
        }
    }

    private static func clause(
        _ property: QueryProperty, _ name: String, _ values: [FilterReader.Value]
    ) throws(Refusal) -> Clause {
        switch property {
        case .created, .updated, .rotated, .expires, .deleted: return try date(property, name, values)
        case .kind where name == "extractable":
            return .kinds(try set(name, values, "true, false") { flag($0).map { $0 ? .standard : .root } })
        case .kind: return .kinds(try set(name, values, "root, standard") { text in KeyKind.allCases.first { $0.name == text } })
        case .state:
            let names = KeyState.allCases.map { "\($0.name) (\($0.rawValue))" }.joined(separator: ", ")
            return .states(
                try set(name, values, names) { text in KeyState.allCases.first { $0.name == text || "\($0.rawValue)" == text } })
        case .imported: return .imported(try set(name, values, "true, false", flag))
        case .ring: return .rings(try set(name, values, "ids of rings") { $0 })
        case .tag: return .tags(try set(name, values, "tags") { $0 })
        case .id, .name: throw Refusal(.internalError)
        }
    }

    private static func date(
        _ property: QueryProperty, _ name: String, _ values: [FilterReader.Value]
    ) throws(Refusal) -> Clause {
        let value = values[0]
        if values.count == 1, value.order == nil, value.text == "none" { return .absent(property) }
        guard values.count == 1, let order = value.order.flatMap({ Order(rawValue: $0) }) else {
            throw Refusal(.invalidValue, "filter: '\(name)=' wants none, or lt:, lte:, gt: or gte: and a moment")
        }
        guard let moment = QueryDate.parse(value.text) else {
            throw Refusal(
                .invalidValue,
                "filter: \(value.text.quotedForRefusal) is no moment; write 2027-01-31 or 2027-01-31T12:00:00Z")
        }
        return .moment(property, order, moment)
    }

    private static func set<Member>(
        _ name: String, _ values: [FilterReader.Value], _ choices: String, _ member: (String) -> Member?
    ) throws(Refusal) -> Set<Member> {
        var members: Set<Member> = []
        for value in values {
            // Only moments are written with an order; elsewhere a colon belongs to the value.
            let text = value.order.map { $0 + ":" + value.text } ?? value.text
            guard let member = member(text) else {
                throw Refusal(.invalidValue, "filter: '\(name)=' takes \(choices), not \(text.quotedForRefusal)")
            }
            members.insert(member)
        }
        return members
    }

    private static func flag(_ text: String) -> Bool? {
        switch text {
        case "true": true
        case "false": false
        case _: nil
        }
    }
}

/// Divides a filter into clauses. It goes over the text once and never looks back.
private struct FilterReader {
    /// One value of a clause: what stands before a colon and the rest.
    struct Value: Equatable {
        /// What stands before the first colon outside quotes; nil without one.
        var order: String?
        var text = ""
    }

    private var rest: Substring.UnicodeScalarView

    init(_ text: String) { rest = text[...].unicodeScalars }

    /// The next clause: its property and at least one value; nil at the end.
    mutating func next() throws(Refusal) -> (name: String, values: [Value])? {
        while rest.first == " " { rest.removeFirst() }
        guard !rest.isEmpty else { return nil }
        let name = rest.prefix { $0 != "=" && $0 != " " }
        rest = rest.dropFirst(name.count)
        let shown = String(name)
        guard rest.first == "=", !name.isEmpty else {
            throw Refusal(.invalidValue, "filter: \(shown.quotedForRefusal) has no '='; write property=value")
        }
        rest.removeFirst()
        var values = [try value(of: shown)]
        while rest.first == "," {
            rest.removeFirst()
            values.append(try value(of: shown))
        }
        return (shown, values)
    }

    private mutating func value(of name: String) throws(Refusal) -> Value {
        var value = Value()
        var isQuoted = false
        while let scalar = rest.first, scalar != " ", scalar != "," {
            rest.removeFirst()
            if scalar == "\"" {
                isQuoted = true
                try quoted(into: &value.text)
            } else if scalar == ":", value.order == nil, !isQuoted {
                value.order = value.text
                value.text = ""
            } else {
                value.text.unicodeScalars.append(scalar)
            }
        }
        guard isQuoted || !value.text.isEmpty || value.order != nil else {
            throw Refusal(.invalidValue, "filter: a value is missing after \(name.quotedForRefusal)")
        }
        return value
    }

    private mutating func quoted(into text: inout String) throws(Refusal) {
        while let scalar = rest.popFirst() {
            if scalar == "\"" { return }
            if scalar == "\\" {
                guard let escaped = rest.popFirst(), escaped == "\"" || escaped == "\\" else {
                    throw Refusal(.invalidValue, "filter: in quotes a backslash stands before a quote or another backslash")
                }
                text.unicodeScalars.append(escaped)
            } else {
                text.unicodeScalars.append(scalar)
            }
        }
        throw Refusal(.invalidValue, "filter: a quote is not closed")
    }
}
