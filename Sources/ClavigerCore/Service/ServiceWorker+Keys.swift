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
        return try call.answer.reply(key.record(at: service.time.now(), service.snapshots.current.settings))
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
