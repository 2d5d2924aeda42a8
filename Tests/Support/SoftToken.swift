import Cryptoki
import Glibc
import Synchronization

/// Why a SoftHSM token could not be made for a test.
public enum SoftTokenError: Error {
    /// libsofthsm2.so is not installed (Debian: softhsm2).
    case notInstalled
    /// A system call failed; `code` is errno.
    case system(call: String, code: Int32)
    /// softhsm2-util ended with this status.
    case utility(status: Int32)
}

/// A private SoftHSM store: a temporary directory of mode 0700 with `softhsm2.conf` and an empty token directory, removed when
/// the value goes or the process exits.
///
/// Loads nothing into this process: for tests that start programs of their own, which get ``environment``.
public final class SoftTokenStore: Sendable {
    /// The directory that holds everything.
    public let directory: String
    /// The configuration file, the value of SOFTHSM2_CONF.
    public var configuration: String { directory + "/softhsm2.conf" }
    /// Where SoftHSM keeps its tokens, one directory each.
    public var tokens: String { directory + "/tokens" }
    /// The variable that a process using this store needs.
    public var environment: (name: String, value: String) { ("SOFTHSM2_CONF", configuration) }

    /// Makes an empty store.
    public init() throws {
        let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var template = Array("\(parent)/claviger-softtoken.XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw SoftTokenError.system(call: "mkdtemp", code: errno) }
        directory = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
        Leftovers.add(directory)
        HarnessGuard.shared.tell("dir \(directory)")
        guard mkdir(tokens, 0o700) == 0 else { throw SoftTokenError.system(call: "mkdir", code: errno) }
        let text = "directories.tokendir = \(tokens)\nobjectstore.backend = file\nlog.level = ERROR\n"
        guard let file = fopen(configuration, "wxe") else { throw SoftTokenError.system(call: "fopen", code: errno) }
        fputs(text, file)
        guard fclose(file) == 0 else { throw SoftTokenError.system(call: "fclose", code: errno) }
    }

    deinit { Leftovers.remove(directory) }

    /// Makes a token by running softhsm2-util, in a process of its own. The PINs are test data and stand in its arguments.
    public func createToken(label: String, userPIN: String, soPIN: String) throws {
        let arguments = [
            "softhsm2-util", "--module", try SoftToken.modulePath(), "--init-token", "--free", "--label", label, "--pin",
            userPIN, "--so-pin", soPIN,
        ]
        var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        let variables = ["SOFTHSM2_CONF=\(configuration)", "PATH=/usr/bin:/bin"]
        var envp: [UnsafeMutablePointer<CChar>?] = variables.map { strdup($0) } + [nil]
        defer { for pointer in argv + envp { free(pointer) } }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0)
        var child: pid_t = 0
        let code = posix_spawnp(&child, "softhsm2-util", &actions, nil, &argv, &envp)
        guard code == 0 else { throw SoftTokenError.system(call: "posix_spawnp", code: code) }
        var status: Int32 = 0
        while waitpid(child, &status, 0) == -1 && errno == EINTR {}
        guard status == 0 else { throw SoftTokenError.utility(status: status) }
    }
}

/// The process-wide SoftHSM token for tests that use a module in this process.
///
/// SOFTHSM2_CONF, C_Initialize and the login state belong to the process, and tests of one process run in parallel. So there is
/// one token, made when ``shared()`` is first called, initialised and with the user logged in for the life of the process:
///
/// ```swift
/// let token = try SoftToken.shared()
/// var session = try token.openSession()
/// let key = try session.generateKey(.aesKeyGeneration, [.bool(.token, false), ...])
/// ```
///
/// Rules for tests that share it:
/// - Use session objects where you can. Token objects get an id of the test's own and are destroyed by it.
/// - SoftHSM fails about a quarter of the key generations that run beside a search, so search, create and destroy token
///   objects within ``withObjects(_:)``.
/// - Never log out, finalise, or try a wrong PIN here: such tests run in a child process, `#expect(processExitsWith: .success)`,
///   whose own first use of this type makes a token of its own.
/// - Code under test that initialises the module itself needs a child process too, with ``SoftTokenStore`` and
///   ``activate(_:)``.
public final class SoftToken: Sendable {
    /// The token's store.
    public let store: SoftTokenStore
    /// The module, initialised.
    public let module: Module
    /// The token's slot.
    public let slot: SlotID
    /// The token's label.
    public let label = "claviger-test"
    /// The user's PIN. Copy it to a local before taking its span.
    public let userPIN: [UInt8]
    /// The security officer's PIN. Copy it to a local before taking its span.
    public let soPIN: [UInt8]

