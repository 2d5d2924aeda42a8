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

    private static let everyday: [[String]] = [["wrap", "shared"], ["unwrap"], ["rewrap"], ["whoami"], ["status"], ["health"]]
    private static let management: [[String]] = [
        ["key", "create", "mine"], ["key", "list"], ["key", "show", "shared"], ["key", "versions", "shared"],
        ["key", "rotate", "shared"], ["token", "status"],
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
        for arguments in Self.everyday + Self.management {
            let ended = try scene.run(groups: [], arguments)
            #expect(ended.status == 3, "\(arguments)")
            #expect(ended.output.isEmpty && ended.errorText.contains("Permission denied"), "\(arguments): \(ended.errorText)")
        }
    }

    /// Who can connect after all, because the socket is wider than usual, is denied everything.
    @Test func strangersAreDenied() throws {
        guard Self.isRoot("strangersAreDenied") else { return }
        let scene = try Scene()
        chmod(scene.daemon.socket, 0o666)
        for arguments in Self.everyday + Self.management {
            let ended = try scene.run(groups: [], arguments)
            #expect(ended.status == 1 && ended.output.isEmpty, "\(arguments): \(ended.text)")
            #expect(ended.errorText.contains("denied"), "\(arguments): \(ended.errorText)")
        }
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

    /// A member of the socket's group uses keys and nothing else.
    @Test func membersOfTheServiceGroupUseKeys() throws {
        guard Self.isRoot("membersOfTheServiceGroupUseKeys") else { return }
        let scene = try Scene()
        for arguments in Self.everyday {
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
        for arguments in Self.everyday + Self.management {
            let ended = try scene.run(groups: [Self.unlockGroup], arguments)
            #expect(ended.status == 1 && ended.errorText.contains("denied"), "\(arguments): \(ended.text) \(ended.errorText)")
        }
        let refused = try scene.run(groups: [Self.serviceGroup], ["unlock", "--pin-stdin"], input: "pin")
        #expect(refused.status == 1 && refused.errorText.contains("denied"), "\(refused.errorText)")
        #expect(try scene.daemon.health.state == .sealed)
        let unlocked = try scene.run(groups: [Self.unlockGroup], ["unlock", "--pin-stdin"], input: "pin")
        #expect(unlocked.status == 0, "\(unlocked.errorText)")
        #expect(try scene.daemon.health.state == .ready)
    }
}
