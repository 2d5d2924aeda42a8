import ClavigerWire
import Support
import Testing

@testable import ClavigerCore

/// The versions of a key: census, retiring, destroying.
@Suite struct VersionTests {
    @Test func aVersionIsRetiredReinstatedAndDestroyed() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            let key = try instance.create().id
            let old = try instance.wrap([1], key)
            #expect(try code { try instance.retire(key, 1) } == .versionState)
            #expect(try code { try instance.retire(key, 2) } == .notFound)
            try instance.rotate(key)
            let new = try instance.wrap([2], key)
            #expect(try code { try instance.destroy(key, 1) } == .versionState)
            #expect(try code { try instance.retire(key, 1, undo: true) } == .versionState)

            let retired = try instance.retire(key, 1)
            #expect(retired.state == .retired && retired.retired == instance.clock.now && retired.isUsable)
            #expect(try code { try instance.unwrap(old) } == .versionState)
            #expect(try code { try instance.rewrap(old) } == .versionState)
            #expect(try instance.unwrap(new).plaintext == [2])
            #expect(try code { try instance.retire(key, 1) } == .versionState)
            #expect(try instance.retire(key, 1, undo: true).state == .inUse)
            #expect(try instance.unwrap(old).plaintext == [1])

            try instance.retire(key, 1)
            instance.clock.advance(4 * 3_600_000 - 1)
            #expect(try code { try instance.destroy(key, 1) } == .tooEarly)
            instance.clock.advance(1)
            let files = try instance.objectFiles().count
            #expect(try instance.census(key).map(\.state) == [.inUse, .retired])
            let destroyed = try instance.destroy(key, 1)
            #expect(destroyed.state == .destroyed && !destroyed.isUsable)
            #expect(try code { try instance.unwrap(old) } == .versionState)
            #expect(try code { try instance.retire(key, 1, undo: true) } == .versionState)
            #expect(try code { try instance.destroy(key, 1) } == .versionState)
            #expect(try instance.objectFiles().count == files)
            try instance.keepHouse()
            #expect(try instance.objectFiles().count == files - 1)
            let before = try instance.stored()
            try instance.restart()
            #expect(try instance.status == TokenService.Status(state: .ready, reason: ""))
            #expect(try instance.token.quarantinedCount == 0)
            #expect(try instance.stored() == before)
            #expect(try instance.unwrap(new).plaintext == [2])
            #expect(try instance.versions(key).map(\.state) == [.inUse, .destroyed])
            // The next version is a new number.
            #expect(try instance.rotate(key).version == 3)
        }
    }

    @Test func theCensusCountsEachUseAndLosesNothingAtAStop() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            let key = try instance.create().id
            let first = instance.clock.now
            let old = try instance.wrap([1], key)
            for _ in 0..<4 { _ = try instance.wrap([1], key) }
            try instance.rotate(key)
            instance.clock.advance(1_000)
            for _ in 0..<3 { _ = try instance.unwrap(old) }
            _ = try instance.rewrap(old)
            // What is refused was no use.
            var forged = old
            forged[old.count - 1] ^= 1
            #expect(try code { try instance.unwrap(forged) } == .decryptionFailed)
            let second = instance.clock.now
            let expected = [
                CensusRecord(version: 2, state: .inUse, wraps: 1, unwraps: 0, lastWrap: second, isRetirable: false),
                CensusRecord(
                    version: 1, state: .inUse, wraps: 5, unwraps: 4, lastWrap: first, lastUnwrap: second, isRetirable: true),
            ]
            #expect(try instance.census(key) == expected)
            // Counted in memory, written by the housekeeper, and on stopping.
            #expect(try instance.token.store.uses().isEmpty)
            try instance.keepHouse()
            #expect(try instance.token.store.uses().count == 2)
            _ = try instance.unwrap(old)
            try instance.service.housekeeper.stop()
            try instance.service.housekeeper.run()
            try instance.restart()
            var later = expected
            later[1].unwraps = 5
            #expect(try instance.census(key) == later)
            // A version that is gone takes its counts with it.
            try instance.delete(key)
            instance.clock.advance(4 * 3_600_000)
            try instance.purge(key)
            #expect(try instance.token.store.uses().isEmpty)
        }
    }

    /// The suite whose DEKs stay inside the token opens envelopes there, which counts too.
    @Test func theCensusCountsRewrapsInsideTheToken() async {
        await #expect(processExitsWith: .success) {
            try told {
                let instance = try TestInstance()
                let key = try instance.create { $0.suite = .aesKeyWrapWithHMAC }.id
                let old = try instance.wrap([UInt8](repeating: 1, count: 32), key)
                try instance.rotate(key)
                _ = try instance.rewrap(old)
                let census = try instance.census(key)
                #expect(census.map(\.wraps) == [1, 1] && census.map(\.unwraps) == [0, 1])
                #expect(census[1].lastUnwrap == instance.clock.now)
            }
        }
    }

    @Test func adviceBeforeADeletionChangesNothing() async {
        await #expect(processExitsWith: .success) {
            let instance = try TestInstance()
            let key = try instance.create { $0.aliases = ["one", "two"] }.id
            _ = try instance.wrap([1], key)
            let registration = { (retention: Bool) throws in
                var message = RegistrationSetRequest(
                    key: .id(key), operation: TestInstance.operation(), resource: "db")
                message.retention = retention
                try instance.ask(.registrationSet, message) { _ in }
            }
            let before = try instance.stored()
            let free = try instance.delete(key, dryRun: true)
            #expect(!free.isDone && free.blocked == nil && free.state == .active && free.aliases == 2 && free.wraps == 1)
            try registration(false)
            let blocked = try instance.delete(key, dryRun: true)
            #expect(blocked.registrations == 1 && blocked.retained == 0)
            #expect(blocked.blocked?.hasPrefix("resources-protected") == true)
            #expect(try instance.delete(key, force: true, dryRun: true).blocked == nil)
            #expect(try code { try instance.delete(key) } == .resourcesProtected)
            try registration(true)
            #expect(try instance.delete(key, force: true, dryRun: true).blocked?.hasPrefix("retention") == true)
            #expect(try code { try instance.delete(key, force: true) } == .retention)
            #expect(try instance.stored() == before)
            try registration(false)
            #expect(try instance.delete(key, force: true).isDone)
            #expect(try instance.show(key).registrations == 1)
            #expect(try code { try instance.delete(key, dryRun: true) } == .keyDeleted)
        }
    }
}
