import ClavigerClient
import ClavigerWire
import Glibc
import Support
import Testing

/// Every operation, asked by real users of every role in every scope, about keys of every state in and out of the scope, over the real
/// socket: what is denied and what is not.
///
/// The rows come from the opcode table: an opcode that is new does not compile here before somebody says how it is asked. What is expected
/// comes from a table of roles written down here a second time.
@Suite struct MatrixTests {
    /// Key Protect's roles, and those that it lacks, permission by permission.
    static let roles: [(name: String, permissions: Set<Permission>)] = {
        let reader: Set<Permission> = [.wrap, .unwrap, .rewrap, .readKeys, .readRings, .registerResources]
        let readerPlus = reader.union([.readSecrets])
        let writer = readerPlus.union([.createKeys, .updateKeys, .rotateKeys, .createRings, .requestApproval])
        let manager = writer.union([
            .disableKeys, .deleteKeys, .restoreKeys, .moveKeys, .deleteRings, .readPolicies, .managePolicies, .approve,
        ])
        return [
            ("Reader", reader), ("ReaderPlus", readerPlus), ("Writer", writer), ("Manager", manager), ("KeyPurge", [.purgeKeys]),
            ("Wrapper", [.wrap]), ("Unwrapper", [.unwrap]),
            ("Auditor", [.readKeys, .readRings, .readPolicies, .readAccess, .readAudit, .readToken]),
            ("Operator", [.readToken]), ("Administrator", [.readAccess, .manageAccess]),
        ]
    }()

    /// Where a user's grants hold.
    enum Place: CaseIterable {
        case instance, ring, key, nowhere
    }

    /// How a request's key or ring stands to the place: the key granted, in the ring granted or not, or not there at all.
    private enum Relation: CaseIterable {
        case inside, outside, absent
    }

    /// What an operation is about, so far as a grant's scope matters.
    private enum About {
        /// One key.
        case key
        /// The ring that is named.
        case ring
        /// Whatever the caller may see: a grant anywhere will do.
        case anything
        case instance
        /// Nothing that a grant decides.
        case everybody, nobody
    }

    private static func about(_ opcode: Opcode) -> About {
        switch opcode {
        case .ping, .health, .status, .whoami, .metrics: .everybody
        case .unlock, .acceptRollback: .nobody
        case .wrap, .unwrap, .rewrap, .keyShow, .keyVersions, .keyRotate, .keyRead, .keyUpdate, .keyDisable, .keyEnable,
            .keyDelete,
            .keyRestore, .keyPurge, .keyMove, .keyCensus, .versionRetire, .versionDestroy, .aliasCreate, .registrationSet,
            .registrationRelease, .policyShow, .policySet, .approvalRequest:
            .key
        case .keyCreate: .ring
        case .keyList, .keyCount, .ringList, .registrationList, .approvalList, .aliasDelete, .approvalApprove, .approvalCancel:
            .anything
        case .importTokenCreate, .importTokenTake, .importTokenList, .importTokenDelete, .tokenStatus, .ringCreate, .ringDelete,
            .settingsShow, .settingsSet, .accessGrant, .accessRevoke, .accessList,
            .accessRoles, .roleCreate, .roleDelete, .accessExplain, .auditStatus, .auditKey, .auditHead, .auditRotate:
            .instance
        }
    }

