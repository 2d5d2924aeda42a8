import ClavigerWire
import Support
import Testing

@testable import ClavigerCore

private var operation: OperationID { TestInstance.operation() }

@Suite struct RingAliasTests {
    @Test func ringsAreCreatedListedFilledAndDeleted() async {
        await #expect(processExitsWith: .success) {
            try told {
                let instance = try TestInstance()
                func rings() throws -> [RingRecord] {
                    var all: [RingRecord] = []
                    var cursor: [UInt8]?
                    repeat {
                        let page: RingListReply = try instance.reply(.ringList, PageRequest(limit: 2, cursor: cursor))
                        #expect(page.rings.count <= 2)
                        all += page.rings
                        cursor = page.next
                    } while cursor != nil
                    return all
                }
                #expect(try rings().map(\.id) == ["default"])
                let made: RingRecord = try instance.reply(.ringCreate, RingCreateRequest(id: "payments", operation: operation))
                #expect(
                    made.id == "payments" && made.keys == 0 && made.createdBy == "uid:0" && made.created == instance.clock.now)
                for id in ["Ab", "z_9", "a-" + String(repeating: "x", count: 98)] {
                    let _: RingRecord = try instance.reply(.ringCreate, RingCreateRequest(id: id, operation: operation))
                }
                #expect(instance.refusal(.ringCreate, RingCreateRequest(id: "payments", operation: operation)) == .alreadyExists)
                #expect(instance.refusal(.ringCreate, RingCreateRequest(id: "default", operation: operation)) == .alreadyExists)
                #expect(try rings().map(\.id) == ["Ab", "a-" + String(repeating: "x", count: 98), "default", "payments", "z_9"])

                let key = try instance.makeKey("key") { $0.ring = "payments" }
                #expect(
                    instance.refusal(.keyMove, KeyMoveRequest(key: .id(key.id), operation: operation, ring: "nowhere"))
                        == .notFound)
                let moved: KeyRecord = try instance.reply(
                    .keyMove, KeyMoveRequest(key: .id(key.id), operation: operation, ring: "z_9"))
                #expect(moved.ring == "z_9" && moved.revision == (key.revision ?? 0) + 1)
                let again: KeyRecord = try instance.reply(
                    .keyMove, KeyMoveRequest(key: .id(key.id), operation: operation, ring: "z_9"))
                #expect(again.revision == moved.revision)
                #expect(try rings().first { $0.id == "z_9" }?.keys == 1)

