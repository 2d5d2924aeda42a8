import ClavigerWire
import Support
import Testing

@testable import ClavigerCore

private func set(
    _ key: KeyID, _ resource: String, _ fill: (inout RegistrationSetRequest) -> Void = { _ in }
) -> RegistrationSetRequest {
    var message = RegistrationSetRequest(key: .id(key), operation: TestInstance.operation(), resource: resource)
    fill(&message)
    return message
}

private func release(_ key: KeyID, _ resource: String) -> RegistrationReleaseRequest {
    RegistrationReleaseRequest(key: .id(key), operation: TestInstance.operation(), resource: resource)
}

@Suite struct RegistrationTests {
    @Test func whatIsRegisteredHoldsTheKey() async {
        await #expect(processExitsWith: .success) {
            try told {
                let instance = try TestInstance()
                let key = try instance.makeKey("key").id
                let first: RegistrationRecord = try instance.reply(
                    .registrationSet, set(key, "volume/1") { $0.description = "the first volume" })
                #expect(
                    first.version == 1 && first.revision == 1 && !first.retention && first.leaseEnds == nil && first.ownerUID == 0
                )
                #expect(
                    first.created == instance.clock.now && first.createdBy == "uid:0" && first.description == "the first volume")
                #expect(try instance.show(key).registrations == 1)

                // What is not said stays as it is.
                instance.clock.advance(5)
                let second: RegistrationRecord = try instance.reply(
                    .registrationSet, set(key, "volume/1") { $0.retention = true })
                #expect(second.retention && second.description == "the first volume" && second.revision == 2)
                #expect(second.created == first.created && second.updated == first.created + 5)
                let third: RegistrationRecord = try instance.reply(.registrationSet, set(key, "volume/1") { $0.description = "" })
                #expect(third.description == nil && third.retention)
                #expect(try instance.show(key).registrations == 1)

