import ClavigerWire
import Support
import Testing

@testable import ClavigerCore

/// What goes with a key ring, and what the audit log says of it.
@Suite struct RingGrantTests {
    private static func makeRing(_ instance: TestInstance) throws {
        let _: RingRecord = try instance.reply(
            .ringCreate, RingCreateRequest(id: "finance", operation: TestInstance.operation()))
    }

    @Test func anotherRingOfTheSameNameInheritsNoGrant() async {
        await #expect(processExitsWith: .success) {
            try told {
                let instance = try TestInstance()
                try RingGrantTests.makeRing(instance)
                let old = try instance.makeKey("old") { $0.ring = "finance" }.id
                let reader = try PromiseTests.person(81_001, "Reader", "ring:finance", in: instance)
                let other = try PromiseTests.person(81_002, "Reader", "ring:default", in: instance)
                let show = { (key: KeyID) in KeyShowRequest(key: .id(key)) }
                let _: KeyRecord = try instance.reply(.keyShow, show(old), as: reader)
                try instance.delete(old)
                let deletion = RingDeleteRequest(id: "finance", operation: TestInstance.operation(), force: true)
                let _: RingDeleteReply = try instance.reply(.ringDelete, deletion)
                try RingGrantTests.makeRing(instance)
                let new = try instance.makeKey("new") { $0.ring = "finance" }.id
                #expect(instance.refusal(.keyShow, show(new), as: reader) == .denied)
                let _: KeyRecord = try instance.reply(.keyShow, show(old), as: other)
                try instance.restart()
                #expect(instance.refusal(.keyShow, show(new), as: reader) == .denied)
                // Whoever grants on the new ring means the new ring.
                let again = try PromiseTests.person(81_001, "Reader", "ring:finance", in: instance)
                let _: KeyRecord = try instance.reply(.keyShow, show(new), as: again)
            }
        }
    }

    @Test func eachKeyAndGrantThatARingTakesAlongHasARecordOfItsOwn() async {
        await #expect(processExitsWith: .success) {
            try told {
                let instance = try TestInstance()
                try RingGrantTests.makeRing(instance)
                var keys: Set<KeyID> = []
                for number in 0..<20 {
                    let key = try instance.makeKey("key-\(number)") { $0.ring = "finance" }.id
                    try instance.delete(key)
                    keys.insert(key)
                }
                _ = try PromiseTests.person(81_001, "Reader", "ring:finance", in: instance)
                let before = try instance.token.store.outbox().count
                let epoch = try instance.service.snapshots.current.epoch
                let deletion = RingDeleteRequest(id: "finance", operation: TestInstance.operation(), force: true)
                let gone: RingDeleteReply = try instance.reply(.ringDelete, deletion)
                #expect(gone.moved == 20)
                #expect(try instance.service.snapshots.current.epoch == epoch + 1)
                let rows = try instance.token.store.outbox().dropFirst(before).map { String(decoding: $0.body, as: UTF8.self) }
                #expect(rows.count == 22)
                #expect(keys.allSatisfy { key in rows.count { $0.contains("\(key)") && $0.contains("key-move") } == 1 })
                #expect(rows.count { $0.contains("access-revoke") } == 1)
                #expect(rows.last?.contains("ring-delete") == true && rows.last?.contains("keys-moved") == true)
                #expect(rows.allSatisfy { $0.utf8.count < 2_000 })
                for key in keys { #expect(try instance.show(key).ring == "default") }
                let stored = try instance.stored()
                try instance.restart()
                #expect(try instance.stored() == stored)
            }
        }
    }
}
