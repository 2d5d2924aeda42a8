import ClavigerClient
import ClavigerWire
import Glibc
import Support
import Testing

/// What `MatrixTests` cannot ask without changing it: aliases, requests for approval and grants that are there, a move to a ring that is
/// not one's own, and what stands in lists. Over the real socket, by real users of every role in every scope.
@Suite struct MatrixContentTests {
    private typealias Place = MatrixTests.Place

    /// One question and what must come of it.
    private struct Question {
        var name: String
        var opcode: Opcode
        var body: [UInt8]
        /// nil: it is done.
        var refusal: RefusalCode?
        /// For a list: what must stand in it.
        var content: Set<String>?
    }

    /// What is there for one user: a key in each ring, inside and outside of his scope, with an alias, a registration and two open requests.
    private struct Things {
        struct Side {
            var key: KeyRecord
            var alias: String
            var toCancel: ApprovalID
            var toApprove: ApprovalID
        }
        var inside: Side
        var outside: Side
        var grant: OperationID
        /// All keys and all open requests that there are, of earlier users too.
        var keys: [KeyRecord] = []
        var open: [ApprovalRecord] = []
    }

    private static func side(_ client: borrowing Client, _ ring: String, _ uid: UInt32) throws -> Things.Side {
        let name = "\(ring)-\(uid)"
        let key = try client.createKey(name: name) {
            $0.ring = ring
            $0.dualControl = [.delete, .disable]
        }
        let reference = KeyReference.id(key.id)
        _ = try client.createAlias("alias-\(name)", of: reference)
        _ = try client.register("resource of \(name)", with: reference)
        return Things.Side(
            key: key, alias: "alias-\(name)",
            toCancel: try client.requestApproval(of: .delete, key: reference).id,
            toApprove: try client.requestApproval(of: .disable, key: reference).id)
    }

    @Test func whatIsThereByRoleAndScope() throws {
        guard geteuid() == 0 else { return skip("MatrixContentTests.whatIsThereByRoleAndScope", "needs root") }
        var settings = DaemonHarness.Settings()
        settings.isOpen = true
        let daemon = try DaemonHarness.running(settings)
        chmod(daemon.socket, 0o666)
        try writeFile(daemon.directory + "/matrix.py", MatrixTests.script)
        chmod(daemon.directory + "/matrix.py", 0o644)
        let client = daemon.client()
        for ring in ["r1", "r2"] { _ = try client.createRing(ring) }
        var uid: UInt32 = 62_100
        for role in MatrixTests.roles {
            for place in Place.allCases {
                uid += 1
                var things = Things(
                    inside: try Self.side(client, "r1", uid), outside: try Self.side(client, "r2", uid),
                    grant: try client.grant("Reader", to: "user:69999", on: "instance").id)
                let scope: String? =
                    switch place {
                    case .instance: "instance"
                    case .ring: "ring:r1"
                    case .key: "key:\(things.inside.key.id)"
                    case .nowhere: nil
                    }
                if let scope { _ = try client.grant(role.name, to: "user:\(uid)", on: scope) }
                things.keys = try client.listKeys(limit: Limits.maximumPage).keys
                things.open = try client.listApprovals(limit: Limits.maximumPage).approvals
                try Self.ask(daemon, uid, Self.questions(things, role.permissions, place, uid), "\(role.name) on \(place)")
            }
        }
    }

    private static func ask(_ daemon: DaemonHarness, _ uid: UInt32, _ questions: [Question], _ who: String) throws {
        let frames = questions.enumerated().map { index, question in
            hexadecimal(WirePeer.frame(opcode: question.opcode.rawValue, id: UInt32(index + 1), body: question.body))
        }
        let ended = try Child.run(
            "/usr/bin/setpriv",
            [
                "--reuid", "\(uid)", "--regid", "\(uid)", "--clear-groups", "--", "/usr/bin/python3",
                daemon.directory + "/matrix.py", daemon.socket,
            ], directory: daemon.directory, input: Array((frames.joined(separator: "\n") + "\n").utf8))
        #expect(ended.status == 0, "\(ended.errorText)")
        let answers = ended.text.split(separator: "\n")
        try #require(answers.count == questions.count)
        for (question, answer) in zip(questions, answers) {
            let words = answer.split(separator: " ", omittingEmptySubsequences: false)
            let code = words[0] == "1" ? nil : RefusalCode.allCases.first { "\($0.rawValue)" == words[1] }
            #expect(code == question.refusal && (code != nil || words[0] == "1"), "\(question.name), \(who): \(answer)")
            guard code == nil, let content = question.content else { continue }
            let found = try Self.content(of: question.opcode, bytes(words[2]))
            #expect(Set(found) == content && found.count == content.count, "\(question.name), \(who)")
        }
    }

