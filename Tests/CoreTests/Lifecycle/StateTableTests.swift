import ClavigerWire
import SecureMemory
import Support
import Testing

@testable import ClavigerCore

/// The state table, every state x action x kind: written out here once more by hand, compared with the code's table, and asked of the
/// service with keys that really are in these states.
@Suite struct StateTableTests {
    /// One row: what comes of an action in the states active, suspended, deactivated, destroyed, for root and for standard keys. A state's
    /// name is the state afterwards, `yes` none, a refusal's name the refusal, `back` the state before deletion, `gone` the end, `-`
    /// that it does not happen.
    static let rows: [(KeyAction, root: [String], standard: [String])] = [
        (.show, ["yes", "yes", "yes", "yes"], ["yes", "yes", "yes", "yes"]),
        (.listVersions, ["yes", "yes", "yes", "yes"], ["yes", "yes", "yes", "yes"]),
        (.listRegistrations, ["yes", "yes", "yes", "yes"], ["yes", "yes", "yes", "yes"]),
        (.showPolicies, ["yes", "yes", "yes", "yes"], ["yes", "yes", "yes", "yes"]),
        (.read, all("standard-key-required"), ["yes", "key-state", "yes", "key-deleted"]),
        (.wrap, ["yes", "key-state", "key-state", "key-deleted"], all("root-key-required")),
        (.unwrap, ["yes", "key-state", "yes", "key-deleted"], all("root-key-required")),
        (.rewrap, ["yes", "key-state", "yes", "key-deleted"], all("root-key-required")),
        (.rotate, ["yes", "key-state", "yes", "key-deleted"], ["yes", "key-state", "yes", "key-deleted"]),
        (.rotateByPolicy, ["yes", "-", "-", "-"], all("-")),
        (.update, ["yes", "yes", "yes", "key-deleted"], ["yes", "yes", "yes", "key-deleted"]),
        (.move, ["yes", "yes", "yes", "key-deleted"], ["yes", "yes", "yes", "key-deleted"]),
        (.setAlias, ["yes", "yes", "yes", "key-deleted"], ["yes", "yes", "yes", "key-deleted"]),
        (.setPolicies, ["yes", "yes", "yes", "key-deleted"], ["yes", "yes", "yes", "key-deleted"]),
        (.register, ["yes", "key-state", "key-state", "key-deleted"], all("root-key-required")),
        (.renew, ["yes", "yes", "yes", "key-deleted"], all("root-key-required")),
        (.release, ["yes", "yes", "yes", "key-deleted"], ["yes", "yes", "yes", "key-deleted"]),
        (
            .disable, ["suspended", "key-state", "key-state", "key-deleted"],
            ["suspended", "key-state", "key-state", "key-deleted"]
        ),
        (.enable, ["key-state", "active", "key-state", "key-deleted"], ["key-state", "active", "key-state", "key-deleted"]),
        (.expire, ["deactivated", "-", "-", "-"], ["deactivated", "-", "-", "-"]),
        (
            .delete, ["destroyed", "destroyed", "destroyed", "key-deleted"],
            ["destroyed", "destroyed", "destroyed", "key-deleted"]
        ),
        (.restore, ["key-state", "key-state", "key-state", "back"], ["key-state", "key-state", "key-state", "back"]),
        (.wipe, ["-", "-", "-", "yes"], ["-", "-", "-", "yes"]),
        (.purge, ["key-state", "key-state", "key-state", "gone"], ["key-state", "key-state", "key-state", "gone"]),
        (.purgeByTime, ["-", "-", "-", "gone"], ["-", "-", "-", "gone"]),
        (.retireVersion, ["yes", "yes", "yes", "key-deleted"], ["yes", "yes", "yes", "key-deleted"]),
        (.destroyVersion, ["yes", "yes", "yes", "key-deleted"], ["yes", "yes", "yes", "key-deleted"]),
    ]

    /// What comes of an action on a key that was purged: it is as one that never was, whatever it was before.
    static func ofPurged(_ action: KeyAction) -> String {
        switch action {
        case .rotateByPolicy, .expire, .wipe, .purgeByTime: "-"
        case .show, .listVersions, .listRegistrations, .showPolicies, .read, .wrap, .unwrap, .rewrap, .rotate, .update, .move,
            .setAlias, .setPolicies, .register, .renew, .release, .disable, .enable, .delete, .restore, .purge, .retireVersion,
            .destroyVersion:
            "denied"
        }
    }

    static func all(_ word: String) -> [String] { Array(repeating: word, count: 4) }

    static func word(_ ruling: KeyRuling) -> String {
        switch ruling {
        case .stays: "yes"
        case .becomes(let state): state.name
        case .returns: "back"
        case .ends: "gone"
        case .refused(let code): code.name
        case .skipped: "-"
        }
    }

