import ClavigerClient
import ClavigerWire
import Glibc
import Support
import Testing

/// Who may do what, asked by real other users through the real command line. Only root can be somebody else.
@Suite struct AccessTests {
    // Numbers that no distribution gives out; neither users nor groups have to exist for the kernel.
    private static let stranger: uid_t = 61_001
    private static let serviceGroup: gid_t = 62_001
    private static let unlockGroup: gid_t = 62_002

    /// A daemon with both groups, its socket within everybody's reach, one key and an envelope made by it.
    private struct Scene {
        let daemon: DaemonHarness
        let program: String

        init(sealed: Bool = false) throws {
            var settings = DaemonHarness.Settings()
            settings.isOpen = true
            settings.socketLines = ["group = \"\(AccessTests.serviceGroup)\""]
            settings.tables = ["[unlock]", "group = \"\(AccessTests.unlockGroup)\""]
            daemon = try DaemonHarness.running(settings)
            // The checkout may lie where other users cannot go.
            program = daemon.directory + "/claviger"
            let copied = try Child.run("/bin/cp", [try Programs.path("claviger"), program], directory: daemon.directory)
            #expect(copied.status == 0)
            chmod(program, 0o755)
            #expect(try daemon.claviger("key", "create", "shared").status == 0)
            try writeFile(daemon.directory + "/dek", "0123456789abcdef")
            #expect(try daemon.shell("claviger wrap shared < dek > dek.clv").status == 0)
            #expect(try daemon.claviger("access", "role", "create", "Service", "wrap", "unwrap", "rewrap").status == 0)
            #expect(try daemon.claviger("access", "grant", "group:\(AccessTests.serviceGroup)", "Service").status == 0)
            guard sealed else { return }
            settings.hasPINFile = false
            try daemon.configure(settings)
            try daemon.restart()
        }

        /// Runs the command line as the stranger in these groups.
        func run(groups: [gid_t], _ arguments: [String], input: String = "dek.clv") throws -> Finished {
            let identity = ["--reuid", "\(AccessTests.stranger)", "--regid", "\(AccessTests.stranger)", "--inh-caps=-all"]
            let more = groups.isEmpty ? ["--clear-groups"] : ["--groups", groups.map(String.init).joined(separator: ",")]
            let bytes = (try? readFile(daemon.directory + "/" + input)) ?? []
            return try Child.run(
                "/usr/bin/setpriv", identity + more + ["--", program] + arguments, directory: daemon.directory, input: bytes,
                environment: daemon.environment)
        }
    }

    /// What whoever may connect may ask.
    private static let questions: [[String]] = [["whoami"], ["status"], ["health"]]
    private static let everyday: [[String]] = [["wrap", "shared"], ["unwrap"], ["rewrap"]]
    private static let management: [[String]] = [
        ["key", "create", "mine"], ["key", "list"], ["key", "show", "shared"], ["key", "versions", "shared"],
        ["key", "rotate", "shared"], ["token", "status"], ["access", "list"], ["access", "roles"],
        ["access", "grant", "user:61001", "Manager"], ["access", "explain", "--as", "user:61001", "unwrap", "shared"],
        ["access", "role", "create", "Mine", "wrap"], ["access", "role", "delete", "Service"],
        ["access", "revoke", "6f1d3c5a-9b7e-4a02-8c41-d2e3f4a5b6c7"],
    ]

    private static func isRoot(_ name: String) -> Bool {
        if geteuid() != 0 { skip("AccessTests.\(name)", "needs root") }
        return geteuid() == 0
    }

    /// The socket lets in its owner and its group; everybody else does not even reach the daemon.
    @Test func theSocketItselfKeepsOthersOut() throws {
        guard Self.isRoot("theSocketItselfKeepsOthersOut") else { return }
        let scene = try Scene()
        var status = stat()
        #expect(stat(scene.daemon.socket, &status) == 0)
        #expect(status.st_mode & 0o7777 == 0o660 && status.st_gid == Self.serviceGroup)
        for arguments in Self.questions + Self.everyday + Self.management {
            let ended = try scene.run(groups: [], arguments)
            #expect(ended.status == 3, "\(arguments)")
            #expect(ended.output.isEmpty && ended.errorText.contains("Permission denied"), "\(arguments): \(ended.errorText)")
        }
    }

    /// Who can connect after all, because the socket is wider than usual, may ask who he is and whether the daemon lives, and nothing
    /// else.
    @Test func strangersAreDenied() throws {
        guard Self.isRoot("strangersAreDenied") else { return }
        let scene = try Scene()
        chmod(scene.daemon.socket, 0o666)
        for arguments in Self.everyday + Self.management {
            let ended = try scene.run(groups: [], arguments)
            #expect(ended.status == 1 && ended.output.isEmpty, "\(arguments): \(ended.text)")
            #expect(ended.errorText.contains("denied"), "\(arguments): \(ended.errorText)")
        }
        for arguments in Self.questions {
            let ended = try scene.run(groups: [], arguments)
            #expect(ended.status == 0, "\(arguments): \(ended.errorText)")
        }
        let who = try scene.run(groups: [], ["whoami"])
        #expect(who.text.contains("may     observe\n") || who.text.hasSuffix("observe"), "\(who.text)")
        let unlock = try scene.run(groups: [], ["unlock", "--pin-stdin"])
        #expect(unlock.status == 1 && unlock.errorText.contains("denied"), "\(unlock.errorText)")
    }

