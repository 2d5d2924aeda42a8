import ClavigerWire

/// Whether somebody who is not connected may do something today, as far as that can be told without him.
enum Standing: Equatable {
    case may
    /// No grant is left that could give it: the grants alone say so, no account database was believed for it.
    case mayNot
    /// A grant could give it, but whether it does is not known: his groups are those of his process, which the account database need not
    /// list (`SupplementaryGroups=`), and it may not answer.
    case unknown

    /// Of two things that are both needed.
    func and(_ other: Standing) -> Standing {
        if self == .mayNot || other == .mayNot { return .mayNot }
        return self == .may ? other : self
    }
}

/// Somebody who asked for something earlier.
struct Absent {
    /// He as he could connect today: with the groups of a login.
    let caller: Caller
    /// Whether his number belongs to him still; nil when that cannot be told.
    let isSamePerson: Bool?
}

extension AccessSnapshot {
    /// What somebody who is not connected may do.
    func standing(of absent: Absent, on question: Question, now: UInt64, _ accounts: some AccountNames) -> Standing {
        let caller = absent.caller
        if absent.isSamePerson == true, allows(question, to: caller, now: now, accounts) { return .may }
        let isPossible = grants.contains { grant in
            // Whatever group it is for: he may be in it.
            let groups = grant.subject.group.map { caller.groups + [$0.number] } ?? caller.groups
            let guess = Caller(
                pid: caller.pid, uid: caller.uid, gid: caller.gid, groups: groups, unit: caller.unit,
                pidfdVerified: caller.pidfdVerified)
            switch misses(grant, question, guess, now, accounts) {
            case nil, .subject(.unknownName)?, .subject(.recreatedUser)?, .subject(.recreatedGroup)?: return true
            case .subject(.foreign)?, .subject(.user)?, .subject(.group)?, .subject(.unit)?, .role?, .scope?, .expired?,
                .conditional?, .context?:
                return false
            }
        }
        return isPossible ? .unknown : .mayNot
    }
}
