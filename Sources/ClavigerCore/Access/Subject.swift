import ClavigerWire

/// Who a grant is for: a user, a group, a systemd unit, or several of these that must all hold.
package struct Subject: Hashable, Sendable, CustomStringConvertible {
    /// An account, pinned by number and name: what it was called when the grant was made.
    ///
    /// A number that belongs to another name today is another account: it inherits nothing.
    package struct Account: Hashable, Sendable {
        package let number: UInt32
        /// nil when the number had no name: then it must have none today either, for whoever gets an account of that number later is
        /// somebody else.
        package let name: String?

        package init(number: UInt32, name: String?) {
            self.number = number
            self.name = name
        }

        fileprivate var text: String { name ?? String(number) }
    }

    package let user: Account?
    package let group: Account?
    /// A systemd system unit's name, such as `payroll.service`.
    package let unit: String?

    /// A subject of these parts; nil when there is none, for it would be everybody.
    package init?(user: Account? = nil, group: Account? = nil, unit: String? = nil) {
        guard user != nil || group != nil || unit != nil else { return nil }
        self.user = user
        self.group = group
        self.unit = unit
    }

    /// As it is written: `user:ann,unit:payroll.service`.
    package var description: String {
        [user.map { "user:\($0.text)" }, group.map { "group:\($0.text)" }, unit.map { "unit:\($0)" }].compactMap { $0 }
            .joined(separator: ",")
    }

    /// What of the subject a caller does not meet; nil when all of it holds.
    ///
    /// - Parameter accounts: today's names of accounts.
    package func miss(_ caller: Caller, _ accounts: some AccountNames) -> SubjectMiss? {
        if caller.isForeign { return .foreign }
        if let user, caller.uid != user.number { return .user }
        if let group, !caller.isMember(of: group.number) { return .group }
        if let unit, caller.unit != unit { return .unit }
        // Last, because it may have to ask for today's names.
        return loss(accounts)
    }

    /// Why nobody at all can meet the subject today; nil when somebody can.
    package func loss(_ accounts: some AccountNames) -> SubjectMiss? {
        if let user {
            let today = accounts.user(user.number)
            if today == AccountCache.unknown { return .unknownName }
            if today != user.name { return .recreatedUser }
        }
        if let group {
            let today = accounts.group(group.number)
            if today == AccountCache.unknown { return .unknownName }
            if today != group.name { return .recreatedGroup }
        }
        return nil
    }
}

/// What of a subject a caller does not meet.
package enum SubjectMiss: Sendable, Equatable {
    /// The caller is in other namespaces, where its numbers are decided by somebody else.
    case foreign
    case user
    /// The number is right, but belongs to another name than when the grant was made, or has one where it had none.
    case recreatedUser
    case group
    case recreatedGroup
    case unit
    /// Nobody can tell what the number's name is: the account database does not answer.
    case unknownName
}

/// Today's names of accounts.
package protocol AccountNames: Sendable {
    /// The name of a user; nil when the number has none.
    func user(_ number: UInt32) -> String?
    /// The name of a group; nil when the number has none.
    func group(_ number: UInt32) -> String?
}