    /// A denied caller cannot tell a key that exists from one that does not.
    @Test func denialsTellNothing() throws {
        guard Self.isRoot("denialsTellNothing") else { return }
        let scene = try Scene()
        chmod(scene.daemon.socket, 0o666)
        let there = try scene.run(groups: [], ["key", "show", "shared", "--json"])
        let absent = try scene.run(groups: [], ["key", "show", "absent", "--json"])
        #expect(there.errorText.replacing("shared", with: "absent") == absent.errorText)
    }

    /// A member of a group that a role was granted to does what the role allows and nothing else.
    @Test func membersOfTheServiceGroupUseKeys() throws {
        guard Self.isRoot("membersOfTheServiceGroupUseKeys") else { return }
        let scene = try Scene()
        for arguments in Self.questions + Self.everyday {
            let ended = try scene.run(groups: [Self.serviceGroup], arguments)
            #expect(ended.status == 0, "\(arguments): \(ended.errorText)")
        }
        let opened = try scene.run(groups: [Self.serviceGroup], ["unwrap"])
        #expect(opened.text == "0123456789abcdef")
        let who = try scene.run(groups: [7, Self.serviceGroup], ["whoami", "--json"])
        #expect(who.text.contains("\"uid\":\(Self.stranger)") || who.text.contains("\"uid\" : \(Self.stranger)"), "\(who.text)")
        for arguments in Self.management {
            let ended = try scene.run(groups: [Self.serviceGroup], arguments)
            #expect(ended.status == 1 && ended.output.isEmpty, "\(arguments): \(ended.text)")
            #expect(ended.errorText.contains("denied"), "\(arguments): \(ended.errorText)")
        }
        let unlock = try scene.run(groups: [Self.serviceGroup], ["unlock", "--pin-stdin"])
        #expect(unlock.status == 1 && unlock.errorText.contains("denied"), "\(unlock.errorText)")
        // The group may also be the primary one.
        let primary = try Child.run(
            "/usr/bin/setpriv",
            ["--reuid", "\(Self.stranger)", "--regid", "\(Self.serviceGroup)", "--clear-groups", "--", scene.program, "status"],
            directory: scene.daemon.directory, environment: scene.daemon.environment)
        #expect(primary.status == 0, "\(primary.errorText)")
    }

    /// A member of the unlock group presents the PIN, and can do nothing else.
    @Test func membersOfTheUnlockGroupUnlock() throws {
        guard Self.isRoot("membersOfTheUnlockGroupUnlock") else { return }
        let scene = try Scene(sealed: true)
        chmod(scene.daemon.socket, 0o666)
        // Before the PIN no grant counts, whoever asks; how many tries the PIN has left is for who may present it.
        for arguments in Self.everyday + Self.management {
            let ended = try scene.run(groups: [Self.unlockGroup, Self.serviceGroup], arguments)
            let expected = arguments == ["token", "status"] ? 0 : 1
            #expect(ended.status == expected, "\(arguments): \(ended.text) \(ended.errorText)")
            #expect(expected == 0 || ended.errorText.contains("sealed"), "\(arguments): \(ended.text) \(ended.errorText)")
        }
        let refused = try scene.run(groups: [Self.serviceGroup], ["unlock", "--pin-stdin"], input: "pin")
        #expect(refused.status == 1 && refused.errorText.contains("denied"), "\(refused.errorText)")
        #expect(try scene.daemon.health.state == .sealed)
        let unlocked = try scene.run(groups: [Self.unlockGroup], ["unlock", "--pin-stdin"], input: "pin")
        #expect(unlocked.status == 0, "\(unlocked.errorText)")
        #expect(try scene.daemon.health.state == .ready)
    }

    /// The daemon's words for one and the same denial, byte for byte: a key that is there, one that is not, one of another scope.
    @Test func denialsAreOneAndTheSame() throws {
        guard Self.isRoot("denialsAreOneAndTheSame") else { return }
        let scene = try Scene()
        chmod(scene.daemon.socket, 0o666)
        #expect(try scene.daemon.claviger("key", "create", "mine").status == 0)
        #expect(try scene.daemon.claviger("access", "grant", "user:\(Self.stranger)", "Reader", "--key", "mine").status == 0)
        let own = try scene.run(groups: [], ["key", "show", "mine"])
        #expect(own.status == 0, "\(own.errorText)")
        let listed = try scene.run(groups: [], ["key", "list", "--json"])
        #expect(listed.text.contains("\"mine\"") && !listed.text.contains("shared"), "\(listed.text)")
        let answers = try ["shared", "absent", "6f1d3c5a-9b7e-4a02-8c41-d2e3f4a5b6c7"].map { key in
            try scene.run(groups: [], ["key", "show", key, "--json"]).errorText.replacing(key, with: "KEY")
        }
        #expect(Set(answers).count == 1 && answers[0].contains("denied"), "\(answers)")
        // Two keys of one name, of which the caller may see one: not even the number of the others is told.
        #expect(try scene.daemon.claviger("key", "create", "mine").status == 0)
        let twin = try scene.run(groups: [], ["key", "show", "mine"])
        #expect(twin.status == 0 && twin.text == own.text, "\(twin.text) \(twin.errorText)")
    }

