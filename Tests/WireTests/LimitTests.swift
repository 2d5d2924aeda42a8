import ClavigerWire
import Testing

/// Every limit of the protocol: at the limit, and one past it.
@Suite struct LimitTests {
    typealias Case = BodyFormTests.Case

    private static let key = field(1, "payroll")
    private static let operation = field(2, [UInt8](repeating: 7, count: 16))
    private static let open: any WireMessage.Type = UnwrapRequest.self
    private static let wrap: any WireMessage.Type = WrapRequest.self

    private static func given(_ count: Int) -> [UInt8] { field(1, [UInt8](repeating: 5, count: count)) }
    private static func generate(_ count: UInt32) -> [UInt8] { field(2, bigEndian(count)) }
    private static func wrapping(_ items: [[UInt8]]) -> [UInt8] { key + field(2, list(items)) }
    private static func opening(_ items: [[UInt8]]) -> [UInt8] { field(2, list(items)) }
    private static func text(_ count: Int, of scalar: String = "é") -> String { String(repeating: scalar, count: count) }

    private static func envelope(_ suite: Suite, plaintext: Int) -> [UInt8] {
        switch suite {
        case .aesGCM: field(1, EnvelopeTests.envelope(suite, ivLength: 12, ciphertext: 32 + plaintext))
        case .aesCBCWithHMAC: field(1, EnvelopeTests.envelope(suite, ivLength: 16, ciphertext: (plaintext / 16 + 1) * 16))
        case .aesKeyWrapWithHMAC: field(1, EnvelopeTests.envelope(suite, ivLength: 0, ciphertext: plaintext + 8))
        }
    }

    static let plaintexts: [Case] = [
        Case("a DEK of 0 bytes", wrap, wrapping([given(0)]), .plaintextSize),
        Case("a DEK of 1 byte", wrap, wrapping([given(1)]), nil),
        Case("a DEK of 4,096 bytes", wrap, wrapping([given(4_096)]), nil),
        Case("a DEK of 4,097 bytes", wrap, wrapping([given(4_097)]), .plaintextSize),
        Case("one DEK of 4,097 bytes among good ones", wrap, wrapping([given(1), given(4_097), given(1)]), .plaintextSize),
        Case("generate 15", wrap, wrapping([generate(15)]), .invalidValue),
        Case("generate 16", wrap, wrapping([generate(16)]), nil),
        Case("generate 64", wrap, wrapping([generate(64)]), nil),
        Case("generate 65", wrap, wrapping([generate(65)]), .invalidValue),
        Case("generate 2^32 - 1", wrap, wrapping([generate(.max)]), .invalidValue),
    ]

    static let batches: [Case] = [
        Case("256 items", wrap, wrapping(Array(repeating: given(1), count: 256)), nil),
        Case("257 items", wrap, wrapping(Array(repeating: given(1), count: 257)), .itemCount),
        Case("257 items to open", open, opening(Array(repeating: field(1, []), count: 257)), .itemCount),
        Case("257 items to rewrap", RewrapRequest.self, opening(Array(repeating: field(1, []), count: 257)), .itemCount),
        Case("256 KiB", wrap, wrapping(Array(repeating: given(4_096), count: 64)), nil),
        Case("256 KiB and a byte", wrap, wrapping(Array(repeating: given(4_096), count: 64) + [given(1)]), .batchSize),
        Case(
            "256 KiB and a DEK to generate", wrap, wrapping(Array(repeating: given(4_096), count: 64) + [generate(16)]),
            .batchSize),
        Case("256 DEKs of 1 KiB", wrap, wrapping(Array(repeating: given(1_024), count: 256)), nil),
    ]

    /// What wrap takes, unwrap and rewrap take; one byte of plaintext more they refuse, where its length can be seen.
    static let openings: [Case] = [Suite.aesGCM, .aesCBCWithHMAC, .aesKeyWrapWithHMAC].flatMap { suite in
        [UnwrapRequest.self as any WireMessage.Type, RewrapRequest.self].flatMap { type in
            let full = Array(repeating: envelope(suite, plaintext: 4_096), count: 64)
            let more = envelope(suite, plaintext: suite == .aesKeyWrapWithHMAC ? 16 : 1)
            return [
                Case("64 of 4,096 bytes, \(suite)", type, opening(full), nil),
                Case(
                    "256 of 1,024 bytes, \(suite)", type,
                    opening(Array(repeating: envelope(suite, plaintext: 1_024), count: 256)), nil),
                Case("one more, \(suite)", type, opening(full + [more]), .batchSize),
                Case("one that is no envelope more, \(suite)", type, opening(full + [field(1, [1])]), nil),
            ]
        }
    }