    /// A request that gets past the check of permissions when it may, and changes as little as possible then.
    private static func body(
        _ opcode: Opcode, _ action: ControlledAction, key: String, ring: String, id: UInt32
    ) -> [UInt8] {
        func text(_ tag: UInt16, _ value: String) -> [UInt8] { WirePeer.field(tag, Array(value.utf8)) }
        func number(_ tag: UInt16, _ value: UInt32) -> [UInt8] { WirePeer.field(tag, WirePeer.word(value)) }
        let operation: [UInt8] =
            WirePeer.word(7) + WirePeer.word(UInt32(opcode.rawValue)) + WirePeer.word(0x8000_0000) + WirePeer.word(id)
        let named = text(1, key)
        let changing = named + WirePeer.field(2, operation)
        switch opcode {
        case .ping, .health, .status, .whoami, .metrics, .tokenStatus, .keyList, .keyCount, .ringList, .registrationList,
            .importTokenList, .settingsShow, .approvalList, .accessList, .accessRoles, .acceptRollback, .auditStatus, .auditKey,
            .auditHead, .auditRotate:
            return []
        case .unlock: return text(1, "0000")
        case .wrap: return named + WirePeer.field(2, WirePeer.list([WirePeer.field(1, [1, 2, 3])]))
        case .unwrap, .rewrap: return named + WirePeer.field(2, WirePeer.list([WirePeer.field(1, [1])]))
        case .keyShow, .keyVersions, .keyRead, .keyCensus, .policyShow: return named
        case .keyRotate, .keyUpdate, .keyDisable, .keyEnable, .keyRestore, .keyPurge, .policySet: return changing
        case .keyDelete: return changing + WirePeer.field(4, [1])
        case .keyMove: return changing + text(3, ring)
        case .versionRetire, .versionDestroy: return changing + number(3, 1)
        case .aliasCreate: return changing + text(3, "alias-\(id)")
        case .registrationSet, .registrationRelease: return changing + text(3, "resource")
        case .keyCreate: return text(1, "made \(id)") + WirePeer.field(2, operation) + text(8, ring)
        case .aliasDelete: return text(1, "no-such-alias") + WirePeer.field(2, operation)
        case .ringCreate, .ringDelete: return text(1, "no-such-ring") + WirePeer.field(2, operation)
        // Refused for its life of a second, behind the check of permissions.
        case .importTokenCreate: return number(1, 1) + WirePeer.field(2, operation)
        case .importTokenTake, .importTokenDelete, .approvalApprove, .approvalCancel, .accessRevoke:
            return WirePeer.field(1, operation) + WirePeer.field(2, operation)
        case .settingsSet:
            return text(1, "no-such-setting") + WirePeer.field(2, operation) + WirePeer.field(3, [UInt8](repeating: 0, count: 8))
        case .approvalRequest: return WirePeer.field(1, [action.rawValue]) + WirePeer.field(2, operation) + text(3, key)
        case .accessGrant:
            return text(1, "no-such:thing") + WirePeer.field(2, operation) + text(3, "Reader") + text(4, "instance")
        case .roleCreate:
            return text(1, "no-such-role") + WirePeer.field(2, operation)
                + WirePeer.field(3, WirePeer.list([Array("no-such".utf8)]))
        case .roleDelete: return text(1, "no-such-role")
        case .accessExplain: return text(1, "user:0") + text(2, "wrap")
        }
    }

    /// Whether the request must be denied.
    private static func isDenied(_ cell: Cell, _ role: Set<Permission>, _ place: Place) -> Bool {
        let (opcode, relation) = (cell.opcode, cell.relation)
        let has = place != .nowhere && role.contains(opcode.entry.permission)
        switch about(opcode) {
        case .everybody: return false
        case .nobody: return true
        // An alias that is not there is a key that is not there.
        case .anything: return !has || opcode == .aliasDelete || opcode == .ringList && place == .key
        case .instance: return !(has && place == .instance)
        case .ring: return !(has && (place == .instance || place == .ring && relation == .inside))
        case .key:
            // What is not there is denied to everybody, in the same words.
            guard has, relation != .absent, place == .instance || relation == .inside else { return true }
            switch opcode {
            // Moving needs the ring that it goes to as well, which no grant on a key gives.
            case .keyMove: return place == .key
            // Who asks for an approval must have the permission itself.
            case .approvalRequest: return !role.contains(permission(cell.action))
            default: return false
            }
        }
    }

    private static func permission(_ action: ControlledAction) -> Permission {
        switch action {
        case .delete: .deleteKeys
        case .purge: .purgeKeys
        case .disable: .disableKeys
        case .restore: .restoreKeys
        case .policy: .managePolicies
        }
    }

    /// Asks what stands on its input, a frame a line in hexadecimal, and prints of each answer its kind and its code.
    static let script = """
        import socket, sys
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.connect(sys.argv[1])
        def read(n):
            data = b''
            while len(data) < n:
                part = s.recv(n - len(data))
                if not part: raise SystemExit('the stream ended')
                data += part
            return data
        for line in sys.stdin:
            s.sendall(bytes.fromhex(line))
            head = read(16)
            body = read(int.from_bytes(head[:4], 'big') - 12)
            print(head[5], int.from_bytes(head[12:16], 'big'), body.hex())
        """

