import ClavigerWire

// Lists and counts of keys.
extension ServiceWorker {
    func listKeys(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        let message = try call.decode(KeyListRequest.self)
        let query = try KeyQuery(message.filter)
        let sort = try message.sort.map { (text) throws(Refusal) in try QuerySort(text) } ?? .standard
        let cursor = try message.cursor.map { (bytes) throws(Refusal) in try QueryCursor(bytes, for: sort) }
        let snapshot = try keys()
        let now = service.time.now()
        let page = snapshot.page(
            query, by: sort, after: cursor, limit: Int(message.limit ?? UInt32(Limits.defaultPage)), at: now
        ) { mayRead($0, call.caller) }
        record.note(message.filter)
        return try call.reply(page: page.keys, hasMore: page.hasMore) { keys, isLast in
            record.total = keys.count
            return KeyListReply(
                keys: keys.map { $0.record(at: now, snapshot.settings) },
                next: isLast ? nil : keys.last.map { QueryCursor(sort.place(of: $0.stored, at: now)).bytes(for: sort) })
        }
    }

    func countKeys(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        let message = try call.decode(KeyCountRequest.self)
        let query = try KeyQuery(message.filter)
        let snapshot = try keys()
        let count = snapshot.count(query, at: service.time.now()) { mayRead($0, call.caller) }
        record.note(message.filter)
        record.total = count
        return try call.answer.reply(KeyCountReply(count: UInt64(count)))
    }
}

extension KeyQuery {
    /// The query of a request.
    init(_ filter: KeyFilter) throws(Refusal) {
        self.init()
        ring = filter.ring
        states = filter.states.map { Set($0) }
        kind = filter.kind
        search = try filter.search.map { (text) throws(Refusal) in try QuerySearch(text) }
        self.filter = try filter.filter.map { (text) throws(Refusal) in try QueryFilter(text) }
    }
}

extension Call {
    /// Replies with a page of records, or the first of them when all do not fit: texts can be so long that a page of the greatest
    /// number of records exceeds what a frame carries.
    ///
    /// - Parameter message: the reply with these records, and whether none follow.
    func reply<Item, Reply: WireMessage>(
        page: [Item], hasMore: Bool, _ message: (ArraySlice<Item>, _ isLast: Bool) -> Reply
    ) throws(Refusal) -> Int {
        var count = page.count
        while count > 1 {
            let whole = message(page.prefix(count), !hasMore && count == page.count)
            if let length = answer.replyIfItFits(whole) { return length }
            count /= 2
        }
        return try answer.reply(message(page.prefix(count), !hasMore && count == page.count))
    }
}
