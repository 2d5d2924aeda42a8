import ClavigerWire
import Cryptoki
import Logging
import Synchronization

// A token's storage that was put back in pieces: the token answers, and some of its objects come later. Nobody may ask for them for an
// hour, so the supervisor looks by itself, and cheaply: at names and times of files, or for a few ids.
extension TokenService {
    /// What was not found when the token was taken hold of last, and what would show that there is more to be found now.
    struct Missing: Sendable {
        /// The token's files, where it keeps such.
        var view: StorageView?
        /// The ids of the first objects that are missing, asked for where there are no files.
        var ids: [[UInt8]] = []
        /// How many objects had these ids.
        var found: Int?
        /// Whether there is something new, which is still to be looked at.
        var hasGained = false

        /// So many ids are asked for at most: each is a search of the token.
        static let maximumIDs = 4
    }

    /// How often the supervisor looks, in nanoseconds; well below the five seconds within which what is back shall serve.
    static let lookInterval: UInt64 = 2_000_000_000

    /// Looks for what is missing when that is due. Called on the supervisor's thread.
    ///
    /// - Returns: when the next look is due; nil while nothing is missed.
    func look() -> UInt64? {
        let now = Clock.monotonic()
        let due = supervision.withLock { supervision -> UInt64? in
            if now < supervision.lookDue { return supervision.lookDue }
            supervision.lookDue = now + TokenService.lookInterval
            return nil
        }
        gate.enterShared()
        busy.step(.supervisor)
        defer { gate.leave() }
        let (isMissing, hasGained) = management.withLock { management in
            guard management.missing != nil else { return (false, false) }
            if due == nil { noteGains(&management) }
            return (true, management.missing?.hasGained ?? false)
        }
        guard isMissing else { return nil }
        if let due { return due }
        if hasGained, supervision.withLock({ $0.wantLook(now: now) }) {
            logState(.notice, "there is something new on the token: looking for what is missing", [:])
            return now
        }
        return now + TokenService.lookInterval
    }

    /// Takes down whether there is something new on the token since the last look.
    func noteGains(_ management: inout Management) {
        guard var missing = management.missing else { return }
        if let older = missing.view, let files {
            if StorageView(files).hasGained(since: older) { missing.hasGained = true }
            missing.view = older.kept(in: files)
        } else if management.anchor != nil {
            let found = missing.ids.reduce(into: 0) { sum, id in
                sum += (try? management.anchor?.findObjects(matching: [.bool(.token, true), .id(id)], limit: 8).count) ?? 0
            }
            if let before = missing.found, found > before { missing.hasGained = true }
            missing.found = found
        }
        management.missing = missing
    }

    /// What the daemon itself has just made is nothing that came back.
    func passOwnFiles(_ management: inout Management) {
        guard management.missing?.view != nil, let files else { return }
        management.missing?.view = StorageView(files)
    }

    /// Takes down what is missing after the token was taken hold of, or needs somebody; nil when nothing is.
    func setMissing(_ missing: Missing?) {
        management.withLock { $0.missing = missing }
        if missing != nil { bell.ring() }
    }

    /// The ids of the first versions without an object.
    func missingIDs() -> [[UInt8]] {
        var ids: [[UInt8]] = []
        for key in snapshots.current.keys.values {
            for version in key.versions where key.needsObject(version) && version.handles == nil {
                guard ids.count < Missing.maximumIDs else { return ids }
                ids.append(ObjectName(key: key.id, version: version.number, role: .cipher).objectID)
            }
        }
        return ids
    }
}
