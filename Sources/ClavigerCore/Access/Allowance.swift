import ClavigerWire
import Synchronization

/// One thing that a request was allowed because of: a permission, and what it was asked for.
package struct Allowance: Hashable, Sendable {
    package let permission: Permission
    package let target: AccessTarget
}

/// Collects what one request for a change is allowed by, while it is judged.
///
/// A change may wait for the token or for others between that and its end; there exactly this is asked again.
final class Allowances: Sendable {
    private let collected = Mutex<[Allowance]>([])
    private let unchanged = Mutex(false)

    /// Whether the request has changed nothing: its answer is one that was given before, or says what a change would do. It tells what there
    /// is as a question's does, and is judged like one before it leaves.
    var isUnchanged: Bool { unchanged.withLock { $0 } }

    func noteUnchanged() { unchanged.withLock { $0 = true } }

    var all: [Allowance] { collected.withLock { $0 } }

    func add(_ permission: Permission, on target: AccessTarget) {
        let allowance = Allowance(permission: permission, target: target)
        collected.withLock { if !$0.contains(allowance) { $0.append(allowance) } }
    }
}

extension Authoriser {
    /// Whether who asked for a change may make it now.
    ///
    /// - Parameter snapshot: tells in which ring a key is now; what was allowed for a key is asked for it where it is.
    func mayStill(_ note: ChangeNote, in snapshot: Snapshot) -> Bool {
        guard let caller = note.caller else { return true }
        let view = view(of: caller)
        guard note.allowances.isEmpty else {
            return note.allowances.allSatisfy { allowance in
                var target = allowance.target
                if case .key(let id, _) = target, let key = snapshot.keys[id] { target = key.target }
                return view.allows(allowance.permission, on: target)
            }
        }
        guard let opcode = Opcode.allCases.first(where: { $0.entry.name == note.event }) else { return true }
        return view.allows(opcode, on: note.key, named: note.ring, in: snapshot)
    }
}

extension AccessView {
    /// Whether the caller may do an operation with what it was done to the first time, and so may have its answer again.
    ///
    /// - Parameters:
    ///   - key: the key that it was about; nil for none.
    ///   - ring: the ring that the key was in, for a key that is gone; nil when none is known.
    func allows(_ opcode: Opcode, on key: KeyID?, named ring: String?, in snapshot: Snapshot) -> Bool {
        let permission = opcode.entry.permission
        guard !opcode.entry.isInstanceWide, let key else { return allows(permission, on: .instance) }
        return allows(permission, on: snapshot.keys[key]?.target ?? .key(key, ring: ring ?? ""))
    }
}
