import ClavigerWire
import Synchronization

/// The access snapshot that new requests read.
package final class AccessBox: Sendable {
    private let box = Mutex(AccessSnapshot.unverified)

    package init() {}

    /// The snapshot now.
    package var current: AccessSnapshot { box.withLock { $0 } }

    /// Publishes grants and roles; the epoch rises, unless they are those that are there: a token that was taken hold of anew is no reason
    /// to judge requests in flight again.
    package func publish(isVerified: Bool, grants: [Grant], customRoles: [Role]) {
        box.withLock { snapshot in
            let next = AccessSnapshot(
                epoch: snapshot.epoch + 1, isVerified: isVerified, grants: grants, customRoles: customRoles)
            if !next.saysTheSame(as: snapshot) { snapshot = next }
        }
    }

    /// Publishes what the database says after a change. Where nothing counts any more, because the database was doubted meanwhile, nothing
    /// does after this either: only who has verified it anew says so.
    func refresh(grants: [Grant], customRoles: [Role]) {
        box.withLock { snapshot in
            guard snapshot.isVerified else { return }
            let next = AccessSnapshot(epoch: snapshot.epoch + 1, isVerified: true, grants: grants, customRoles: customRoles)
            if !next.saysTheSame(as: snapshot) { snapshot = next }
        }
    }

    /// Has grants count no more, without asking the database.
    func retract(_ isGone: (Grant) -> Bool) {
        box.withLock { snapshot in
            let left = snapshot.grants.filter { !isGone($0) }
            guard left.count < snapshot.grants.count else { return }
            snapshot = AccessSnapshot(
                epoch: snapshot.epoch + 1, isVerified: snapshot.isVerified, grants: left,
                customRoles: snapshot.roles.values.filter { !$0.isBuiltIn })
        }
    }
}
