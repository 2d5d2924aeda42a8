import ClavigerWire
import Glibc

/// What a daemon would do, without secrets: envelopes of the right form that hold their plaintext in clear.
enum FakeCipher {
    static let key = KeyID(high: 0x1111_2222_3333_4444, low: 0x8555_6666_7777_8888)

    static func envelope(_ plaintext: [UInt8], version: UInt32 = 1) -> [UInt8] {
        Envelope.header(suite: .aesGCM, keyID: key, version: version) + [12] + [UInt8](repeating: 7, count: 12)
            + [UInt8](repeating: 0, count: 32) + plaintext + [UInt8](repeating: 9, count: 16)
    }

    static func plaintext(_ envelope: [UInt8]) -> [UInt8] {
        Array(envelope[(Envelope.headerLength + 1 + 12 + 32)..<(envelope.count - 16)])
    }

    /// Answers any request of a well-behaved client. Wraps are version 1; unwrap calls them stale and refreshes to version 2.
    static func answer(_ request: TestServer.Request) {
        switch request.opcode {
        case .ping: request.reply(EmptyMessage())
        case .wrap: wrap(request)
        case .unwrap, .rewrap: open(request)
        case .health: request.reply(HealthReply(state: .ready))
        case .unlock: request.reply(HealthReply(state: .ready))
        case .status:
            var status = StatusReply(health: HealthReply(state: .degraded, reason: "one\u{1b}[31m key is faulty"))
            status.version = "9.9"
            request.reply(status)
        case .whoami:
            request.reply(WhoamiReply(uid: 1, gid: 2, pid: 3, groups: [4, 5], unit: "a.service", permissions: ["wrap"]))
        case .keyCreate, .keyRotate, .keyShow:
            let name = request.message(KeyCreateRequest.self)?.name ?? "payroll"
            request.reply(record(name, 1))
        case .keyList: list(request)
        case .keyVersions:
            let record = VersionRecord(version: 1, created: 0, suite: .aesGCM, isCurrent: true, wraps: 65_536, isUsable: true)
            request.reply(KeyVersionsReply(key: key, versions: [record], more: false))
        case .tokenStatus:
            var status = TokenStatusReply()
            status.label = "lab"
            status.flags = 0x0001_040d
            request.reply(status)
        // Everything else is not scripted here.
        default: request.refuse(Refusal(.unknownOpcode))
        }
    }

    static func record(_ name: String, _ number: UInt64) -> KeyRecord {
        KeyRecord(
            id: KeyID(high: number, low: 1), name: name, state: .active, created: 1_000 * number, version: 1,
            versionCreated: 1_000 * number, suite: .aesGCM)
    }

    // Three pages of two keys.
    private static func list(_ request: TestServer.Request) {
        let cursor = request.message(KeyListRequest.self)?.cursor
        let page = cursor.map { Int($0[0]) } ?? 0
        let keys = [record("key-\(2 * page)", UInt64(2 * page)), record("key-\(2 * page + 1)", UInt64(2 * page + 1))]
        let next = [UInt8(page + 1)] + [UInt8](repeating: 0, count: 23)
        request.reply(KeyListReply(keys: keys, next: page < 2 ? next : nil))
    }

    private static func wrap(_ request: TestServer.Request) {
        guard let message = request.message(WrapRequest.self) else { return request.refuse(Refusal(.malformedBody)) }
        var source: [UInt8] = []
        func add(_ bytes: [UInt8]) -> ByteRange {
            source += bytes
            return ByteRange(offset: source.count - bytes.count, count: bytes.count)
        }
        let items = message.items.map { item in
            var reply = CipherItem(key: key, version: 1)
            switch item.input {
            case .given(let range):
                let plaintext = Array(request.body[range.offset..<range.offset + range.count])
                // One byte 0xff stands for what this daemon refuses.
                guard plaintext != [0xff] else { return CipherItem(Refusal(.plaintextSize)) }
                reply.envelope = add(envelope(plaintext))
            case .generated(let count):
                let plaintext = [UInt8](repeating: 0x5a, count: count)
                reply.envelope = add(envelope(plaintext))
                reply.plaintext = add(plaintext)
            case .sealed(let count): reply.envelope = add(envelope([UInt8](repeating: 0x5b, count: count)))
            }
            return reply
        }
        request.reply(CipherReply(items: items), source: source)
    }

    private static func open(_ request: TestServer.Request) {
        let unwrap = request.message(UnwrapRequest.self)
        let rewrap = request.message(RewrapRequest.self)
        var source: [UInt8] = []
        func add(_ bytes: [UInt8]) -> ByteRange {
            source += bytes
            return ByteRange(offset: source.count - bytes.count, count: bytes.count)
        }
        let opens = request.opcode == .unwrap
        let items = (opens ? unwrap?.items ?? [] : rewrap?.items ?? []).map { item in
            let given = Array(request.body[item.envelope.offset..<item.envelope.offset + item.envelope.count])
            guard (try? Envelope(given.span.bytes)) != nil else { return CipherItem(Refusal(.malformedEnvelope)) }
            var reply = CipherItem(key: key, version: 1)
            if !opens || unwrap?.refresh == true {
                reply.envelope = add(envelope(plaintext(given), version: 2))
                reply.envelopeVersion = 2
            }
            if opens {
                reply.plaintext = add(plaintext(given))
                reply.stale = true
            }
            return reply
        }
        request.reply(CipherReply(items: items), source: source)
    }
}
