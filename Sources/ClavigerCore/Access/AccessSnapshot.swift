import ClavigerWire

/// All grants and roles at one moment: immutable, so that a request that began with it is judged by it to its end.
package final class AccessSnapshot: Sendable {
    /// Rises with every change that is published.
    package let epoch: UInt64
    /// False before the database is verified: then nothing that it says counts.
    package let isVerified: Bool
    /// All grants that were not revoked, by creation and id; expired ones stand among them.
    package let grants: [Grant]
    /// All roles by name.
    package let roles: [String: Role]

    // A grant stands under one part of its subject, the one that fewest callers meet; so a request looks at few.
    private let byUser: [UInt32: [Int]]
    private let byGroup: [UInt32: [Int]]
    private let byUnit: [String: [Int]]

    /// A snapshot of these grants and custom roles.
    package init(epoch: UInt64, isVerified: Bool, grants: [Grant], customRoles: [Role]) {
        self.epoch = epoch
        self.isVerified = isVerified
        self.grants = grants.sorted { ($0.created, $0.id) < ($1.created, $1.id) }
        roles = Dictionary((Role.builtIn + customRoles).map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        var byUser: [UInt32: [Int]] = [:]
        var byGroup: [UInt32: [Int]] = [:]
        var byUnit: [String: [Int]] = [:]
        for (index, grant) in self.grants.enumerated() {
            if let unit = grant.subject.unit {
                byUnit[unit, default: []].append(index)
            } else if let user = grant.subject.user {
                byUser[user.number, default: []].append(index)
            } else if let group = grant.subject.group {
                byGroup[group.number, default: []].append(index)
            }
        }
        self.byUser = byUser
        self.byGroup = byGroup
        self.byUnit = byUnit
    }

    /// Whether it allows what another one does, to the letter.
    func saysTheSame(as other: AccessSnapshot) -> Bool {
        isVerified == other.isVerified && grants == other.grants && roles == other.roles
    }

    /// What there is before the database is verified: nothing.
    package static let unverified = AccessSnapshot(epoch: 0, isVerified: false, grants: [], customRoles: [])

    /// What a caller asks for.
    package struct Question {
        package let permission: Permission
        package let target: AccessTarget
        /// The encoded context of the envelope; nil where none is known yet, when grants with a condition count as if it held.
        package var context: [UInt8]?

        package init(_ permission: Permission, on target: AccessTarget, context: [UInt8]? = nil) {
            self.permission = permission
            self.target = target
            self.context = context
        }
    }

    /// The first grant that gives a caller what is asked for; nil when none does.
    package func grant(
        for question: Question, to caller: Caller, now: UInt64, _ accounts: some AccountNames
    ) -> Grant? {
        first(caller) { misses($0, question, caller, now, accounts) == nil }
    }

    /// Whether a caller may do what is asked for.
    package func allows(_ question: Question, to caller: Caller, now: UInt64, _ accounts: some AccountNames) -> Bool {
        grant(for: question, to: caller, now: now, accounts) != nil
    }

    /// The grants of which a caller meets the subject, expired ones left out.
    package func grants(of caller: Caller, now: UInt64, _ accounts: some AccountNames) -> [Grant] {
        grants.filter { !$0.hasExpired(at: now) && $0.subject.miss(caller, accounts) == nil }
    }

    /// Why a grant does not give what is asked for; nil when it does.
    package func misses(
        _ grant: Grant, _ question: Question, _ caller: Caller, _ now: UInt64, _ accounts: some AccountNames
    ) -> GrantMiss? {
        guard let role = roles[grant.role], role.permissions.holds(question.permission) else { return .role }
        guard grant.scope.reaches(question.permission.reach), grant.scope.covers(question.target) else { return .scope }
        guard !grant.hasExpired(at: now) else { return .expired }
        if !grant.condition.isEmpty {
            guard question.permission.hasContext else { return .conditional }
            if let context = question.context, !ContextCondition.holds(grant.condition, for: context) { return .context }
        }
        // Last, because it may have to ask for today's name of an account.
        return grant.subject.miss(caller, accounts).map { .subject($0) }
    }

    private func first(_ caller: Caller, _ condition: (Grant) -> Bool) -> Grant? {
        if let unit = caller.unit, let found = first(byUnit[unit], condition) { return found }
        if let found = first(byUser[caller.uid], condition) { return found }
        if byGroup.isEmpty { return nil }
        if let found = first(byGroup[caller.gid], condition) { return found }
        for group in caller.groups where group != caller.gid {
            if let found = first(byGroup[group], condition) { return found }
        }
        return nil
    }

    private func first(_ places: [Int]?, _ condition: (Grant) -> Bool) -> Grant? {
        guard let places else { return nil }
        for place in places where condition(grants[place]) { return grants[place] }
        return nil
    }
}

/// Why a grant does not give what is asked for.
package enum GrantMiss: Sendable, Equatable {
    case subject(SubjectMiss)
    case role
    case scope
    case expired
    /// The grant has a condition on the context, and what is asked for has none.
    case conditional
    /// The context does not begin as the grant's condition says.
    case context
}
