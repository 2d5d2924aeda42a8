import ClavigerClient

/// Lists that come a page at a time, as a whole.
enum Pages {
    /// The items of all pages, or the first `limit` of them.
    ///
    /// - Parameter page: asks for at most so many items from a cursor on; returns them and where the next page begins.
    static func all<Item>(
        limit: Int? = nil, _ page: (Int, [UInt8]?) throws(ClientError) -> ([Item], [UInt8]?)
    ) throws(ClientError) -> [Item] {
        var items: [Item] = []
        var cursor: [UInt8]?
        repeat {
            let wanted = min(Limits.maximumPage, (limit ?? .max) - items.count)
            let (found, next) = try page(wanted, cursor)
            items += found
            cursor = next
        } while cursor != nil && items.count < limit ?? .max
        return items
    }

    /// All versions of a key, newest first. Names may change hands between two pages; the id of the first page keeps them of one key.
    static func versions<Item>(
        of key: KeyReference, number: (Item) -> UInt32,
        _ page: (KeyReference, UInt32?) throws(ClientError) -> (KeyID, [Item], Bool)
    ) throws(ClientError) -> (KeyID, [Item]) {
        var (id, items, more) = try page(key, nil)
        while more, let last = items.last {
            let (_, older, isMore) = try page(.id(id), number(last))
            items += older
            more = isMore
        }
        return (id, items)
    }
}

extension GlobalOptions {
    /// Asks the daemon for something about a key and prints the key as it is then.
    func printKey(
        _ target: KeyArgument, _ body: (Client) throws(ClientError) -> KeyRecord
    ) throws(CommandFailure) {
        let key = try ask(key: target.key, body)
        try print(KeyDocument(key), orText: KeyDocument.text(key))
    }
}