    private static func bytes(_ text: Substring) -> [UInt8] {
        let digits = Array(text.utf8).map { $0 >= 0x61 ? $0 - 0x61 + 10 : $0 - 0x30 }
        return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }

    /// What a list's answer tells of: keys, rings, resources, the keys of requests; of a count the number.
    private static func content(of opcode: Opcode, _ body: [UInt8]) throws -> [String] {
        let span = body.span.bytes
        switch opcode {
        case .keyList: return try KeyListReply.decode(span).keys.map(\.name)
        case .keyCount: return [String(try KeyCountReply.decode(span).count)]
        case .ringList: return try RingListReply.decode(span).rings.map(\.id)
        case .registrationList: return try RegistrationListReply.decode(span).registrations.map(\.resource)
        case .approvalList: return try ApprovalListReply.decode(span).approvals.map { "\($0.action.name) \($0.keyName ?? "")" }
        case _: return []
        }
    }

    /// The questions of one user, lists first, since the others change what is there.
    private static func questions(_ things: Things, _ role: Set<Permission>, _ place: Place, _ uid: UInt32) -> [Question] {
        func may(_ permission: Permission, outside: Bool = false) -> Bool {
            role.contains(permission) && place != .nowhere && (place == .instance || !outside)
        }
        let seen = things.keys.filter { key in
            switch place {
            case .instance: true
            case .ring: key.ring == "r1"
            case .key: key.id == things.inside.key.id
            case .nowhere: false
            }
        }
        func list(_ opcode: Opcode, _ permission: Permission, _ content: Set<String>) -> Question {
            Question(
                name: opcode.entry.name, opcode: opcode,
                body: WirePeer.field(limit(opcode), WirePeer.word(UInt32(Limits.maximumPage))),
                refusal: may(permission) ? nil : .denied, content: content)
        }
        let rings: Set<String> = place == .instance ? ["default", "r1", "r2"] : ["r1"]
        var questions = [
            list(.keyList, .readKeys, Set(seen.map(\.name))),
            list(.registrationList, .readKeys, Set(seen.map { "resource of \($0.name)" })),
            list(.ringList, .readRings, rings),
        ]
        questions.append(
            Question(
                name: "key-count", opcode: .keyCount, body: [], refusal: may(.readKeys) ? nil : .denied,
                content: ["\(seen.count)"]))
        // A grant on a key shows no ring.
        if place == .key { questions[2].refusal = .denied }
        let asked = things.open.filter { request in seen.contains { $0.id == request.key } }
        questions.append(
            list(.approvalList, .requestApproval, Set(asked.map { "\($0.action.name) \($0.keyName ?? "")" })))
        var number: UInt32 = 0
        func operation() -> [UInt8] {
            number += 1
            return WirePeer.word(9) + WirePeer.word(uid) + WirePeer.word(0x8000_0000) + WirePeer.word(number)
        }
        func decide(_ opcode: Opcode, _ id: ApprovalID, outside: Bool, _ admitting: Permission) -> Question {
            // Whoever has no part in a request is told that there is none; who may not even come in is denied.
            let refusal: RefusalCode? =
                !may(admitting) ? .denied : may(.approve, outside: outside) ? nil : .notFound
            return Question(
                name: "\(opcode.entry.name) \(outside ? "outside" : "inside")", opcode: opcode,
                body: WirePeer.field(1, id.bytes) + WirePeer.field(2, operation()), refusal: refusal)
        }
        for (side, outside) in [(things.inside, false), (things.outside, true)] {
            questions.append(
                Question(
                    name: "alias-delete \(outside ? "outside" : "inside")", opcode: .aliasDelete,
                    body: WirePeer.field(1, Array(side.alias.utf8)) + WirePeer.field(2, operation()),
                    refusal: may(.updateKeys, outside: outside) ? nil : .denied))
            questions.append(decide(.approvalCancel, side.toCancel, outside: outside, .requestApproval))
        }
        questions.append(
            Question(
                name: "key-move to a foreign ring", opcode: .keyMove,
                body: WirePeer.field(1, Array("\(things.inside.key.id)".utf8)) + WirePeer.field(2, operation())
                    + WirePeer.field(3, Array("r2".utf8)),
                refusal: may(.moveKeys) && place == .instance ? nil : .denied))
        for (side, outside) in [(things.inside, false), (things.outside, true)] {
            questions.append(decide(.approvalApprove, side.toApprove, outside: outside, .approve))
        }
        questions.append(
            Question(
                name: "access-revoke", opcode: .accessRevoke,
                body: WirePeer.field(1, things.grant.bytes) + WirePeer.field(2, operation()),
                refusal: may(.manageAccess) && place == .instance ? nil : .denied))
        return questions
    }

    /// The tag of the field that says how long a page may be.
    private static func limit(_ opcode: Opcode) -> UInt16 { opcode.entry.request.first { $0.name == "limit" }?.tag ?? 0 }
}
