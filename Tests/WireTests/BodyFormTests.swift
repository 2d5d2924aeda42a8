import ClavigerWire
import Testing

/// What can be wrong with a body's form: each has its own typed refusal, and the first thing wrong is the one named.
@Suite struct BodyFormTests {
    /// A body and what becomes of it.
    struct Case: CustomTestStringConvertible, Sendable {
        let name: String
        let type: any WireMessage.Type
        let body: [UInt8]
        let expected: RefusalCode?
        var testDescription: String { name }

        init(_ name: String, _ type: any WireMessage.Type, _ body: [UInt8], _ expected: RefusalCode?) {
            self.name = name
            self.type = type
            self.body = body
            self.expected = expected
        }
    }

    static let key = field(1, "payroll")
    static let item = field(1, [1, 2, 3])
    static let items = field(2, list([item]))
    static let operation = field(2, [UInt8](repeating: 7, count: 16))
    static let wrap: any WireMessage.Type = WrapRequest.self
    static let empty: any WireMessage.Type = EmptyMessage.self

    static let fields = [
        Case("a good body", wrap, key + items, nil),
        Case("an empty body where nothing is asked", empty, [], nil),
        Case("five bytes of a field's header", empty, [0, 1, 0, 0, 0], .malformedBody),
        Case("a value cut off", wrap, Array((key + items).dropLast()), .malformedBody),
        Case("a byte too many", wrap, key + items + [0], .malformedBody),
        Case("a length of 2^32 - 1", wrap, [0, 1, 0xff, 0xff, 0xff, 0xff] + Array("payroll".utf8), .malformedBody),
        Case("a length of 2^31", empty, [0x80, 0, 0x80, 0, 0, 0], .malformedBody),
        Case("the same field twice", wrap, key + key + items, .duplicateField),
        Case("the same list twice", wrap, key + items + items, .duplicateField),
        Case("an unknown field twice", empty, field(0x8001, []) + field(0x8001, []), .duplicateField),
        Case("fields in descending order", wrap, items + key, .missingField),
        Case("optional fields in descending order", UnwrapRequest.self, items + key, .fieldOrder),
        Case("an ignorable field before a known one", wrap, field(0x8000, []) + key + items, .missingField),
        Case("ignorable fields in descending order", empty, field(0x8001, []) + field(0x8000, []), .fieldOrder),
        Case("no key", wrap, items, .missingField),
        Case("no items", wrap, key, .missingField),
        Case("nothing at all", wrap, [], .missingField),
        Case("tag 0", empty, field(0, []), .unknownField),
        Case("a tag below 0x8000", empty, field(0x7fff, []), .unknownField),
        Case("an unknown field between known ones", UnwrapRequest.self, key + items + field(4, [1]), .unknownField),
        Case("tag 0x8000", empty, field(0x8000, [1, 2, 3]), nil),
        Case("tag 0xffff", empty, field(0xffff, []), nil),
        Case("ignorable fields after known ones", wrap, key + items + field(0x8000, [1]) + field(0x9000, []), nil),
        Case("a key that is not UTF-8", wrap, field(1, [0xc0, 0x80]) + items, .invalidText),
        Case("a surrogate", wrap, field(1, [0xed, 0xa0, 0x80]) + items, .invalidText),
        Case("a scalar beyond U+10FFFF", wrap, field(1, [0xf4, 0x90, 0x80, 0x80]) + items, .invalidText),
        Case("a cut scalar", wrap, field(1, [0x61, 0xe2, 0x82]) + items, .invalidText),
        Case("a name that is not UTF-8", KeyCreateRequest.self, field(1, [0x61, 0xff]) + operation, .invalidText),
    ]

    static let lists = [
        Case("a list without a count", wrap, key + field(2, [0, 0, 1]), .malformedBody),
        Case("an empty value for a list", wrap, key + field(2, []), .malformedBody),
        Case("a list of no items", wrap, key + field(2, list([])), .itemCount),
        Case("a list that says 2^32 - 1 items", wrap, key + field(2, [0xff, 0xff, 0xff, 0xff]), .itemCount),
        Case("a list that ends before its items", wrap, key + field(2, bigEndian(UInt32(1))), .malformedBody),
        Case("a list that ends in an item's length", wrap, key + field(2, bigEndian(UInt32(1)) + [0, 0, 0]), .malformedBody),
        Case(
            "an item longer than its list", wrap,
            key + field(2, bigEndian(UInt32(1)) + bigEndian(UInt32(item.count + 1)) + item), .malformedBody),
        Case("an item of 2^32 - 1 bytes", wrap, key + field(2, bigEndian(UInt32(1)) + [255, 255, 255, 255]), .malformedBody),
        Case("bytes after the last item", wrap, key + field(2, list([item]) + [0]), .malformedBody),
        Case(
            "more items than counted", wrap, key + field(2, bigEndian(UInt32(1)) + list([item, item]).dropFirst(4)),
            .malformedBody),
        Case("an empty item", wrap, key + field(2, list([[]])), .missingField),
        Case("an unknown field in an item", wrap, key + field(2, list([item + field(5, [])])), .unknownField),
        Case("an ignorable field in an item", wrap, key + field(2, list([item + field(0x8000, [])])), nil),
        Case("a field twice in an item", wrap, key + field(2, list([item + item])), .duplicateField),
        Case(
            "the second of two items cut off", wrap, key + field(2, list([item, Array(item.dropLast())])), .malformedBody),
        Case(
            "plaintext and generate in one item", wrap, key + field(2, list([item + field(2, bigEndian(UInt32(32)))])),
            .invalidValue),
        Case("a given key, sealed", wrap, key + field(2, list([item + field(4, [1])])), .invalidValue),
        Case(
            "a mark that is 0", wrap, key + field(2, list([field(2, bigEndian(UInt32(32))) + field(4, [0])])), .invalidValue),
        Case("neither in an item", wrap, key + field(2, list([field(3, context([]))])), .missingField),
        Case("an open item without an envelope", UnwrapRequest.self, field(2, list([field(2, context([]))])), .missingField),
        Case("bytes that are no envelope fail their item only", UnwrapRequest.self, field(2, list([field(1, [])])), nil),
    ]

