import ClavigerWire
import Testing

/// The limits of what is said of keys and what belongs to them: at the limit, and one past it.
@Suite struct LifecycleLimitTests {
    typealias Case = BodyFormTests.Case

    private static let key = field(1, "payroll")
    private static let operation = field(2, [UInt8](repeating: 7, count: 16))
    private static let create = field(1, "payroll") + operation
    private static let change = key + operation

    private static func text(_ count: Int, of scalar: String = "é") -> String { String(repeating: scalar, count: count) }
    private static func texts(_ values: [String]) -> [UInt8] { list(values.map { Array($0.utf8) }) }
    private static func texts(_ count: Int, of value: String) -> [UInt8] { texts(Array(repeating: value, count: count)) }

    /// A body with a field of so many characters or bytes: refused with `refusal` outside the range.
    private static func range(
        _ name: String, _ type: any WireMessage.Type, _ range: ClosedRange<Int>, _ refusal: RefusalCode = .invalidValue,
        belowLeast: RefusalCode? = nil, _ body: (Int) -> [UInt8]
    ) -> [Case] {
        var cases = [
            Case("\(name) of \(range.lowerBound)", type, body(range.lowerBound), nil),
            Case("\(name) of \(range.upperBound)", type, body(range.upperBound), nil),
            Case("\(name) of \(range.upperBound + 1)", type, body(range.upperBound + 1), refusal),
        ]
        if range.lowerBound > 0 {
            let below = belowLeast ?? refusal
            cases.append(Case("\(name) of \(range.lowerBound - 1)", type, body(range.lowerBound - 1), below))
        }
        return cases
    }

    static let descriptions: [Case] =
        range("a description", KeyCreateRequest.self, 2...240) { create + field(4, text($0, of: "🔑")) }
        + range("a tag", KeyCreateRequest.self, 0...30) { create + field(5, texts([text($0, of: "🔑")])) }
        + range("tags", KeyCreateRequest.self, 1...100) { create + field(5, texts($0, of: "a")) }
        + range("an alias", KeyCreateRequest.self, 2...90, .invalidName) { create + field(6, texts([text($0, of: "a")])) }
        + range("aliases", KeyCreateRequest.self, 1...50, .invalidName) { create + field(6, texts($0, of: "ab")) }
        + range("a ring", KeyCreateRequest.self, 2...100, .invalidName) { create + field(8, text($0, of: "a")) }
        + range("months", KeyCreateRequest.self, 0...12) { create + field(9, bigEndian(UInt32($0))) }
        + range("actions", KeyCreateRequest.self, 0...31) { create + field(10, bigEndian(UInt32($0))) }
        + range("tags", KeyUpdateRequest.self, 0...100) { change + field(6, texts($0, of: "a")) }
        + range("a ring", KeyMoveRequest.self, 2...100, .invalidName) { change + field(3, text($0, of: "_")) }
        + range("an alias", AliasCreateRequest.self, 2...90, .invalidName) { change + field(3, text($0, of: "-")) }
        + range("a ring", RingCreateRequest.self, 2...100, .invalidName) { field(1, text($0, of: "0")) + operation }
        + range("a reason", KeyChangeRequest.self, 1...240) { change + field(3, text($0, of: "🔑")) }
        + range("a reason", KeyRotateRequest.self, 1...240) { change + field(3, text($0)) }
        // Empty removes a description; a single character is none.
        + [
            Case("no description", KeyUpdateRequest.self, change + field(5, ""), nil),
            Case("a description of 1", KeyUpdateRequest.self, change + field(5, "a"), .invalidValue),
            Case("a description of 240", KeyUpdateRequest.self, change + field(5, text(240)), nil),
            Case("a description of 241", KeyUpdateRequest.self, change + field(5, text(241)), .invalidValue),
        ]

    static let material: [Case] =
        range("a secret", KeyCreateRequest.self, 1...7_500) { create + field(12, [UInt8](repeating: 1, count: $0)) }
        + range("a secret", KeyRotateRequest.self, 1...7_500) { change + field(4, [UInt8](repeating: 1, count: $0)) }
        + range("material", KeyCreateRequest.self, 512...512) { create + field(14, [UInt8](repeating: 1, count: $0)) }
        + range("a proof", KeyCreateRequest.self, 40...40) { create + field(15, [UInt8](repeating: 1, count: $0)) }
        + range("a nonce", KeyCreateRequest.self, 12...12) { create + field(17, [UInt8](repeating: 1, count: $0)) }
        + range("a life", ImportTokenCreateRequest.self, 300...86_400) { field(1, bigEndian(UInt32($0))) + operation }
        + range("uses", ImportTokenCreateRequest.self, 1...500) { operation + field(3, bigEndian(UInt32($0))) }
        + [0, 127, 128, 129, 191, 192, 193, 255, 256, 257].map { bits in
            let isGood = [128, 192, 256].contains(bits)
            return Case(
                "\(bits) bits", KeyCreateRequest.self, create + field(16, bigEndian(UInt32(bits))), isGood ? nil : .invalidValue)
        }

