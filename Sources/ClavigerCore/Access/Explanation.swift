import ClavigerWire

/// The answer to "why?" for one caller and one question.
struct Explanation {
    let subject: Subject
    let caller: Caller
    let snapshot: AccessSnapshot
    let question: AccessSnapshot.Question
    let authoriser: Authoriser

    var reply: AccessExplainReply {
        switch question.permission.reach {
        case .everyone:
            return AccessExplainReply(
                isAllowed: true, decidedBy: "whom a socket lets in may do this; no grant is needed", details: [])
        case .operators:
            return AccessExplainReply(
                isAllowed: authoriser.mayUnlock(caller),
                decidedBy:
                    "user 0, the daemon's own user and members of [unlock] group in the configuration may; no grant counts",
                details: [])
        case .key, .ring, .instance:
            return granted
        }
    }

    /// Whether the subject has another permission besides, in the same context; nil where that hangs on a target that is not named.
    func holds(_ permission: Permission, on target: AccessTarget) -> Bool? {
        target == .anything ? nil : allows(AccessSnapshot.Question(permission, on: target, context: question.context))
    }

    // As requests are judged, and by the same function.
    private func allows(_ question: AccessSnapshot.Question) -> Bool {
        snapshot.allows(question, to: caller, now: authoriser.time.now(), authoriser.accounts)
    }

    private var granted: AccessExplainReply {
        let now = authoriser.time.now()
        let misses = snapshot.grants.map { ($0, snapshot.misses($0, question, caller, now, authoriser.accounts)) }
        if allows(question) {
            let giving = misses.filter { $0.1 == nil }.map(\.0)
            // One without a condition gives all that those with one give.
            if let plain = giving.first(where: { $0.condition.isEmpty || question.context != nil }) {
                return AccessExplainReply(
                    isAllowed: true, decidedBy: "grant \(plain.id): \(subjectAndRole(plain))", details: [])
            }
            let conditions = giving.prefix(Limits.maximumExplanation - 8).map { grant in
                "only for a context that begins with \(ContextCondition.text(grant.condition)), by grant \(grant.id)"
            }
            let decided = giving.first.map { "grant \($0.id): \(subjectAndRole($0))" } ?? ""
            return AccessExplainReply(isAllowed: true, decidedBy: decided, details: conditions)
        }
        // Nearest first: those that fail only in the scope, the time or the context say most.
        let near = misses.compactMap { grant, miss in miss.map { (grant, $0) } }.filter { Explanation.distance($0.1) < 4 }
            .sorted { Explanation.distance($0.1) < Explanation.distance($1.1) }
        var details = near.filter { meetsSubject($0.0) || Explanation.distance($0.1) >= 2 }.prefix(Limits.maximumExplanation - 4)
            .map { grant, miss in "grant \(grant.id) (\(subjectAndRole(grant))) does not: \(text(miss, grant))" }
        details.append(advice)
        return AccessExplainReply(
            isAllowed: false, decidedBy: "no grant allows it; what no grant allows is denied", details: details)
    }

    private func meetsSubject(_ grant: Grant) -> Bool { grant.subject.miss(caller, authoriser.accounts) == nil }

    private func subjectAndRole(_ grant: Grant) -> String { "\(grant.role) on \(grant.scope) for \(grant.subject)" }

    private static func distance(_ miss: GrantMiss) -> Int {
        switch miss {
        case .context, .expired, .conditional: 0
        case .scope: 1
        case .subject(.recreatedUser), .subject(.recreatedGroup), .subject(.foreign), .subject(.unknownName):
            2
        case .subject(.user), .subject(.group), .subject(.unit): 3
        case .role: 4
        }
    }

    private func text(_ miss: GrantMiss, _ grant: Grant) -> String {
        switch miss {
        case .role: "role \(grant.role) does not hold \(question.permission.rawValue)"
        case .scope: "it is for \(grant.scope) only"
        case .expired: "it has expired"
        case .conditional: "it has a condition on the context, and gives only wrap, unwrap and rewrap"
        case .context: "the context does not begin with \(ContextCondition.text(grant.condition))"
        case .subject(.foreign): "the caller lives in other namespaces"
        case .subject(.user): "it is for another user"
        case .subject(.group): "it is for members of another group"
        case .subject(.unit): "it is for unit \(grant.subject.unit ?? "") only"
        case .subject(.recreatedUser): "its user's number belongs to another name today"
        case .subject(.recreatedGroup): "its group's number belongs to another name today"
        case .subject(.unknownName): "the account database does not tell whose number it names"
        }
    }

    /// What would change the answer.
    private var advice: String {
        // The smallest role, so that following the advice gives no more than was asked for.
        let role = snapshot.roles.values.filter { $0.permissions.holds(question.permission) }
            .min { ($0.permissions.rawValue.nonzeroBitCount, $0.name) < ($1.permissions.rawValue.nonzeroBitCount, $1.name) }
        guard let role else { return "no role holds \(question.permission.rawValue)" }
        let scope =
            switch question.target {
            case .anything, .instance: ""
            case .ring(let name): " --ring \(name)"
            case .key(let id, _): " --key \(id)"
            }
        return "to allow it: claviger access grant \(subject) \(role.name)\(scope)"
    }
}
