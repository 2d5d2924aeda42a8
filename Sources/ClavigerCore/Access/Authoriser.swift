import CLinux
import ClavigerWire
import Glibc

/// Who may do what: grants decide, apart from two things that no grant can give or take.
///
/// Everybody whom a socket lets in may ask who he is and whether the daemon lives. User 0, the daemon's own user and members of the
/// unlock group may present the PIN: that must work before the database can be believed. All else needs a grant; before the database
/// is verified there are none.
package final class Authoriser: Sendable {
    package let box = AccessBox()
    private let ownUser: UInt32
    private let unlockGroup: UInt32?
    let accounts: AccountCache
    let time: TimeSource

    package init(
        ownUser: UInt32, unlockGroup: UInt32?, accounts: AccountCache = AccountCache(), time: TimeSource = .system
    ) {
        self.ownUser = ownUser
        self.unlockGroup = unlockGroup
        self.accounts = accounts
        self.time = time
    }

    /// What counts for one request from its beginning to its end.
    package func view(of caller: Caller) -> AccessView { AccessView(authoriser: self, caller: caller, snapshot: box.current) }

    /// Whether the caller may present the PIN: never by what is stored, and never from other namespaces, where somebody else decides
    /// who is user 0.
    package func mayUnlock(_ caller: Caller) -> Bool {
        guard !caller.isForeign else { return false }
        return isOwn(caller) || unlockGroup.map { caller.isMember(of: $0) } ?? false
    }

    /// Whether the caller is user 0 or the daemon's own.
    package func isOwn(_ caller: Caller) -> Bool {
        !caller.isForeign && (caller.uid == 0 || caller.uid == ownUser)
    }

    /// Whether the caller has a permission now: anywhere for what is about keys and rings, for the instance otherwise.
    package func allows(_ permission: Permission, to caller: Caller) -> Bool { view(of: caller).allows(permission) }
}

/// One caller before one access snapshot.
package struct AccessView: Sendable {
    let authoriser: Authoriser
    package let caller: Caller
    package let snapshot: AccessSnapshot

    /// Whether the caller has a permission: anywhere that it reaches for what is about keys and rings, for the instance otherwise.
    package func allows(_ permission: Permission) -> Bool {
        switch permission.reach {
        case .everyone: true
        case .operators: authoriser.mayUnlock(caller)
        case .key, .ring: allows(permission, on: .anything)
        case .instance: allows(permission, on: .instance)
        }
    }

    /// Whether the caller has a permission for something.
    ///
    /// - Parameter context: the encoded context of an envelope; nil where none is known yet, when a condition counts as met.
    package func allows(_ permission: Permission, on target: AccessTarget, context: [UInt8]? = nil) -> Bool {
        switch permission.reach {
        case .everyone: true
        case .operators: authoriser.mayUnlock(caller)
        case .key, .ring, .instance:
            snapshot.allows(
                AccessSnapshot.Question(permission, on: target, context: context), to: caller, now: authoriser.time.now(),
                authoriser.accounts)
        }
    }

    /// The caller's grants, a line each, as many as whoami shows.
    var lines: [String] {
        let now = authoriser.time.now()
        let grants = snapshot.grants(of: caller, now: now, authoriser.accounts)
        guard grants.count > Limits.maximumOwnGrants else { return grants.map { $0.line(now: now) } }
        let shown = grants.prefix(Limits.maximumOwnGrants - 1)
        return shown.map { $0.line(now: now) } + ["and \(grants.count - shown.count) more"]
    }

    /// What the caller may do at all: as requests are admitted.
    package var permissions: [Permission] { Permission.allCases.filter(allows) }
}