    static let lists: [Case] =
        range("a search", KeyListRequest.self, 1...240) { field(6, text($0, of: "🔑")) }
        + range("a filter", KeyListRequest.self, 1...1_000) { field(7, text($0)) }
        + range("a sort order", KeyListRequest.self, 1...200) { field(8, text($0)) }
        + range("states", KeyCountRequest.self, 1...4) { field(4, list(Array(repeating: field(1, [1]), count: $0))) }
        + range("a page", PageRequest.self, 1...500) { field(1, bigEndian(UInt32($0))) }
        + range("a cursor", PageRequest.self, 1...4_016) { field(2, [UInt8](repeating: 1, count: $0)) }
        + range("a resource", RegistrationSetRequest.self, 1...1_000) { change + field(3, text($0, of: "🔑")) }
        + range("a pattern", RegistrationListRequest.self, 1...1_000) { field(4, text($0)) }
        + range("a waiting body", ApprovalRequest.self, 1...4_096) {
            field(1, [5]) + operation + field(5, [UInt8](repeating: 1, count: $0))
        }

    /// Numbers of closed sets: each member, and those beside it.
    static let sets: [Case] = {
        var cases: [Case] = []
        func add(_ name: String, _ type: any WireMessage.Type, _ good: ClosedRange<UInt8>, _ body: (UInt8) -> [UInt8]) {
            for value in 0...good.upperBound + 1 {
                cases.append(Case("\(name) \(value)", type, body(value), good.contains(value) ? nil : .invalidValue))
            }
        }
        add("kind", KeyCreateRequest.self, 0...1) { create + field(3, [$0]) }
        add("suite", KeyCreateRequest.self, 1...3) { create + field(18, [$0]) }
        add("mark", KeyDeleteRequest.self, 1...1) { change + field(3, [$0]) }
        add("action", ApprovalRequest.self, 1...5) { field(1, [$0]) + operation }
        for (value, expected) in [(UInt32(0), RefusalCode.invalidValue), (1, nil), (.max, nil)] {
            cases.append(Case("version \(value)", VersionDestroyRequest.self, change + field(3, bigEndian(value)), expected))
        }
        for value: UInt8 in 0...6 {
            let body = field(4, list([field(1, [value])]))
            cases.append(
                Case("state \(value)", KeyListRequest.self, body, KeyState(rawValue: value) == nil ? .invalidValue : nil))
        }
        return cases
    }()

    @Test(arguments: descriptions + material + lists)
    func limitHolds(_ limit: Case) {
        #expect(code(limit.type, limit.body) == limit.expected)
    }