    @Test func theCodesTableIsThisOne() {
        #expect(
            Set(StateTableTests.rows.map(\.0)) == Set(KeyAction.allCases)
                && StateTableTests.rows.count == KeyAction.allCases.count)
        for (action, root, standard) in StateTableTests.rows {
            #expect(KeyState.allCases.map { StateTableTests.word(action.entry.ruling($0, .root)) } == root, "\(action)")
            #expect(KeyState.allCases.map { StateTableTests.word(action.entry.ruling($0, .standard)) } == standard, "\(action)")
            #expect(action.entry.source.contains("KP") || action.entry.source.contains("ours"), "\(action) has no source")
        }
    }

    /// The states that the opcode table shows are those of the state table.
    @Test(arguments: [
        (Opcode.wrap, KeyAction.wrap), (.unwrap, .unwrap), (.rewrap, .rewrap), (.keyRotate, .rotate), (.keyRead, .read),
        (.keyUpdate, .update), (.keyDisable, .disable), (.keyEnable, .enable), (.keyDelete, .delete), (.keyRestore, .restore),
        (.keyPurge, .purge), (.keyMove, .move), (.versionRetire, .retireVersion), (.versionDestroy, .destroyVersion),
        (.aliasCreate, .setAlias), (.aliasDelete, .setAlias), (.registrationSet, .renew), (.registrationRelease, .release),
        (.policySet, .setPolicies),
    ])
    func opcodesSayTheSame(opcode: Opcode, action: KeyAction) throws {
        let row = try #require(StateTableTests.rows.first { $0.0 == action })
        let states = KeyState.allCases.enumerated().filter { place, _ in
            [row.root, row.standard].contains { RefusalCode.named($0[place]) == nil && $0[place] != "-" }
        }
        #expect(opcode.entry.keyStates == states.map(\.element))
    }

    @Test func theServiceDoesWhatTheTableSaysWithRootKeys() async {
        await #expect(processExitsWith: .success) { try StateTableTests.ask(.root) }
    }

    @Test func theServiceDoesWhatTheTableSaysWithStandardKeys() async {
        await #expect(processExitsWith: .success) { try StateTableTests.ask(.standard) }
    }

    /// Makes a key for each state and action, does the action, and looks at what came of it.
    private static func ask(_ kind: KeyKind) throws {
        let instance = try TestInstance()
        let subjects = try Subjects(instance, kind)
        for (action, root, standard) in rows {
            for (place, state) in KeyState.allCases.enumerated() {
                let expected = (kind == .root ? root : standard)[place]
                let key = try subjects.key(in: state, for: action)
                #expect(try instance.show(key).state == state)
                let comment = Comment("\(kind.name) key, \(state.name), \(action.rawValue)")
                let outcome = try subjects.attempt(action, key)
                if let refused = RefusalCode.named(expected) {
                    #expect(outcome == refused, comment)
                } else {
                    #expect(outcome == nil, comment)
                }
                let after = try? instance.show(key).state
                switch expected {
                case "gone": #expect(after == nil, comment)
                case "back": #expect(after == .suspended, comment)
                case _: #expect(after == (KeyState.allCases.first { $0.name == expected } ?? state), comment)
                }
                if action == .wipe { #expect(try instance.show(key).isWiped == (expected == "yes"), comment) }
                if action == .rotateByPolicy { #expect(try instance.show(key).version == (expected == "yes" ? 3 : 2), comment) }
            }
            let gone = try subjects.key(in: .destroyed, for: action)
            try instance.purge(gone)
            let comment = Comment("\(kind.name) key, purged, \(action.rawValue)")
            #expect(try subjects.attempt(action, gone) == RefusalCode.named(ofPurged(action)), comment)
            #expect(try code { try instance.show(gone) } == .denied, comment)
        }
    }
}

extension RefusalCode {
    fileprivate static func named(_ name: String) -> RefusalCode? { allCases.first { $0.name == name } }
}

/// Makes keys that are in a state, and does things to them.
private struct Subjects {
    let instance: TestInstance
    let kind: KeyKind
    /// An envelope of version 2 of each root key, made while it was active.
    private let envelopes = Envelopes()

    private final class Envelopes {
        var of: [KeyID: [UInt8]] = [:]
    }

    init(_ instance: TestInstance, _ kind: KeyKind) throws {
        self.instance = instance
        self.kind = kind
        _ = try instance.ask(.ringCreate, RingCreateRequest(id: "elsewhere", operation: TestInstance.operation())) { _ in }
    }

    private static let hour: UInt64 = 3_600_000

    /// A new key of two versions, the first retired, with an alias, and with a rotation policy whose day has come where that is looked
    /// at; it has been in its state for five hours, so that no delay stands in the way. A destroyed one was suspended before.
    func key(in state: KeyState, for action: KeyAction) throws -> KeyID {
        let instance = instance
        let name = "k\(TestInstance.operation().low)"
        let isByPolicy = action == .rotateByPolicy && kind == .root
        let key = try instance.create(name) {
            $0.kind = kind
            $0.aliases = ["a-" + name]
            if isByPolicy { $0.rotationMonths = 1 }
        }.id
        try instance.rotate(key)
        if kind == .root { envelopes.of[key] = try instance.wrap([1, 2, 3], key) }
        try instance.retire(key, 1)
        if isByPolicy { instance.clock.advance(31 * 24 * Subjects.hour) }
        switch state {
        case .active: break
        case .suspended: try instance.change(.keyDisable, key)
        case .deactivated:
            let end = instance.clock.now + 1
            _ = try instance.update(key) { $0.expires = end }
            instance.clock.set(end)
        case .destroyed:
            try instance.change(.keyDisable, key)
            try instance.delete(key)
        }
        instance.clock.advance(5 * Subjects.hour)
        return key
    }

    /// Does an action; the refusal's code, or nil when it was done or does not happen.
    func attempt(_ action: KeyAction, _ key: KeyID) throws -> RefusalCode? {
        let instance = instance
        let reference = KeyReference.id(key)
        let operation = TestInstance.operation()
        return try code { () throws -> Void in
            switch action {
            case .show: _ = try instance.show(key)
            case .listVersions: #expect(try instance.versions(key).count == 2 && instance.census(key).count == 2)
            case .listRegistrations:
                try instance.ask(.registrationList, RegistrationListRequest(key: reference)) { _ in }
            case .showPolicies: try instance.ask(.policyShow, PolicyShowRequest(key: reference)) { _ in }
            case .read: try instance.ask(.keyRead, KeyReadRequest(key: reference)) { _ in }
            case .wrap: _ = try instance.wrap([1], key)
            case .unwrap: _ = try instance.unwrap(try envelope(key))
            case .rewrap: _ = try instance.rewrap(try envelope(key))
            case .rotate: try instance.rotate(key)
            case .rotateByPolicy, .expire, .wipe, .purgeByTime: try letTimePass(action, key)
            case .update: _ = try instance.update(key) { $0.description = "changed" }
            case .move:
                try instance.ask(.keyMove, KeyMoveRequest(key: reference, operation: operation, ring: "elsewhere")) { _ in }
            case .setAlias:
                let alias = AliasCreateRequest(key: reference, operation: operation, alias: "b\(operation.low)")
                try instance.ask(.aliasCreate, alias) { _ in }
            case .setPolicies:
                var values = PolicyValues()
                values.dualControl = .disable
                let message = PolicySetRequest(key: reference, operation: operation, values: values)
                try instance.ask(.policySet, message) { _ in }
            case .register:
                let message = RegistrationSetRequest(key: reference, operation: operation, resource: "db")
                try instance.ask(.registrationSet, message) { _ in }
            case .renew:
                try register(key)
                let message = RegistrationSetRequest(key: reference, operation: operation, resource: "db")
                try instance.ask(.registrationSet, message) { _ in }
            case .release: try release(key)
            case .disable: try instance.change(.keyDisable, key)
            case .enable: try instance.change(.keyEnable, key)
            case .delete: try instance.delete(key)
            case .restore: try instance.change(.keyRestore, key)
            case .purge: try instance.purge(key)
            case .retireVersion: try instance.retire(key, 1, undo: true)
            case .destroyVersion:
                _ = try instance.census(key)
                try instance.destroy(key, 1)
            }
        }
    }

    private func envelope(_ key: KeyID) throws -> [UInt8] {
        if let made = envelopes.of[key] { return made }
        // A standard key makes none; one that names it is told so before anything is opened.
        return Envelope.header(suite: .aesGCM, keyID: key, version: 2) + [12] + [UInt8](repeating: 1, count: 12 + 32 + 1 + 16)
    }

    /// Puts a registration there, however the key has come to it.
    private func register(_ key: KeyID) throws {
        guard try instance.stored()[key] != nil else { return }
        try instance.token.store.transaction { connection throws(StoreError) in
            try connection.write(
                StoredRegistration(
                    key: key, resource: "db", version: 2, created: 1, createdBy: "", owner: 0, updated: 1))
        }
    }

    private func release(_ key: KeyID) throws {
        try register(key)
        let message = RegistrationReleaseRequest(key: .id(key), operation: TestInstance.operation(), resource: "db")
        try instance.ask(.registrationRelease, message) { _ in }
    }

    /// Lets the daemon's own action happen, if it does.
    private func letTimePass(_ action: KeyAction, _ key: KeyID) throws {
        let clock = instance.clock
        switch action {
        case .expire:
            // A date in the past, as a key has that was suspended or deactivated when it came; a date of its own.
            let past = clock.now - 1
            _ = try instance.token.store.transaction { connection throws(StoreError) in
                try connection.run(
                    "UPDATE key SET expires_ms = ? WHERE id = ?", [.integer(Int64(past)), .blob(key.bytes)])
            }
            try instance.token.snapshots.update { snapshot in snapshot.changing(key) { $0.stored.expires = past } }
        case .wipe: clock.advance(30 * 24 * Subjects.hour)
        case .purgeByTime: clock.advance(90 * 24 * Subjects.hour)
        case _: break
        }
        try instance.keepHouse()
    }
}
