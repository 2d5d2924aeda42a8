import ClavigerWire

/// A named set of permissions.
package struct Role: Hashable, Sendable {
    /// The name, as grants say it.
    package let name: String
    /// One sentence for people.
    package let summary: String
    package let permissions: PermissionSet
    /// Whether it comes with the daemon: such a role is never changed or removed.
    package let isBuiltIn: Bool

    package init(name: String, summary: String, permissions: PermissionSet, isBuiltIn: Bool = false) {
        self.name = name
        self.summary = summary
        self.permissions = permissions
        self.isBuiltIn = isBuiltIn
    }

    /// The roles that come with the daemon: those of IBM Key Protect (each of the first four includes the one before), and single-purpose
    /// ones that it lacks. None of them holds `unlock`, which no grant can give.
    package static let builtIn: [Role] = [
        role("Reader", "Uses keys and reads what is known about them.", reader),
        role("ReaderPlus", "Reader, and reads the secrets that standard keys keep.", readerPlus),
        role("Writer", "ReaderPlus, and creates, imports, renames and rotates keys and creates rings.", writer),
        role("Manager", "Writer, and disables, deletes, restores and moves keys, and sets policies.", manager),
        role(
            "KeyPurge", "Purges deleted keys and destroys retired versions: nothing brings them back. In no other role.",
            [.purgeKeys]),
        role("Wrapper", "Wraps, and nothing else: for what writes data that it must not read.", [.wrap]),
        role("Unwrapper", "Unwraps, and nothing else: for what reads data that others write.", [.unwrap]),
        role(
            "Auditor", "Reads metadata, policies, grants and the audit log; uses no key.",
            [.readKeys, .readRings, .readPolicies, .readAccess, .readAudit, .readToken]),
        role("Operator", "Looks after the token and its backup; uses no key.", [.readToken]),
        role("Administrator", "Grants and revokes; uses no key.", [.readAccess, .manageAccess]),
    ]

    /// What somebody who may do everything holds: together they include every permission that can be granted.
    package static let all = ["Manager", "KeyPurge", "Auditor", "Operator", "Administrator"]

    private static let reader: [Permission] = [.wrap, .unwrap, .rewrap, .readKeys, .readRings, .registerResources]
    private static let readerPlus = reader + [.readSecrets]
    private static let writer = readerPlus + [.createKeys, .updateKeys, .rotateKeys, .createRings, .requestApproval]
    private static let manager =
        writer + [
            .disableKeys, .deleteKeys, .restoreKeys, .moveKeys, .deleteRings, .readPolicies, .managePolicies, .approve,
        ]

    private static func role(_ name: String, _ summary: String, _ permissions: [Permission]) -> Role {
        Role(name: name, summary: summary, permissions: PermissionSet(permissions), isBuiltIn: true)
    }
}