    /// Fixed widths: one byte less, one more and none are all refused.
    static let widths: [Case] = [1, 4, 8, 16].flatMap { width in
        [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17].map { count in
            let value = [UInt8](repeating: 1, count: count)
            let expected: RefusalCode? = count == width ? nil : .invalidValue
            switch width {
            case 1: return Case("u8 of \(count)", UnwrapRequest.self, items + field(3, value), expected)
            case 4:
                return Case("u32 of \(count)", KeyVersionsRequest.self, key + field(3, value), expected)
            case 8:
                let record = field(1, bigEndian(UInt32(1))) + field(2, value) + field(3, [1]) + field(4, [1])
                let rest = field(5, bigEndian(UInt64(1))) + field(6, [1])
                return Case("u64 of \(count)", VersionRecord.self, record + rest, expected)
            default: return Case("id of \(count)", KeyRotateRequest.self, key + field(2, value), expected)
            }
        }
    }

    @Test(arguments: fields + lists + widths)
    func bodyIsRefusedForWhatIsWrong(_ wrong: Case) {
        #expect(code(wrong.type, wrong.body) == wrong.expected)
    }

    @Test func refusalsNameTheField() throws {
        #expect(try #require(refusal(Self.wrap, Self.key)).message == "field 2 (items) is missing")
        #expect(try #require(refusal(Self.wrap, field(1, []) + Self.items)).message == "field 1 (key) is outside its range")
        #expect(try #require(refusal(Self.empty, field(9, []))).message == "field 9 is not known to this operation")
    }

    /// Hostile bodies full of the smallest fields cost time in proportion and no memory that they claim.
    @Test func aBodyOfNothingButIgnorableFieldsIsRead() {
        let body = (0x8000...0xffff).flatMap { field(UInt16($0), []) }
        #expect(code(Self.empty, body) == nil)
        #expect(code(Self.wrap, Self.key + Self.items + body) == nil)
    }

    /// Depth 1: no list stands in a list's items, so nothing in the format recurses.
    @Test func noListHoldsAList() {
        for opcode in Opcode.allCases {
            for entry in opcode.entry.request + opcode.entry.reply {
                guard case .list(_, let items) = entry.kind else { continue }
                for item in items {
                    if case .list = item.kind { Issue.record("\(opcode.entry.name): \(entry.name) holds a list") }
                }
            }
        }
    }

    @Test func tagsOfEverySchemaAscend() {
        for opcode in Opcode.allCases {
            for entries in [opcode.entry.request, opcode.entry.reply] {
                for fields in [entries] + entries.map(itemEntries) {
                    #expect(zip(fields, fields.dropFirst()).allSatisfy { $0.tag < $1.tag })
                }
            }
        }
    }

    /// The items are decoded by the schema that the protocol page shows for them.
    @Test func listsAreReadByTheSchemaThatIsShown() {
        let shown: [([FieldEntry], any WireMessage.Type)] = [
            (Schema.wrapRequest, WrapItem.self), (Schema.unwrapRequest, OpenItem.self), (Schema.rewrapRequest, OpenItem.self),
            (Schema.cipherReply, CipherItem.self), (Schema.tokenStatusReply, MechanismRecord.self),
            (Schema.keyListReply, KeyRecord.self), (Schema.keyVersionsReply, VersionRecord.self),
            (Schema.keyCensusReply, CensusRecord.self), (Schema.ringListReply, RingRecord.self),
            (Schema.registrationListReply, RegistrationRecord.self), (Schema.importTokenListReply, ImportTokenRecord.self),
            (Schema.settingsReply, SettingRecord.self), (Schema.approvalListReply, ApprovalRecord.self),
        ]
        for (entries, type) in shown {
            let items = entries.flatMap(itemEntries)
            #expect(items.map(\.tag) == type.schema.map(\.tag))
            #expect(items.map(\.name) == type.schema.map(\.name))
        }
        for opcode in Opcode.allCases {
            for kind in [FrameKind.request, .reply] {
                #expect(entries(opcode, kind).map(\.name) == messageType(opcode, kind).schema.map(\.name))
            }
        }
    }

    private func itemEntries(_ entry: FieldEntry) -> [FieldEntry] {
        if case .list(_, let items) = entry.kind { items } else { [] }
    }
}