    private struct Cell {
        var opcode: Opcode
        /// What an approval is asked for.
        var action: ControlledAction
        var relation: Relation
        var state: String
        var frame: [UInt8]
    }

    private static let states = ["active", "suspended", "deactivated", "destroyed"]

    /// A daemon with a key of each state in each of two rings.
    private static func prepared() throws -> DaemonHarness {
        var settings = DaemonHarness.Settings()
        settings.isOpen = true
        let daemon = try DaemonHarness.running(settings)
        chmod(daemon.socket, 0o666)
        for ring in ["r1", "r2"] {
            #expect(try daemon.claviger("ring", "create", ring).status == 0)
            for state in states {
                let name = "\(ring)-\(state)"
                let more = state == "deactivated" ? ["--expires", "10s"] : []
                let made = try daemon.claviger(["key", "create", name, "--ring", ring] + more)
                #expect(made.status == 0, "\(made.errorText)")
            }
            #expect(try daemon.claviger("key", "disable", "\(ring)-suspended").status == 0)
            #expect(try daemon.claviger("key", "delete", "\(ring)-destroyed", "--yes").status == 0)
        }
        // Who may enable what he has disabled need not wait, and neither need we.
        #expect(try daemon.claviger("settings", "set", "enable-delay", "0s").status == 0)
        let client = daemon.client()
        #expect(eventually { (try? client.showKey(.name("r2-deactivated")).state) == .deactivated })
        return daemon
    }

    /// Gives the keys back the states that a user has changed, so that the next one finds what the cells say.
    private static func putBack(_ daemon: DaemonHarness) throws {
        let client = daemon.client()
        for ring in ["r1", "r2"] {
            for state in states {
                let name = "\(ring)-\(state)"
                let now = try client.showKey(.name(name)).state
                let step: [String]? =
                    switch (state, now) {
                    case ("active", .suspended): ["key", "enable", name]
                    case ("suspended", .active): ["key", "disable", name]
                    case ("destroyed", .active): ["key", "delete", name, "--yes", "--force"]
                    default: nil
                    }
                if let step {
                    let done = try daemon.claviger(step)
                    #expect(done.status == 0, "\(step): \(done.errorText)")
                }
                #expect(try client.showKey(.name(name)).state.name == state, "\(name)")
            }
        }
    }

    /// What says that a key's state is in the way.
    private static let stateCodes: Set<RefusalCode> = [.keyState, .keyDeleted, .keyExpired]

    /// Whether the answer to an allowed request tells that the key's state is in the way; nil where it is not decided by the table alone: a
    /// user's own requests before have changed the state, or each item of a batch is answered by itself.
    private static func isStopped(_ cell: Cell, _ words: [Substring]) -> (is: Bool, mustBe: Bool)? {
        guard case .key = about(cell.opcode), !cell.opcode.entry.keyStates.isEmpty else { return nil }
        switch cell.opcode {
        case .keyDisable, .keyEnable, .keyRestore, .unwrap, .rewrap: return nil
        // These are root keys, which says more than their state.
        case .keyRead: return nil
        default: break
        }
        guard let state = KeyState.allCases.first(where: { $0.name == cell.state }) else { return nil }
        let isStopped = words[0] == "2" && stateCodes.contains { words[1] == "\($0.rawValue)" }
        // Its table row is about renewing; what is asked here is a new one, which needs an active key.
        let states = cell.opcode == .registrationSet ? [.active] : cell.opcode.entry.keyStates
        return (isStopped, !states.contains(state))
    }