    // SoftHSM logs out when the last session closes, so one stays open.
    private let anchor: Mutex<Session?>
    private let objects = Mutex<Void>(())

    private static let result = Result { try SoftToken() }

    /// The token of this process; made at the first call.
    public static func shared() throws -> SoftToken { try result.get() }

    /// The path of libsofthsm2.so.
    public static func modulePath() throws -> String {
        let candidates = [
            "/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
            "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
        ]
        guard let path = candidates.first(where: { access($0, R_OK) == 0 }) else { throw SoftTokenError.notInstalled }
        return path
    }

    /// Makes `store` the one that SoftHSM uses in this process. Before the module is initialised, and once: in child processes.
    public static func activate(_ store: SoftTokenStore) { setenv(store.environment.name, store.environment.value, 1) }

    private init() throws {
        let userPIN = Array("user-pin-of-the-tests".utf8)
        let soPIN = Array("officer-pin-of-the-tests".utf8)
        self.userPIN = userPIN
        self.soPIN = soPIN
        store = try SoftTokenStore()
        SoftToken.activate(store)
        module = try Module(path: try SoftToken.modulePath())
        try module.initialize()
        guard let empty = try module.slots(withToken: true).first else { throw SoftTokenError.notInstalled }
        try module.initializeToken(empty, soPIN: soPIN.span.bytes, label: label)
        // Initialising moves the token to a slot numbered after its serial.
        slot = try TokenURI("pkcs11:token=\(label)").select(in: module)
        var session = try module.openSession(slot, readWrite: true)
        try session.login(.securityOfficer, pin: soPIN.span.bytes)
        try session.initializePIN(userPIN.span.bytes)
        try session.logout()
        try session.login(.user, pin: userPIN.span.bytes)
        anchor = Mutex(session)
    }

    /// A session of the caller's own, in which the user is logged in.
    public func openSession(readWrite: Bool = true) throws(CryptokiError) -> Session {
        try module.openSession(slot, readWrite: readWrite)
    }

    /// Calls `body` while no other test searches for objects or makes or destroys token objects.
    public func withObjects<R: Sendable>(_ body: () throws -> R) rethrows -> R {
        try objects.withLock { (_: inout Void) in try body() }
    }
}

/// Directories to remove at the latest when the process exits.
private enum Leftovers {
    private static let directories = Mutex<Set<String>>([])
    private static let registered: Void = {
        // Registered before a module is loaded, and so run after the module's own handlers.
        atexit { Leftovers.removeAll() }
    }()

    static func add(_ directory: String) {
        _ = registered
        _ = directories.withLock { $0.insert(directory) }
    }

    static func remove(_ directory: String) {
        guard directories.withLock({ $0.remove(directory) }) != nil else { return }
        removeTree(directory)
    }

    static func removeAll() {
        for directory in directories.withLock({ $0 }) { remove(directory) }
    }

    private static func removeTree(_ path: String) {
        // A symbolic link is not opened, only unlinked.
        let directory = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        guard directory >= 0, let entries = fdopendir(directory) else {
            unlink(path)
            return
        }
        while let entry = readdir(entries) {
            // In place: the record ends with its name, and a copy of the whole field would read beyond it.
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if name != "." && name != ".." { removeTree("\(path)/\(name)") }
        }
        closedir(entries)
        rmdir(path)
    }
}