                for force in [false, true] {
                    #expect(
                        instance.refusal(
                            .keyDelete, KeyDeleteRequest(key: .id(key), operation: TestInstance.operation(), force: force))
                            == .retention)
                }
                let _: RegistrationRecord = try instance.reply(.registrationSet, set(key, "volume/1") { $0.retention = false })
                #expect(
                    instance.refusal(.keyDelete, KeyDeleteRequest(key: .id(key), operation: TestInstance.operation()))
                        == .resourcesProtected)
                let dry: KeyDeleteReply = try instance.reply(
                    .keyDelete, KeyDeleteRequest(key: .id(key), operation: TestInstance.operation(), dryRun: true))
                #expect(dry.registrations == 1 && dry.blocked?.contains("1 resources") == true && !dry.isDone)
                let _: EmptyMessage = try instance.reply(.registrationRelease, release(key, "volume/1"))
                #expect(instance.refusal(.registrationRelease, release(key, "volume/1")) == .notFound)
                #expect(try instance.show(key).registrations == 0)
                try instance.delete(key)
                #expect(instance.refusal(.registrationSet, set(key, "volume/2")) == .keyDeleted)
            }
        }
    }

    @Test func aLeaseEndsAtItsMoment() async {
        await #expect(processExitsWith: .success) {
            try told {
                let instance = try TestInstance()
                let key = try instance.makeKey("key").id
                func list() throws -> [String] {
                    let reply: RegistrationListReply = try instance.reply(
                        .registrationList, RegistrationListRequest(key: .id(key)))
                    return reply.registrations.map(\.resource)
                }
                let leased: RegistrationRecord = try instance.reply(
                    .registrationSet,
                    set(key, "r") {
                        $0.lease = 60_000
                        $0.retention = true
                    })
                #expect(leased.leaseEnds == instance.clock.now + 60_000)
                instance.clock.advance(59_999)
                #expect(try list() == ["r"])
                #expect(
                    instance.refusal(.keyDelete, KeyDeleteRequest(key: .id(key), operation: TestInstance.operation()))
                        == .retention
                )
                // A heartbeat: the lease alone.
                let renewed: RegistrationRecord = try instance.reply(.registrationSet, set(key, "r") { $0.lease = 60_000 })
                #expect(renewed.leaseEnds == instance.clock.now + 60_000 && renewed.retention && renewed.revision == 2)
                instance.clock.advance(60_000)
                #expect(try list() == [])
                #expect(instance.refusal(.registrationRelease, release(key, "r")) == .notFound)
                // Whoever comes now begins anew.
                let fresh: RegistrationRecord = try instance.reply(.registrationSet, set(key, "r") { $0.revision = 0 })
                #expect(fresh.revision == 1 && !fresh.retention && fresh.leaseEnds == nil && fresh.created == instance.clock.now)
                let most: RegistrationRecord = try instance.reply(
                    .registrationSet, set(key, "r") { $0.lease = ServiceWorker.maximumLease })
                #expect(most.leaseEnds == instance.clock.now + ServiceWorker.maximumLease)
                #expect(
                    instance.refusal(.registrationSet, set(key, "r") { $0.lease = ServiceWorker.maximumLease + 1 })
                        == .invalidValue)
                #expect(instance.refusal(.registrationSet, set(key, "r") { $0.lease = .max }) == .invalidValue)
                let endless: RegistrationRecord = try instance.reply(.registrationSet, set(key, "r") { $0.lease = 0 })
                #expect(endless.leaseEnds == nil)
            }
        }
    }

    @Test func versionsGoForwardAndRevisionsAreCompared() async {
        await #expect(processExitsWith: .success) {
            try told {
                let instance = try TestInstance()
                try instance.setSetting(.rotationIntervalMinimum, 0)
                let key = try instance.makeKey("key").id
                for _ in 0..<2 {
                    let _: KeyRecord = try instance.reply(
                        .keyRotate, KeyRotateRequest(key: .id(key), operation: TestInstance.operation()))
                }
                func setR(_ fill: (inout RegistrationSetRequest) -> Void) -> RegistrationSetRequest {
                    set(key, "r", fill)
                }
                var record: RegistrationRecord = try instance.reply(
                    .registrationSet,
                    setR {
                        $0.version = 2
                        $0.revision = 0
                    })
                #expect(record.version == 2)
                #expect(instance.refusal(.registrationSet, setR { $0.version = 1 }) == .invalidValue)
                #expect(instance.refusal(.registrationSet, setR { $0.version = 4 }) == .invalidValue)
                record = try instance.reply(.registrationSet, setR { $0.description = "no version said" })
                #expect(record.version == 2 && record.revision == 2)
                for (revision, isRight) in [(UInt64(0), false), (1, false), (3, false), (.max, false), (2, true)] {
                    let message = setR {
                        $0.version = 3
                        $0.revision = revision
                    }
                    if isRight {
                        record = try instance.reply(.registrationSet, message)
                    } else {
                        #expect(instance.refusal(.registrationSet, message) == .revisionConflict)
                    }
                }
                #expect(record.version == 3 && record.revision == 3)
                #expect(
                    instance.refusal(.registrationSet, set(key, "other") { $0.revision = 1 }) == .revisionConflict)
                let before: RegistrationListReply = try instance.reply(.registrationList, RegistrationListRequest())
                try instance.restart()
                #expect(try instance.reply(.registrationList, RegistrationListRequest()) == before)
                #expect(before.registrations == [record])
            }
        }
    }

    @Test func whoMadeItMayChangeItAndTheSuperuser() async {
        await #expect(processExitsWith: .success) {
            try told {
                try TestInstance.runAsAnother()
                let instance = try TestInstance()
                let key = try instance.makeKey("key").id
                let mine: RegistrationRecord = try instance.reply(.registrationSet, set(key, "theirs"), as: TestInstance.other)
                #expect(mine.ownerUID == TestInstance.other.uid)
                let _: RegistrationRecord = try instance.reply(.registrationSet, set(key, "roots"))
                #expect(instance.refusal(.registrationSet, set(key, "roots"), as: TestInstance.other) == .denied)
                #expect(instance.refusal(.registrationRelease, release(key, "roots"), as: TestInstance.other) == .denied)
                // The superuser clears away; the owner stays the same.
                let changed: RegistrationRecord = try instance.reply(.registrationSet, set(key, "theirs") { $0.retention = true })
                #expect(changed.ownerUID == TestInstance.other.uid)
                let _: EmptyMessage = try instance.reply(.registrationRelease, release(key, "theirs"))
            }
        }
    }

    @Test func listsGoPageByPageWithPatterns() async {
        await #expect(processExitsWith: .success) {
            try told {
                let instance = try TestInstance()
                let keys = try ["a", "b", "cc"].map { try instance.makeKey($0 + "k").id }.sorted()
                var all: [String] = []
                for key in keys {
                    for number in 0..<7 {
                        let resource = "crn:\(number):é volume"
                        let _: RegistrationRecord = try instance.reply(
                            .registrationSet, set(key, resource) { $0.retention = number == 3 })
                        all.append("\(key) \(resource)")
                    }
                }
                func list(_ fill: (inout RegistrationListRequest) -> Void) throws -> [String] {
                    var found: [String] = []
                    var message = RegistrationListRequest()
                    fill(&message)
                    repeat {
                        let page: RegistrationListReply = try instance.reply(.registrationList, message)
                        #expect(page.registrations.count <= message.limit ?? 100)
                        found += page.registrations.map { "\($0.key) \($0.resource)" }
                        message.cursor = page.next
                    } while message.cursor != nil
                    return found
                }
                for limit in [UInt32(1), 4, 20, 21, 500] { #expect(try list { $0.limit = limit } == all) }
                #expect(
                    try list {
                        $0.key = .id(keys[1])
                        $0.limit = 3
                    } == Array(all[7..<14]))
                #expect(try list { $0.retention = true }.count == 3)
                #expect(try list { $0.retention = false }.count == 18)
                #expect(try list { $0.resourcePattern = "crn:5:*" } == all.filter { $0.contains(" crn:5:") })
                #expect(try list { $0.resourcePattern = "*" } == all)
                #expect(try list { $0.resourcePattern = "crn" } == [])
                #expect(instance.refusal(.registrationList, RegistrationListRequest(cursor: [1, 2, 3])) == .invalidValue)
                #expect(instance.refusal(.registrationList, RegistrationListRequest(key: .name("nobody"))) == .denied)
            }
        }
    }

    @Test func aKeyHoldsSoManyAndNotOneMore() async {
        await #expect(processExitsWith: .success) {
            try told {
                let instance = try TestInstance()
                let key = try instance.makeKey("key").id
                let limit = ServiceWorker.maximumRegistrations
                try instance.service.store.transaction { connection throws(StoreError) in
                    for number in 1..<limit {
                        try connection.write(
                            StoredRegistration(
                                key: key, resource: "r\(number)", version: 1, created: 1, createdBy: "uid:0", owner: 0, updated: 1
                            ))
                    }
                }
                let _: RegistrationRecord = try instance.reply(.registrationSet, set(key, "the last"))
                #expect(instance.refusal(.registrationSet, set(key, "one more")) == .limitReached)
                // A change of one that is there is none more.
                let _: RegistrationRecord = try instance.reply(.registrationSet, set(key, "the last") { $0.retention = true })
                var found = 0
                var message = RegistrationListRequest(limit: 500)
                repeat {
                    let page: RegistrationListReply = try instance.reply(.registrationList, message)
                    found += page.registrations.count
                    message.cursor = page.next
                } while message.cursor != nil
                #expect(found == Int(limit))
            }
        }
    }
}