    @Test func everyOpcodeEveryRoleEveryScopeEveryState() throws {
        guard geteuid() == 0 else { return skip("MatrixTests.everyOpcodeEveryRoleEveryScopeEveryState", "needs root") }
        let daemon = try Self.prepared()
        try writeFile(daemon.directory + "/matrix.py", Self.script)
        chmod(daemon.directory + "/matrix.py", 0o644)
        var random = SeededGenerator(seed: seed)
        var uid: UInt32 = 61_100
        var asked = 0
        for role in Self.roles {
            // All of it takes minutes; every role in one place, another one each time, stands for it in everyday runs.
            for place in isLong ? Place.allCases : Array(Place.allCases.shuffled(using: &random).prefix(1)) {
                uid += 1
                try grant(daemon, role.name, place, to: uid)
                let cells = Self.cells(uid)
                let lines = cells.map { hexadecimal($0.frame) }.joined(separator: "\n") + "\n"
                let ended = try Child.run(
                    "/usr/bin/setpriv",
                    [
                        "--reuid", "\(uid)", "--regid", "\(uid)", "--clear-groups", "--", "/usr/bin/python3",
                        daemon.directory + "/matrix.py",
                        daemon.socket,
                    ], directory: daemon.directory, input: Array(lines.utf8))
                #expect(ended.status == 0, "\(ended.errorText)")
                let answers = ended.text.split(separator: "\n")
                try #require(answers.count == cells.count)
                asked += cells.count
                // All denials of one user are the same bytes.
                var bodies: Set<Substring> = []
                for (cell, answer) in zip(cells, answers) {
                    let words = answer.split(separator: " ", omittingEmptySubsequences: false)
                    let isDenied = words[0] == "2" && words[1] == "\(RefusalCode.denied.rawValue)"
                    if isDenied { bodies.insert(words[2]) }
                    #expect(
                        isDenied == Self.isDenied(cell, role.permissions, place),
                        "\(cell.opcode.entry.name), \(role.name) on \(place), \(cell.relation), \(cell.state): \(answer), seed \(seed)"
                    )
                    if !isDenied, let stop = Self.isStopped(cell, words) {
                        #expect(
                            stop.is == stop.mustBe,
                            "\(cell.opcode.entry.name) of a \(cell.state) key, \(role.name) on \(place): \(answer), seed \(seed)")
                    }
                }
                #expect(bodies.count <= 1, "\(role.name) on \(place)")
                try Self.putBack(daemon)
            }
        }
        print("MatrixTests: \(asked) requests by \(uid - 61_100) users")
    }

    private func grant(_ daemon: DaemonHarness, _ role: String, _ place: Place, to uid: UInt32) throws {
        let scopes: [[String]] =
            switch place {
            case .instance: [[]]
            case .ring: [["--ring", "r1"]]
            case .key: Self.states.map { ["--key", "r1-\($0)"] }
            case .nowhere: []
            }
        for scope in scopes {
            let made = try daemon.claviger(["access", "grant", "user:\(uid)", role] + scope)
            #expect(made.status == 0, "\(made.errorText)")
        }
    }

    private static func cells(_ uid: UInt32) -> [Cell] {
        var cells: [Cell] = []
        // What changes a key's state comes last, so that all others find the one that their cell names.
        let changing: [Opcode] = [.keyEnable, .keyDisable, .keyRestore]
        for opcode in Opcode.allCases.filter({ !changing.contains($0) }) + changing {
            let relations: [Relation]
            let states: [String]
            switch about(opcode) {
            case .key: (relations, states) = (Relation.allCases, Self.states)
            case .ring: (relations, states) = ([.inside, .outside], ["none"])
            case .anything, .instance, .everybody, .nobody: (relations, states) = ([.inside], ["none"])
            }
            for relation in relations {
                for state in states where relation != .absent || state == states[0] {
                    for action in opcode == .approvalRequest ? ControlledAction.allCases : [.delete] {
                        let id = UInt32(cells.count) + uid << 12
                        let ring = relation == .outside ? "r2" : "r1"
                        let key = relation == .absent ? "no-such-key" : "\(ring)-\(state)"
                        // A key is moved to where it is.
                        let body = body(opcode, action, key: key, ring: ring, id: id)
                        cells.append(
                            Cell(
                                opcode: opcode, action: action, relation: relation, state: state,
                                frame: WirePeer.frame(opcode: opcode.rawValue, id: UInt32(cells.count + 1), body: body)))
                    }
                }
            }
        }
        return cells
    }
}

func hexadecimal(_ bytes: [UInt8]) -> String {
    bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
}
