import CLinux
import ClavigerWire
import Glibc

/// Who may do what, before there are grants: one built-in rule.
///
/// User 0 and the daemon's own user may do everything. Members of the socket's group may use keys and ask about themselves and the
/// daemon. Members of the unlock group may unlock. Everybody else may do nothing, whoever let them connect.
package struct Authoriser: Sendable {
    private let ownUser: UInt32
    private let serviceGroup: UInt32?
    private let unlockGroup: UInt32?

    package init(ownUser: UInt32, serviceGroup: UInt32?, unlockGroup: UInt32?) {
        self.ownUser = ownUser
        self.serviceGroup = serviceGroup
        self.unlockGroup = unlockGroup
    }

    /// Whether the caller has a permission.
    package func allows(_ permission: Permission, to caller: Caller) -> Bool {
        if caller.uid == 0 || caller.uid == ownUser { return true }
        switch permission {
        case .observe, .wrap, .unwrap, .rewrap:
            return serviceGroup.map { caller.isMember(of: $0) } ?? false
        case .unlock:
            return unlockGroup.map { caller.isMember(of: $0) } ?? false
        case .readKeys, .readSecrets, .createKeys, .updateKeys, .rotateKeys, .disableKeys, .deleteKeys, .restoreKeys, .purgeKeys,
            .moveKeys, .registerResources, .readRings, .createRings, .deleteRings, .readPolicies, .managePolicies,
            .requestApproval, .approve, .readAccess, .manageAccess, .readAudit, .readToken:
            return false
        }
    }

    /// What the caller may do, by name.
    package func permissions(of caller: Caller) -> [String] {
        Permission.allCases.filter { allows($0, to: caller) }.map(\.rawValue)
    }
}
