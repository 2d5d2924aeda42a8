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
}
