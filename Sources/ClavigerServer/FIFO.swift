/// A queue in an array, whose storage is reused.
struct FIFO<Element> {
    private var items: [Element?] = []
    private var head = 0

    var count: Int { items.count - head }
    /// The item that the next ``pop()`` gives.
    var first: Element? { head < items.count ? items[head] : nil }

    /// All items, the longest waiting first.
    var all: [Element] { items[head...].compactMap { $0 } }

    mutating func push(_ item: Element) { items.append(item) }

    mutating func pop() -> Element? {
        guard head < items.count else { return nil }
        let item = items[head].take()
        head += 1
        compact()
        return item
    }

    /// Takes out the first item that `condition` is true for.
    mutating func remove(where condition: (Element) -> Bool) -> Element? {
        for index in head..<items.count {
            if let item = items[index], condition(item) {
                items.remove(at: index)
                return item
            }
        }
        return nil
    }

    // Moving the rest only when it is the smaller half keeps pop at constant cost on average.
    private mutating func compact() {
        if head == items.count {
            items.removeAll(keepingCapacity: true)
            head = 0
        } else if head >= 64, head * 2 >= items.count {
            items.removeFirst(head)
            head = 0
        }
    }
}
