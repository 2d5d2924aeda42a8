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
        let (target, key) = try asked(message, permission, isInstanceWide: opcode?.entry.isInstanceWide == true)
        if let key { record.note(key: key.id, version: nil) }
        let explanation = Explanation(
            subject: subject, caller: AccessText.caller(subject), snapshot: call.access.snapshot,
            question: AccessSnapshot.Question(permission, on: target, context: message.context), authoriser: service.authoriser)
        var reply = explanation.reply
        if let opcode { reply.details += remarks(on: opcode, key, explanation) }
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

    /// What is asked about, as the daemon would ask for it, and the key that was named.
    ///
    /// - Throws: `invalidValue` where a key is named for what no key is asked for.
    private func asked(
        _ message: AccessExplainRequest, _ permission: Permission, isInstanceWide: Bool
    ) throws(Refusal) -> (AccessTarget, KeyEntry?) {
        var key: KeyEntry?
        var target: AccessTarget?
        switch message.target {
        case nil: break
        case "instance"?: target = .instance
        case let text? where text.hasPrefix("ring:"): target = .ring(try AccessText.ring(String(text.dropFirst("ring:".count))))
        case let text?:
            let name = text.hasPrefix("key:") ? String(text.dropFirst("key:".count)) : text
            let found = try AccessText.key(name, in: service.snapshots.current)
            (target, key) = (.key(found.id, ring: found.ring), found)
        }
        switch permission.reach {
        // Whatever was named: the daemon asks for a grant for the whole instance.
        case _ where isInstanceWide: return (.instance, key)
        case .instance, .everyone, .operators: return (.instance, key)
        case .ring:
            guard key == nil else {
                throw Refusal(
                    .invalidValue, "\(message.action) is about key rings, and a grant on a key does not give it: name ring:NAME")
            }
            return (target ?? .anything, nil)
        case .key: return (target ?? .anything, key)
        }
    }

    /// What the daemon asks for beside the permission.
    private func remarks(on opcode: Opcode, _ key: KeyEntry?, _ explanation: Explanation) -> [String] {
        let target = explanation.question.target
        var remarks: [String] = []
        if opcode.entry.isManagement, let path = service.adminPath { remarks.append("it is taken on \(path) only") }
        if target == .anything { remarks.append("name a target to ask about one key or ring") }
        // A sentence, and whether the subject has it: an answer of "allowed" must not hide what is refused next.
        func also(_ when: String, _ permission: Permission, _ place: AccessTarget, _ words: String) -> String {
            let has = explanation.holds(permission, on: place).map { $0 ? ", which it has" : ", which it has not" } ?? ""
            return "\(when) it needs \(permission.rawValue) \(words) too\(has)"
        }
        switch opcode {
        case .keyMove: remarks.append("it needs \(Permission.moveKeys.rawValue) on the ring that the key comes to too")
        case .approvalRequest, .approvalApprove: remarks.append("it needs the permission of the action itself too")
        case .approvalCancel:
            remarks.append("for what somebody else asked it needs \(Permission.approve.rawValue) on the key, or for the instance")
        case .keyCreate:
            remarks.append(also("with policies of its own", .managePolicies, target, "on the ring"))
            remarks.append(also("with an import token", .createKeys, .instance, "for the instance"))
        case .keyRotate: remarks.append(also("with an import token", .createKeys, .instance, "for the instance"))
        case .settingsSet:
            let names = InstanceSetting.allCases.filter(\.endsMaterial).map(\.name).joined(separator: " or ")
            remarks.append(also("to lower \(names)", .purgeKeys, .instance, "for the instance"))
        case .ringDelete:
            remarks.append(
                "with deleted keys in it, it needs \(Permission.moveKeys.rawValue) on them and the ring that they come to too")
        case .unwrap: remarks.append(also("to have old envelopes refreshed", .wrap, target, "on the key"))
        case .metrics: remarks.append("figures about keys are only for those who may read keys")
        case _: break
        }
        if let key, !key.stored.dualControl.isEmpty, opcode.entry.retry == .withOperationID {
            remarks.append("the key needs a second person for some actions: see 'claviger key show'")
        }
        return remarks
    }
}