    /// A grant on one key for one tenant, through its whole life: given, used, refused beyond its condition, explained, taken back.
    @Test func aGrantFromBirthToEnd() throws {
        guard Self.isRoot("aGrantFromBirthToEnd") else { return }
        let scene = try Scene()
        chmod(scene.daemon.socket, 0o666)
        let daemon = scene.daemon
        let granted = try daemon.claviger(
            "access", "grant", "user:\(Self.stranger)", "Reader", "--key", "shared", "--context", "tenant=7", "--for", "1h",
            "--json")
        #expect(granted.status == 0, "\(granted.errorText)")
        let id = try #require(granted.text.firstMatch(of: /"id" ?: ?"([0-9a-f-]{36})"/)?.1)
        let wrapped = try scene.run(groups: [], ["wrap", "shared", "--context", "tenant=7"], input: "dek")
        #expect(wrapped.status == 0, "\(wrapped.errorText)")
        try writeFile(daemon.directory + "/seven.clv", wrapped.text)
        #expect(try scene.run(groups: [], ["unwrap", "--context", "tenant=7"], input: "seven.clv").text == "0123456789abcdef")
        for (arguments, input) in [
            (["wrap", "shared", "--context", "tenant=70"], "dek"), (["wrap", "shared"], "dek"), (["unwrap"], "dek.clv"),
            (["key", "show", "shared"], "dek"),
        ] {
            let ended = try scene.run(groups: [], arguments, input: input)
            #expect(ended.status == 1 && ended.errorText.contains("denied"), "\(arguments): \(ended.text)")
        }
        let why = try daemon.claviger(
            "access", "explain", "--as", "user:\(Self.stranger)", "unwrap", "shared", "--context", "tenant=8")
        #expect(why.status == 0 && why.text.hasPrefix("denied") && why.text.contains("tenant=7"), "\(why.text)\(why.errorText)")
        #expect(why.text.contains("claviger access grant user:\(Self.stranger) Unwrapper --key"), "\(why.text)")
        let allowed = try daemon.claviger(
            "access", "explain", "--as", "user:\(Self.stranger)", "unwrap", "shared", "--context", "tenant=7")
        #expect(allowed.text.hasPrefix("allowed: grant \(id)"), "\(allowed.text)")
        #expect(try scene.run(groups: [], ["whoami"]).text.contains("Reader on key:"))
        #expect(try daemon.claviger("access", "list", "--subject", "user:\(Self.stranger)").text.contains(id))
        #expect(try daemon.claviger("access", "revoke", String(id)).status == 0)
        #expect(try scene.run(groups: [], ["unwrap", "--context", "tenant=7"], input: "seven.clv").errorText.contains("denied"))
        let again = try daemon.claviger("access", "revoke", String(id))
        #expect(again.status == 1 && again.errorText.contains("revoked before"), "\(again.errorText)")
    }

    /// What would leave nobody to grant, and roles in use, are kept; grants survive a restart.
    @Test func theLastAdministratorStays() throws {
        let daemon = try DaemonHarness.running()
        let list = try daemon.claviger("access", "list", "--json").text
        let grants = list.matches(of: /"id" ?: ?"([0-9a-f-]{36})"[^}]*"role" ?: ?"Administrator"/).map { String($0.1) }
        #expect(!grants.isEmpty, "\(list)")
        for id in grants.dropLast() { #expect(try daemon.claviger("access", "revoke", id).status == 0) }
        let last = try daemon.claviger("access", "revoke", try #require(grants.last))
        #expect(last.status == 1 && last.errorText.contains("last-administrator"), "\(last.errorText)")
        #expect(try daemon.claviger("access", "role", "create", "Rotator", "rotate-keys").status == 0)
        #expect(try daemon.claviger("access", "grant", "unit:x.service", "Rotator", "--ring", "billing").status == 0)
        #expect(try daemon.claviger("access", "role", "delete", "Rotator").errorText.contains("role-in-use"))
        #expect(try daemon.claviger("access", "role", "delete", "Reader").status == 1)
        #expect(try daemon.claviger("access", "role", "create", "rotator", "wrap").errorText.contains("already-exists"))
        #expect(try daemon.claviger("access", "role", "create", "Opener", "unlock").status == 1)
        #expect(try daemon.claviger("access", "grant", "user:nosuchuserhere", "Reader").errorText.contains("not-found"))
        #expect(try daemon.claviger("access", "grant", "root", "Reader").status == 1)
        let before = try daemon.claviger("access", "list").text
        try daemon.restart()
        try daemon.wait(for: .ready)
        #expect(try daemon.claviger("access", "list").text == before)
        #expect(try daemon.claviger("access", "roles").text.contains("Rotator"))
    }
}
