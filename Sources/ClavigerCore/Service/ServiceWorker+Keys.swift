import ClavigerWire
import Glibc

// Keys: create, rotate, list, show, versions.
extension ServiceWorker {
    func createKey(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        let message = try call.decode(KeyCreateRequest.self)
        record.note(field: "name", message.name)
        record.note(field: "operation", "\(message.operation)")
        let change = TokenService.Change(
            operation: message.operation, uid: call.caller.uid, opcode: .keyCreate, body: Array(call.body),
            target: .create(name: message.name))
        let key = try withToken { (_, _) throws(Refusal) in try service.token.perform(change) }
        record.note(key: key.id, version: key.version)
        return try call.answer.reply(key)
    }

    func rotateKey(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        let message = try call.decode(KeyRotateRequest.self)
        record.note(field: "operation", "\(message.operation)")
        let key = try withToken { (snapshot, _) throws(Refusal) in
            let target = try authorisedKey(message.key, for: .rotateKeys, of: call.caller, in: snapshot)
            let change = TokenService.Change(
                operation: message.operation, uid: call.caller.uid, opcode: .keyRotate, body: Array(call.body),
                target: .rotate(target.id))
            return try service.token.perform(change)
        }
        record.note(key: key.id, version: key.version)
        return try call.answer.reply(key)
    }

    func showKey(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        let message = try call.decode(KeyShowRequest.self)
        let key = try withToken { (snapshot, _) throws(Refusal) in
            try authorisedKey(message.key, for: .readKeys, of: call.caller, in: snapshot)
        }
        record.note(key: key.id, version: nil)
        return try call.answer.reply(key.record(at: service.time.now()))
    }

    func listKeys(_ call: Call) throws(Refusal) -> Int {
        let message = try call.decode(KeyListRequest.self)
        let limit = Int(message.limit ?? UInt32(Limits.defaultPage))
        let now = service.time.now()
        let reply = try withToken { (snapshot, _) throws(Refusal) in
            let start =
                try message.cursor.map { (bytes) throws(Refusal) in snapshot.firstIndex(after: try ListCursor(bytes)) } ?? 0
            let page = snapshot.order[start...].prefix(limit).compactMap { snapshot.keys[$0]?.record(at: now) }
            let isLast = start + page.count >= snapshot.order.count
            return KeyListReply(keys: page, next: isLast ? nil : page.last.map { ListCursor($0).bytes })
        }
        return try call.answer.reply(reply)
    }

    func listVersions(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        let message = try call.decode(KeyVersionsRequest.self)
        let limit = Int(message.limit ?? UInt32(Limits.defaultPage))
        let key = try withToken { (snapshot, _) throws(Refusal) in
            try authorisedKey(message.key, for: .readKeys, of: call.caller, in: snapshot)
        }
        record.note(key: key.id, version: nil)
        let older = key.versions.prefix { version in message.before.map { version.number < $0 } ?? true }
        let page = older.suffix(limit).reversed().map { version in
            version.record(of: key)
        }
        return try call.answer.reply(KeyVersionsReply(key: key.id, versions: page, more: older.count > page.count))
    }
}

/// Where a page of keys ends: creation time and id, so that keys that come and go between pages neither hide nor repeat others.
struct ListCursor {
    let created: UInt64
    let id: KeyID

    init(_ key: KeyRecord) {
        created = key.created
        id = key.id
    }

    /// The cursor that a client gives back.
    ///
    /// - Throws: `invalidValue` for one that no list has given.
    init(_ bytes: [UInt8]) throws(Refusal) {
        guard bytes.count == 24 else { throw Refusal(.invalidValue, "field 2 (cursor) is not of this list") }
        created = bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
        id = KeyID(bytes.span.bytes.extracting(8...)) ?? KeyID(high: 0, low: 0)
    }

    var bytes: [UInt8] { withUnsafeBytes(of: created.bigEndian) { Array($0) } + id.bytes }
}

extension Snapshot {
    /// The place in `order` of the first key after the cursor.
    func firstIndex(after cursor: ListCursor) -> Int {
        var low = 0
        var high = order.count
        while low < high {
            let middle = low + (high - low) / 2
            let isAfter = keys[order[middle]].map { ($0.created, $0.id) > (cursor.created, cursor.id) } ?? false
            if isAfter { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
