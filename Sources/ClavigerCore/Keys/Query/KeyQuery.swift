import ClavigerWire

/// Which keys a list or count is about.
package struct KeyQuery: Sendable {
    /// Only keys of this ring.
    package var ring: String?
    /// Only keys in these states; nil for all but destroyed ones, unless the filter says which.
    package var states: Set<KeyState>?
    /// Only keys of this kind.
    package var kind: KeyKind?
    package var search: QuerySearch?
    package var filter: QueryFilter?

    /// All keys but destroyed ones.
    package init() {}

    /// Whether a key is wanted.
    package func matches(_ key: StoredKey, at now: UInt64) -> Bool {
        if let ring, key.ring != ring { return false }
        if let kind, key.kind != kind { return false }
        if let states {
            guard states.contains(key.state(at: now)) else { return false }
        } else if filter?.namesStates != true, key.state == .destroyed {
            return false
        }
        if let filter, !filter.matches(key, at: now) { return false }
        if let search, !search.matches(name: key.name, aliases: key.aliases) { return false }
        return true
    }
}

/// One page of a list of keys.
struct KeyPage {
    /// The keys, in order.
    var keys: [KeyEntry]
    /// Whether more follow.
    var hasMore: Bool
}

extension Snapshot {
    /// How many keys a query is about.
    ///
    /// - Parameter mayRead: whether the caller may see a key; what it may not see is not counted.
    func count(_ query: KeyQuery, at now: UInt64, mayRead: (KeyEntry) -> Bool) -> Int {
        keys.values.count { query.matches($0.stored, at: now) && mayRead($0) }
    }

    /// A page of the keys that a query is about.
    ///
    /// - Parameters:
    ///   - cursor: where the page begins; nil for the first.
    ///   - limit: how many keys at most, at least 1.
    func page(
        _ query: KeyQuery, by sort: QuerySort, after cursor: QueryCursor?, limit: Int, at now: UInt64, mayRead: (KeyEntry) -> Bool
    ) -> KeyPage {
        let found =
            sort.isStandard
            ? inOrder(query, cursor, limit, now, mayRead) : sorted(query, sort, cursor, limit, now, mayRead)
        return KeyPage(keys: Array(found.prefix(limit)), hasMore: found.count > limit)
    }

    // In the order that keys are kept in, a page costs what lies between its ends. One key more than asked for tells whether it is
    // the last page.
    private func inOrder(
        _ query: KeyQuery, _ cursor: QueryCursor?, _ limit: Int, _ now: UInt64, _ mayRead: (KeyEntry) -> Bool
    ) -> [KeyEntry] {
        var found: [KeyEntry] = []
        for id in order[firstIndex(after: cursor)...] {
            guard let key = keys[id], query.matches(key.stored, at: now), mayRead(key) else { continue }
            found.append(key)
            if found.count > limit { break }
        }
        return found
    }

    // In any other order every key is looked at, and the first of them are kept in a heap whose top is the last of these.
    private func sorted(
        _ query: KeyQuery, _ sort: QuerySort, _ cursor: QueryCursor?, _ limit: Int, _ now: UInt64, _ mayRead: (KeyEntry) -> Bool
    ) -> [KeyEntry] {
        var first = FirstPlaces(limit: limit + 1, sort: sort)
        for key in keys.values where query.matches(key.stored, at: now) {
            let place = sort.place(of: key.stored, at: now)
            if let cursor, !sort.isOrdered(cursor.place, before: place) { continue }
            guard first.wants(place), mayRead(key) else { continue }
            first.insert(place)
        }
        return first.inOrder.compactMap { keys[$0.id] }
    }

    private func firstIndex(after cursor: QueryCursor?) -> Int {
        guard let cursor, case .number(let created)? = cursor.place.values.first else { return 0 }
        var low = 0
        var high = order.count
        while low < high {
            let middle = low + (high - low) / 2
            let isAfter = keys[order[middle]].map { ($0.created, $0.id) > (created, cursor.place.id) } ?? false
            if isAfter { high = middle } else { low = middle + 1 }
        }
        return low
    }
}

/// The first places of many, found without sorting all: a binary heap of so many, the last of them on top.
struct FirstPlaces {
    private let limit: Int
    private let sort: QuerySort
    private var heap: [SortPlace] = []

    init(limit: Int, sort: QuerySort) {
        self.limit = limit
        self.sort = sort
    }

    /// Whether a place belongs to the first ones so far.
    func wants(_ place: SortPlace) -> Bool {
        heap.count < limit || heap.first.map { sort.isOrdered(place, before: $0) } ?? false
    }

    /// Takes a place that is wanted.
    mutating func insert(_ place: SortPlace) {
        if heap.count < limit {
            heap.append(place)
            var child = heap.count - 1
            while child > 0 {
                let parent = (child - 1) / 2
                guard sort.isOrdered(heap[parent], before: heap[child]) else { return }
                heap.swapAt(parent, child)
                child = parent
            }
        } else {
            heap[0] = place
            var parent = 0
            while true {
                var last = parent
                for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count {
                    if sort.isOrdered(heap[last], before: heap[child]) { last = child }
                }
                guard last != parent else { return }
                heap.swapAt(parent, last)
                parent = last
            }
        }
    }

    /// The places in their order.
    var inOrder: [SortPlace] { heap.sorted { sort.isOrdered($0, before: $1) } }
}
