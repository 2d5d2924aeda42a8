import ClavigerWire
import Testing

@testable import ClavigerCore

/// The state table applied to keys at moments, each limit at its value and one past it.
@Suite struct KeyStateTests {
    static let now: UInt64 = 1_800_000_000_000

    static func key(_ state: KeyState, _ kind: KeyKind = .root) -> StoredKey {
        var key = StoredKey(id: KeyID(high: 1, low: 2), name: "k", state: state, created: 5, version: 1)
        key.kind = kind
        return key
    }

    private func code(_ key: StoredKey, _ action: KeyAction, at now: UInt64, isEmergency: Bool = false) -> RefusalCode? {
        do throws(Refusal) {
            try key.require(action, at: now, isEmergency: isEmergency)
            return nil
        } catch {
            #expect(error.message.contains("\(key.id)"))
            return error.code
        }
    }

    @Test func expiryIsExact() {
        var key = KeyStateTests.key(.active)
        key.expires = KeyStateTests.now
        #expect(key.state(at: KeyStateTests.now - 1) == .active)
        #expect(key.state(at: KeyStateTests.now) == .deactivated)
        #expect(code(key, .wrap, at: KeyStateTests.now - 1) == nil)
        #expect(code(key, .wrap, at: KeyStateTests.now) == .keyState)
        #expect(code(key, .unwrap, at: KeyStateTests.now) == nil)
        // What is not active does not expire.
        for state in [KeyState.suspended, .deactivated, .destroyed] {
            key.state = state
            #expect(key.state(at: KeyStateTests.now) == state)
        }
    }

    @Test func aSuspendedKeyPastItsDateIsNotEnabled() {
        var key = KeyStateTests.key(.suspended)
        key.suspended = 1
        key.expires = KeyStateTests.now
        #expect(code(key, .enable, at: KeyStateTests.now - 1) == nil)
        #expect(code(key, .enable, at: KeyStateTests.now) == .keyExpired)
    }

    @Test(arguments: [
        (KeyAction.enable, KeyState.suspended, InstanceSetting.enableDelay),
        (.restore, .destroyed, .restoreDelay), (.purge, .destroyed, .purgeDelay), (.purgeByTime, .destroyed, .autoPurge),
    ])
    func delaysHoldToTheMillisecond(action: KeyAction, state: KeyState, setting: InstanceSetting) {
        var key = KeyStateTests.key(state)
        key.suspended = KeyStateTests.now
        key.deleted = KeyStateTests.now
        key.stateBefore = .active
        let due = KeyStateTests.now + setting.entry.standard * 1_000
        #expect(code(key, action, at: KeyStateTests.now) == .tooEarly)
        #expect(code(key, action, at: due - 1) == .tooEarly)
        #expect(code(key, action, at: due) == nil)
        var settings = SettingValues()
        settings[setting] = 1
        #expect(!key.allows(action, at: KeyStateTests.now + 999, settings))
        #expect(key.allows(action, at: KeyStateTests.now + 1_000, settings))
    }

    @Test func theRestoreWindowEndsToTheMillisecond() throws {
        var key = KeyStateTests.key(.destroyed)
        key.deleted = KeyStateTests.now
        for state in [KeyState.active, .suspended, .deactivated] {
            key.stateBefore = state
            let end = KeyStateTests.now + 30 * 86_400_000
            #expect(try key.require(.restore, at: end) == state)
            #expect(code(key, .restore, at: end + 1) == .restoreExpired)
        }
        // What expires in it comes back, but not active.
        key.stateBefore = .active
        key.expires = KeyStateTests.now + 100_000
        #expect(try key.require(.restore, at: KeyStateTests.now + 99_999) == .active)
        #expect(try key.require(.restore, at: KeyStateTests.now + 100_000) == .deactivated)
    }

    @Test func rotationsKeepTheirDistanceUnlessItIsAnEmergency() {
        var key = KeyStateTests.key(.active)
        #expect(code(key, .rotate, at: 5) == nil, "the first rotation is not limited")
        key.rotated = KeyStateTests.now
        #expect(code(key, .rotate, at: KeyStateTests.now + 3_599_999) == .rotationTooSoon)
        #expect(code(key, .rotate, at: KeyStateTests.now + 3_599_999, isEmergency: true) == nil)
        #expect(code(key, .rotate, at: KeyStateTests.now + 3_600_000) == nil)
        key.state = .suspended
        #expect(code(key, .rotate, at: KeyStateTests.now, isEmergency: true) == .keyState)
    }

    @Test func theDaemonsOwnActionsDoNotFireElsewhere() {
        for action in [KeyAction.rotateByPolicy, .expire, .wipe, .purgeByTime] {
            let states = KeyState.allCases.filter { action.entry.ruling($0, .root).isPossible }
            #expect(states.count == 1)
            for state in KeyState.allCases where !states.contains(state) {
                #expect(action.entry.ruling(state, .root) == .skipped)
                #expect(!KeyStateTests.key(state).allows(action, at: .max, SettingValues()))
            }
        }
    }

    @Test func datesThatCannotBeAreNoTraps() {
        var key = KeyStateTests.key(.destroyed)
        key.deleted = .max
        #expect(code(key, .purge, at: .max - 1) == .tooEarly)
        #expect(code(key, .restore, at: 0) == .tooEarly)
        #expect("\(DateText(.max))" == "9999-12-31T23:59:59Z")
        #expect("\(DateText(0))" == "1970-01-01T00:00:00Z")
        #expect("\(DateText(1_800_000_000_999))" == "2027-01-15T08:00:00Z")
    }

    @Test func settingsKeepToTheirRanges() {
        for setting in InstanceSetting.allCases {
            let entry = setting.entry
            #expect(entry.range.contains(entry.standard) && SettingValues()[setting] == entry.standard)
            #expect(setting.checked(entry.range.upperBound) == entry.range.upperBound)
            #expect(setting.checked(entry.range.upperBound + 1) == nil)
            if entry.range.lowerBound > 0 { #expect(setting.checked(entry.range.lowerBound - 1) == nil) }
            // The greatest of times in milliseconds, added to any date of this age, stays a date.
            #expect(entry.range.upperBound <= UInt64.max / 1_000 / 2)
        }
    }

    @Test func usesAreCountedAndTakenOnce() {
        let use = VersionUse(VersionUse.Counts(wraps: 5, unwraps: 6, lastWrap: 50, lastUnwrap: 60))
        #expect(use.takeForWriting() == nil)
        #expect(use.noteWrap(at: 100))
        #expect(!use.noteUnwrap(at: 40))
        let counts = VersionUse.Counts(wraps: 6, unwraps: 7, lastWrap: 100, lastUnwrap: 60)
        #expect(use.takeForWriting() == counts && counts.last == 100)
        #expect(use.takeForWriting() == nil && use.counts == counts)
        use.putBack()
        #expect(use.takeForWriting() == counts)
    }
}