    @Test func setsAreClosed() {
        for limit in Self.sets { #expect(code(limit.type, limit.body) == limit.expected, "\(limit.name)") }
    }

    @Test func constantsAreTheReferencesNumbers() {
        #expect(Limits.maximumTags >= 30 && Limits.maximumAliases >= 5)
        #expect(Limits.proofLength == 40 && Limits.encryptedPayloadLength * 8 == 4_096)
        #expect(DualControl.all.rawValue == 31)
        #expect(ControlledAction.allCases.map { DualControl($0).rawValue } == [1, 2, 4, 8, 16])
        #expect(DualControl([.policy, .delete]).actions == [.delete, .policy])
    }

    // MARK: forms

    /// Words hold letters, digits, - and _ of ASCII; every other character is refused.
    @Test func wordsAreWords() {
        let good = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_".utf8)
        for byte in UInt8.min...UInt8.max {
            let body = Self.change + field(3, [0x61, byte, 0x61])
            #expect(code(AliasCreateRequest.self, body) == (good.contains(byte) ? nil : .invalidName), "\(byte)")
        }
        for alias in ["é", "ab cd", "ab\u{0}", "🔑🔑"] {
            #expect(code(AliasCreateRequest.self, Self.change + field(3, alias)) == .invalidName)
        }
    }

    @Test(arguments: [
        ("payroll-2025", true), ("6f1d3c5a9b7e4a028c41d2e3f4a5b6c7", true), ("Keys", true), ("KEY", true), ("-", false),
        ("6f1d3c5a-9b7e-4a02-8c41-d2e3f4a5b6c7", false), ("6F1D3C5A-9B7E-4A02-8C41-D2E3F4A5B6C7", false), ("key", false),
        ("keys", false), ("allowed_ip", false), ("metadata", false), ("policy", false), ("policies", false),
        ("registration", false), ("registrations", false), ("ring", false), ("rings", false), ("rotate", false), ("wrap", false),
        ("unwrap", false), ("rewrap", false), ("version", false), ("versions", false),
    ])
    func aliasesFollowTheRules(_ alias: String, _ isGood: Bool) {
        let expected: RefusalCode? = isGood ? nil : .invalidName
        #expect(code(AliasCreateRequest.self, Self.change + field(3, alias)) == expected)
        #expect(code(KeyCreateRequest.self, Self.create + field(6, Self.texts([alias]))) == expected)
        // An alias that rules of another time allowed can still be deleted.
        let deletion = code(AliasDeleteRequest.self, field(1, alias) + Self.operation)
        #expect(deletion == (alias == "-" ? .invalidName : nil))
    }

    @Test(arguments: ["<", ">", ",", ":", "&", "|", "\n", "\u{0}", "\u{200b}", "\u{202e}", "\u{2028}"])
    func tagsHoldNoSeparators(_ character: String) {
        #expect(code(KeyCreateRequest.self, Self.create + field(5, Self.texts(["good", "a\(character)b"]))) == .invalidValue)
        #expect(code(KeyUpdateRequest.self, Self.change + field(6, Self.texts(["a\(character)b"]))) == .invalidValue)
    }

    @Test(arguments: ["a\nb", "a\u{0}b", "\u{1b}[31m", "a\u{202e}b"])
    func descriptionsArePrintable(_ text: String) {
        #expect(code(KeyCreateRequest.self, Self.create + field(4, text)) == .invalidValue)
        #expect(code(KeyUpdateRequest.self, Self.change + field(5, text)) == .invalidValue)
        let registration = Self.change + field(3, "db") + field(4, text)
        #expect(code(RegistrationSetRequest.self, registration) == .invalidValue)
    }

    /// Lists of texts lie in every wrong way that lists of items do.
    static let forms: [Case] = [
        Case("no count", KeyCreateRequest.self, create + field(5, [0, 0, 1]), .malformedBody),
        Case("nothing", KeyCreateRequest.self, create + field(5, []), .malformedBody),
        Case("a count of 2^32 - 1", KeyCreateRequest.self, create + field(5, [255, 255, 255, 255]), .invalidValue),
        Case(
            "fewer than counted", KeyCreateRequest.self, create + field(5, bigEndian(UInt32(2)) + list([[0x61]]).dropFirst(4)),
            .malformedBody),
        Case(
            "more than counted", KeyCreateRequest.self,
            create + field(5, bigEndian(UInt32(1)) + list([[0x61], [0x61]]).dropFirst(4)), .malformedBody),
        Case(
            "a text longer than the list", KeyCreateRequest.self, create + field(5, bigEndian(UInt32(1)) + [255, 255, 255, 255]),
            .malformedBody),
        Case("a text that is not UTF-8", KeyCreateRequest.self, create + field(5, list([[0xff]])), .invalidText),
        Case("a word that is none", KeyCreateRequest.self, create + field(6, list([[0xff, 0xff]])), .invalidName),
        Case("bytes after the last", KeyCreateRequest.self, create + field(5, list([[0x61]]) + [0]), .malformedBody),
    ]

    @Test(arguments: forms)
    func formsAreChecked(_ wrong: Case) {
        #expect(code(wrong.type, wrong.body) == wrong.expected)
    }

    /// The longest record that the limits allow fits what the server keeps free for it, and every page that the daemon may make of them
    /// has at least one.
    @Test func theLongestRecordFits() {
        var key = KeyRecord(
            id: KeyID(high: 1, low: 2), name: Self.text(90, of: "🔑"), state: .destroyed, created: 1, version: 1,
            versionCreated: 1, suite: .aesGCM)
        key.description = Self.text(240, of: "🔑")
        key.tags = Array(repeating: Self.text(30, of: "🔑"), count: Limits.maximumTags)
        key.aliases = Array(repeating: Self.text(90, of: "a"), count: Limits.maximumAliases)
        key.ring = Self.text(100, of: "a")
        key.createdBy = Self.text(300)
        key.deletedBy = Self.text(300)
        #expect(encoded(key, source: RawSpan(), capacity: (24 << 10) - Limits.headerLength - 512) != nil)
    }
}
