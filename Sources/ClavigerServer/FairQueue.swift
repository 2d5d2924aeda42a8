/// A queue in which callers take turns: whoever queues much waits behind himself, not others behind him.
struct FairQueue<Element> {
    // A lane for each caller that has something queued, and the order in which they are served.
    private var lanes: [ObjectIdentifier: FIFO<Element>] = [:]
    private var order = FIFO<ObjectIdentifier>()
    private(set) var count = 0

    /// How much this caller has queued.
    func count(of caller: CallerAccount) -> Int { lanes[ObjectIdentifier(caller)]?.count ?? 0 }

    mutating func push(_ item: Element, of caller: CallerAccount) {
        let key = ObjectIdentifier(caller)
        if lanes[key] == nil { order.push(key) }
        lanes[key, default: FIFO()].push(item)
        count += 1
    }

    /// The longest waiting item of the caller whose turn it is.
    mutating func pop() -> Element? {
        guard let key = order.pop(), let item = lanes[key]?.pop() else { return nil }
        if lanes[key]?.first == nil { lanes[key] = nil } else { order.push(key) }
        count -= 1
        return item
    }

    /// Takes out the first item that `condition` is true for, of the caller whose turn comes first.
    mutating func remove(where condition: (Element) -> Bool) -> Element? {
        for key in order.all {
            guard let item = lanes[key]?.remove(where: condition) else { continue }
            if lanes[key]?.first == nil {
                lanes[key] = nil
                _ = order.remove { $0 == key }
            }
            count -= 1
            return item
        }
        return nil
    }
}
