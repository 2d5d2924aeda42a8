import ClavigerWire
import SecureMemory

/// The order of a list of keys.
///
/// ```
/// sort = term { "," term }
/// term = [ "-" ] property
/// ```
/// `-` turns a property's order round. Properties: `id`, `name`, `kind`, `state`, `imported`, `ring`, `created`, `updated`, `rotated`,
/// `expires`, `deleted`, each at most once; Key Protect's names are understood as in filters. A key without a moment comes after those
/// that have one. Keys that are alike in everything named come by id. Without a sort, keys come by creation time.
package struct QuerySort: Sendable, Equatable {
    /// One property and its direction.
    package struct Term: Sendable, Equatable {
        package let property: QueryProperty
        package let isDescending: Bool
    }

    /// The properties, the one that matters most first.
    package let terms: [Term]

    /// By creation time: the order that keys are kept in.
    package static let standard = QuerySort(terms: [Term(property: .created, isDescending: false)])

    /// Whether it is the order that keys are kept in.
    var isStandard: Bool { self == .standard }

    private init(terms: [Term]) { self.terms = terms }

    /// Reads a sort.
    ///
    /// - Throws: `invalidValue` that says which term is wrong.
    package init(_ text: String) throws(Refusal) {
        var terms: [Term] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let isDescending = part.hasPrefix("-")
            let name = isDescending ? part.dropFirst() : part
            guard let property = QueryProperty(named: name), property.isOrder else {
                throw Refusal(
                    .invalidValue, "sort: \(name.quotedForRefusal) is no property; there are \(QueryProperty.names(\.isOrder))")
            }
            guard !terms.contains(where: { $0.property == property }) else {
                throw Refusal(.invalidValue, "sort: \(name.quotedForRefusal) stands twice")
            }
            terms.append(Term(property: property, isDescending: isDescending))
        }
        self.terms = terms
    }

    /// Eight bytes that tell this order from others, the same in every process.
    var fingerprint: [UInt8] {
        let text = terms.map { ($0.isDescending ? "-" : "") + $0.property.rawValue }.joined(separator: ",")
        return Array(SHA256.digest(Array(text.utf8).span.bytes).prefix(8))
    }

    /// Where a key stands in this order.
    func place(of key: StoredKey, at now: UInt64) -> SortPlace {
        SortPlace(
            values: terms.map { term in
                switch term.property {
                case .id: .text(key.id.description)
                case .name: .text(key.name)
                case .kind: .number(UInt64(key.kind.rawValue))
                case .state: .number(UInt64(key.state(at: now).rawValue))
                case .imported: .number(key.isImported ? 1 : 0)
                case .ring: .text(key.ring)
                case .created, .updated, .rotated, .expires, .deleted:
                    term.property.moment(of: key).map { .number($0) } ?? .absent
                case .tag: .absent
                }
            }, id: key.id)
    }

    /// Whether one place comes before another.
    func isOrdered(_ left: SortPlace, before right: SortPlace) -> Bool {
        for (index, term) in terms.enumerated() where left.values[index] != right.values[index] {
            // Last in both directions.
            guard left.values[index] != .absent, right.values[index] != .absent else { return right.values[index] == .absent }
            return (left.values[index] < right.values[index]) != term.isDescending
        }
        return left.id < right.id
    }
}

/// What an order compares of one key.
struct SortPlace: Sendable, Equatable {
    /// A property's value. Texts compare by their UTF-8 bytes, which is the order of code points; what is absent comes last.
    enum Value: Sendable, Equatable, Comparable {
        case number(UInt64)
        case text(String)
        case absent

        static func == (left: Value, right: Value) -> Bool {
            switch (left, right) {
            case (.number(let left), .number(let right)): left == right
            case (.text(let left), .text(let right)): left.utf8.elementsEqual(right.utf8)
            case (.absent, .absent): true
            case (.number, .text), (.number, .absent), (.text, .number), (.text, .absent), (.absent, .number), (.absent, .text):
                false
            }
        }

        static func < (left: Value, right: Value) -> Bool {
            switch (left, right) {
            case (.number(let left), .number(let right)): left < right
            case (.text(let left), .text(let right)): left.utf8.lexicographicallyPrecedes(right.utf8)
            case (.number, .text), (.number, .absent), (.text, .absent): true
            case (.text, .number), (.absent, .number), (.absent, .text), (.absent, .absent): false
            }
        }
    }

    /// The values, one for each term of the order.
    var values: [Value]
    var id: KeyID
}
