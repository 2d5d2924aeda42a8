import ClavigerWire

extension Grant {
    /// As shown to admins.
    ///
    /// - Parameter accounts: today's names, to tell a grant that is good for nobody.
    func record(now: UInt64, _ accounts: some AccountNames, roles: [String: Role]) -> GrantRecord {
        GrantRecord(
            id: OperationID(high: id.high, low: id.low), subject: subject.description, role: role, scope: scope.description,
            created: created, createdBy: createdBy, expires: expires, context: condition.isEmpty ? nil : condition,
            uid: subject.user?.number, gid: subject.group?.number, trouble: trouble(now, accounts, roles))
    }

    private func trouble(_ now: UInt64, _ accounts: some AccountNames, _ roles: [String: Role]) -> String? {
        if hasExpired(at: now) { return "it has expired" }
        if roles[role] == nil { return "there is no role '\(role)' any more" }
        // What decides about requests decides here too.
        switch subject.loss(accounts) {
        case .recreatedUser?:
            return subject.user.map { Grant.renamed("user", $0, accounts.user($0.number)) }
        case .recreatedGroup?:
            return subject.group.map { Grant.renamed("group", $0, accounts.group($0.number)) }
        case .unknownName?: return "the account database does not tell whose number it names: nobody is let in by it meanwhile"
        case .foreign?, .user?, .group?, .unit?, nil: return nil
        }
    }

    private static func renamed(_ kind: String, _ account: Subject.Account, _ today: String?) -> String {
        let before = account.name.map { "was '\($0)'" } ?? "had no name"
        let now = today.map { "is '\($0)' today" } ?? "has no name today"
        return
            "\(kind) \(account.number) \(before) when this was granted and \(now): revoke it, and grant anew to whom it is meant for"
    }

    /// One line for people: role, scope and what limits it.
    func line(now: UInt64) -> String {
        var text = "\(role) on \(scope)"
        if subject.user == nil || subject.unit != nil { text += ", as \(subject)" }
        if let expires { text += ", for \((expires - min(expires, now)) / 1_000) s more" }
        if !condition.isEmpty { text += ", where the context begins with \(ContextCondition.text(condition))" }
        return String(text.prefix(Limits.maximumMessage))
    }
}

extension ContextCondition {
    /// The strings of an encoded condition, for people.
    static func text(_ condition: [UInt8]) -> String {
        var strings: [String] = []
        var position = 4
        while condition.count - position >= 4 {
            let length = condition[position..<position + 4].reduce(0) { $0 << 8 | Int($1) }
            position += 4
            guard length <= condition.count - position else { break }
            strings.append("'" + String(decoding: condition[position..<position + length], as: UTF8.self) + "'")
            position += length
        }
        return strings.joined(separator: " ")
    }
}
