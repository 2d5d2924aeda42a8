import ClavigerWire
import Testing

@testable import ClavigerCore

/// How many tags and aliases a key has, and how many import tokens are open: at the limit, and one past it.
@Suite struct CountLimitTests {
    private static func texts(_ count: Int, _ name: String) -> [String] { (1...count).map { "\(name)-\($0)" } }

    @Test func tagsAndAliasesAreCountedFromTheStart() async {
        await #expect(processExitsWith: .success) {
            try told {
                let instance = try TestInstance()
                let (tags, aliases) = (CountLimitTests.texts(31, "tag"), CountLimitTests.texts(6, "alias"))
                #expect(InstanceSetting.maximumTags.entry.standard == 30 && InstanceSetting.maximumAliases.entry.standard == 5)
                // Whatever the material is and wherever it comes from.
                for (kind, payload) in [(KeyKind.root, [UInt8]?.none), (.root, TestInstance.material(32)), (.standard, [1])] {
                    func make(_ tags: [String], _ aliases: [String]) throws -> KeyRecord {
                        func fill(_ message: inout KeyCreateRequest) {
                            message.kind = kind
                            (message.tags, message.aliases) = (tags, aliases)
                        }
                        guard let payload else { return try instance.create("key", fill) }
                        return try instance.create(payload, kind: kind, name: "key", fill)
                    }
                    let before = try (instance.stored().count, instance.objectFiles())
                    #expect(try code { try make(tags, []) } == .limitReached)
                    #expect(try code { try make([], aliases) } == .limitReached)
                    #expect(try instance.stored().count == before.0 && instance.objectFiles() == before.1, "nothing was made")
                    let full = try make(Array(tags.prefix(30)), Array(aliases.prefix(5)))
                    #expect(full.tags.count == 30 && full.aliases.count == 5)
                    #expect(try code { try instance.update(full.id) { $0.tags = tags } } == .limitReached)
                    #expect(try instance.update(full.id) { $0.tags = Array(tags.suffix(30)) }.tags == Array(tags.suffix(30)))
                    for alias in full.aliases {
                        let _: EmptyMessage = try instance.reply(
                            .aliasDelete, AliasDeleteRequest(alias: alias, operation: TestInstance.operation()))
                    }
                }
                // One more where the setting says so.
                try instance.setSetting(.maximumTags, 31)
                try instance.setSetting(.maximumAliases, 6)
                let more = try instance.create {
                    $0.tags = tags
                    $0.aliases = aliases
                }
                #expect(more.tags.count == 31 && more.aliases.count == 6)
            }
        }
    }

    /// The hundredth import token is made, the next is not until one has ended. All but two are rows only: a pair takes seconds.
    @Test func oneHundredImportTokensAreOpen() async {
        await #expect(processExitsWith: .success) {
            try told {
                let instance = try TestInstance()
                let limit = TokenService.maximumImportTokens
                #expect(limit == 100)
                let first = try instance.makeImportToken()
                let store = try instance.token.store
                let stored = try #require(
                    try store.withConnection { connection throws(StoreError) in try connection.importToken(first.id) })
                _ = try store.transaction { connection throws(StoreError) in
                    for _ in 2..<limit {
                        var another = stored
                        another.id = RandomSource.identifier()
                        try connection.insert(another)
                    }
                    return 0
                }
                _ = try instance.makeImportToken()
                let files = try instance.objectFiles()
                #expect(try code { try instance.makeImportToken() } == .limitReached)
                #expect(try instance.objectFiles() == files)
                try instance.deleteImportToken(first.id)
                _ = try instance.makeImportToken()
                #expect(try code { try instance.makeImportToken() } == .limitReached)
            }
        }
    }
}