    static let texts: [Case] = [
        Case("a key of 0 scalars", wrap, field(1, "") + field(2, list([given(1)])), .invalidValue),
        Case("a key of 1 scalar", wrap, field(1, "é") + field(2, list([given(1)])), nil),
        Case("a key of 90 scalars", wrap, field(1, text(90, of: "🔑")) + field(2, list([given(1)])), nil),
        Case("a key of 91 scalars", wrap, field(1, text(91)) + field(2, list([given(1)])), .invalidValue),
        Case("a key of 361 bytes", wrap, field(1, text(361, of: "a")) + field(2, list([given(1)])), .invalidValue),
        Case("a name of 1 scalar", KeyCreateRequest.self, field(1, "é") + operation, .invalidName),
        Case("a name of 2 scalars", KeyCreateRequest.self, field(1, "éé") + operation, nil),
        Case("a name of 90 scalars", KeyCreateRequest.self, field(1, text(90, of: "🔑")) + operation, nil),
        Case("a name of 91 scalars", KeyCreateRequest.self, field(1, text(91)) + operation, .invalidName),
        Case("a reason of 1,000 scalars", HealthReply.self, field(1, [1]) + field(2, text(1_000, of: "🔑")), nil),
        Case("a reason of 1,001 scalars", HealthReply.self, field(1, [1]) + field(2, text(1_001)), .invalidValue),
        Case("a PIN of 0 bytes", UnlockRequest.self, field(1, []), .invalidValue),
        Case("a PIN of 1 byte", UnlockRequest.self, field(1, [0xff]), nil),
        Case("a PIN of 255 bytes", UnlockRequest.self, field(1, [UInt8](repeating: 0x31, count: 255)), nil),
        Case("a PIN of 256 bytes", UnlockRequest.self, field(1, [UInt8](repeating: 0x31, count: 256)), .invalidValue),
    ]

    /// Numbers with a range, both ends.
    static let numbers: [Case] = {
        var cases: [Case] = []
        func add(_ name: String, _ type: any WireMessage.Type, _ body: [UInt8], _ isGood: Bool) {
            cases.append(Case(name, type, body, isGood ? nil : .invalidValue))
        }
        for (value, isGood) in [(0, false), (1, true), (500, true), (501, false)] {
            add("a page of \(value) keys", KeyListRequest.self, field(1, bigEndian(UInt32(value))), isGood)
            add("a page of \(value) versions", KeyVersionsRequest.self, key + field(2, bigEndian(UInt32(value))), isGood)
        }
        for (value, isGood) in [(0, false), (1, true), (UInt32.max, true)] {
            add("versions before \(value)", KeyVersionsRequest.self, key + field(3, bigEndian(value)), isGood)
        }
        for (count, isGood) in [(0, false), (1, true), (4_016, true), (4_017, false)] {
            add("a cursor of \(count) bytes", KeyListRequest.self, field(2, [UInt8](repeating: 1, count: count)), isGood)
        }
        let item = opening([field(1, [])])
        for value in UInt8.min...UInt8.max {
            add("flag \(value)", open, item + field(3, [value]), value <= 1)
            add("daemon state \(value)", HealthReply.self, field(1, [value]) + field(2, ""), (1...5).contains(value))
            add("key state \(value)", KeyRecord.self, record(state: value), [1, 2, 3, 5].contains(value))
            add("suite \(value)", KeyRecord.self, record(suite: value), (1...3).contains(value))
        }
        return cases
    }()

    private static func record(state: UInt8 = 1, suite: UInt8 = 1) -> [UInt8] {
        let id = field(1, [UInt8](repeating: 7, count: 16)) + field(2, "payroll") + field(3, [state])
        let version = field(4, bigEndian(UInt64(1))) + field(5, bigEndian(UInt32(1))) + field(6, bigEndian(UInt64(1)))
        return id + version + field(7, [suite])
    }

    /// Lists of replies, which a client checks as strictly as a daemon its requests.
    static let lists: [Case] = {
        let group = field(1, bigEndian(UInt32(1)))
        let whoami: [UInt8] = group + field(2, bigEndian(UInt32(1))) + field(3, bigEndian(UInt32(1)))
        let mechanism: [UInt8] = field(1, "CKM_AES_GCM") + field(2, [1]) + field(3, "")
        var token: [UInt8] = field(1, "") + field(2, "") + field(3, bigEndian(UInt64(1)))
        for tag: UInt16 in 4...7 { token += field(tag, "") }
        token += field(8, [1]) + field(9, bigEndian(UInt64(1)))
        let permission = field(1, "x")
        let refused = field(1, bigEndian(UInt32(34)))

        var cases: [Case] = []
        func add(_ limit: Int, _ type: any WireMessage.Type, _ refusal: RefusalCode, _ body: (Int) -> [UInt8]) {
            cases.append(Case("\(limit) in \(type)", type, body(limit), nil))
            cases.append(Case("\(limit + 1) in \(type)", type, body(limit + 1), refusal))
        }
        add(32_768, WhoamiReply.self, .invalidValue) { count in
            whoami + field(4, list(Array(repeating: group, count: count))) + field(6, list([]))
        }
        add(256, WhoamiReply.self, .invalidValue) { count in
            whoami + field(4, list([])) + field(6, list(Array(repeating: permission, count: count)))
        }
        add(256, TokenStatusReply.self, .invalidValue) { count in
            token + field(12, list(Array(repeating: mechanism, count: count)))
        }
        add(500, KeyListReply.self, .invalidValue) { count in field(1, list(Array(repeating: record(), count: count))) }
        add(256, CipherReply.self, .itemCount) { count in field(1, list(Array(repeating: refused, count: count))) }
        return cases
    }()

