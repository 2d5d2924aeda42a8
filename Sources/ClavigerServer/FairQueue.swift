/// A queue in which callers take turns: whoever queues much waits behind himself, not others behind him.
struct FairQueue<Element> {
    // A lane for each caller that has something queued, and the order in which they are served.
    private var lanes: [ObjectIdentifier: Lane] = [:]
    private var order = FIFO<ObjectIdentifier>()
    private(set) var count = 0
    var isEmpty: Bool { count == 0 }

    private struct Lane {
        let caller: CallerAccount
        var items = FIFO<Element>()
    }

    /// How much this caller has queued.
    func count(of caller: CallerAccount) -> Int { lanes[ObjectIdentifier(caller)]?.items.count ?? 0 }

    mutating func push(_ item: Element, of caller: CallerAccount) {
        let key = ObjectIdentifier(caller)
        if lanes[key] == nil { order.push(key) }
        lanes[key, default: Lane(caller: caller)].items.push(item)
        count += 1
    }

    /// The longest waiting item of the caller whose turn it is; those that `mayServe` is false for are passed over. The one that it is true
    /// for is given, so it may note that.
    mutating func pop(where mayServe: @Sendable (CallerAccount) -> Bool = { _ in true }) -> Element? {
        for _ in 0..<order.count {
            guard let key = order.pop() else { return nil }
            guard let caller = lanes[key]?.caller, mayServe(caller), let item = lanes[key]?.items.pop() else {
                order.push(key)
                continue
            }
            endTurn(of: key)
            return item
        }
        return nil
    }

    /// The longest waiting item of each caller.
    // With closures where others have key paths: in a generic type those are made anew with every use, which takes microseconds.
    var heads: some Sequence<Element> { lanes.values.lazy.compactMap { $0.items.first } }

    /// The longest waiting item of the first caller in turn whose longest waiting one `condition` is true for. That was its turn.
    mutating func popFirst(where condition: (Element) -> Bool) -> Element? {
        for key in order.all {
            guard let item = lanes[key]?.items.first, condition(item) else { continue }
            _ = order.remove { $0 == key }
            _ = lanes[key]?.items.pop()
            endTurn(of: key)
            return item
        }
        return nil
    }

    // One item was taken out; further ones wait behind those of all others.
    private mutating func endTurn(of key: ObjectIdentifier) {
        if lanes[key]?.items.first == nil { lanes[key] = nil } else { order.push(key) }
        count -= 1
    }

    /// All items, in no order.
    var all: [Element] { lanes.values.flatMap { $0.items.all } }

    /// Whether `pop` would give an item.
    func holds(where mayServe: @Sendable (CallerAccount) -> Bool) -> Bool { lanes.values.contains { mayServe($0.caller) } }

    /// Takes out the first item that `condition` is true for, of the caller whose turn comes first. That was its turn.
    mutating func remove(where condition: (Element) -> Bool) -> Element? {
        for key in order.all {
            guard let item = lanes[key]?.items.remove(where: condition) else { continue }
            _ = order.remove { $0 == key }
            endTurn(of: key)
            return item
        }
        return nil
    }
}
