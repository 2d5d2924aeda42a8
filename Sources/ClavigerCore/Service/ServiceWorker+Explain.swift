import ClavigerWire

// Why somebody may or may not do something.
extension ServiceWorker {
    func explainAccess(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        let message = try call.decode(AccessExplainRequest.self)
        record.note(field: "subject", message.subject)
        record.note(field: "action", message.action)
        if let target = message.target { record.note(field: "target", target) }
        if let context = message.context { record.note(condition: context) }
        let subject = try AccessText.subject(message.subject)
        let opcode = Opcode.allCases.first { $0.entry.name == message.action }
        guard let permission = opcode?.entry.permission ?? Permission(rawValue: message.action) else {
            throw Refusal(.invalidValue, "there is no operation and no permission '\(message.action)'")
        }
        var key: KeyEntry?
        var target: AccessTarget
        if let text = message.target {
            if text.hasPrefix("ring:") {
                target = .ring(try AccessText.ring(String(text.dropFirst("ring:".count))))
            } else {
                let found = try AccessText.key(text, in: service.snapshots.current)
                target = .key(found.id, ring: found.ring)
                key = found
            }
        } else {
            switch permission.reach {
            case .key, .ring: target = .anything
            case .instance, .everyone, .operators: target = .instance
            }
        }
        if let key { record.note(key: key.id, version: nil) }
        // Whatever was named: the daemon asks for a grant for the whole instance.
        if opcode?.entry.isInstanceWide == true { target = .instance }
        let explanation = Explanation(
            subject: subject, caller: AccessText.caller(subject), snapshot: call.access.snapshot,
            question: AccessSnapshot.Question(permission, on: target, context: message.context), authoriser: service.authoriser)
        var reply = explanation.reply
        if let opcode { reply.add(remarks(on: opcode, key, target)) }
        if opcode == .acceptRollback, !service.authoriser.isOwn(explanation.caller) {
            reply.isAllowed = false
            reply.decidedBy = "only user 0 and the daemon's own user may; the unlock group may not, and no grant counts"
        }
        if let opcode, let state = key?.stored.state(at: service.time.now()), !opcode.entry.keyStates.isEmpty,
            !opcode.entry.keyStates.contains(state)
        {
            reply.details.append("the key is \(state.name): \(opcode.entry.name) is refused to everybody now")
        }
        reply.details = reply.details.prefix(Limits.maximumExplanation).map { String($0.prefix(Limits.maximumMessage)) }
        return try call.answer.reply(reply)
    }
}

extension ServiceWorker {
    /// What the daemon asks for beside the permission.
    private func remarks(on opcode: Opcode, _ key: KeyEntry?, _ target: AccessTarget) -> [String] {
        var remarks: [String] = []
        if opcode.entry.isManagement, let path = service.adminPath { remarks.append("it is taken on \(path) only") }
        if target == .anything { remarks.append("name a target to ask about one key or ring") }
        switch opcode {
        case .keyMove: remarks.append("it needs \(Permission.moveKeys.rawValue) on the ring that the key comes to too")
        case .approvalRequest, .approvalApprove: remarks.append("it needs the permission of the action itself too")
        case _: break
        }
        if let key, !key.stored.dualControl.isEmpty, opcode.entry.retry == .withOperationID {
            remarks.append("the key needs a second person for some actions: see 'claviger key show'")
        }
        return remarks
    }
}

extension AccessExplainReply {
    fileprivate mutating func add(_ remarks: [String]) { details += remarks }
}

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

    private var granted: AccessExplainReply {
        let now = authoriser.time.now()
        let misses = snapshot.grants.map { ($0, snapshot.misses($0, question, caller, now, authoriser.accounts)) }
        if let grant = misses.first(where: { $0.1 == nil })?.0 {
            var details: [String] = []
            if !grant.condition.isEmpty && question.context == nil {
                details.append("only for a context that begins with \(ContextCondition.text(grant.condition))")
            }
            return AccessExplainReply(isAllowed: true, decidedBy: "grant \(grant.id): \(subjectAndRole(grant))", details: details)
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