    @Test(arguments: plaintexts + batches + openings + texts + lists)
    func limitHolds(_ limit: Case) {
        #expect(code(limit.type, limit.body) == limit.expected)
    }

    @Test func numberRangesHold() {
        for limit in Self.numbers { #expect(code(limit.type, limit.body) == limit.expected, "\(limit.name)") }
    }

    @Test(arguments: [
        ("payroll", true), ("pay roll", true), ("Straße 🔑", true), ("日本", true), ("-x", true), (" payroll", false),
        ("payroll ", false), ("\u{a0}payroll", false), ("pay\nroll", false), ("pay\u{0}roll", false), ("pay\u{7f}roll", false),
        ("pay\u{200b}roll", false), ("pay\u{202e}roll", false), ("\u{feff}payroll", false), ("pay\u{2028}roll", false),
        ("pay\u{e000}roll", false), ("6f1d3c5a-9b7e-4a02-8c41-d2e3f4a5b6c7", false),
        ("6F1D3C5A-9B7E-4A02-8C41-D2E3F4A5B6C7", false), ("6f1d3c5a-9b7e-4a02-8c41-d2e3f4a5b6c", true),
        ("6f1d3c5a-9b7e-4a02-8c41-d2e3f4a5b6cg", true), ("6f1d3c5a9b7e4a028c41d2e3f4a5b6c7", true),
    ])
    func namesFollowTheRules(_ name: String, _ isGood: Bool) {
        #expect(code(KeyCreateRequest.self, field(1, name) + Self.operation) == (isGood ? nil : .invalidName))
    }

    /// The greatest replies that the daemon's limits allow fit the buffer that it answers from.
    @Test func greatestRepliesFit() {
        let bytes = [UInt8](repeating: 0xaa, count: Envelope.maximumLength)
        let source = bytes.span.bytes
        // Suite 1 with the long IV is the longest envelope of a plaintext; 15 bytes more an item is what padding can hide.
        for (count, length) in [(256, 1_024), (64, 4_096), (256, 1_024 + 15)] {
            var item = CipherItem(key: KeyID(high: 1, low: 2), version: 1)
            item.envelope = ByteRange(offset: 0, count: min(bytes.count, Envelope.length(plaintext: length, ivLength: 16) + 16))
            item.plaintext = ByteRange(offset: 0, count: length)
            item.envelopeVersion = 2
            item.stale = true
            let reply = CipherReply(items: Array(repeating: item, count: count))
            #expect(encoded(reply, source: source, capacity: Limits.maximumReplySize - Limits.headerLength) != nil)
        }
        let name = Self.text(90, of: "🔑")
        let key = KeyRecord(
            id: KeyID(high: 1, low: 2), name: name, state: .active, created: 1, version: 1, versionCreated: 1, suite: .aesGCM)
        let keys = KeyListReply(keys: Array(repeating: key, count: Limits.maximumPage), next: [UInt8](repeating: 1, count: 24))
        #expect(encoded(keys, source: source, capacity: Limits.maximumReplySize - Limits.headerLength) != nil)
        let whoami = WhoamiReply(
            uid: 1, gid: 1, pid: 1, groups: Array(repeating: 1, count: Limits.maximumGroups), unit: Self.text(1_000, of: "🔑"),
            permissions: Permission.allCases.map(\.rawValue))
        #expect(encoded(whoami, source: source, capacity: Limits.maximumReplySize - Limits.headerLength) != nil)
        for code in RefusalCode.allCases {
            let refused = CipherReply(items: Array(repeating: CipherItem(Refusal(code)), count: Limits.maximumItems))
            #expect(encoded(refused, source: source, capacity: Limits.maximumReplySize - Limits.headerLength) != nil)
        }
    }

    /// A batch of one refused item answers in the small buffer, whatever its code.
    @Test func messagesAreShort() {
        for code in RefusalCode.allCases { #expect(code.entry.message.unicodeScalars.count <= 200) }
    }
}