                for force in [false, true] {
                    #expect(
                        instance.refusal(.ringDelete, RingDeleteRequest(id: "z_9", operation: operation, force: force))
                            == .ringNotEmpty)
                }
                try instance.delete(key.id)
                #expect(
                    instance.refusal(.keyMove, KeyMoveRequest(key: .id(key.id), operation: operation, ring: "payments"))
                        == .keyDeleted)
                #expect(instance.refusal(.ringDelete, RingDeleteRequest(id: "z_9", operation: operation)) == .ringNotEmpty)
                let deletion = RingDeleteRequest(id: "z_9", operation: operation, force: true)
                let gone: RingDeleteReply = try instance.reply(.ringDelete, deletion)
                #expect(gone.moved == 1)
                // A retry is answered as the first time.
                #expect(try instance.reply(.ringDelete, deletion) == gone)
                #expect(try instance.show(key.id).ring == "default")
                #expect(instance.refusal(.ringDelete, RingDeleteRequest(id: "z_9", operation: operation)) == .notFound)
                #expect(instance.refusal(.ringDelete, RingDeleteRequest(id: "default", operation: operation)) == .invalidValue)
                let before = try rings()
                try instance.restart()
                #expect(try rings() == before && instance.show(key.id).ring == "default")
            }
        }
    }

    @Test func thereAreAsManyRingsAsTheSettingSaysAndNotOneMore() async {
        await #expect(processExitsWith: .success) {
            try told {
                let instance = try TestInstance()
                let limit = Int(InstanceSetting.maximumRings.entry.standard)
                #expect(limit == 50)
                for number in 1...limit {
                    let _: RingRecord = try instance.reply(
                        .ringCreate, RingCreateRequest(id: "ring-\(number)", operation: operation))
                }
                #expect(instance.refusal(.ringCreate, RingCreateRequest(id: "one-more", operation: operation)) == .limitReached)
                try instance.setSetting(.maximumRings, UInt64(limit + 1))
                let _: RingRecord = try instance.reply(.ringCreate, RingCreateRequest(id: "one-more", operation: operation))
                #expect(instance.refusal(.ringCreate, RingCreateRequest(id: "two-more", operation: operation)) == .limitReached)
                let _: RingDeleteReply = try instance.reply(.ringDelete, RingDeleteRequest(id: "ring-7", operation: operation))
                let _: RingRecord = try instance.reply(.ringCreate, RingCreateRequest(id: "two-more", operation: operation))
            }
        }
    }

    @Test func anAliasIsAnothersNameNowhere() async {
        await #expect(processExitsWith: .success) {
            try told {
                let instance = try TestInstance()
                let (a, b) = (try instance.makeKey("alpha") { $0.aliases = ["first"] }, try instance.makeKey("beta"))
                func alias(_ alias: String, _ key: KeyID) -> AliasCreateRequest {
                    AliasCreateRequest(key: .id(key), operation: operation, alias: alias)
                }
                var record: KeyRecord = try instance.reply(.aliasCreate, alias("Payroll-1", b.id))
                #expect(record.aliases == ["Payroll-1"] && record.revision == (b.revision ?? 0) + 1)
                #expect(try instance.reply(.keyShow, KeyShowRequest(key: .name("Payroll-1")), KeyRecord.self).id == b.id)
                #expect(instance.refusal(.aliasCreate, alias("Payroll-1", a.id)) == .alreadyExists)
                #expect(instance.refusal(.aliasCreate, alias("first", b.id)) == .alreadyExists)
                // Capitals count.
                record = try instance.reply(.aliasCreate, alias("payroll-1", a.id))
                #expect(record.aliases == ["first", "payroll-1"])
                // An alias may be a name; then neither means one key any more.
                let _: KeyRecord = try instance.reply(.aliasCreate, alias("beta", a.id))
                #expect(instance.refusal(.keyShow, KeyShowRequest(key: .name("beta"))) == .ambiguousName)
                let _: EmptyMessage = try instance.reply(.aliasDelete, AliasDeleteRequest(alias: "beta", operation: operation))
                #expect(try instance.reply(.keyShow, KeyShowRequest(key: .name("beta")), KeyRecord.self).id == b.id)
                #expect(instance.refusal(.aliasDelete, AliasDeleteRequest(alias: "beta", operation: operation)) == .denied)

                let limit = Int(InstanceSetting.maximumAliases.entry.standard)
                #expect(limit == 5)
                for number in 3...limit { let _: KeyRecord = try instance.reply(.aliasCreate, alias("a\(number)", a.id)) }
                #expect(instance.refusal(.aliasCreate, alias("a6", a.id)) == .limitReached)
                try instance.setSetting(.maximumAliases, 1)
                #expect(instance.refusal(.aliasCreate, alias("b2", b.id)) == .limitReached)

                // A deleted key's aliases stay taken until it is purged.
                try instance.delete(b.id)
                #expect(
                    instance.refusal(.aliasDelete, AliasDeleteRequest(alias: "Payroll-1", operation: operation)) == .keyDeleted)
                #expect(instance.refusal(.aliasCreate, alias("b3", b.id)) == .keyDeleted)
                #expect(instance.refusal(.aliasCreate, alias("Payroll-1", a.id)) == .alreadyExists)
                let before = try instance.show(a.id)
                try instance.restart()
                #expect(try instance.show(a.id) == before)
                instance.clock.advance(4 * 3_600_000)
                let _: KeyPurgeReply = try instance.reply(.keyPurge, KeyChangeRequest(key: .id(b.id), operation: operation))
                try instance.setSetting(.maximumAliases, 5)
                let _: EmptyMessage = try instance.reply(.aliasDelete, AliasDeleteRequest(alias: "a3", operation: operation))
                record = try instance.reply(.aliasCreate, alias("Payroll-1", a.id))
                #expect(record.aliases.contains("Payroll-1"))
            }
        }
    }
}
