import ClavigerWire

/// Reads subjects and scopes as admins write them, against the accounts of this host.
package enum AccessText {
    /// The subject that a text names: `user:NAME`, `group:NAME`, `unit:NAME.service`, with commas between.
    ///
    /// Accounts may be given by number. One that has a name is pinned to it; a name that this host does not know is refused.
    ///
    /// - Throws: `invalidValue`, `notFound`.
    package static func subject(_ text: String) throws(Refusal) -> Subject {
        var user: Subject.Account?
        var group: Subject.Account?
        var unit: String?
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let (kind, name) = try split(part)
            switch kind {
            case "user" where user == nil: user = try account(.user, name)
            case "group" where group == nil: group = try account(.group, name)
            case "unit" where unit == nil: unit = try unitName(name)
            case "user", "group", "unit": throw Refusal(.invalidValue, "a subject names one \(kind) at most")
            default: throw malformed
            }
        }
        guard let subject = Subject(user: user, group: group, unit: unit) else { throw malformed }
        return subject
    }

    /// The caller that a subject describes, for a question: a user with all groups of a login, a group, a unit. What is not named is
    /// nobody's.
    static func caller(_ subject: Subject) -> Caller {
        var groups: [UInt32] = subject.group.map { [$0.number] } ?? []
        var main = nobody
        if let user = subject.user, let name = user.name, let entry = AccountLookup.user(named: name) {
            main = entry.gid
            groups += AccountLookup.groups(of: name, entry.gid)
        }
        return Caller(
            pid: 0, uid: subject.user?.number ?? nobody, gid: main, groups: groups, unit: subject.unit, pidfdVerified: true)
    }

    /// Who asked for an approval, as grants see him today: his user, the groups of a login, and the unit that he asked from.
    ///
    /// - Parameter label: what his caller was labelled.
    static func requester(uid: UInt32, label: String) -> Caller {
        let name = AccountLookup.name(.user, uid)
        let entry = name.flatMap { AccountLookup.user(named: $0) }
        let groups = name.flatMap { name in entry.map { AccountLookup.groups(of: name, $0.gid) } }
        let end = "/uid:\(uid)"
        let unit = label.hasSuffix(end) ? String(label.dropLast(end.count)) : nil
        return Caller(pid: 0, uid: uid, gid: entry?.gid ?? nobody, groups: groups ?? [], unit: unit, pidfdVerified: true)
    }

    /// A number that is no account's: chown(2) and setresuid(2) read it as "no change".
    private static let nobody = UInt32.max

    private static let malformed = Refusal(
        .invalidValue, "a subject is user:NAME, group:NAME or unit:NAME.service, or several of them with commas between")

    private static func split(_ part: Substring) throws(Refusal) -> (Substring, String) {
        guard let colon = part.firstIndex(of: ":") else { throw malformed }
        let name = String(part[part.index(after: colon)...])
        // What could hide in a list or a log line.
        guard !name.isEmpty,
            !name.unicodeScalars.contains(where: { $0.properties.isWhitespace || $0.value < 0x21 || $0.value == 0x7f })
        else { throw malformed }
        return (part[..<colon], name)
    }

    private static func account(_ kind: AccountCache.Kind, _ name: String) throws(Refusal) -> Subject.Account {
        let found: UInt32? =
            switch kind {
            case .user: AccountLookup.user(named: name)?.uid
            case .group: AccountLookup.group(named: name)
            }
        // One number may have several names (root and toor): the one that is looked up by number is what a caller is compared by.
        if let found { return Subject.Account(number: found, name: AccountLookup.name(kind, found) ?? name) }
        guard let number = UInt32(name), number != nobody, name.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) else {
            let word =
                switch kind {
                case .user: "user"
                case .group: "group"
                }
            throw Refusal(.notFound, "there is no \(word) '\(name)' on this host; a \(word) of another can be given by number")
        }
        return Subject.Account(number: number, name: AccountLookup.name(kind, number))
    }

    /// Longest unit name in bytes (systemd's UNIT_NAME_MAX with its zero is 256).
    private static let unitMaximum = 255

    // The unit types that hold processes, and the characters of systemd.unit(5).
    private static func unitName(_ name: String) throws(Refusal) -> String {
        let types = [".service", ".scope", ".socket", ".mount", ".swap"]
        let isName =
            name.utf8.count <= unitMaximum && types.contains { name.hasSuffix($0) && name != $0 }
            && name.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: ":"), UInt8(ascii: "-"), UInt8(ascii: "_"),
                    UInt8(ascii: "."), UInt8(ascii: "\\"), UInt8(ascii: "@"):
                    true
                default: false
                }
            }
        guard isName else {
            throw Refusal(.invalidValue, "'\(name)' is no unit's name: write it whole, such as payroll.service")
        }
        return name
    }

    /// Refuses a unit whose name is given anew to somebody else: who has the number or the letters next would inherit the grant.
    ///
    /// - Throws: `invalidValue` that says what to name instead.
    static func requireLasting(_ subject: Subject) throws(Refusal) {
        guard let unit = subject.unit else { return }
        let why: String
        if unit.hasPrefix("session-"), unit.hasSuffix(".scope") {
            why = "is a login session, and another's after the next start: grant to user:NAME"
        } else if unit.hasPrefix("user@"), unit.hasSuffix(".service") {
            why = "is whoever has that number: grant to user:NAME, which pins the name too"
        } else if unit.wholeMatch(of: /run-(u?[0-9]+|r[0-9a-f]{16,}|p[0-9]+-i[0-9]+)\.(scope|service)/) != nil {
            // The forms of systemd-run(1) so far: numbers, the bus's name, random digits, process and invocation.
            why = "is a name that systemd-run made up: give the unit a name with --unit"
        } else {
            return
        }
        throw Refusal(.invalidValue, "'\(unit)' \(why)")
    }

    /// The scope that a text names: `instance`, `ring:NAME`, `key:` and a key's id, alias or name.
    ///
    /// - Throws: `invalidValue`, `notFound`, `ambiguousName`.
    static func scope(_ text: String, in snapshot: Snapshot) throws(Refusal) -> Scope {
        if text == "instance" { return .instance }
        if text.hasPrefix("ring:") { return .ring(try ring(String(text.dropFirst("ring:".count)))) }
        if text.hasPrefix("key:") { return .key(try key(String(text.dropFirst("key:".count)), in: snapshot).id) }
        throw Refusal(.invalidValue, "a scope is instance, ring:NAME or key:KEY")
    }

    /// A ring's name, checked for its form.
    static func ring(_ name: String) throws(Refusal) -> String {
        let isName =
            (2...100).contains(name.utf8.count)
            && name.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
                    true
                default: false
                }
            }
        guard isName else { throw Refusal(.invalidValue, "a ring's name has 2 to 100 letters, digits, '-' and '_'") }
        return name
    }

    /// The key that an admin means; those who manage access may know which keys there are.
    static func key(_ text: String, in snapshot: Snapshot) throws(Refusal) -> KeyEntry {
        do throws(Refusal) {
            return try snapshot.resolve(KeyReference(text))
        } catch {
            guard error.code == .denied else { throw error }
            throw Refusal(.notFound, "there is no key '\(text)'")
        }
    }
}
